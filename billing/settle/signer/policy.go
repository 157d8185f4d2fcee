package signer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
)

const maxPolicyFile = 1 << 20

// Rule is what the signer lets out of one asset, whatever the coordinator asks for. Amounts are minor units.
type Rule struct {
	settle.Purse
	PerTransfer  int64    `json:"per_transfer"`           // at most in one payment
	PerHour      int64    `json:"per_hour"`               // at most in any 60 minutes, and any 9,000 blocks of the chain
	Burn         bool     `json:"burn,omitempty"`         // may be burnt, too
	Destinations []string `json:"destinations,omitempty"` // token accounts; if given, no others are paid
}

// Policy is the signer's own, from a file on its machine: the coordinator cannot change it.
type Policy struct {
	Rules []Rule `json:"rules"`
}

// ReadPolicy reads a policy file: strict JSON.
func ReadPolicy(path string) (Policy, error) {
	file, err := os.Open(path)
	if err != nil {
		return Policy{}, fmt.Errorf("opening the signer's policy: %w", err)
	}
	defer file.Close()
	decoder := json.NewDecoder(io.LimitReader(file, maxPolicyFile))
	decoder.DisallowUnknownFields()
	var p Policy
	if err := decoder.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("reading the signer's policy %s: %w", path, err)
	}
	if err := p.Check(); err != nil {
		return Policy{}, fmt.Errorf("reading the signer's policy %s: %w", path, err)
	}
	return p, nil
}

// Check says what is wrong with a policy.
func (p Policy) Check() error {
	for i, r := range p.Rules {
		if r.Mint.Asset.Decimals() != r.Mint.Decimals || r.Mint.Decimals < 0 || r.Mint.Address == "" || r.Mint.Program == "" || r.Account == "" || r.Wallet == "" {
			return fmt.Errorf("rule %d does not name asset, mint, program, decimals, account and wallet", i+1)
		}
		if r.PerTransfer <= 0 || r.PerHour <= 0 {
			return fmt.Errorf("rule %d (%s) has no caps above zero", i+1, r.Mint.Asset)
		}
		if slices.ContainsFunc(p.Rules[:i], func(o Rule) bool { return o.Mint.Asset == r.Mint.Asset }) {
			return fmt.Errorf("rule %d names %s again", i+1, r.Mint.Asset)
		}
	}
	if len(p.Rules) == 0 {
		return errors.New("there is no rule: nothing would be signed")
	}
	return nil
}

// rule is that of the asset.
func (p Policy) rule(asset money.Asset) (Rule, bool) {
	if i := slices.IndexFunc(p.Rules, func(r Rule) bool { return r.Mint.Asset == asset }); i >= 0 {
		return p.Rules[i], true
	}
	return Rule{}, false
}

// allows says why the batch must not be signed, if so. Spent is what the last hour has let out, fresh what the batch adds to it.
func (r Rule) allows(b payout.Batch, spent, fresh int64) error {
	if len(b.Transfers) == 0 || len(b.Transfers) > chain.MaxTransfers || b.Burn && (!r.Burn || len(b.Transfers) != 1) {
		return fmt.Errorf("a batch of %d payments (burning: %v) is not allowed", len(b.Transfers), b.Burn)
	}
	for _, t := range b.Transfers {
		switch {
		case t.Amount <= 0 || t.Amount > r.PerTransfer:
			return fmt.Errorf("payout %s of %d minor units is not within 1 to %d", t.Payout, t.Amount, r.PerTransfer)
		case !b.Burn && (t.TokenAccount == "" || t.TokenAccount == string(r.Account)):
			return fmt.Errorf("payout %s goes nowhere, or to ourselves", t.Payout)
		case len(r.Destinations) > 0 && !b.Burn && !slices.Contains(r.Destinations, t.TokenAccount):
			return fmt.Errorf("payout %s goes to %s, which is not on the list", t.Payout, t.TokenAccount)
		}
	}
	if fresh > r.PerHour-spent {
		return fmt.Errorf("the hour has let out %d of %d minor units, the batch adds %d", spent, r.PerHour, fresh)
	}
	return nil
}
