package state

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// A replica that prepares entries and one that does not are the same, whatever is prepared and not applied, or applied and not prepared.
func TestPrepare(t *testing.T) {
	w, minutes := hired(t)
	forged := signedBy("group", minutes(1)...)
	forged.Minutes[0].Ordinal = 7
	for _, c := range []Command{signedBy("group", minutes(0)...), forged, signedBy("group", minutes(1)...), &SettleMinutes{Minutes: minutes(2)}, &Sweep{}} {
		w.do("leader", "", c)
	}
	plain, prepared := New(), New()
	var before []json.RawMessage
	for i, raw := range w.log {
		entry := []json.RawMessage{raw}
		prepared.Prepare(entry)
		switch i % 4 {
		case 1: // another entry is prepared: this one is read anew
			prepared.Prepare([]json.RawMessage{json.RawMessage(`{"kind":"unheard"}`)})
		case 2: // and so is one that was applied before
			if before != nil {
				prepared.Prepare(before)
			}
		case 3:
			prepared.Prepare(nil)
		}
		one, two := plain.Apply(uint64(i+1), w.times[i], entry), prepared.Apply(uint64(i+1), w.times[i], entry)
		if len(one) != 1 || len(two) != 1 || !bytes.Equal(one[0], two[0]) || plain.Digest() != prepared.Digest() {
			t.Fatalf("entry %d: %s, prepared %s", i+1, one, two)
		}
		before = entry
	}
	if plain.Digest() != w.s.Digest() || plain.SealKey == "" {
		t.Error("the replicas are not what the world is")
	}
	unheard := []json.RawMessage{json.RawMessage(`{"kind":"unheard","by":"x","body":{}}`)}
	index, digest := prepared.Index, prepared.Digest()
	prepared.Prepare(unheard)
	if got := prepared.Apply(index+1, noon.Add(time.Hour), unheard); got != nil || prepared.Digest() != digest {
		t.Errorf("an entry that is not understood gives %s", got)
	}
}
