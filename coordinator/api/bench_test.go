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

// BenchmarkHeartbeats has 100,000 idle machines report to one leader, each once in ten seconds, for ten seconds, through the API's handler (without TLS and
// sockets) and with the leader's loop at work. It reports the share of one core that all of it takes, the making of the requests included, and how many
// commands entered the log: none but the hourly payout run, which is due when the loop begins.
func BenchmarkHeartbeats(b *testing.B) {
	const machines, period, batch = 100_000, 10 * time.Second, 1000
	f := &fleet{rig: newRig(b)}
	group := &leading{fake: f.group}
	offer := raylink.Offer{Resources: raylink.Resources{CPU: 8 * raylink.Unit, Memory: 32 << 30}, Arch: "amd64", CPUHour: 60_000}
	host := secretHost() // what rules are looked at for
	f.group.mu.Lock()
	clear(f.group.s.Clusters) // the rig's own, which the loop would have a word on
	clear(f.group.s.Leases)
	for i := range machines {
		sum := sha256.Sum256([]byte(fmt.Sprint(i)))
		machine := identity.MachineID(sum[:])
		f.group.s.Machines[machine] = &state.Machine{ID: machine, Name: fmt.Sprint("m", i), Owner: id[raylink.AccountID]("acc", "sam"), PublicKey: identity.EncodeKey(sum[:]),
			Offer: offer, State: state.MachineActive, JoinedAt: time.Now(), OfferedAt: time.Now(), Host: &host, HostAt: time.Now()}
		leaf := &x509.Certificate{NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: identity.Principal{Kind: identity.Machine, ID: string(machine)}.String()}}
		f.certs = append(f.certs, leaf)
	}
	f.group.mu.Unlock()
	for b.Loop() {
		ctx, stop := context.WithTimeout(b.Context(), period)
		loop := &reconcile.Loop{Group: group, Memory: f.memory, Log: slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		begun, used := time.Now(), cpuTime(b)
		go func() { defer close(done); loop.Run(ctx) }()
		pace := time.NewTicker(period / (machines / batch))
		for i, cert := range f.certs {
			if i%batch == 0 {
				<-pace.C
			}
			if got := f.ask(cert, "POST", "/v1/agent/report", wire.AgentReport{Started: begun, Offer: &offer}); got.Code != http.StatusNoContent {
				b.Fatalf("%d: %s", got.Code, got.Body)
			}
		}
		pace.Stop()
		<-done
		stop()
		b.ReportMetric((cpuTime(b)-used).Seconds()/time.Since(begun).Seconds(), "cores")
		b.ReportMetric(float64(group.proposed.Load()), "commands")
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
