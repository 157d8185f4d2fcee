package state

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// A replica that prepares entries and one that does not are the same, whatever is prepared and not applied, or applied and not prepared. To prepare changes nothing.
func TestPrepare(t *testing.T) {
	w, minutes := hired(t)
	forged := signedBy("group", minutes(1)...)
	forged.Minutes[0].Ordinal = 7
	for _, c := range []Command{signedBy("group", minutes(0)...), forged, signedBy("group", minutes(1)...), &SettleMinutes{Minutes: minutes(2)}, &Sweep{}} {
		w.do("leader", "", c)
	}
	plain, prepared := New(), New()
	var last []json.RawMessage
	for i, raw := range w.log {
		entry := []json.RawMessage{raw}
		before, sum := contents(t, prepared), prepared.Digest()
		prepared.Prepare(w.times[i], entry)
		if contents(t, prepared) != before || prepared.Digest() != sum {
			t.Fatalf("entry %d: to prepare it changed the state", i+1)
		}
		switch i % 5 {
		case 1: // another entry is prepared: this one is read anew
			prepared.Prepare(w.times[i], []json.RawMessage{json.RawMessage(`{"kind":"unheard"}`)})
		case 2: // and so is one that was applied before
			if last != nil {
				prepared.Prepare(w.times[i], last)
			}
		case 3:
			prepared.Prepare(w.times[i], nil)
		case 4: // rehearsed for another time than it is applied at
			prepared.Prepare(w.times[i].Add(time.Hour), entry)
		}
		one, two := plain.Apply(uint64(i+1), w.times[i], entry), prepared.Apply(uint64(i+1), w.times[i], entry)
		if len(one) != 1 || len(two) != 1 || !bytes.Equal(one[0], two[0]) || plain.Digest() != prepared.Digest() {
			t.Fatalf("entry %d: %s, prepared %s", i+1, one, two)
		}
		last = entry
	}
	if plain.Digest() != w.s.Digest() || plain.SealKey == "" {
		t.Error("the replicas are not what the world is")
	}
	unheard := []json.RawMessage{json.RawMessage(`{"kind":"unheard","by":"x","body":{}}`)}
	index, digest := prepared.Index, prepared.Digest()
	prepared.Prepare(noon.Add(time.Hour), unheard)
	if got := prepared.Apply(index+1, noon.Add(time.Hour), unheard); got != nil || prepared.Digest() != digest {
		t.Errorf("an entry that is not understood gives %s", got)
	}
}
