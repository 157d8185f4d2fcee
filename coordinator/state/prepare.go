package state

import (
	"encoding/json"
	"time"
)

// ahead is one entry's commands as Prepare has read and rehearsed them. It stands beside the state: who reads the state does not look at it.
type ahead struct {
	of        []json.RawMessage
	list      []decoded
	ok        bool
	rehearsal *rehearsal
}

// decoded is a command with its envelope.
type decoded struct {
	env Envelope
	cmd Command
}

// Prepare reads the commands that the next Apply is given, checks the signatures under minutes in them, and rehearses those minutes: most of what an entry costs.
// It only reads the state, so that others may read it meanwhile. Apply does it where it was not done.
func (s *State) Prepare(at time.Time, commands []json.RawMessage) {
	list, ok := read(commands)
	for _, d := range list {
		if settle, is := d.cmd.(*SettleMinutes); is {
			settle.seal()
		}
	}
	*s.ahead = ahead{of: commands, list: list, ok: ok, rehearsal: s.rehearse(at, list)}
}

// take gives what was prepared, once, and only of these very commands; others are read now. It is not ok for what this build does not understand.
func (a *ahead) take(commands []json.RawMessage) ahead {
	prepared := *a
	*a = ahead{}
	if len(prepared.of) > 0 && len(prepared.of) == len(commands) && &prepared.of[0] == &commands[0] {
		return prepared
	}
	list, ok := read(commands)
	return ahead{list: list, ok: ok}
}

func read(commands []json.RawMessage) ([]decoded, bool) {
	list := make([]decoded, len(commands))
	for i, raw := range commands {
		env, cmd, err := Decode(raw)
		if err != nil {
			return nil, false
		}
		list[i] = decoded{env, cmd}
	}
	return list, true
}
