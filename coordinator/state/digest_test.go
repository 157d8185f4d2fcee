package state

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/challenge"
)

// everything is a state in which every field of every thing is filled.
func everything(t *testing.T) *State {
	t.Helper()
	w, tenant := small(t, "10")
	w.cluster("all", tenant, 1, "mone", "mtwo")
	w.must(&IssueToken{ID: id[raylink.TokenID]("tok", "t"), Account: tenant, Role: raylink.RoleTenant, Hash: hashOf("t"), TTL: time.Hour, Label: "x"})
	w.must(&JoinMember{ID: "n1", Raft: "n1:7444", API: "https://n1:7443"})
	w.do("account:a", "key", &OpenAccount{ID: id[raylink.AccountID]("acc", "key"), Name: "key"})
	s := w.s
	s.Subnets[77] = noon
	for _, things := range []any{s.Clusters, s.Leases, s.Quotes, s.Machines, s.Tokens} {
		for _, thing := range reflect.ValueOf(things).Seq2() {
			fill(thing.Elem(), "x")
		}
	}
	s.Proofs["p-x"] = &Proof{}
	fill(reflect.ValueOf(s.Proofs["p-x"]).Elem(), "x")
	fill(reflect.ValueOf(&s.Proving).Elem(), "x")
	for _, book := range []any{&s.Prices, s.Deposits, s.Wallets, s.Payouts, s.Lots, &s.Caps, &s.Images, &s.Unexplained, &s.Buybacks, &s.Checkpoints, &s.BuybackPolicy, &s.Chain, &s.Versions} {
		fill(reflect.ValueOf(book).Elem(), "x")
	}
	return s
}

// TestDigestCoversEverything changes one value after the other, wherever it stands in the state, and wants another digest each time.
func TestDigestCoversEverything(t *testing.T) {
	s := everything(t)
	changed := 0
	walk(t, "State", reflect.ValueOf(s).Elem(), s, s.Digest(), &changed)
	if changed < 150 {
		t.Errorf("only %d values were changed", changed)
	}
	t.Logf("%d values", changed)
	before := s.Digest()
	moves, err := ledger.Move(ledger.Grants, ledger.Posting{Account: "tenant:x", Amount: money.MicroUSD(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ledger.Post(noon, "grant", "another", moves, nil); err != nil || s.Digest() == before {
		t.Error("the ledger is not in the digest", err)
	}
}

func walk(t *testing.T, path string, v reflect.Value, s *State, before string, changed *int) {
	t.Helper()
	switch at := v.Addr().Interface().(type) {
	case **ledger.Ledger:
		return // by its head
	case *challenge.Seed, *challenge.Hash:
		v.Index(31).SetUint(v.Index(31).Uint() ^ 1)
		differs(t, path, s, before, changed)
		v.Index(31).SetUint(v.Index(31).Uint() ^ 1)
		return
	case *time.Time:
		old := *at
		*at = at.Add(time.Nanosecond)
		differs(t, path, s, before, changed)
		*at = old
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			t.Errorf("%s is empty, so nothing is shown of it", path)
			return
		}
		walk(t, path, v.Elem(), s, before, changed)
	case reflect.Struct:
		if v.Type().PkgPath() == "net/netip" {
			old := v.Interface()
			v.SetZero()
			differs(t, path, s, before, changed)
			v.Set(reflect.ValueOf(old))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walk(t, path+"."+v.Type().Field(i).Name, v.Field(i), s, before, changed)
			}
		}
	case reflect.Map:
		walkMap(t, path, v, s, before, changed)
	case reflect.Slice:
		if v.Len() == 0 {
			t.Errorf("%s is empty, so nothing is shown of it", path)
		}
		for i := range v.Len() {
			walk(t, path+"[]", v.Index(i), s, before, changed)
		}
	default:
		old := v.Interface()
		fresh := reflect.New(v.Type()).Elem()
		switch v.Kind() {
		case reflect.String:
			fresh.SetString(v.String() + "2")
		case reflect.Int, reflect.Int64:
			fresh.SetInt(v.Int() + 1)
		case reflect.Uint8:
			fresh.SetUint('0' + (v.Uint()-'0'+1)%10)
			if v.Uint() < '0' || v.Uint() > '9' {
				return // of a JSON text: another byte might not be JSON
			}
		case reflect.Uint64:
			fresh.SetUint(v.Uint() + 1)
		case reflect.Bool:
			fresh.SetBool(!v.Bool())
		}
		v.Set(fresh)
		differs(t, path, s, before, changed)
		v.Set(reflect.ValueOf(old))
	}
}

// walkMap looks into a map's values, and takes each entry away once.
func walkMap(t *testing.T, path string, v reflect.Value, s *State, before string, changed *int) {
	t.Helper()
	if v.Len() == 0 {
		t.Errorf("%s is empty, so nothing is shown of it", path)
	}
	for _, key := range v.MapKeys() {
		value := v.MapIndex(key)
		v.SetMapIndex(key, reflect.Value{})
		differs(t, path+"{}", s, before, changed)
		v.SetMapIndex(key, value)
		if value.Kind() == reflect.Pointer {
			walk(t, path+"{}", value.Elem(), s, before, changed)
		}
	}
	if s.Digest() != before {
		t.Fatalf("%s was not put back", path)
	}
}

func differs(t *testing.T, path string, s *State, before string, changed *int) {
	t.Helper()
	*changed++
	if s.Digest() == before {
		t.Errorf("%s is not in the digest", path)
	}
}

// TestLoadTakesAll gives the snapshot away byte by byte: nothing may be left over for whoever looks behind it, and nothing may follow.
func TestLoadTakesAll(t *testing.T) {
	w, tenant := small(t, "10")
	w.cluster("all", tenant, 1, "mone", "mtwo")
	var b strings.Builder
	if err := w.s.Save(&b); err != nil {
		t.Fatal(err)
	}
	rest := strings.NewReader(b.String())
	fresh := New()
	if err := fresh.Load(iotest.OneByteReader(rest)); err != nil || rest.Len() != 0 {
		t.Errorf("left %d bytes, %v", rest.Len(), err)
	}
	if fresh.Digest() != w.s.Digest() || fresh.Used(machineID("mone")).CPU != raylink.Unit {
		t.Error("the restored state is another one")
	}
	for _, bad := range []string{"", "{", "null", "[]", b.String() + "x", b.String() + "{}", strings.Replace(b.String(), `{"Now"`, `{"Then":1,"Now"`, 1),
		strings.Replace(b.String(), "10.000000 USD", "11.000000 USD", 1)} {
		if err := fresh.Load(strings.NewReader(bad)); err == nil && bad != "null" {
			t.Errorf("%.60q was loaded", bad)
		}
	}
	if err := fresh.Load(iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
		t.Error("nothing was loaded")
	}
}

// TestNotUnderstood wants an entry of which one command is not understood to change nothing at all.
func TestNotUnderstood(t *testing.T) {
	w := newWorld(t)
	good, err := Encode("a", "", &OpenAccount{ID: id[raylink.AccountID]("acc", "x"), Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	before := w.s.Digest()
	for _, bad := range []string{`{"kind":"account.close","by":"a","body":{}}`, `{`, `null`, `{"kind":"account.open","by":"a","body":{"id":"acc-x","name":"x","age":1}}`} {
		if results := w.s.Apply(1, noon, []json.RawMessage{good, json.RawMessage(bad)}); results != nil || w.s.Digest() != before {
			t.Errorf("%s: %s", bad, results)
		}
	}
}
