package raylink_test

import (
	"testing"

	"raylink/raylink"
)

// TestGVisorJoins: what an engine may be told of runsc, and whether a lease's overlay reaches a container that is run so.
func TestGVisorJoins(t *testing.T) {
	for _, c := range []struct {
		args   []string
		script string
		want   bool
	}{
		{nil, "", false}, // what `runsc install` writes by itself
		{[]string{"--network=host"}, "", true},
		{[]string{"-network=host"}, "", true},
		{[]string{"--network", "host"}, "", true},
		{[]string{"--platform=kvm", "--network=host", "--debug"}, "", true},
		{[]string{"--network=sandbox"}, "", false},
		{[]string{"--network=host", "--network=none"}, "", false},
		{[]string{"--net-raw", "host"}, "", false},
		{[]string{"network=host"}, "", false},
		{[]string{"--network"}, "", false},
		{nil, "#!/bin/sh\nexec /usr/bin/runsc --network=host \"$@\"\n", true}, // as setup/engine.sh of devnet writes it
		{nil, "#!/bin/sh\nexec /usr/bin/runsc \"$@\"\n", false},
		{[]string{"--network=none"}, "#!/bin/sh\nexec /usr/bin/runsc --network=host \"$@\"\n", false},
		{nil, "\x7fELF --network=host", false}, // a program that has the words in it
	} {
		if got := raylink.GVisorJoins(c.args, c.script); got != c.want {
			t.Errorf("%q with the script %q: %v", c.args, c.script, got)
		}
	}
}
