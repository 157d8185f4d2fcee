package verify

import (
	"slices"
	"strings"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
)

// kind says which accounts the entries of one kind may take from and give to. A name that ends in a
// colon stands for all that begin with it.
type kind struct{ debits, credits []string }

// What several kinds touch.
const (
	tenants     = "tenant:"
	tenantCards = "tenant-card:"
	holds       = "hold:"
	suppliers   = "supplier:"
	lots        = "lot:"
	burnLot     = "lot:burn" // IO that a buy-back bought
	payouts     = "payout:"
	disputes    = "dispute:" // card money that a dispute froze
	refunds     = "refund:"  // card money on its way back
	cardLoss    = ledger.TreasuryCard + "-loss"
)

// kinds are all kinds that move money, but for the charged minute, whose postings are derived. What
// is not in this table moves nothing.
func kinds() map[string]kind {
	earned := []string{suppliers, "supplier-grant:", "supplier-card:"}
	fx := []string{ledger.FxIn, ledger.FxOut}
	return map[string]kind{
		"grant":       {[]string{ledger.Grants}, []string{tenants}},
		"hold":        {[]string{tenants, tenantCards}, []string{holds}},
		"hold.refill": {[]string{tenants, tenantCards}, []string{holds}},

		// Out of a hold back to its tenant, or of what waits for a lot to who earned it: see rest.
		"release":           {[]string{holds, lots, "supplier-grant:", "supplier-card:"}, []string{tenants, tenantCards, suppliers, ledger.FxIn}},
		exchange.KindResume: {append([]string{"supplier-paused:"}, fx...), slices.Concat(earned, fx, []string{ledger.Fees})},

		"deposit":         {[]string{ledger.TreasuryChain}, []string{tenants, lots, ledger.Suspense}},
		"suspense.assign": {[]string{ledger.Suspense}, []string{tenants, lots}},
		"payout.reserve":  {[]string{suppliers, tenants, lots, ledger.Suspense}, []string{payouts}},
		"payout.paid":     {[]string{payouts}, []string{ledger.TreasuryChain}},
		"payout.release":  {[]string{payouts}, []string{suppliers, tenants, lots, ledger.Suspense}},
		"swap": {slices.Concat([]string{ledger.Fees, ledger.Suspense, ledger.TreasuryChain}, fx),
			slices.Concat([]string{burnLot, ledger.TreasuryChain}, fx)},
		"burn": {[]string{burnLot}, []string{ledger.TreasuryChain}},

		"card.topup":                 {[]string{ledger.TreasuryCard}, []string{tenantCards}},
		"card.refund":                {[]string{tenantCards}, []string{refunds, ledger.TreasuryCard}},
		"card.refunded":              {[]string{refunds}, []string{ledger.TreasuryCard}},
		"card.refund-failed":         {[]string{refunds, ledger.TreasuryCard}, []string{tenantCards}},
		"card.refund-outside":        {[]string{tenantCards, cardLoss}, []string{ledger.TreasuryCard}},
		"card.refund-outside-failed": {[]string{ledger.TreasuryCard}, []string{tenantCards, cardLoss}},
		"card.dispute":               {[]string{tenantCards, cardLoss}, []string{disputes, ledger.TreasuryCard}},
		"card.freeze":                {[]string{tenantCards}, []string{disputes}},
		"card.dispute-won":           {[]string{disputes, ledger.TreasuryCard}, []string{tenantCards}},
		"card.dispute-lost":          {[]string{tenantCards, disputes, cardLoss}, []string{tenantCards, ledger.TreasuryCard}},
		"card.recovered":             {[]string{tenantCards, disputes}, []string{cardLoss}},
	}
}

// covers says whether the list names the account.
func covers(list []string, account string) bool {
	return slices.ContainsFunc(list, func(name string) bool {
		return account == name || (strings.HasSuffix(name, ":") && strings.HasPrefix(account, name))
	})
}
