package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink/wire"
)

// The freezes of the storm.
const (
	freezeRound = 15  // kills between two freezes of a leader
	signerRound = 30  // and of a signer
	catches     = 20  // times that the signer is watched for, until it is frozen between signing and telling
	deadMargin  = 100 // blocks beyond the last one that takes a transaction: by then everybody calls it dead
)

// freeze stops a process in the middle of whatever it does. It believes what it believed, however long that lasts, until thaw lets it go on.
func (m *till) freeze(name string) error { return m.signal(name, syscall.SIGSTOP) }
func (m *till) thaw(name string) error   { return m.signal(name, syscall.SIGCONT) }

func (m *till) signal(name string, s syscall.Signal) error {
	if err := syscall.Kill(m.processes[name].pid(), s); err != nil {
		return fmt.Errorf("sending %s the signal %s: %w", name, s, err)
	}
	return nil
}

// chill freezes, after some of the kills, a leader or a signer.
func (m *till) chill(i int, dice *rand.Rand, w *weather) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*readyLimit)
	defer cancel()
	began := time.Now()
	defer func() { w.cold += time.Since(began) }()
	if i%signerRound == freezeRound/2 {
		return m.freezeSigner(ctx, dice, w)
	}
	if i%freezeRound == freezeRound-1 {
		return m.freezeLeader(ctx, w)
	}
	return nil
}

// freezeLeader freezes the leader when its loops are about to propose that a transaction is final and that a deposit has come: the chain's answers are on their
// way to it. Another one leads then, proposes just this, and takes more money in. Then the old one goes on, reads the answers and acts on them, and on
// its belief that it leads.
func (m *till) freezeLeader(ctx context.Context, w *weather) error {
	status, err := m.status(ctx)
	if err != nil {
		return err
	}
	old, began := status.Leader, time.Now()
	ends, effects, err := m.stopThinking(ctx, old)
	if err != nil {
		return err
	}
	m.t.Logf("%s is frozen after %.1f s, about to propose %d ends of transactions and %d effects", old, time.Since(began).Seconds(), ends, effects)
	err = m.without(ctx, old)
	m.t.Logf("it goes on after %.1f s", time.Since(began).Seconds())
	if err := errors.Join(err, m.thaw(old)); err != nil {
		return err
	}
	w.thawed, w.ends, w.effects = w.thawed+1, w.ends+ends, w.effects+effects
	return m.until(ctx, old+" to know another leader", "", readyLimit, func(ctx context.Context) error { return m.leads(ctx, old, old) })
}

// stopThinking freezes a leader that waits for answers of the chain of both kinds, and lets them come.
func (m *till) stopThinking(ctx context.Context, leader string) (ends, effects int, err error) {
	m.sluice.shut()
	defer m.sluice.lift()
	if err := m.until(ctx, "the leader's loops to be about to propose", "", readyLimit, func(context.Context) error {
		ends, effects = m.sluice.kept()
		if ends == 0 || effects == 0 {
			return fmt.Errorf("%d ends of transactions and %d effects are on their way", ends, effects)
		}
		return nil
	}); err != nil {
		return 0, 0, err
	}
	return ends, effects, m.freeze(leader)
}

// without waits until another coordinator than the frozen one leads, and has brought money in and out that moved meanwhile.
func (m *till) without(ctx context.Context, frozen string) error {
	next := coordinatorName((slices.Index(m.coordinators(), frozen) + 1) % m.cfg.Coordinators)
	if err := m.until(ctx, "another one to lead than "+frozen, "", readyLimit, func(ctx context.Context) error { return m.leads(ctx, next, frozen) }); err != nil {
		return err
	}
	c, err := m.at(next, "admin")
	if err != nil {
		return err
	}
	defer c.Close()
	before, err := c.Treasury(ctx)
	if err != nil {
		return err
	}
	list, err := m.transfer("ann", treasuryName, money.USDC, 100_000, fmt.Sprintf("while %s is frozen at %d", frozen, time.Now().UnixNano()))
	if err != nil {
		return err
	}
	if _, err := m.submit(ctx, list, "ann"); err != nil {
		return err
	}
	return m.until(ctx, "money to move while "+frozen+" is frozen", "", readyLimit, func(ctx context.Context) error {
		now, err := c.Treasury(ctx)
		switch {
		case err != nil:
			return err
		case slices.ContainsFunc(before.InFlight, func(b payout.Batch) bool { return b.Live() != nil && flies(now, b.ID) }):
			return errors.New("what was on its way is so still")
		case books(now) == books(before):
			return errors.New("the books say nothing new of the chain")
		}
		return nil
	})
}

func flies(v wire.Treasury, batch string) bool {
	return slices.ContainsFunc(v.InFlight, func(b payout.Batch) bool { return b.ID == batch })
}

