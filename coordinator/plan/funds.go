package plan

import (
	"fmt"
	"strings"

	"raylink/billing/money"
	"raylink/coordinator/state"
)

// usedUp is why a cluster ends that reached the most that it may cost, or its account the most that it may spend today.
func usedUp(c *state.Cluster, r state.Runway) string {
	if r.ByCap {
		return "the account's cap for today is used up"
	}
	return fmt.Sprintf("its budget is used up: it was agreed to cost at most %s; a new quote agrees to another sum (`--budget`)", money.MicroUSD(c.Budget))
}

// lastsFor warns before that. A budget is used up while the purse holds more: who has topped up reads that it takes his word as well.
func lastsFor(c *state.Cluster, r state.Runway) string {
	if r.ByCap {
		return fmt.Sprintf("the account's cap for today lasts for %d minutes or less; raise it (`raylink budget set`), or the cluster ends in order", WarnRunway)
	}
	return fmt.Sprintf("its budget, at most %s in all, lasts for %d minutes or less; there is more in the purse, and `raylink budget cluster %s AMOUNT` lets it be spent, or the cluster ends in order",
		money.MicroUSD(c.Budget), WarnRunway, c.Spec.Name)
}

// alarms are the parts of budget and cap that are spent, where their owner wants to hear of it.
func alarms(s *state.State, c *state.Cluster) string {
	var list []string
	if s.Alarmed(c) {
		list = append(list, fmt.Sprintf("%d %% of its budget is spent, which is %s in all; `raylink budget cluster %s AMOUNT` changes it", c.AlarmAt(), money.MicroUSD(c.Budget), c.Spec.Name))
	}
	if limit, today := s.CapOf(c.Owner); limit.Alarm > 0 && limit.PerDay > 0 && today >= limit.PerDay/100*limit.Alarm {
		list = append(list, fmt.Sprintf("%d %% of the account's cap for today is spent", limit.Alarm))
	}
	return strings.Join(list, "; ")
}
