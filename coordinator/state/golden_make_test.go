package state

import (
	"flag"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/challenge"
)

var update = flag.Bool("update", false, "rewrite the transcripts, and append forms of commands that the golden file lacks")

// TestGoldenAppends adds a line for each kind that has none with every field filled; with -update alone, and never touching what is there.
func TestGoldenAppends(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	have := map[string]bool{}
	var file strings.Builder
	if _, err := os.Stat(goldenFile); err == nil {
		for _, line := range goldenLines(t) {
			env, cmd, err := Decode(line)
			if err != nil {
				t.Fatal(err)
			}
			have[env.Kind] = have[env.Kind] || complete(reflect.ValueOf(cmd).Elem())
			file.Write(append(line, '\n'))
		}
	}
	for _, c := range kinds() {
		if have[c.kind()] {
			continue
		}
		v := reflect.ValueOf(c).Elem()
		fill(v, "x")
		raw, err := Encode("account:acc-aaaaaaaaaa", "key-"+c.kind(), c)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(append(raw, '\n'))
	}
	if err := os.WriteFile(goldenFile, []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fill puts something into every field.
func fill(v reflect.Value, name string) {
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = noon
		return
	case *netip.AddrPort:
		*at = netip.MustParseAddrPort("192.0.2.1:51820")
		return
	case *money.Amount:
		*at = money.MicroUSD(1_250_000)
		return
	case *money.Rate:
		*at = 120_000
		return
	case *money.Asset:
		*at = money.USDC
		return
	case *exchange.Purse:
		*at = exchange.USDC
		return
	case *raylink.Phase:
		*at = raylink.PhaseReady
		return
	case *raylink.Stage:
		*at = raylink.StageRunning
		return
	case *challenge.Seed:
		*at = challenge.Seed{7}
		return
	case *challenge.Hash:
		*at = challenge.Hash{7}
		return
	case *netip.Addr:
		*at = netip.MustParseAddr("100.64.0.2")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), strings.ToLower(v.Type().Field(i).Name))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, name)
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString(name)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(7)
	case reflect.Bool:
		v.SetBool(true)
	}
}
