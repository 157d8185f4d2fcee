package devnet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle/chain"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// topUpAmount is what the engineer pays in.
const topUpAmount = "5"

// payLink finds the Solana Pay URL in what `raylink topup` prints.
var payLink = regexp.MustCompile(`solana:[^\s'"]+`)

// topUp pays tokens into the engineer's balance, from his wallet by the printed link.
func (s *Story) topUp(ctx context.Context) error {
	n := s.Network
	if n.chain == nil {
		return nil
	}
	s.chapter("Paying in: a Solana Pay link, paid with the engineer's wallet")
	said, err := s.raylink(ctx, "engineer", "topup", topUpAmount, "--asset", "usdc")
	if err != nil {
		return err
	}
	link := payLink.FindString(said)
	if link == "" {
		return errors.New("raylink topup printed no Solana Pay URL")
	}
	if _, err := s.raylink(ctx, "engineer", "wallet", "pay", link, "--key", n.keyFile("engineer"), "--rpc", n.chain.URL, "--yes"); err != nil {
		return err
	}
	start := time.Now()
	c, err := n.As("engineer")
	if err != nil {
		return err
	}
	defer c.Close()
	want, err := money.Parse(topUpAmount + " USDC")
	if err != nil {
		return err
	}
	if err := s.soon(ctx, "crediting the top-up", creditLimit, func(ctx context.Context) error {
		b, err := c.Balance(ctx, "")
		if err == nil && b.Free.Of(money.USDC) != want {
			err = fmt.Errorf("the balance is %s", b.Free)
		}
		return err
	}); err != nil {
		return err
	}
	s.note("credited %.1f s after it was final: all of it, the fee falls at use", time.Since(start).Seconds())
	_, err = s.raylink(ctx, "engineer", "balance")
	return err
}

// paid shows that the suppliers have their money on the chain, and that chain and books agree.
func (s *Story) paid(ctx context.Context) error {
	if s.Network.chain == nil {
		return nil
	}
	s.chapter("Suppliers are paid on chain, each in the token that he takes")
	if _, err := s.raylink(ctx, "admin", "admin", "treasury", "run"); err != nil {
		return err
	}
	total := map[money.Asset]int64{}
	for i := range s.Network.cfg.Suppliers {
		if err := s.supplierPaid(ctx, i, total); err != nil {
			return err
		}
	}
	if total[money.USDC] <= 0 || total[money.IO] <= 0 {
		return fmt.Errorf("suppliers were paid %d minor units of USDC and %d of IO: both were to be more than none", total[money.USDC], total[money.IO])
	}
	for _, step := range []func(context.Context) error{s.closePosition, s.buyBack} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	file := filepath.Join(s.Network.cfg.Dir, "journal-with-payouts.jsonl")
	if _, err := s.raylink(ctx, "admin", "journal", "export", "--file", file); err != nil {
		return err
	}
	_, err := s.raylink(ctx, "engineer", "verify", file, "--chain", "--rpc", s.Network.chain.URL)
	return err
}

// supplierPaid waits until nothing is on its way to a supplier, and holds what he was paid against his token account.
func (s *Story) supplierPaid(ctx context.Context, i int, total map[money.Asset]int64) error {
	n, who := s.Network, supplierName(i)
	c, err := n.As(who)
	if err != nil {
		return err
	}
	defer c.Close()
	var e wire.Earnings
	if err := s.soon(ctx, "paying "+who, 2*time.Minute, func(ctx context.Context) error {
		if e, err = c.Earnings(ctx, ""); err != nil {
			return err
		}
		return settled(e)
	}); err != nil {
		return err
	}
	if err := s.quietLogin(ctx, who); err != nil {
		return err
	}
	file := filepath.Join(n.cfg.Dir, who+"-earnings.jsonl")
	for _, args := range [][]string{{"earnings"}, {"earnings", "--file", file}, {"verify", file, "--chain", "--rpc", n.chain.URL}} {
		if _, err := s.raylink(ctx, who, args...); err != nil {
			return err
		}
	}
	asset := takes(i)
	holds, err := n.holds(ctx, who, asset)
	if err != nil {
		return err
	}
	if paid := e.Paid.Of(asset); holds != paid {
		return fmt.Errorf("by the books %s was paid %s, and the wallet holds %s", who, paid, holds)
	}
	for _, p := range e.Payouts {
		s.note("%s paid to %s by transaction %s", money.Amount{Minor: p.Amount, Asset: p.Asset}, who, p.Signature)
	}
	s.note("%s's wallet %s holds %s on the chain: what the books say", who, n.chain.Wallets[who], holds)
	total[asset] += holds.Minor
	return nil
}

