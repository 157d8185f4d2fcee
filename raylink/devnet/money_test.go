package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	solanago "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/token"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle/chain"
	"raylink/billing/verify"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// What each tenant's wallet holds at the beginning, in minor units, and what a tenant pays in to begin with.
const (
	purseUSDC = 1_000_000_000
	purseIO   = 100_000_000_000
	paidIn    = 20 // of each token

	anchorLimit = 3 * time.Minute // a checkpoint is due once a minute here, and looked for twice a minute
)

// tenants pay in and take out; the stranger has a wallet that nobody has proven.
func tenants() []string { return []string{"ann", "ben", "cat"} }

// till is one run of the tests on real processes: coordinators, scripted suppliers, signer and chain.
type till struct {
	*Network
	t      *testing.T
	sluice *sluice
}

func newTill(t *testing.T) *till {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs the raylink binary and a Python with solders: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	python, err := FindPython(t.Context(), os.Getenv("RAYLINK_PYTHON"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(t.TempDir(), "net"), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 3, Suppliers: 2, Cores: 2, Memory: "2Gi",
		Fast: true, Scripted: true, Python: python, Slot: 25 * time.Millisecond, Out: os.Stdout, Log: slog.New(slog.DiscardHandler)}
	for _, who := range append(tenants(), "stranger") {
		cfg.Wallets = append(cfg.Wallets, fmt.Sprintf("%s:%d:%d", who, purseUSDC/1_000_000, purseIO/100_000_000))
	}
	gate := &sluice{}
	cfg.Line = func(url string) string { return gate.serve(t, url) }
	n, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := &till{n, t, gate}
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{processSign, coordinatorName(0), coordinatorName(1), coordinatorName(2)} {
				t.Logf("%s:\n%s", name, n.processes[name].tail())
			}
		}
		m.must(n.Stop(context.Background()))
	})
	admin := m.as("admin")
	for _, who := range tenants() {
		a, err := admin.CreateAccount(t.Context(), wire.AccountRequest{Name: who})
		m.must(err)
		token, err := admin.CreateToken(t.Context(), wire.TokenRequest{Account: a.ID, Role: raylink.RoleTenant, Label: "test"})
		m.must(err)
		n.people[who] = person{account: a.ID, token: token.Secret}
		m.must(n.prove(t.Context(), who, who))
	}
	return m
}

func (m *till) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *till) as(who string) *client.Client {
	m.t.Helper()
	c, err := m.As(who)
	m.must(err)
	m.t.Cleanup(c.Close)
	return c
}

// soon waits until something holds.
func (m *till) soon(what string, holds func(context.Context) error) {
	m.t.Helper()
	m.must(m.until(m.t.Context(), what, "", creditLimit, holds))
}

// pay sends tokens from a wallet to the treasury.
func (m *till) pay(from string, asset money.Asset, minor int64, memo string, references ...chain.Address) chain.Signature {
	m.t.Helper()
	list, err := m.transfer(from, treasuryName, asset, minor, memo, references...)
	m.must(err)
	name, err := m.submit(m.t.Context(), list, from)
	m.must(err)
	return name
}

// free waits until a tenant's balance is what it should be.
func (m *till) free(who string, asset money.Asset, minor int64) {
	m.t.Helper()
	m.soon(fmt.Sprintf("%s to have %d minor units of %s", who, minor, asset), func(ctx context.Context) error {
		b, err := m.as(who).Balance(ctx, "")
		if err == nil && b.Free.Of(asset).Minor != minor {
			err = fmt.Errorf("it is %s", b.Free)
		}
		return err
	})
}

// withdraw asks for a payout to the tenant's own wallet.
func (m *till) withdraw(who string, asset money.Asset, minor int64) payout.Payout {
	m.t.Helper()
	p, err := m.as(who).Withdraw(m.t.Context(), wire.WithdrawalRequest{Amount: money.Amount{Minor: minor, Asset: asset}, Wallet: string(m.chain.Wallets[who])})
	m.must(err)
	return p
}

// reaches waits until a payout is in a state, and answers it.
func (m *till) reaches(id string, state payout.State) payout.Payout {
	m.t.Helper()
	var p payout.Payout
	m.soon("payout "+id+" to be "+string(state), func(ctx context.Context) error {
		list, err := m.as("admin").Payouts(ctx, "")
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(p payout.Payout) bool { return p.ID == id })
		if i < 0 || list[i].State != state {
			return fmt.Errorf("it is not: %+v", list)
		}
		p = list[i]
		return nil
	})
	return p
}

