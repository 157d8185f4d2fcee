package state

import "encoding/json"

// ahead is one entry's commands as Prepare has read them. It stands beside the state: who reads the state does not look at it.
type ahead struct {
	of   []json.RawMessage
	list []decoded
	ok   bool
}

// decoded is a command with its envelope.
type decoded struct {
	env Envelope
	cmd Command
}

// Prepare reads the commands that the next Apply is given, and checks the signatures under minutes in them: most of what an entry costs, and nothing that
// needs the state, so that others may read the state meanwhile. Apply does it where it was not done.
func (s *State) Prepare(commands []json.RawMessage) {
	s.ahead.of = commands
	s.ahead.list, s.ahead.ok = read(commands)
	for _, d := range s.ahead.list {
		if settle, is := d.cmd.(*SettleMinutes); is {
			settle.seal()
		}
	}
}

// take gives what was prepared, once, and only of these very commands; others are read now. Not ok for what this build does not understand.
func (a *ahead) take(commands []json.RawMessage) ([]decoded, bool) {
	list, ok, same := a.list, a.ok, len(a.of) > 0 && len(a.of) == len(commands) && &a.of[0] == &commands[0]
	*a = ahead{}
	if !same {
		return read(commands)
	}
	return list, ok
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
