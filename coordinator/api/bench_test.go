package api

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/reconcile"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// leading is a group of one whose leader is here; it counts what its loop proposes.
type leading struct {
	*fake
	proposed atomic.Int64
}

func (l *leading) ProposeHere(ctx context.Context, commands ...json.RawMessage) ([]json.RawMessage, uint64, error) {
	l.proposed.Add(int64(len(commands)))
	return l.fake.Propose(ctx, commands...)
}

// BenchmarkHeartbeats has 100,000 idle machines report to one leader twice, each as often as the group tells it to, through the API's handler (without TLS and
// sockets) and with the leader's loop at work. The first time a new leader hears each anew, which wakes its loop (cores-first); the second reports
// are those of idle machines. It tells the share of one core that all of it takes, the making of the requests included, and how many
// commands entered the log. More than 0.6 of a core is said to miss the aim where the machine has nothing else to do; any command is an error: that machines
// are well costs the log nothing. The hourly payout run, which is due where none was made yet, is made before.
func BenchmarkHeartbeats(b *testing.B) {
	const machines, batch, cores = 100_000, 1000, 0.6
	period := time.Duration(plan.ReportSeconds(machines)) * time.Second
	f := &fleet{rig: newRig(b)}
	group := &leading{fake: f.group}
	offer := raylink.Offer{Resources: raylink.Resources{CPU: 8 * raylink.Unit, Memory: 32 << 30}, Arch: "amd64", CPUHour: 60_000}
	host := secretHost()                 // what rules are looked at for
	joined := time.Now().Add(-time.Hour) // what all of them tell anew is looked at closely, and that is not what idle machines do
	f.group.mu.Lock()
	clear(f.group.s.Clusters) // the rig's own, which the loop would have a word on
	clear(f.group.s.Leases)
	for i := range machines {
		sum := sha256.Sum256([]byte(fmt.Sprint(i)))
		machine := identity.MachineID(sum[:])
		f.group.s.Machines[machine] = &state.Machine{ID: machine, Name: fmt.Sprint("m", i), Owner: id[raylink.AccountID]("acc", "sam"), PublicKey: identity.EncodeKey(sum[:]),
			Offer: offer, State: state.MachineActive, JoinedAt: joined, OfferedAt: joined, Host: &host, HostAt: joined}
		leaf := &x509.Certificate{NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: identity.Principal{Kind: identity.Machine, ID: string(machine)}.String()}}
		f.certs = append(f.certs, leaf)
	}
	f.group.mu.Unlock()
	f.apply(time.Now(), &state.RunPayouts{})
	beats := func() (took time.Duration, share float64) {
		begun, used := time.Now(), cpuTime(b)
		pace := time.NewTicker(period / (machines / batch))
		defer pace.Stop()
		for i, cert := range f.certs {
			if i%batch == 0 {
				<-pace.C
			}
			if got := f.ask(cert, "POST", "/v1/agent/report", wire.AgentReport{Started: joined, Offer: &offer}); got.Code != http.StatusNoContent {
				b.Fatalf("%d: %s", got.Code, got.Body)
			}
		}
		return time.Since(begun), (cpuTime(b) - used).Seconds() / period.Seconds()
	}
	for b.Loop() {
		group.proposed.Store(0)
		ctx, stop := context.WithCancel(b.Context())
		loop := &reconcile.Loop{Group: group, Memory: f.memory, Log: slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		go func() { defer close(done); loop.Run(ctx) }()
		_, first := beats()
		took, share := beats()
		stop()
		<-done
		entries := group.proposed.Load()
		b.ReportMetric(first, "cores-first")
		b.ReportMetric(share, "cores")
		b.ReportMetric(float64(entries), "entries")
		late := took > period*11/10 && share < 1 // others kept the processors busy: what a period's reports cost is measured beside them, and looks like more
		switch {
		case entries > 0:
			b.Errorf("%d machines' heartbeats cost %d entries in the log, and should cost none", machines, entries)
		case share > cores && !late:
			b.Logf("%d machines' heartbeats cost %.2f of a core: the aim of %v is missed", machines, share, cores)
		case late:
			b.Logf("%v's reports came in %v, because this machine has other things to do: what they cost is not held against the aim of %v", period, took.Round(time.Second/10), cores)
		}
	}
}

// cpuTime is what this process has used of all processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
