package dashboard

import (
	"cmp"
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Seconds between two looks at a page that is open.
const (
	refreshBusy = 1 // something is under way
	refreshCalm = 5
)

const (
	feeBasisPoints   = 200 // 2 %, for the estimate only: bills come with their own
	overviewClusters = 6
	billMinutes      = 240 // the newest of each line; a day of a few nodes would make a page of megabytes
)

type overview struct {
	Balance  wire.Balance
	Clusters []wire.Cluster // the newest
	All      int
	Running  int
	PerHour  money.Amount // of the running ones
	Machines []wire.Machine
	Up       int
	Owners   owners
	Status   *wire.Status // admins only
}

func (d *Dashboard) overview(c *gin.Context, who *visitor) (view, error) {
	balance, err := d.source.Balance(who.Account)
	if err != nil {
		return view{}, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), leaderLimit)
	defer cancel()
	o := overview{Balance: balance, Machines: d.source.Machines(ctx, who.Account, who.Role), Owners: d.owners(who)}
	for _, m := range o.Machines {
		if m.State == "up" {
			o.Up++
		}
	}
	v := view{name: "overview", title: "Overview", section: "/ui", refresh: refreshCalm}
	if who.Role != raylink.RoleSupplier {
		clusters := d.source.Clusters(who.Account, who.Role)
		o.All, o.Clusters = len(clusters), clusters[:min(len(clusters), overviewClusters)]
		if o.Running, o.PerHour, err = running(clusters); err != nil {
			return view{}, err
		}
		v.refresh = pace(clusters...)
	}
	if who.admin() {
		status := d.source.Status(ctx)
		o.Status = &status
	}
	v.data, v.refresh = o, cmp.Or(v.refresh, refreshCalm)
	return v, nil
}

// running counts the clusters that are not over, and what they cost an hour.
func running(clusters []wire.Cluster) (n int, perHour money.Amount, err error) {
	perHour = money.MicroUSD(0)
	for _, cl := range clusters {
		if cl.Phase.Over() {
			continue
		}
		n++
		if perHour, err = perHour.Add(cl.PerHour); err != nil {
			return n, perHour, err
		}
	}
	return n, perHour, nil
}

// pace is how often a page with these clusters looks again.
func pace(clusters ...wire.Cluster) int {
	every := 0
	for _, cl := range clusters {
		switch {
		case cl.Phase.Over():
		case cl.Phase == raylink.PhaseReady:
			every = cmp.Or(every, refreshCalm)
		default:
			return refreshBusy
		}
	}
	return every
}

// owners are the accounts' names, for admins.
type owners map[raylink.AccountID]string

// Of is the account's name, or its id.
func (o owners) Of(id raylink.AccountID) string { return cmp.Or(o[id], string(id)) }

func (d *Dashboard) owners(who *visitor) owners {
	if !who.admin() {
		return nil
	}
	names := owners{}
	for _, a := range d.source.Accounts() {
		names[a.ID] = a.Name
	}
	return names
}

type clusterList struct {
	Clusters []wire.Cluster
	Owners   owners
}

func (d *Dashboard) clusters(_ *gin.Context, who *visitor) (view, error) {
	list := d.source.Clusters(who.Account, who.Role)
	return view{name: "clusters", title: "Clusters", section: "/ui/clusters", refresh: cmp.Or(pace(list...), refreshCalm), data: clusterList{list, d.owners(who)}}, nil
}

type clusterPage struct {
	wire.Cluster
	Steps   []step
	OwnerIs string // admins only
}

func (d *Dashboard) cluster(c *gin.Context, who *visitor) (view, error) {
	cl, err := d.source.Cluster(who.Account, who.Role, c.Param("id"))
	if err != nil {
		return view{}, err
	}
	p := clusterPage{Cluster: cl, Steps: steps(cl, time.Now())}
	if who.admin() {
		p.OwnerIs = d.owners(who).Of(cl.Owner)
	}
	return view{name: "cluster", title: cl.Name, section: "/ui/clusters", refresh: pace(cl), data: p}, nil
}

type billPage struct {
	wire.Bill
	Lines []billLine
}

