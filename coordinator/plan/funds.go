package plan

import (
	"fmt"

	"raylink/billing/money"
	"raylink/coordinator/state"
)

// usedUp is why a cluster ends that reached the most that it may cost, or its account the most that it may spend today.
func usedUp(c *state.Cluster, r state.Runway) string {
	if r.ByCap {
		return "the account's cap for today is used up"
	}
	return fmt.Sprintf("its budget is used up: it was agreed to cost at most %s", money.MicroUSD(c.Budget))
}

// lastsFor warns before that. A budget is used up while the purse holds more: who has topped up reads that it takes his word as well.
func lastsFor(c *state.Cluster, r state.Runway) string {
	if r.ByCap {
		return fmt.Sprintf("the account's cap for today lasts for %d minutes or less; raise it (`raylink budget set`), or the cluster ends in order", WarnRunway)
	}
	return fmt.Sprintf("its budget, at most %s in all, lasts for %d minutes or less; there is more in the purse, and `raylink budget cluster %s AMOUNT` lets it be spent, or the cluster ends in order",
		money.MicroUSD(c.Budget), WarnRunway, c.Spec.Name)
}
