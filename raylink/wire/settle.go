package wire

import (
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/raylink"
)

// TopupRequest announces money that is to come: POST /v1/topups. An admin may pay into a lot.
type TopupRequest struct {
	Amount money.Amount `json:"amount"`         // USD by card, USDC or IO by a transfer; a zero of the latter leaves it to the payer
	Lot    string       `json:"lot,omitempty"`  // grants, card or capital; admins only
	Card   bool         `json:"card,omitempty"` // by card, in USD
}

// Topup is an announced payment: POST and GET /v1/topups.
type Topup struct {
	ID        string            `json:"id"`
	Account   raylink.AccountID `json:"account"`
	Amount    money.Amount      `json:"amount"`
	State     string            `json:"state"` // open, paid, expired; by card also refunded, disputed, charged-back
	URL       string            `json:"url"`   // what to pay: a Solana Pay transfer request, or a checkout page
	Reference string            `json:"reference,omitempty"`
	Received  money.Amount      `json:"received"`
	Lot       string            `json:"lot,omitempty"`
	OpenedAt  time.Time         `json:"opened_at"`
	ExpiresAt time.Time         `json:"expires_at"`
	Deposits  []deposit.Deposit `json:"deposits,omitempty"`
}

// WalletChallenge is a text to sign with a wallet: POST /v1/wallets/challenge.
type WalletChallenge struct {
	Address string `json:"address"`
	Nonce   string `json:"nonce"`
	Text    string `json:"text"` // what to sign, in these bytes
}

// WalletRequest asks for a challenge (address alone), or proves a wallet: POST /v1/wallets/challenge and /v1/wallets.
type WalletRequest struct {
	Address   string `json:"address"`
	Nonce     string `json:"nonce,omitempty"`
	Signature string `json:"signature,omitempty"` // base58 or base64
}

// Wallet is a proven wallet: GET /v1/wallets.
type Wallet struct {
	Address string    `json:"address"`
	At      time.Time `json:"at"`
}

// Settlement is how a supplier is paid: GET and PUT /v1/settlement.
type Settlement struct {
	Takes   money.Asset  `json:"takes"`   // USDC or IO
	Wallet  string       `json:"wallet"`  // a proven one; empty is not yet
	Minimum money.Amount `json:"minimum"` // the supplier's own

	Least *money.Amount `json:"least,omitempty"` // the network's; in answers
}

// From is the least amount that is paid out: the supplier's own minimum, or the network's where that is more.
func (s Settlement) From() money.Amount {
	if s.Least != nil && s.Least.Asset == s.Takes && s.Least.Minor > s.Minimum.Minor {
		return *s.Least
	}
	return s.Minimum
}

// Earnings is what an account has earned as a supplier: GET /v1/earnings.
type Earnings struct {
	Account    raylink.AccountID `json:"account"`
	Settlement Settlement        `json:"settlement"`
	Lines      []payout.Line     `json:"lines"` // each part with the code of what stands in its way
	Paid       Sums              `json:"paid"`  // so far
	NextRun    time.Time         `json:"next_run"`
	Payouts    []payout.Payout   `json:"payouts"` // the last ones, newest first
}

// WithdrawalRequest takes unspent balance out: POST /v1/withdrawals. Money from cards goes back to the card.
type WithdrawalRequest struct {
	Amount money.Amount `json:"amount"`
	Wallet string       `json:"wallet,omitempty"`
	Card   bool         `json:"card,omitempty"`
}

// PayoutAction changes a payout: POST /v1/payouts/<id>/<approve|retry|cancel>.
type PayoutAction struct{}

// Price is what IO costs, and whether that is believed: GET /v1/price.
type Price struct {
	Price   money.Price     `json:"price"`
	ID      uint64          `json:"id"`
	At      time.Time       `json:"at"`
	Sources []string        `json:"sources"`
	Halt    string          `json:"halt,omitempty"` // code
	Reason  string          `json:"reason,omitempty"`
	Average money.Price     `json:"average"` // of the last hour
	Policy  price.Policy    `json:"policy"`
	Samples []price.Sample  `json:"samples"`
	Last    *price.Snapshot `json:"last,omitempty"`
}

// PriceRequest tells a sample: POST /v1/price. Override makes an operator's count however far it is from the price before.
type PriceRequest struct {
	Sample   price.Sample `json:"sample"`
	Override bool         `json:"override,omitempty"`
}

// HaltRequest stops settlement in IO, or payouts, for a reason; without one it lets them go on: POST /v1/price/halt and /v1/treasury/halt.
type HaltRequest struct {
	Asset  money.Asset `json:"asset,omitempty"` // of payouts; empty is all
	Reason string      `json:"reason,omitempty"`
}

// TreasuryRequest names the tokens that are taken: PUT /v1/treasury.
type TreasuryRequest struct {
	Chain    string           `json:"chain"` // mainnet, devnet, local
	Treasury deposit.Treasury `json:"treasury"`
	Rules    *deposit.Rules   `json:"rules,omitempty"` // the default ones if none
}

