package devnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle/chain"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// The storm's measures.
const (
	stormBeat  = 150 * time.Millisecond // between two payments of a tenant
	glance     = 200 * time.Microsecond // between two looks at the signer's journal
	signWithin = 8 * time.Second        // in which the signer should sign something
)

// weather is what the storm did.
type weather struct {
	deposits, withdrawals, refused atomic.Int64
	reasons                        sync.Map // why something was refused
	leaders, followers, signers    int
	between                        int           // signer kills after which the journal's last transaction was not recorded with the group
	thawed, held                   int           // leaders that were frozen and went on; signers that were, with a signed transaction in hand
	ends, effects                  int           // that thawed leaders were about to propose
	cold                           time.Duration // that the freezes took
}

// storm lets all tenants pay in and take out while coordinators and the signer are killed, so many times.
func (m *till) storm(kills int) {
	m.t.Helper()
	ctx, end := context.WithCancel(m.t.Context())
	var w weather
	var busy sync.WaitGroup
	failed := make(chan error, len(tenants()))
	for _, who := range tenants() {
		c := m.as(who)
		busy.Go(func() {
			if err := m.trade(ctx, c, who, &w); err != nil {
				failed <- fmt.Errorf("%s: %w", who, err)
			}
		})
	}
	seed := uint64(time.Now().UnixNano())
	m.t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	for i := range kills {
		if err := m.strike(i, dice, &w); err != nil {
			end()
			busy.Wait()
			m.t.Fatalf("kill %d: %v", i+1, err)
		}
		if err := m.chill(i, dice, &w); err != nil {
			end()
			busy.Wait()
			m.t.Fatalf("freezing after kill %d: %v", i+1, err)
		}
	}
	end()
	busy.Wait()
	close(failed)
	for err := range failed {
		m.t.Error(err)
	}
	m.t.Logf("%d deposits and %d withdrawals, %d refused; killed: %d leaders, %d followers, %d signers, of which %d between signing and recording",
		w.deposits.Load(), w.withdrawals.Load(), w.refused.Load(), w.leaders, w.followers, w.signers, w.between)
	m.t.Logf("frozen and thawed %d leaders, about to propose %d ends of transactions and %d effects, and %d signers with a signed transaction in hand, in %.1f s",
		w.thawed, w.ends, w.effects, w.held, w.cold.Seconds())
	w.reasons.Range(func(why, _ any) bool { m.t.Logf("refused: %.150s", why); return true })
	if w.leaders < 5 || w.signers < 10 || w.between == 0 || w.thawed < 2 || w.held == 0 || w.deposits.Load() < int64(kills) || w.withdrawals.Load() < int64(kills) {
		m.t.Error("the storm did not reach what it was to try")
	}
}

// trade pays in and takes out in turn, until ctx ends. What a coordinator refuses or does not answer is counted: the books will show.
func (m *till) trade(ctx context.Context, c *client.Client, who string, w *weather) error {
	beat := time.NewTicker(stormBeat)
	defer beat.Stop()
	for i := int64(0); ; i++ {
		asset, minor := money.USDC, 100_000+i // above what counts as dust
		if i%4 >= 2 {
			asset, minor = money.IO, 100_000_000+i
		}
		var err error
		if i%2 == 0 {
			err = m.deposit(ctx, c, who, money.Amount{Minor: minor, Asset: asset}, i%8 == 0)
			w.count(err, &w.deposits)
		} else {
			_, err = c.Withdraw(ctx, wire.WithdrawalRequest{Amount: money.Amount{Minor: minor, Asset: asset}, Wallet: string(m.chain.Wallets[who])})
			w.count(err, &w.withdrawals)
		}
		var refused *chain.RefusedError
		if errors.As(err, &refused) {
			return err // the local chain is never killed
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

func (w *weather) count(err error, done *atomic.Int64) {
	if err != nil {
		w.refused.Add(1)
		w.reasons.Store(err.Error(), true)
		return
	}
	done.Add(1)
}

// deposit pays by a top-up's reference, or from the proven wallet alone.
func (m *till) deposit(ctx context.Context, c *client.Client, who string, amount money.Amount, bare bool) error {
	var references []chain.Address
	memo := fmt.Sprintf("%s's %v", who, amount)
	if !bare {
		order, err := c.Topup(ctx, wire.TopupRequest{Amount: amount})
		if err != nil {
			return err
		}
		memo, references = order.ID, []chain.Address{chain.Address(order.Reference)}
	}
	list, err := m.transfer(who, treasuryName, amount.Asset, amount.Minor, memo, references...)
	if err != nil {
		return err
	}
	_, err = m.submit(ctx, list, who)
	return err
}

// strike kills one process at a moment of its own and starts it again: the leader, a follower, the signer at any time, or the signer in the
// moment in which it has signed.
func (m *till) strike(i int, dice *rand.Rand, w *weather) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), readyLimit)
	defer cancel()
	if err := pause(ctx, time.Duration(dice.Int64N(int64(700*time.Millisecond)))); err != nil {
		return err
	}
	switch i % 4 {
	case 0:
		w.leaders++
		return m.killCoordinator(ctx, true, dice)
	case 1:
		w.signers++
		return m.bounce(processSign)
	case 2:
		w.signers++
		return m.killSigning(ctx, w)
	}
	if dice.IntN(2) == 0 {
		w.leaders++
		return m.killCoordinator(ctx, true, dice)
	}
	w.followers++
	return m.killCoordinator(ctx, false, dice)
}

