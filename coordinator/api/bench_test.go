package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/reconcile"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
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

// BenchmarkHeartbeats has 100,000 idle machines report to one leader all that agents report, as often as the group tells them to, through the API's handler (without TLS
// and sockets) and with the leader's loop at work. In the first round a new leader hears each anew, which wakes its loop (cores-first); the next are those of idle machines.
// There and in the first this process does the machines' work as well: their reports are encoded, and their requests made and read (cores-asking). In the last rounds the
// requests are prepared, and what is left is the leader's own (cores), collecting the garbage of it included: more than 0.6 of a core is said to miss the aim where
// the machine has nothing else to do. Any command in the log (entries) is an error: that machines are well costs the log nothing. The hourly payout run, which is due where none
// was made yet, is made before.
func BenchmarkHeartbeats(b *testing.B) {
	const machines, batch, rounds, cores = 100_000, 1000, 4, 0.6
	period := time.Duration(plan.ReportSeconds(machines)) * time.Second
	joined := time.Now().Add(-time.Hour) // what all of them tell anew is looked at closely, and that is not what idle machines do
	f, gpus := idleFleet(b, machines, joined)
	group := &leading{fake: f.group}
	beats := func(rounds int, report func(i int) int) (took time.Duration, share float64) {
		begun, used := time.Now(), cpuTime(b)
		pace := time.NewTicker(period / (machines / batch))
		defer pace.Stop()
		for i := range rounds * machines {
			if i%batch == 0 {
				<-pace.C
			}
			if code := report(i % machines); code != http.StatusNoContent {
				b.Fatalf("a report is answered %d", code)
			}
		}
		return time.Since(begun), (cpuTime(b) - used).Seconds() / period.Seconds() / float64(rounds)
	}
	asking := func(i int) int {
		return f.ask(f.certs[i], "POST", "/v1/agent/report", idleReport(joined, gpus[i])).Code
	}
	prepared := newPrepared(b, f, joined, gpus)
	for b.Loop() {
		group.proposed.Store(0)
		ctx, stop := context.WithCancel(b.Context())
		loop := &reconcile.Loop{Group: group, Memory: f.memory, Log: slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		go func() { defer close(done); loop.Run(ctx) }()
		_, first := beats(1, asking)
		_, whole := beats(2, asking)
		took, share := beats(rounds, prepared.report)
		stop()
		<-done
		entries := group.proposed.Load()
		b.ReportMetric(first, "cores-first")
		b.ReportMetric(whole, "cores-asking")
		b.ReportMetric(share, "cores")
		b.ReportMetric(float64(entries), "entries")
		late := took > rounds*period*11/10 && share < 1 // others kept the processors busy: what a period's reports cost is measured beside them, and looks like more
		switch {
		case entries > 0:
			b.Errorf("%d machines' heartbeats cost %d entries in the log, and should cost none", machines, entries)
		case share > cores && !late:
			b.Logf("%d machines' heartbeats cost %.2f of a core: the aim of %v is missed", machines, share, cores)
		case late:
			b.Logf("%v's reports came in %v, because this machine has other things to do: what they cost is not held against the aim of %v", rounds*period, took.Round(time.Second/10), cores)
		}
	}
}

// prepared makes the requests of all machines out of one: their reports differ by the id of a GPU, and their callers by the certificate. It is the answer's writer as well.
type prepared struct {
	f          *fleet
	gpus       []string
	head, tail []byte // of the report's text, around the GPU's id
	text       []byte
	body       bytes.Reader
	request    *http.Request
	chain      [][]*x509.Certificate
	header     http.Header
	status     int
}

func newPrepared(b *testing.B, f *fleet, joined time.Time, gpus []string) *prepared {
	p := &prepared{f: f, gpus: gpus, chain: [][]*x509.Certificate{{nil}}, header: http.Header{}}
	text, err := json.Marshal(idleReport(joined, gpus[0]))
	if err != nil {
		b.Fatal(err)
	}
	p.head, p.tail, _ = bytes.Cut(text, []byte(gpus[0]))
	p.request = httptest.NewRequest("POST", "/v1/agent/report", http.NoBody)
	p.request.Body, p.request.ContentLength = io.NopCloser(&p.body), int64(len(text))
	p.request.TLS = &tls.ConnectionState{HandshakeComplete: true, VerifiedChains: p.chain}
	return p
}

func (p *prepared) report(i int) (code int) {
	p.text = append(append(append(p.text[:0], p.head...), p.gpus[i]...), p.tail...)
	p.body.Reset(p.text)
	p.chain[0][0], p.status = p.f.certs[i], 0
	clear(p.header)
	p.f.handler.ServeHTTP(p, p.request)
	return p.status
}

func (p *prepared) Header() http.Header            { return p.header }
func (p *prepared) Write(text []byte) (int, error) { return len(text), nil }
func (p *prepared) WriteHeader(code int)           { p.status = code }

// idleFleet is machines with one GPU each, which joined a while ago.
func idleFleet(b *testing.B, machines int, joined time.Time) (f *fleet, gpus []string) {
	f = &fleet{rig: newRig(b)}
	f.group.mu.Lock()
	clear(f.group.s.Clusters) // the rig's own, which the loop would have a word on
	clear(f.group.s.Leases)
	for i := range machines {
		sum := sha256.Sum256([]byte(fmt.Sprint(i)))
		machine := identity.MachineID(sum[:])
		gpu := fmt.Sprintf("GPU-%x", sum[:16])
		r := idleReport(joined, gpu)
		f.group.s.Machines[machine] = &state.Machine{ID: machine, Name: fmt.Sprint("m", i), Owner: id[raylink.AccountID]("acc", "sam"), PublicKey: identity.EncodeKey(sum[:]),
			Offer: *r.Offer, State: state.MachineActive, JoinedAt: joined, OfferedAt: joined, Host: r.Host, HostAt: joined, Claimed: map[string]time.Time{gpu: joined}}
		leaf := &x509.Certificate{NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: identity.Principal{Kind: identity.Machine, ID: string(machine)}.String()}}
		f.certs, gpus = append(f.certs, leaf), append(gpus, gpu)
	}
	var saved bytes.Buffer // so that the state has copies of its own, and its indexes
	if err := errors.Join(f.group.s.Save(&saved), f.group.s.Load(&saved)); err != nil {
		b.Fatal(err)
	}
	f.group.mu.Unlock()
	f.apply(time.Now(), &state.RunPayouts{})
	return f, gpus
}

// cpuTime is what this process has used of all processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
