package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// toldMost is the size of the largest report that is remembered. An idle machine's has a kilobyte or two.
const toldMost = 16 << 10

// toldDevices is the most devices of a host in a report that is remembered: a list of empty ones takes little in a report, and a lot when it is read.
const toldDevices = 64

// Told remembers what each machine's report said last. An idle machine sends the same bytes every few seconds, all that it is among them: what was read
// once need not be read again. A machine with leases has something new each time, and is not remembered. It grows with the machines that the group knows. A nil one reads each report anew.
type Told struct {
	mu   sync.Mutex
	last map[raylink.MachineID]telling
}

// telling is a report and the hash of its text.
type telling struct {
	sum    [sha256.Size]byte
	strict bool // it held no field that is unknown here
	report wire.AgentReport
}

// known is the report with this text, if it is the machine's last.
func (t *Told) known(id raylink.MachineID, text []byte, strict bool) (wire.AgentReport, bool) {
	if t == nil || len(text) > toldMost {
		return wire.AgentReport{}, false
	}
	sum := sha256.Sum256(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.last[id]; ok && last.sum == sum && (last.strict || !strict) {
		return last.report, true
	}
	return wire.AgentReport{}, false
}

// read is the report with this text. One that is remembered is the very same value again, which nobody changes.
func (t *Told) read(id raylink.MachineID, text []byte, strict bool) (wire.AgentReport, error) {
	if report, ok := t.known(id, text, strict); ok {
		return report, nil
	}
	var report wire.AgentReport
	var err error
	if strict {
		err = strictly(text, &report)
	} else {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || t == nil || len(text) > toldMost || len(report.Leases) > 0 || report.Host != nil && len(report.Host.Devices) > toldDevices {
		return report, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[raylink.MachineID]telling{}
	}
	t.last[id] = telling{sha256.Sum256(text), strict, report}
	return report, nil
}

// AgentWord is an agent's report on its way to the leader, under the id that its certificate proved.
type AgentWord struct {
	ID     raylink.MachineID `json:"id"`
	Report json.RawMessage   `json:"report"` // a wire.AgentReport, as it came
}

// agentWord encodes an AgentWord. The text is known to be one JSON value: anything else might bring an id of its own along.
func agentWord(id raylink.MachineID, text []byte) []byte {
	word := make([]byte, 0, len(id)+len(text)+32)
	word = append(append(append(word, `{"id":"`...), id...), `","report":`...)
	return append(append(word, text...), '}')
}

// hear reads an AgentWord. Where the machine only says again what it said last, that is seen without decoding: if what stands where agentWord puts the text
// is not the text, its hash is not the last one's either.
func (t *Told) hear(word []byte) (raylink.MachineID, wire.AgentReport, error) {
	if rest, ok := bytes.CutPrefix(word, []byte(`{"id":"`)); ok {
		name, text, _ := bytes.Cut(rest, []byte(`","report":`))
		id := raylink.MachineID(name)
		if report, ok := t.known(id, bytes.TrimSuffix(text, []byte("}")), false); ok {
			return id, report, nil
		}
	}
	var w AgentWord
	err := json.Unmarshal(word, &w)
	if err == nil {
		var report wire.AgentReport
		if report, err = t.read(w.ID, w.Report, false); err == nil {
			return w.ID, report, nil
		}
	}
	return "", wire.AgentReport{}, fmt.Errorf("reading an agent's report: %w", err)
}