func (m *till) bounce(name string) error { return errors.Join(m.Kill(name), m.Restart(name)) }

// killCoordinator kills the leader or another one, and waits until it votes again.
func (m *till) killCoordinator(ctx context.Context, leader bool, dice *rand.Rand) error {
	status, err := m.status(ctx)
	if err != nil {
		return err
	}
	name := status.Leader
	for !leader && name == status.Leader {
		name = coordinatorName(dice.IntN(m.cfg.Coordinators))
	}
	if err := m.bounce(name); err != nil {
		return err
	}
	return m.until(ctx, name+" to vote again", "", readyLimit, func(ctx context.Context) error { return m.votes(ctx, name) })
}

// killSigning kills the signer as soon as its journal has grown: the transaction is signed, and the group is about to be told.
func (m *till) killSigning(ctx context.Context, w *weather) error {
	if _, err := m.signs(ctx); err != nil {
		return err
	}
	if err := m.Kill(processSign); err != nil {
		return err
	}
	last, err := m.lastSigned()
	if err != nil {
		return err
	}
	known, err := m.recorded(ctx, last.Signature)
	if err != nil {
		return err
	}
	if !known {
		w.between++
	}
	return m.Restart(processSign)
}

func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// recorded says whether the group knows a transaction that the signer signed last.
func (m *till) recorded(ctx context.Context, signature string) (bool, error) {
	c, err := m.As("admin")
	if err != nil {
		return false, err
	}
	defer c.Close()
	v, err := c.Treasury(ctx)
	if err != nil {
		return false, err
	}
	for _, b := range v.InFlight {
		if slices.ContainsFunc(b.Attempts, func(a payout.Attempt) bool { return a.Signature == signature }) {
			return true, nil
		}
	}
	waits := func(b payout.Batch) bool { return b.Live() == nil } // for just this
	return !slices.ContainsFunc(v.InFlight, waits), nil           // else it has ended already
}

// paidOnce: no payout and no deposit stands twice in the journal.
func (m *till) paidOnce(journal string) {
	m.t.Helper()
	seen, paid := map[string]bool{}, 0
	lines := bufio.NewScanner(strings.NewReader(journal))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Kind, Ref string }
		if json.Unmarshal(lines.Bytes(), &e) != nil || (e.Kind != "payout.paid" && e.Kind != "deposit") {
			continue
		}
		if seen[e.Kind+e.Ref] {
			m.t.Errorf("%s of %s stands twice in the journal", e.Kind, e.Ref)
		}
		seen[e.Kind+e.Ref] = true
		if e.Kind == "payout.paid" {
			paid++
		}
	}
	if err := lines.Err(); err != nil || paid == 0 {
		m.t.Errorf("the journal holds %d payouts: %v", paid, err)
	}
	m.t.Logf("%d deposits, %d payouts", len(seen)-paid, paid)
}