type billLine struct {
	wire.BillLine
	Earlier int // minutes that are not shown
}

func (d *Dashboard) bill(c *gin.Context, who *visitor) (view, error) {
	cl, err := d.source.Cluster(who.Account, who.Role, c.Param("id"))
	if err != nil {
		return view{}, err
	}
	b, err := d.source.Bill(cl.ID)
	if err != nil {
		return view{}, err
	}
	p := billPage{Bill: b}
	for _, l := range b.Lines {
		cut := max(len(l.Minutes)-billMinutes, 0)
		l.Minutes = l.Minutes[cut:]
		p.Lines = append(p.Lines, billLine{l, cut})
	}
	v := view{name: "bill", title: "Bill of " + b.Name, section: "/ui/clusters", data: p}
	if !b.Final {
		v.refresh = refreshCalm
	}
	return v, nil
}

type machineList struct {
	Machines []wire.Machine
	Owners   owners
	Role     raylink.Role
}

func (d *Dashboard) machines(c *gin.Context, who *visitor) (view, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), leaderLimit)
	defer cancel()
	list := machineList{d.source.Machines(ctx, who.Account, who.Role), d.owners(who), who.Role}
	return view{name: "machines", title: "Machines", section: "/ui/machines", refresh: refreshCalm, data: list}, nil
}

type balancePage struct {
	wire.Balance
	Own      bool
	Clusters []wire.Cluster // that still hold or have cost something
	Running  int
	PerHour  money.Amount
	LastsFor time.Duration // of what is free and held, at what runs now; 0: nothing runs
}

func (d *Dashboard) balance(c *gin.Context, who *visitor) (view, error) {
	account := raylink.AccountID(cmp.Or(c.Query("account"), string(who.Account)))
	if account != who.Account && !who.admin() {
		return view{}, raylink.Errorf(raylink.CodeForbidden, "only an admin may see another account's balance")
	}
	b, err := d.source.Balance(account)
	if err != nil {
		return view{}, err
	}
	p := balancePage{Balance: b, Own: account == who.Account}
	clusters := d.source.Clusters(account, raylink.RoleTenant)
	if p.Running, p.PerHour, err = running(clusters); err != nil {
		return view{}, err
	}
	for _, cl := range clusters {
		if cl.Hold.Sign() != 0 || cl.Spent.Sign() != 0 {
			p.Clusters = append(p.Clusters, cl)
		}
	}
	if p.LastsFor, err = lasting(b, p.PerHour); err != nil {
		return view{}, err
	}
	v := view{name: "balance", title: "Balance", section: "/ui/balance", refresh: refreshCalm, data: p}
	if !p.Own {
		v.section = "/ui/accounts"
	}
	return v, nil
}

// lasting is how long a balance lasts at a price without fee, in whole minutes.
func lasting(b wire.Balance, perHour money.Amount) (time.Duration, error) {
	fee, err := money.Fee(perHour.Minor, feeBasisPoints)
	if err != nil || perHour.Minor == 0 {
		return 0, err
	}
	// By its dollars, of which a USDC is one; what is in IO comes on top.
	have := money.Amount{Asset: money.USD}
	for _, sums := range []wire.Sums{b.Free, b.Held} {
		for _, asset := range []money.Asset{money.USD, money.USDC} {
			if have.Minor, err = money.AddMinor(have.Minor, sums.Of(asset).Minor); err != nil {
				return 0, err
			}
		}
	}
	minutes := have.Minor / max((perHour.Minor+fee)/60, 1)
	return time.Duration(min(minutes, 10*365*24*60)) * time.Minute, nil
}

func (d *Dashboard) group(c *gin.Context, _ *visitor) (view, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), leaderLimit)
	defer cancel()
	return view{name: "group", title: "Group", section: "/ui/group", refresh: refreshCalm, data: d.source.Status(ctx)}, nil
}

func (d *Dashboard) accounts(*gin.Context, *visitor) (view, error) {
	return view{name: "accounts", title: "Accounts", section: "/ui/accounts", refresh: refreshCalm, data: d.source.Accounts()}, nil
}