// coordinators are their names, in order.
func (m *till) coordinators() (list []string) {
	for i := range m.cfg.Coordinators {
		list = append(list, coordinatorName(i))
	}
	return list
}

// leads says whether a coordinator knows a leader, and another one than that.
func (m *till) leads(ctx context.Context, asked, other string) error {
	c, err := m.at(asked, "admin")
	if err != nil {
		return err
	}
	defer c.Close()
	st, err := c.StatusOf(ctx, m.api[asked])
	if err == nil && (st.Leader == "" || st.Leader == other) {
		err = fmt.Errorf("%s says that %q leads", asked, st.Leader)
	}
	return err
}

// books are what the treasury holds on the chain by the books: every deposit and every payout changes it.
func books(v wire.Treasury) string {
	var out strings.Builder
	for _, p := range v.Positions {
		fmt.Fprintln(&out, p.Chain)
	}
	return out.String()
}

// freezeSigner freezes the signer when it has signed and nobody knows, kills the leader and lets the transaction's life run out. Then the signer goes on and
// tells another leader of it.
func (m *till) freezeSigner(ctx context.Context, dice *rand.Rand, w *weather) error {
	for range catches {
		if grown, err := m.signs(ctx); err != nil {
			return err
		} else if !grown {
			continue
		}
		if err := m.freeze(processSign); err != nil {
			return err
		}
		held, err := m.holding(ctx, dice, w)
		if err := errors.Join(err, m.thaw(processSign)); err != nil || held {
			return err
		}
	}
	return fmt.Errorf("in %d tries the signer was never frozen before it told of what it had signed", catches)
}

// holding says whether the frozen signer has signed what nobody knows of, and then lets the time pass in which that could be of use.
func (m *till) holding(ctx context.Context, dice *rand.Rand, w *weather) (bool, error) {
	last, err := m.lastSigned()
	if err != nil {
		return false, err
	}
	known, err := m.recorded(ctx, last.Signature)
	if err != nil || known {
		return false, err
	}
	w.held++
	return true, m.outlive(ctx, dice, last, w)
}

// outlive kills the leader, and waits until the transaction is dead.
func (m *till) outlive(ctx context.Context, dice *rand.Rand, last signed, w *weather) error {
	w.leaders++
	if err := m.killCoordinator(ctx, true, dice); err != nil {
		return err
	}
	line, err := m.node()
	if err != nil {
		return err
	}
	defer line.Close()
	return m.until(ctx, "the chain to be beyond "+last.Signature, "", readyLimit, func(ctx context.Context) error {
		height, err := line.Height(ctx)
		if err == nil && height <= last.LastValidHeight+deadMargin {
			err = fmt.Errorf("it is at %d, and that may be taken until %d", height, last.LastValidHeight)
		}
		return err
	})
}

// signed is a line of the signer's journal.
type signed struct {
	Signature       string `json:"signature"`
	LastValidHeight uint64 `json:"last_valid_height"`
}

func (m *till) signerJournal() string { return filepath.Join(m.cfg.Dir, signerLines) }

// lastSigned is the last whole line of the signer's journal.
func (m *till) lastSigned() (last signed, err error) {
	text, err := os.ReadFile(m.signerJournal())
	if err != nil {
		return last, err
	}
	return lastLine(string(text))
}

// lastLine reads the last line that ends: of one that does not, a signer was killed in the midst, or is writing it, and nothing of it was sent.
func lastLine(text string) (last signed, err error) {
	text = text[:strings.LastIndexByte(text, '\n')+1]
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if lines[len(lines)-1] == "" {
		return last, errors.New("the signer has signed nothing yet")
	}
	return last, json.Unmarshal([]byte(lines[len(lines)-1]), &last)
}

// TestLastLine: a journal is read up to its last line that ends.
func TestLastLine(t *testing.T) {
	for text, want := range map[string]string{"": "", "{\"sig": "", "{\"signature\":\"a\"}\n": "a", "{\"signature\":\"a\"}\n{\"signature\":\"b\"}\n": "b", "{\"signature\":\"a\"}\n{\"signature\":": "a"} {
		if last, err := lastLine(text); last.Signature != want || (err == nil) != (want != "") {
			t.Errorf("%q: %+v, %v", text, last, err)
		}
	}
}

// signs waits until the signer's journal grows: a transaction is signed, and the group is about to be told. It gives up after a while.
func (m *till) signs(ctx context.Context) (bool, error) {
	before, err := size(m.signerJournal())
	if err != nil {
		return false, err
	}
	look := time.NewTicker(glance)
	defer look.Stop()
	for give := time.Now().Add(signWithin); time.Now().Before(give) && ctx.Err() == nil; <-look.C {
		if now, err := size(m.signerJournal()); err != nil || now > before {
			return true, err
		}
	}
	return false, ctx.Err()
}
