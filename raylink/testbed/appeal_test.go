package testbed

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// TestAppeal has two machines answer a challenge wrongly, one of them once and the other always. Both stand in quarantine, and nothing is placed on
// them; both owners appeal, and another coordinator judges the same challenge. The first machine is back in the market, the other is not, and its owner
// cannot have it tried until it passes by chance.
func TestAppeal(t *testing.T) {
	t.Parallel()
	Run(t, 3, 2, func(b *Bed) {
		b.plenty()
		b.askProofs()
		b.Lie("s1", 1)
		b.Lie("s2", Always)
		b.tellHosts()
		for _, name := range []string{"s1", "s2"} {
			b.UntilStanding(name, raylink.MachineQuarantined, raylink.ReasonProofFailed)
		}
		if _, err := b.TryCreate("early", 1); raylink.AsError(err).Code != raylink.CodeCapacity {
			t.Errorf("both machines stand in quarantine, and a cluster is answered with %v", err)
		}
		if _, err := b.owner("s2").AppealMachine(b.ctx(), b.machines["s1"], wire.MachineAction{}); raylink.AsError(err).Code != raylink.CodeNotFound {
			t.Errorf("somebody else's appeal is answered with %v", err)
		}
		b.appeal("s1", state.ProofPassed)
		b.appeal("s2", state.ProofFailed)
		b.UntilStanding("s1", raylink.MachineReady, raylink.ReasonNone)
		b.Advance(time.Minute) // in which the rules are looked at anew
		b.UntilStanding("s2", raylink.MachineQuarantined, raylink.ReasonProofFailed)
		if _, err := b.owner("s2").AppealMachine(b.ctx(), b.machines["s2"], wire.MachineAction{}); raylink.AsError(err).Code != raylink.CodeConflict {
			t.Errorf("a second appeal at once is answered with %v", err)
		}
		id := b.Create("late", 1)
		b.Ready(id)
		for _, l := range b.Leases(id) {
			if l.Machine != b.machines["s1"] {
				t.Errorf("%s was placed on %s, which is not to be trusted", l.Node, l.Machine)
			}
		}
	})
}

// owner is a client of the account that a supplier's machine belongs to.
func (b *Bed) owner(name string) *client.Client {
	b.t.Helper()
	var account raylink.AccountID
	b.Read(func(s *state.State) { account = s.Machines[b.machines[name]].Owner })
	token, err := b.Admin.CreateToken(b.ctx(), wire.TokenRequest{Account: account, Role: raylink.RoleSupplier})
	b.must(err)
	return b.client(name+"'s owner", token.Secret, "")
}

// appeal lets an owner appeal and wants so much of it: the failed proof's task is asked again, another coordinator judges it, and each of the two
// transcripts, wherever it is kept, bears its judge out.
func (b *Bed) appeal(name, want string) {
	b.t.Helper()
	owner, machine := b.owner(name), b.machines[name]
	proofs := func() []wire.Proof {
		list, err := owner.Proofs(b.ctx(), string(machine))
		b.must(err)
		slices.SortFunc(list, func(x, y wire.Proof) int { return x.OpenedAt.Compare(y.OpenedAt) })
		return list
	}
	if before := proofs(); len(before) != 1 || before[0].State != state.ProofFailed {
		b.t.Fatalf("%s has not failed one proof: %+v", name, before)
	}
	_, err := owner.AppealMachine(b.ctx(), machine, wire.MachineAction{Reason: "a backup ran"})
	b.must(err)
	b.Until(fmt.Sprintf("the appeal of %s is judged", name), 2*time.Minute, func() bool { list := proofs(); return len(list) >= 2 && list[1].EndedAt != nil })
	first, again := proofs()[0], proofs()[1]
	if again.Why != state.WhyAppeal || again.State != want {
		b.t.Errorf("the appeal of %s was to be %s: %+v, against %+v", name, want, again, first)
	}
	if first.Judge == "" || again.Judge == "" || again.Judge == first.Judge {
		b.t.Errorf("%s was judged by %q, and on appeal by %q", name, first.Judge, again.Judge)
	}
	var asked []challenge.Task
	for _, p := range []wire.Proof{first, again} {
		text, err := owner.Transcript(b.ctx(), p.ID)
		b.must(err)
		transcript, err := challenge.Decode(text)
		b.must(err)
		if right := challenge.Verify(transcript, challenge.Plain{}); (right == nil) != (p.State == state.ProofPassed) {
			b.t.Errorf("the transcript of %s, which %s judged %s, verifies with %v", p.ID, p.Judge, p.State, right)
		}
		asked = append(asked, transcript.Task)
	}
	if asked[0] != asked[1] {
		b.t.Errorf("%s failed %+v, and was asked %+v on appeal", name, asked[0], asked[1])
	}
}

// UntilStanding waits until the leader says that a supplier's machine stands so.
func (b *Bed) UntilStanding(name string, want raylink.MachineState, why raylink.Reason) {
	b.t.Helper()
	b.Until(fmt.Sprintf("%s is %s, for reason %q", name, want, why), 2*time.Minute, func() bool {
		machine, err := b.Admin.Machine(b.ctx(), b.machines[name])
		return err == nil && machine.Standing.State == want && machine.Standing.Reason == why
	})
}