// TestMoney takes tokens in and lets them out on real processes and the real token programs, first in order, then while everything is killed.
func TestMoney(t *testing.T) {
	t.Parallel() // beside TestDemo, which waits for minutes to pass
	m := newTill(t)
	began := time.Now()
	m.told()
	m.attributions()
	t.Logf("attributions took %.1f s", time.Since(began).Seconds())
	m.destinations()
	m.caps()
	t.Logf("destinations and caps were done after %.1f s", time.Since(began).Seconds())
	m.storm(kills(t))
	t.Logf("the storm was over after %.1f s", time.Since(began).Seconds())
	m.swapped()
	m.balanced()
	m.anchored()
	m.secretKept()
	t.Logf("all was well after %.1f s", time.Since(began).Seconds())
}

// kills is how many processes the storm kills: 34 in `make test`, as many as RAYLINK_KILLS says in `make crash`.
func kills(t *testing.T) int {
	text := os.Getenv("RAYLINK_KILLS")
	if text == "" {
		return 34
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 34 {
		t.Fatalf("RAYLINK_KILLS is %q: a number from 34 on is wanted", text)
	}
	return n
}

// told: the demo's chapter of paying in holds.
func (m *till) told() {
	s := &Story{Network: m.Network, Job: "../../examples/first-job"}
	for _, chapter := range []func(context.Context) error{s.signIn, s.topUp} {
		m.must(chapter(m.t.Context()))
	}
	for i := range m.cfg.Suppliers { // they have earned nothing: that has its reason too
		m.must(s.supplierPaid(m.t.Context(), i, map[money.Asset]int64{}))
	}
}

// swapped: what the desk changes for the treasury is booked by what the chain shows of it.
func (m *till) swapped() {
	ctx, admin := m.t.Context(), m.as("admin")
	const sold = 2_000_000 // two of the five that the engineer has paid in
	signature, err := m.swap(ctx, sold)
	m.must(err)
	m.soon("the swap to be seen", func(ctx context.Context) error { return seen(ctx, admin, signature) })
	m.soon("the admin's page to say that chain and books differ by what nobody has explained yet", func(ctx context.Context) error {
		said, err := m.cli(ctx, "admin", "admin", "treasury")
		if err == nil && (!strings.Contains(said, "(differs)") || !strings.Contains(said, string(signature))) {
			err = fmt.Errorf("it says %s", said)
		}
		return err
	})
	_, err = m.cli(ctx, "admin", "admin", "treasury", "swap", string(signature), "--purpose", "position", "--yes")
	m.must(err)
	v, err := admin.Treasury(ctx)
	m.must(err)
	for _, p := range v.Positions {
		want := map[money.Asset]int64{money.USDC: -sold, money.IO: 4 * sold * 100}[p.Asset]
		if p.Exchange.Minor != want {
			m.t.Errorf("after the swap the house's position is %s, not %d minor units", p.Exchange, want)
		}
	}
}

// attributions: a deposit finds its owner by reference, memo or proven wallet, and waits for an admin where it has none.
func (m *till) attributions() {
	ctx, admin := m.t.Context(), m.as("admin")
	order, err := m.as("ann").Topup(ctx, wire.TopupRequest{Amount: money.Amount{Minor: paidIn * 1_000_000, Asset: money.USDC}})
	m.must(err)
	_, err = m.cli(ctx, "ann", "wallet", "pay", order.URL, "--key", m.keyFile("ann"), "--rpc", m.chain.URL, "--yes")
	m.must(err)
	m.free("ann", money.USDC, paidIn*1_000_000)
	byMemo, err := m.as("ben").Topup(ctx, wire.TopupRequest{Amount: money.Amount{Asset: money.USDC}})
	m.must(err)
	m.pay("stranger", money.USDC, paidIn*1_000_000, byMemo.ID) // from a wallet that is not his
	m.free("ben", money.USDC, paidIn*1_000_000)
	m.pay("cat", money.USDC, paidIn*1_000_000, "")
	m.free("cat", money.USDC, paidIn*1_000_000)
	for _, who := range tenants() {
		m.pay(who, money.IO, paidIn*100_000_000, "")
		m.free(who, money.IO, paidIn*100_000_000)
	}
	lost := m.pay("stranger", money.IO, 300_000_000, "whose may this be")
	var key string
	m.soon("the stranger's deposit to wait in suspense", func(ctx context.Context) error {
		v, err := admin.Treasury(ctx)
		if err == nil && (len(v.Suspense) != 1 || !strings.HasPrefix(v.Suspense[0].Key, string(lost)+"/")) {
			return fmt.Errorf("suspense holds %+v", v.Suspense)
		}
		if err == nil {
			key = v.Suspense[0].Key
		}
		return err
	})
	_, err = admin.AssignSuspense(ctx, wire.AssignRequest{Key: key, Account: m.people["ben"].account})
	m.must(err)
	m.free("ben", money.IO, paidIn*100_000_000+300_000_000)
}

// destinations: payouts in both tokens arrive, and a frozen receiver blocks his own alone, with the money still held.
func (m *till) destinations() {
	ctx, admin := m.t.Context(), m.as("admin")
	m.known()
	usdc, io := m.withdraw("ann", money.USDC, 2_000_000), m.withdraw("cat", money.IO, 200_000_000)
	for _, p := range []payout.Payout{m.reaches(usdc.ID, payout.Paid), m.reaches(io.ID, payout.Paid)} {
		if p.Signature == "" {
			m.t.Errorf("payout %s has no transaction", p.ID)
		}
	}
	_, err := admin.HaltPayouts(ctx, wire.HaltRequest{Reason: "a test freezes an account"})
	m.must(err)
	frozen, fine := m.withdraw("ben", money.USDC, 1_500_000), m.withdraw("cat", money.USDC, 1_500_000)
	m.ice("ben", false)
	_, err = admin.HaltPayouts(ctx, wire.HaltRequest{})
	m.must(err)
	if p := m.reaches(frozen.ID, payout.Blocked); p.Code != payout.ChainFrozen {
		m.t.Errorf("the payout is blocked for %q: %s", p.Code, p.Reason)
	}
	m.reaches(fine.ID, payout.Paid)
	m.free("ben", money.USDC, paidIn*1_000_000-smallest-1_500_000) // not given back: it is his, and held
	m.ice("ben", true)
	_, err = admin.ChangePayout(ctx, frozen.ID, "cancel")
	m.must(err)
	m.free("ben", money.USDC, paidIn*1_000_000-smallest)
}

// known takes a little out to each tenant's proven wallet, in both tokens: whoever asks is looked at then.
func (m *till) known() {
	for _, who := range tenants() {
		for asset, minor := range map[money.Asset]int64{money.USDC: smallest, money.IO: smallestIO} {
			c, wallet := m.as(who), string(m.chain.Wallets[who])
			var id string
			m.soon(who+"'s token account to be known", func(ctx context.Context) error {
				p, err := c.Withdraw(ctx, wire.WithdrawalRequest{Amount: money.Amount{Minor: minor, Asset: asset}, Wallet: wallet})
				id = p.ID
				return err
			})
			m.reaches(id, payout.Paid)
		}
	}
}

// ice freezes or thaws a tenant's account of USDC, and waits until that is final.
func (m *till) ice(who string, thaw bool) {
	m.t.Helper()
	account, err := m.tokenAccount(m.chain.Wallets[who], money.USDC)
	m.must(err)
	key := func(a chain.Address) solanago.PublicKey { return solanago.MustPublicKeyFromBase58(string(a)) }
	var change solanago.Instruction = token.NewFreezeAccountInstruction(key(account), key(m.chain.USDC.Address), key(m.chain.Wallets[authorityName]), nil).Build()
	if thaw {
		change = token.NewThawAccountInstruction(key(account), key(m.chain.USDC.Address), key(m.chain.Wallets[authorityName]), nil).Build()
	}
	_, err = m.submit(m.t.Context(), []solanago.Instruction{change}, authorityName)
	m.must(err)
	m.soon("the account to be frozen or thawed", func(ctx context.Context) error {
		line, err := m.node()
		if err != nil {
			return err
		}
		defer line.Close()
		is, err := line.Account(ctx, account)
		if err == nil && is.Frozen == thaw {
			err = fmt.Errorf("it is not yet")
		}
		return err
	})
}

// caps: more than the cap waits for an admin.
func (m *till) caps() {
	ctx, admin := m.t.Context(), m.as("admin")
	v, err := admin.Treasury(ctx)
	m.must(err)
	tight := v.Policy
	tight.PerPayout = map[money.Asset]int64{money.USDC: 1_000_000, money.IO: v.Policy.PerPayout[money.IO]}
	_, err = admin.SetPayoutPolicy(ctx, wire.PayoutPolicyRequest{Policy: tight, Every: payEvery})
	m.must(err)
	p := m.withdraw("ann", money.USDC, 1_000_001)
	m.reaches(p.ID, payout.WaitingApproval)
	_, err = admin.ChangePayout(ctx, p.ID, "approve")
	m.must(err)
	m.reaches(p.ID, payout.Paid)
	_, err = admin.SetPayoutPolicy(ctx, wire.PayoutPolicyRequest{Policy: v.Policy, Every: payEvery})
	m.must(err)
}

// balanced: nothing is on its way any more, chain and books agree to the last unit, and nobody was paid or charged twice.
func (m *till) balanced() {
	ctx, admin := m.t.Context(), m.as("admin")
	m.soon("everything to be settled", func(ctx context.Context) error {
		v, err := admin.Treasury(ctx)
		if err != nil {
			return err
		}
		if len(v.InFlight)+len(v.Awaiting)+len(v.Blocked)+len(v.Suspense) > 0 || len(v.Halts) > 0 {
			return fmt.Errorf("in flight %d, awaiting %d, blocked %d, suspense %d, halts %v", len(v.InFlight), len(v.Awaiting), len(v.Blocked), len(v.Suspense), v.Halts)
		}
		for _, p := range v.Positions {
			if p.Asset == money.USD {
				continue
			}
			held, err := m.holds(ctx, treasuryName, p.Asset)
			if err != nil {
				return err
			}
			if held != p.Chain || p.InFlight.Sign() != 0 || p.Suspense.Sign() != 0 {
				return fmt.Errorf("the chain holds %s, the books %s, in flight %s, suspense %s", held, p.Chain, p.InFlight, p.Suspense)
			}
			if p.OnChain == nil || *p.OnChain != p.Chain {
				return fmt.Errorf("the admin's page does not say that chain and books agree about %s: %v, %s", p.Asset, p.OnChain, p.Chain)
			}
		}
		return nil
	})
	// What the stranger paid went to ben.
	for asset, start := range map[money.Asset]int64{money.USDC: purseUSDC, money.IO: purseIO} {
		gift, err := m.holds(ctx, "stranger", asset)
		m.must(err)
		for _, who := range tenants() {
			held, err := m.holds(ctx, who, asset)
			m.must(err)
			b, err := m.as(who).Balance(ctx, "")
			m.must(err)
			want := start
			if who == "ben" {
				want += start - gift.Minor
			}
			if got := held.Minor + b.Free.Of(asset).Minor; got != want {
				m.t.Errorf("%s has %s on chain and %s here, %d minor units in all; it should be %d", who, held, b.Free.Of(asset), got, want)
			}
		}
	}
	var file bytes.Buffer
	m.must(admin.Journal(ctx, &file))
	report, err := verify.Verify(bytes.NewReader(file.Bytes()))
	m.must(err)
	for _, p := range report.Problems {
		m.t.Error(p)
	}
	m.paidOnce(file.String())
	path := filepath.Join(m.cfg.Dir, "journal.jsonl")
	m.must(os.WriteFile(path, file.Bytes(), 0o600))
	said, err := m.cli(ctx, "admin", "verify", path, "--chain", "--rpc", m.chain.URL)
	m.must(err)
	m.t.Log(said)
}

// onChain finds how many checkpoints `raylink verify --chain` has found on the chain.
var onChain = regexp.MustCompile(`chain and journal agree: .* ([0-9]+) checkpoint\(s\)`)

// anchored: the group has signed how its journal stands, the signer has put that on the chain as a memo, and who asks the chain finds it.
func (m *till) anchored() {
	path := filepath.Join(m.cfg.Dir, "anchored.jsonl")
	m.must(m.until(m.t.Context(), "a checkpoint to be put on the chain", "", anchorLimit, func(ctx context.Context) error {
		var file bytes.Buffer
		if err := m.as("admin").Journal(ctx, &file); err != nil {
			return err
		}
		if !bytes.Contains(file.Bytes(), []byte(`"kind":"anchor"`)) {
			return errors.New("the journal knows of none")
		}
		return os.WriteFile(path, file.Bytes(), 0o600)
	}))
	said, err := m.cli(m.t.Context(), "admin", "verify", path, "--chain", "--rpc", m.chain.URL)
	m.must(err)
	if found := onChain.FindStringSubmatch(said); found == nil || found[1] == "0" {
		m.t.Errorf("the chain has no checkpoint:\n%s", said)
	}
}
