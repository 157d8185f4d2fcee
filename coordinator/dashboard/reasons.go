package dashboard

import (
	"cmp"
	"slices"
	"strings"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/billing/settle/chain"
	"raylink/raylink/wire"
)

// whys say in words why money has not gone out, and what to do.
func whys() map[payout.Code]string {
	return map[payout.Code]string{
		"":                    "goes out with the next run",
		payout.NothingEarned:  "nothing earned yet: minutes count while a cluster of somebody else is ready on your machines",
		payout.BelowMinimum:   "less than the minimum: it waits until more has come together",
		payout.NoWallet:       "no wallet is set: prove one, then name it in the settlement",
		payout.NoTokenAccount: "the wallet has no account for this token yet: receive any amount of it once, from anywhere, and it goes out",
		payout.Halted:         "an admin has halted payouts: it goes out when they go on",
		payout.CapHour:        "this hour's cap is used up: it goes out with the next hour, or when an admin approves",
		payout.NeedsApproval:  "more than goes out without an admin's approval",
		payout.TreasuryShort:  "the treasury does not hold enough of its own: an admin has to pay in",
		payout.HeldCard:       "paid by cards, which can be charged back: it waits a week, and for its lot",
		payout.HeldGrant:      "paid from granted credit: it waits until an admin has paid into its lot",
		payout.PricePaused:    "earned while the price of IO could not be believed: it is converted when it can",
		payout.InFlight:       "on its way: a transaction is signed and waits to be final",
		payout.WaitsForSigner: "about to go: its transaction waits for the signer, usually for seconds; an admin is alarmed when it takes longer",
		payout.ChainFrozen:    "the token's issuer has frozen the wallet's account: set another wallet",
		payout.ChainNoAccount: "the wallet's account for this token is gone: receive any amount of it once, from anywhere",
		payout.ChainExpired:   "the transaction came too late to be taken: it is signed anew",
		payout.ChainReplayed:  "the chain had this transaction already: the outcome is being looked up",

		payout.Code(chain.Insufficient):  "the treasury's token account held too little",
		payout.Code(chain.WrongMint):     "the wallet's account is of another token",
		payout.Code(chain.WrongOwner):    "the wallet's account belongs to somebody else",
		payout.Code(chain.WrongDecimals): "the token has other decimals than configured",
		payout.Code(chain.Other):         "the chain refused it; its words stand beside",
	}
}

func why(code payout.Code) string { return cmp.Or(whys()[code], string(code)) }

// came says in words what was special about a deposit.
func came(r deposit.Reason) string {
	return cmp.Or(map[deposit.Reason]string{
		deposit.Dust:          "below the smallest amount that is taken; it waits for an admin",
		deposit.UnknownSender: "nothing names an account: no reference, no memo, no proven wallet; it waits for an admin",
		deposit.Ambiguous:     "its senders belong to several accounts; it waits for an admin",
		deposit.NeedsTwoNodes: "so large that two nodes must have seen it, and one has; it waits for an admin",
		deposit.OtherAsset:    "another asset than was asked for",
		deposit.WrongMint:     "another token than those that are taken; not credited",
		deposit.Program2022:   "a token of Token-2022, which is not taken; not credited",
		deposit.FailedTx:      "the transaction failed; nothing moved",
		deposit.Outgoing:      "a payment of our own",
		deposit.Late:          "after the top-up's end; credited all the same",
		deposit.Over:          "more than was asked for; credited as it came",
		deposit.Under:         "less than was asked for; credited as it came",
		deposit.Twice:         "the top-up was paid already; credited as well",
	}[r], string(r))
}

// doubt says in words why the price of IO cannot be believed.
func doubt(code string) string {
	return cmp.Or(map[string]string{
		price.CodeNoPrice:      "no price has ever been told",
		price.CodeStale:        "too few sources have spoken lately",
		price.CodeStep:         "it went too far in one step; an operator has to look",
		price.CodeBand:         "it is too far from the last hour's average; an operator has to look",
		price.CodeConfidence:   "the sources themselves are unsure",
		price.CodeDisagreement: "the sources are too far apart",
		price.CodeHalted:       "an operator has halted it",
	}[code], code)
}

// inSuspense is how a top-up is shown of which nothing could be credited.
const inSuspense = "suspense"

// topupBadge is how far a top-up has come, in a word.
func topupBadge(t wire.Topup) string {
	credited := func(d deposit.Deposit) bool { return d.To != "" && d.To != ledger.Suspense }
	if t.State == "paid" && len(t.Deposits) > 0 && !slices.ContainsFunc(t.Deposits, credited) {
		return inSuspense
	}
	return t.State
}

// topupState says in words how far a top-up has come.
func topupState(t wire.Topup) string {
	card := t.Amount.Asset == money.USD
	switch {
	case topupBadge(t) == inSuspense:
		return "What arrived could not be credited by itself, and is kept. Ask an admin to assign it to you."
	case t.State == "open" && card:
		return "The card company has not reported a payment yet. Pay on the page that it opened; if you have closed that, make a new top-up: nothing is charged for this one."
	case t.State == "open":
		return "Nothing has arrived yet. A transfer is credited when the chain has made it final, some fifteen seconds after your wallet has sent it."
	case t.State == "expired" && card:
		return "The checkout is closed, and nothing was charged."
	case t.State == "expired":
		return "Nothing arrived in time. A transfer that is still on its way is credited all the same; for another one make a new top-up."
	case t.State == "refunded":
		return "All of it went back to the card."
	case t.State == "disputed":
		return "The card's owner disputes the payment. What is left of it is frozen until the card company has decided."
	case t.State == "charged-back":
		return "The card company took the payment back."
	}
	return "It is paid and credited."
}

// purse is a purse's name in words.
func purse(name string) string {
	return cmp.Or(map[string]string{"grant": "Granted credit", "card": "Paid by card", "usdc": "USDC", "io": "IO"}[name], name)
}

// transaction is the signature in a deposit's key.
func transaction(key string) string {
	signature, _, _ := strings.Cut(key, "/")
	return signature
}

// part is what kind of earnings a line is.
type part int

const (
	partEarned part = iota
	partHeld
	partPaused
	partInFlight
	partBlocked
)

func partOf(l payout.Line) part {
	switch {
	case l.Code == payout.HeldCard || l.Code == payout.HeldGrant:
		return partHeld
	case l.Code == payout.PricePaused:
		return partPaused
	case l.State == payout.Blocked:
		return partBlocked
	case l.Payout != "":
		return partInFlight
	}
	return partEarned
}

// String is the badge of a line.
func (p part) String() string {
	return [...]string{"earned", "held", "paused", "in flight", "blocked"}[p]
}