// PayoutPolicyRequest bounds payouts: PUT /v1/treasury/payouts.
type PayoutPolicyRequest struct {
	Policy payout.Policy `json:"policy"`
	Every  string        `json:"every"` // Go duration
}

// BuybackRequest sets the policy of buying back and burning: PUT /v1/treasury/buyback.
type BuybackRequest struct {
	Threshold money.Amount `json:"threshold"` // of fees in USDC; zero is never
	Interval  string       `json:"interval"`  // Go duration
}

// SwapRequest records a swap that was done outside: POST /v1/treasury/swaps.
type SwapRequest struct {
	Signature string `json:"signature"`
	Purpose   string `json:"purpose"` // position or buyback
}

// RewindRequest has a token account's history read again: POST /v1/treasury/rewind. Nothing is credited twice by it.
type RewindRequest struct {
	Asset     money.Asset `json:"asset"`
	Signature string      `json:"signature,omitempty"` // of the deposit after which it begins; empty: at the first
}

// AssignRequest credits a deposit in suspense: POST /v1/suspense/assign.
type AssignRequest struct {
	Key     string            `json:"key"`
	Account raylink.AccountID `json:"account"`
}

// RefundRequest returns a deposit in suspense to a wallet that an account has proven: POST /v1/suspense/refund.
type RefundRequest struct {
	Key     string            `json:"key"`
	Account raylink.AccountID `json:"account"`
	Wallet  string            `json:"wallet"`
}

// Treasury is all that an admin has to know of the money: GET /v1/treasury.
type Treasury struct {
	Alarms    []string          `json:"alarms,omitempty"` // what an admin has to look at, and what to do: transfers that nothing explains, chain and books that differ, batches that no signer signs
	Chain     string            `json:"chain"`
	Mints     deposit.Treasury  `json:"mints"`
	Rules     deposit.Rules     `json:"rules"`
	Positions []Position        `json:"positions"`
	Halts     []PayoutHalt      `json:"halts,omitempty"`
	Policy    payout.Policy     `json:"policy"`
	Every     string            `json:"every"`
	NextRun   time.Time         `json:"next_run"`
	Awaiting  []payout.Payout   `json:"awaiting"` // an admin, or the end of the hour
	Blocked   []payout.Payout   `json:"blocked"`
	InFlight  []payout.Batch    `json:"in_flight"`
	Suspense  []deposit.Deposit `json:"suspense"`  // the newest hundred, dust after the rest
	Suspended int               `json:"suspended"` // how many there are in all
	Ignored   []deposit.Deposit `json:"ignored"`   // the last ones, newest first
	Buybacks  []Buyback         `json:"buybacks,omitempty"`
}

// Position is what the treasury holds in one asset by the books, and whose it is.
type Position struct {
	Asset    money.Asset   `json:"asset"`
	Chain    money.Amount  `json:"chain"`
	OnChain  *money.Amount `json:"on_chain,omitempty"` // as a node says now; missing if none was asked, or answered
	Tenants  money.Amount  `json:"tenants"`
	Holds    money.Amount  `json:"holds"`
	Earned   money.Amount  `json:"earned"`
	InFlight money.Amount  `json:"in_flight"`
	Suspense money.Amount  `json:"suspense"`
	Lots     money.Amount  `json:"lots"`
	Capital  money.Amount  `json:"capital"`
	Fees     money.Amount  `json:"fees"`
	Exchange money.Amount  `json:"exchange"`
	Other    money.Amount  `json:"other"`
	Aside    money.Amount  `json:"aside"` // of InFlight: what withdrawals, refunds and burns wait for, and what is on its way to anybody
	Free     money.Amount  `json:"free"`  // suppliers can be paid from it: neither customers' deposits nor what is kept aside are used to pay others
}

// PayoutHalt stops payouts of an asset, or of all.
type PayoutHalt struct {
	Asset  money.Asset `json:"asset,omitempty"`
	Reason string      `json:"reason"`
	By     string      `json:"by"`
	At     time.Time   `json:"at"`
}

// Buyback is one proposal to turn fees into IO and burn it, and what became of it.
type Buyback struct {
	ID         string       `json:"id"`
	Fees       money.Amount `json:"fees"`
	ProposedAt time.Time    `json:"proposed_at"`
	Swap       string       `json:"swap,omitempty"` // signature
	Paid       money.Amount `json:"paid"`
	Bought     money.Amount `json:"bought"`
	Burn       string       `json:"burn,omitempty"` // payout
	Burnt      bool         `json:"burnt,omitempty"`
}

// SignerWork is what a signer is asked to sign: GET /v1/signer/work.
type SignerWork struct {
	Work   []payout.Work `json:"work"`
	Anchor *Anchor       `json:"anchor,omitempty"`
}

// Anchor is a checkpoint's memo that is to be put on the chain.
type Anchor struct {
	Seq  uint64 `json:"seq"`
	Memo string `json:"memo"`
}

// AnchorRequest tells which finalized transaction carries a checkpoint's memo: POST /v1/signer/anchors.
type AnchorRequest struct {
	Seq       uint64 `json:"seq"`
	Signature string `json:"signature"`
}
