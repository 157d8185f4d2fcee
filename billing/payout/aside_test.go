package payout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// house is a desk whose treasury is open: customers pay in, suppliers earn more than it holds of its own, and the chain has its way with each attempt.
type house struct {
	*desk
	t    *rapid.T
	step int
}

// TestKeptAside attacks the rule that suppliers are paid with nobody's money but the house's: whatever is asked for, batched, tried, refused, blocked,
// cancelled, approved or halted in whatever order, what customers have and what they have asked back never exceeds what stays in the treasury once the settlements
// on their way are paid; nothing that goes back to a customer is ever treasury-short; and no settlement is held back for less reason than that.
func TestKeptAside(t *testing.T) {
	happened := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		h := &house{desk: newDesk(t), t: rt}
		for _, name := range []string{"a", "b", "c"} {
			for _, asset := range []money.Asset{money.USDC, money.IO} {
				h.look("wallet-"+name, asset, Existence{TokenAccount: "ata-" + name, Exists: true})
			}
		}
		for range rapid.SampledFrom([]int{60, 150, 300}).Draw(rt, "steps") {
			h.step++
			what := h.act()
			for _, asset := range []money.Asset{money.USDC, money.IO} {
				h.holds(what, asset, happened)
			}
		}
	})
	t.Logf("%v", happened)
	for _, what := range []string{"short", "payable", "beside aside", "blocked", "awaiting", "both in one batch", "paid"} {
		if happened[what] == 0 {
			t.Errorf("never: %s", what)
		}
	}
}

// act lets one thing happen; what is refused changes nothing.
func (h *house) act() string {
	asset, name := pick(h, "asset", money.USDC, money.USDC, money.IO), pick(h, "name", "a", "b", "c")
	minor := pick(h, "minor", int64(1), 1_000_000, 2_000_000, 3_000_001, 7_000_000, 9_000_000)
	switch what := pick(h, "act", "batch", "ask", "money", "ask", "push", "batch", "money", "ask", "push", "push", "change", "rule", "batch", "look"); what {
	case "money":
		from := "treasury:chain"
		to := pick(h, "to", "tenant:"+name, ledger.Supplier(name), "suspense", ledger.Supplier(name), "lot:capital", "tenant:"+name, "lot:burn", "lot:grants")
		if to == ledger.Supplier(name) { // earned from a payer in another asset, or in this one
			from = pick(h, "from", "fx:out", "fx:out", "tenant:"+name)
			if from == "tenant:"+name {
				minor = min(minor, h.ledger.Balance(from, asset))
			}
		}
		if minor > 0 {
			h.move(asset, from, to, minor)
		}
		return what + " from " + from + " to " + to
	case "ask":
		kind := pick(h, "kind", Settlement, Settlement, Withdrawal, Withdrawal, Refund, Burn)
		r := Request{ID: fmt.Sprint(kind, "-", h.step), Kind: kind, Account: name, Asset: asset, Amount: minor, Wallet: "wallet-" + name}
		if kind == Refund {
			r.Item = "deposit-" + r.ID
		}
		if kind == Burn {
			r.Wallet = ""
		}
		if entries, err := h.book.Request(h.now, r, h.ledger.Balance(Source(kind, name), asset), true); err == nil {
			h.post(entries)
		}
		return what + " " + r.ID
	case "batch":
		h.batch(asset)
		return what
	case "push":
		return what + h.push()
	case "change":
		h.change()
		return what
	case "rule":
		h.rule(asset)
		return what
	}
	h.now = h.now.Add(pick(h, "wait", time.Second, 20*time.Minute))
	h.look("wallet-"+name, asset, Existence{TokenAccount: "ata-" + name, Exists: true, Frozen: pick(h, "frozen", false, false, true)})
	return "look"
}

// batch makes the next one. What could go with it goes.
func (h *house) batch(asset money.Asset) {
	ready := h.book.Ready(h.now, asset, h.mayLeave(asset))
	b := h.book.NextBatch(h.now, asset, h.mayLeave(asset))
	if (b != nil) != ready {
		h.t.Errorf("ready %v, and the batch is %+v", ready, b)
	}
	if b == nil || len(b.Transfers) == MaxTransfers || h.book.Payouts[b.Transfers[0].Payout].Solo {
		return
	}
	for _, id := range h.book.Queue[asset] {
		if p := h.book.Payouts[id]; !p.Solo && h.book.Why(h.now, p, h.mayLeave(asset)) == "" {
			h.t.Errorf("%s could have gone with %+v", id, b)
		}
	}
}

func pick[T any](h *house, what string, list ...T) T { return rapid.SampledFrom(list).Draw(h.t, what) }

func (h *house) move(asset money.Asset, from, to string, minor int64) {
	h.post([]ledger.Entry{{Kind: "test", Ref: fmt.Sprint("move-", h.step), Postings: []ledger.Posting{
		{Account: from, Amount: money.Amount{Minor: -minor, Asset: asset}}, {Account: to, Amount: money.Amount{Minor: minor, Asset: asset}}}}})
}

