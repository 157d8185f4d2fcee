package dashboard

import (
	"cmp"
	"context"
	"slices"
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
	if d.source.Fetching != nil {
		ctx, cancel := context.WithTimeout(c.Request.Context(), leaderLimit)
		defer cancel()
		cl = d.source.Fetching(ctx, cl)
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
	Earlier int  // minutes that are not shown
	Priced  bool // some minute has a price of IO
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
		priced := slices.ContainsFunc(l.Minutes, func(m wire.BillMinute) bool { return m.PriceIO > 0 || m.Halt != "" })
		p.Lines = append(p.Lines, billLine{l, cut, priced})
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

func (d *Dashboard) group(c *gin.Context, _ *visitor) (view, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), leaderLimit)
	defer cancel()
	return view{name: "group", title: "Group", section: "/ui/group", refresh: refreshCalm, data: d.source.Status(ctx)}, nil
}

func (d *Dashboard) accounts(*gin.Context, *visitor) (view, error) {
	return view{name: "accounts", title: "Accounts", section: "/ui/accounts", refresh: refreshCalm, data: d.source.Accounts()}, nil
}
