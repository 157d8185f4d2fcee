package raylink

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// TestEqualHosts: two hosts are equal if their JSON is, whatever differs; the dumb twin of Equal. That a field which is new is compared is seen by
// changing each.
func TestEqualHosts(t *testing.T) {
	text := func(h Host) []byte {
		if len(h.Devices) == 0 { // written as nothing or as a list of nothing, which makes no difference
			h.Devices = nil
		}
		if len(h.Versions) == 0 {
			h.Versions = nil
		}
		if len(h.Isolation) == 0 {
			h.Isolation = nil
		}
		raw, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	hosts := rapid.Custom(func(t *rapid.T) Host {
		word := rapid.SampledFrom([]string{"", "a", "b"})
		devices := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Device {
			return Device{ID: word.Draw(t, "id"), Kind: DeviceGPU, Cores: rapid.IntRange(0, 1).Draw(t, "cores"), Features: rapid.SliceOfN(word, 0, 1).Draw(t, "features"), MIG: rapid.Bool().Draw(t, "mig")}
		}), 0, 2)
		return Host{OS: word.Draw(t, "os"), Devices: devices.Draw(t, "devices"), Versions: rapid.MapOfN(word, word, 0, 2).Draw(t, "versions"),
			Isolation: rapid.SampledFrom([][]Isolation{nil, {}, {IsolationContainer}, {IsolationContainer, IsolationGVisor}}).Draw(t, "isolation")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := hosts.Draw(t, "a"), hosts.Draw(t, "b")
		if got, want := a.Equal(&b), bytes.Equal(text(a), text(b)); got != want {
			t.Errorf("equal %v, wanted %v: %+v and %+v", got, want, a, b)
		}
	})
	h := Host{Devices: []Device{{}}}
	for _, fields := range []func(*Host) reflect.Value{
		func(h *Host) reflect.Value { return reflect.ValueOf(h).Elem() },
		func(h *Host) reflect.Value { return reflect.ValueOf(&h.Devices[0]).Elem() },
	} {
		for i := range fields(&h).NumField() {
			other := Host{Devices: []Device{{}}}
			change(t, fields(&other).Field(i))
			if h.Equal(&other) || other.Equal(&h) {
				t.Errorf("%s makes no difference", fields(&other).Type().Field(i).Name)
			}
		}
	}
}

// change gives a field a value that an empty one does not have.
func change(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"x": "y"}))
	default:
		t.Fatalf("a field of kind %v: say how it is changed", v.Kind())
	}
}