// settled says what is still to go out.
func settled(e wire.Earnings) error {
	for _, p := range e.Payouts {
		if p.State != payout.Paid {
			return fmt.Errorf("payout %s is %s %s", p.ID, p.State, p.Code)
		}
	}
	for _, l := range e.Lines {
		if l.Code != payout.NothingEarned && l.Code != payout.BelowMinimum {
			return fmt.Errorf("%s is %s %s", l.Amount, l.State, l.Code)
		}
	}
	return nil
}

// quietLogin keeps a person's login without a word: the story has shown how that is done.
func (s *Story) quietLogin(ctx context.Context, who string) error {
	out := s.Network.cfg.Out
	s.Network.cfg.Out = new(strings.Builder)
	defer func() { s.Network.cfg.Out = out }()
	n := s.Network
	_, err := s.raylink(ctx, who, "login", n.api[coordinatorName(0)], "--ca-sha256", n.caSum, "--token-file", n.people[who].tokenFile, "--name", who)
	return err
}

// closePosition changes the USDC that conversions left the house with into IO at the desk, as an admin would on a market, and has it booked.
func (s *Story) closePosition(ctx context.Context) error {
	c, err := s.Network.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := c.Treasury(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(t.Positions, func(p wire.Position) bool { return p.Asset == money.USDC })
	if i < 0 || t.Positions[i].Exchange.Sign() <= 0 {
		return errors.New("the conversions have left the house with no USDC")
	}
	open := t.Positions[i].Exchange
	s.note("conversions have left the house with %s, and as much IO too little; the desk changes that", open)
	return s.atTheDesk(ctx, c, open, "position")
}

// atTheDesk swaps USDC of the treasury for IO and has it booked.
func (s *Story) atTheDesk(ctx context.Context, c *client.Client, usdc money.Amount, purpose string) error {
	signature, err := s.Network.swap(ctx, usdc.Minor)
	if err != nil {
		return err
	}
	if err := s.soon(ctx, "seeing the swap on both token accounts", creditLimit, func(ctx context.Context) error { return seen(ctx, c, signature) }); err != nil {
		return err
	}
	_, err = s.raylink(ctx, "admin", "admin", "treasury", "swap", string(signature), "--purpose", purpose, "--yes")
	return err
}

// buyBack turns the fees into IO at the desk, which the signer burns: the supply falls by what was bought.
func (s *Story) buyBack(ctx context.Context) error {
	n := s.Network
	c, err := n.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	before, err := n.supply(ctx)
	if err != nil {
		return err
	}
	if _, err := s.raylink(ctx, "admin", "admin", "treasury", "buyback", "--threshold", "0.0001", "--interval", "1h"); err != nil {
		return err
	}
	var b wire.Buyback
	last := func(ctx context.Context, done func() bool) error {
		t, err := c.Treasury(ctx)
		if err != nil {
			return err
		}
		if len(t.Buybacks) == 0 {
			return errors.New("none is proposed")
		}
		if b = t.Buybacks[len(t.Buybacks)-1]; !done() {
			return fmt.Errorf("%+v", b)
		}
		return nil
	}
	if err := s.soon(ctx, "proposing a buy-back", creditLimit, func(ctx context.Context) error { return last(ctx, func() bool { return true }) }); err != nil {
		return err
	}
	s.note("the fees have reached the threshold: a buy-back of %s is proposed", b.Fees)
	if err := s.atTheDesk(ctx, c, b.Fees, "buyback"); err != nil {
		return err
	}
	if err := s.soon(ctx, "burning what was bought", 2*time.Minute, func(ctx context.Context) error { return last(ctx, func() bool { return b.Burnt }) }); err != nil {
		return err
	}
	after, err := n.supply(ctx)
	if err != nil {
		return err
	}
	if before.Minor-after.Minor != b.Bought.Minor {
		return fmt.Errorf("%s were bought to be burnt, and the supply went from %s to %s", b.Bought, before, after)
	}
	s.note("%s of fees bought %s, which are burnt: the supply fell from %s to %s", b.Paid, b.Bought, before, after)
	_, err = s.raylink(ctx, "admin", "admin", "treasury")
	return err
}

// supply is how much IO there is.
func (n *Network) supply(ctx context.Context) (money.Amount, error) {
	line, err := n.node()
	if err != nil {
		return money.Amount{}, err
	}
	defer line.Close()
	minor, err := line.Supply(ctx, n.chain.IO.Address)
	return money.Amount{Minor: minor, Asset: money.IO}, err
}

// seen says whether the watcher has seen what came in and what went out.
func seen(ctx context.Context, c *client.Client, signature chain.Signature) error {
	t, err := c.Treasury(ctx)
	if err != nil {
		return err
	}
	of := func(key string) bool { return strings.HasPrefix(key, string(signature)+"/") }
	for _, in := range t.Suspense {
		for _, out := range t.Ignored {
			if of(in.Key) && of(out.Key) {
				return nil
			}
		}
	}
	return fmt.Errorf("transaction %s is not seen yet", signature)
}