// push lets a batch be signed, or the chain end an attempt.
func (h *house) push() string {
	if alive := h.book.Alive(); len(alive) > 0 {
		b := pick(h, "alive", alive...)
		r := Result{Batch: b.ID, N: len(b.Attempts), Signature: b.Live().Signature, Stage: pick(h, "stage", Finalized, Expired, Failed), Height: b.Live().LastValidHeight + 1}
		if r.Stage != Finalized {
			r.Code = pick(h, "code", "", ChainExpired, ChainFrozen, "other")
		}
		entries, err := h.book.Outcome(h.now, r)
		if err != nil {
			h.t.Errorf("%+v: %v", r, err)
		}
		h.post(entries)
		return fmt.Sprint(" ", r.Stage)
	}
	if work := h.book.Work(); len(work) > 0 {
		w := pick(h, "work", work...)
		if err := h.book.Attempt(h.now, attempted(&w.Batch, w.N)); err != nil {
			h.t.Errorf("%+v: %v", w, err)
		}
	}
	return ""
}

// change is what an admin, or the owner, does to one payout.
func (h *house) change() {
	var list []string
	for id := range h.book.Payouts {
		list = append(list, id)
	}
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	id := pick(h, "payout", list...)
	switch pick(h, "change", "approve", "retry", "cancel") {
	case "approve":
		_ = h.book.Approve(h.now, id, "admin")
	case "retry":
		_ = h.book.Retry(h.now, id)
	default:
		if entries, err := h.book.Cancel(h.now, id); err == nil {
			h.post(entries)
		}
	}
}

// rule sets bounds and halts.
func (h *house) rule(asset money.Asset) {
	policy := DefaultPolicy()
	policy.Minimum[money.IO], policy.MaxTries = 1, pick(h, "tries", 1, 2)
	policy.PerPayout[asset] = pick(h, "per payout", int64(5_000_000), 1_000_000_000)
	policy.PerHour[asset] = pick(h, "per hour", int64(12_000_000), 1_000_000_000)
	if err := h.book.Configure(policy); err != nil {
		h.t.Fatal(err)
	}
	if h.book.Resume(asset); pick(h, "halt", false, false, true) {
		_ = h.book.Halt(h.now, asset, "admin", "odd")
	}
}

// mayLeave is what the caller gives the book: the chain less what is to stay there, by the ledger.
func (h *house) mayLeave(asset money.Asset) int64 {
	sum := int64(0)
	for _, a := range h.ledger.Accounts() {
		if kind, name, _ := strings.Cut(a.Name, ":"); a.Balance.Asset == asset &&
			(a.Name == "treasury:chain" || kind == "tenant" || kind == "suspense" || kind == "lot" && name != "capital") {
			sum -= a.Balance.Minor
		}
	}
	return max(sum, 0)
}

// surplus is what stays on the chain when the settlements on their way are paid, less what is anybody's but suppliers' and the house's: by the ledger, and by
// the payouts' kinds and states alone.
func (h *house) surplus(asset money.Asset) int64 {
	sum := int64(0)
	for _, a := range h.ledger.Accounts() {
		kind, name, _ := strings.Cut(a.Name, ":")
		if a.Balance.Asset != asset || kind == "supplier" || kind == "fx" || a.Name == "lot:capital" {
			continue
		}
		if p := h.book.Payouts[name]; kind == "payout" && p.Kind == Settlement && (p.State != Batched || h.book.Batches[p.Batch].State != Open) {
			continue // it has a claim, and no more
		}
		sum -= a.Balance.Minor // the chain stands in the ledger with a minus
	}
	return sum
}

func (h *house) holds(what string, asset money.Asset, happened map[string]int) {
	left, free := h.surplus(asset), h.mayLeave(asset)
	if left < 0 {
		h.t.Errorf("after %s: %d %s of customers have gone to suppliers", what, -left, asset)
	}
	for _, id := range h.book.Queue[asset] {
		p := h.book.Payouts[id]
		switch code := h.book.Why(h.now, p, free); {
		case p.Kind != Settlement && code == TreasuryShort:
			h.t.Errorf("after %s: %s of %d %s is short", what, id, p.Amount, asset)
		case p.Kind == Settlement && code == TreasuryShort && p.Amount <= left, p.Kind == Settlement && code == "" && p.Amount > left:
			h.t.Errorf("after %s: %s of %d %s is %q, and %d are free", what, id, p.Amount, asset, code, left)
		case code == TreasuryShort:
			happened["short"]++
		case code == "" && p.Kind == Settlement:
			happened["payable"]++
			if h.book.promised(asset) > 0 {
				happened["beside aside"]++
			}
		case code == NeedsApproval && p.Kind == Withdrawal:
			happened["awaiting"]++
		}
	}
	if got := max(free-h.book.Aside(asset), 0); got != left {
		h.t.Errorf("after %s: %d %s are said to be free, and %d are", what, got, asset, left)
	}
	happened["blocked"] += len(h.book.Blocked)
	for _, b := range h.book.Batches {
		if s := h.book.Payouts[b.Transfers[0].Payout].Kind; b.State == Done {
			happened["paid"]++
		} else if slices.ContainsFunc(b.Transfers, func(t Transfer) bool { return h.book.Payouts[t.Payout].Kind != s }) {
			happened["both in one batch"]++
		}
	}
}
