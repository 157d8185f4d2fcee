package state

import (
	"slices"
	"strings"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/wallet"
	"raylink/raylink"
)

// Lots are the lots that an admin may pay into: of granted credit, of card money, and the house's own capital.
func Lots() []string { return []string{LotGrants, LotCard, LotCapital} }

// The names of lots.
const (
	LotGrants  = "grants"
	LotCard    = "card"
	LotCapital = "capital"
)

// SetTreasury names the tokens that are taken, and where: the mints allowed, our token accounts, and the bounds of single deposits.
type SetTreasury struct {
	Treasury deposit.Treasury `json:"treasury"`
	Rules    deposit.Rules    `json:"rules"`
	Cluster  string           `json:"cluster"`        // of Solana: mainnet, devnet or local, for people's eyes
	Keep     bool             `json:"keep,omitempty"` // what holds or awaits tokens stays as it is; entries from before that rule lack it, and change what they name
}

func (*SetTreasury) kind() string { return "treasury.set" }

func (c *SetTreasury) apply(s *State) (any, error) {
	if err := CheckName("the chain's name", c.Cluster); err != nil {
		return nil, err
	}
	if c.Keep {
		if err := s.stays(c.Treasury); err != nil {
			return nil, err
		}
	}
	rules := deposit.Rules{Min: tokensOnly(c.Rules.Min), Big: tokensOnly(c.Rules.Big)}
	if err := s.Deposits.Configure(c.Treasury, rules); err != nil {
		return nil, err
	}
	s.Chain = c.Cluster
	policy := s.Payouts.Policy
	policy.Own = nil
	for _, m := range c.Treasury {
		policy.Own = append(policy.Own, m.Wallet, m.Account)
	}
	return nil, s.Payouts.Configure(policy)
}

// tokensOnly are the bounds of USDC and IO, each with an entry, and of nothing else: a snapshot is read over the default bounds, which would
// come back where there is no entry.
func tokensOnly(bounds map[money.Asset]int64) map[money.Asset]int64 {
	return map[money.Asset]int64{money.USDC: bounds[money.USDC], money.IO: bounds[money.IO]}
}

// checkBy wants somebody who answers for a step, before anything is done.
func checkBy(by string) error {
	if by == "" || len(by) > 96 || strings.ContainsFunc(by, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return raylink.Errorf(raylink.CodeInvalid, "it is not said who asks for it")
	}
	return nil
}

// OpenTopup announces a deposit of tokens to an account's balance, or by an admin to a lot.
type OpenTopup struct {
	ID        string            `json:"id"`
	Account   raylink.AccountID `json:"account"`
	Asset     money.Asset       `json:"asset"`
	Reference string            `json:"reference"` // a random address
	Expected  int64             `json:"expected"`  // minor units, 0 is any
	Lot       string            `json:"lot,omitempty"`
	TTL       time.Duration     `json:"ttl"` // nanoseconds
}

func (*OpenTopup) kind() string { return "topup.open" }

func (c *OpenTopup) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	if c.Lot != "" && c.Lot != LotGrants && c.Lot != LotCard && c.Lot != LotCapital {
		return nil, raylink.Errorf(raylink.CodeInvalid, "there is no lot %.40q", c.Lot).WithHint("the lots are grants, card and capital")
	}
	if c.TTL <= 0 || c.TTL > deposit.MaxLife {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a top-up is open for at most %s", deposit.MaxLife)
	}
	return c.ID, s.Deposits.OpenTopup(s.Now, deposit.Topup{ID: c.ID, Account: string(c.Account), Asset: c.Asset, Reference: c.Reference,
		Expected: c.Expected, Lot: c.Lot, ExpiresAt: s.Now.Add(c.TTL)})
}

// ObserveDeposit takes in the next finalized transaction of one of our token accounts, as a watcher saw it.
type ObserveDeposit struct {
	Observation deposit.Observation `json:"observation"`
}

func (*ObserveDeposit) kind() string { return "deposit.observe" }

func (c *ObserveDeposit) apply(s *State) (any, error) {
	if mint, ok := s.Deposits.Treasury.ByAccount(c.Observation.Account); ok && c.Observation.Delta > 0 { // before the book records it
		if _, err := money.AddMinor(-s.Ledger.Balance(ledger.TreasuryChain, mint.Asset), c.Observation.Delta); err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "with %d in transaction %.100q our token account would hold more than there can be", c.Observation.Delta, c.Observation.Signature)
		}
	}
	_, known := s.Deposits.Deposits[c.Observation.Key()]
	before := s.Deposits.Cursors[c.Observation.Account]
	entries, err := s.Deposits.Observe(s.Now, c.Observation, s.Wallets.OwnersOf)
	if err != nil {
		return nil, err
	}
	if after := s.Deposits.Cursors[c.Observation.Account]; !known && after != before {
		s.left(c.Observation)
	}
	return nil, s.post(entries)
}

// left notes what went out of one of our token accounts without being a payout of ours: an admin's swap, until that is recorded, or a theft.
func (s *State) left(o deposit.Observation) {
	mint, ok := s.Deposits.Treasury.ByAccount(o.Account)
	if !ok || o.Failed || o.Delta >= 0 || o.Mint != mint.Mint || o.Program != mint.Program || s.Payouts.Ours(o.Signature) ||
		slices.ContainsFunc(s.Unexplained, func(d deposit.Deposit) bool { return d.Key == o.Key() }) {
		return
	}
	if _, swap := s.Ledger.Find("swap", o.Signature); !swap {
		s.Unexplained = append(s.Unexplained, deposit.Deposit{Key: o.Key(), Asset: mint.Asset, Amount: o.Delta, Slot: o.Slot, At: s.Now, Reasons: []deposit.Reason{deposit.Outgoing}})
	}
}

// post writes entries that a book has made of what it has recorded already.
func (s *State) post(entries []ledger.Entry) error {
	for _, e := range entries {
		if _, err := s.Ledger.Post(s.Now, e.Kind, e.Ref, e.Postings, e.Note); err != nil {
			return refusal(err)
		}
	}
	return nil
}

// AssignSuspense credits a deposit that could not be attributed to the account that an admin found out.
type AssignSuspense struct {
	Key     string            `json:"key"`
	Account raylink.AccountID `json:"account"`
	By      string            `json:"by"`
}

func (*AssignSuspense) kind() string { return "suspense.assign" }

func (c *AssignSuspense) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	entries, err := s.Deposits.Assign(c.Key, string(c.Account), c.By)
	if err != nil {
		return nil, err
	}
	return nil, s.post(entries)
}

// RewindDeposits reads a token account's history again from a deposit on, or from its beginning. Nothing is credited twice by it.
type RewindDeposits struct {
	Account   string `json:"account"`
	Signature string `json:"signature"`
}

func (*RewindDeposits) kind() string { return "deposit.rewind" }

func (c *RewindDeposits) apply(s *State) (any, error) {
	return nil, s.Deposits.Rewind(c.Account, c.Signature)
}

// ChallengeWallet gives an account a nonce to sign with a wallet.
type ChallengeWallet struct {
	Account raylink.AccountID `json:"account"`
	Nonce   string            `json:"nonce"`
}

func (*ChallengeWallet) kind() string { return "wallet.challenge" }

func (c *ChallengeWallet) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	return c.Nonce, s.Wallets.Challenge(s.Now, string(c.Account), c.Nonce)
}

// ProveWallet takes a wallet in as an account's own, by its signature over the nonce that the account was given.
type ProveWallet struct {
	Account   raylink.AccountID `json:"account"`
	Address   string            `json:"address"`
	Nonce     string            `json:"nonce"`
	Signature string            `json:"signature"`
	Group     string            `json:"group"` // the SHA-256 of the group's CA: a proof counts in one group only
}

func (*ProveWallet) kind() string { return "wallet.prove" }

func (c *ProveWallet) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	if err := wallet.CheckAddress("the wallet", c.Address); err != nil {
		return nil, err
	}
	return c.Address, s.Wallets.Prove(s.Now, c.Group, string(c.Account), c.Address, c.Nonce, c.Signature)
}

// RemoveWallet forgets that an account holds a wallet. What was reserved for it is paid to it all the same.
type RemoveWallet struct {
	Account raylink.AccountID `json:"account"`
	Address string            `json:"address"`
}

func (*RemoveWallet) kind() string { return "wallet.remove" }

func (c *RemoveWallet) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	if err := wallet.CheckAddress("the wallet", c.Address); err != nil {
		return nil, err
	}
	setting := s.Payouts.Setting(string(c.Account))
	if setting.Wallet == c.Address {
		setting.Wallet = ""
		if err := s.Payouts.Set(string(c.Account), setting, true); err != nil {
			return nil, err
		}
	}
	s.Wallets.Remove(string(c.Account), c.Address)
	return nil, nil
}
