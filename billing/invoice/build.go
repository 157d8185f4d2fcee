package invoice

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// Build makes the invoice from the journal's entries, which have to begin with the first one, since balances and meters do. A cluster is
// the account's if its hold was filled from the account. The cost is one pass; what it keeps grows with the account's leases alone.
func Build(order Order, entries iter.Seq[ledger.Entry]) (Invoice, error) {
	b := &builder{order: order, clusters: map[string]bool{}, leases: map[string]*lease{}, balances: map[money.Asset]*balance{}}
	b.own = map[string]bool{ledger.Tenant(order.Account): true, ledger.TenantCard(order.Account): true}
	for entry := range entries {
		if entry.Seq != b.last.Seq+1 {
			return Invoice{}, fmt.Errorf("%w: entry %d follows entry %d", ErrJournal, entry.Seq, b.last.Seq)
		}
		if !order.To.IsZero() && !entry.At.Before(order.To) {
			break
		}
		b.last = entry
		if err := b.take(entry); err != nil {
			return Invoice{}, fmt.Errorf("%w: entry %d: %w", ErrJournal, entry.Seq, err)
		}
	}
	invoice, err := b.finish()
	if err != nil {
		return Invoice{}, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return invoice, nil
}

type builder struct {
	order    Order
	begun    bool         // the period has
	first    ledger.Entry // of the period
	last     ledger.Entry // read
	own      map[string]bool
	clusters map[string]bool // the account's
	leases   map[string]*lease
	lines    []*lease // with minutes in the period
	balances map[money.Asset]*balance
}

// lease is a lease's meter from its first minute, and what of it falls into the period.
type lease struct {
	meter    meter.Lease
	line     Line
	use, fee int64 // micro-USD, in the period
}

// balance counts minor units.
type balance struct {
	before, now int64
	movements   []Movement
}

func (b *builder) take(entry ledger.Entry) error {
	b.adopt(entry)
	if !b.begun && !entry.At.Before(b.order.From) && (b.order.Cluster == "" || !b.order.From.IsZero() || touches(entry, ledger.Hold(b.order.Cluster))) {
		b.begun, b.first = true, entry
		for _, kept := range b.balances {
			kept.before = kept.now
		}
	}
	kind := entry.Kind
	if kind == meter.KindCharged || kind == meter.KindWaived {
		cluster, err := b.minute(entry)
		if err != nil {
			return err
		}
		if b.order.Cluster != "" && cluster != b.order.Cluster {
			kind = OtherCharges
		}
	}
	return b.move(entry, kind)
}

// adopt takes a hold for the account's that is filled from the account.
func (b *builder) adopt(entry ledger.Entry) {
	gives := func(p ledger.Posting) bool {
		return p.Amount.Sign() < 0 && (p.Account == ledger.Tenant(b.order.Account) || p.Account == ledger.TenantCard(b.order.Account))
	}
	if !slices.ContainsFunc(entry.Postings, gives) {
		return
	}
	for _, posting := range entry.Postings {
		if cluster, found := strings.CutPrefix(posting.Account, ledger.Hold("")); found && posting.Amount.Sign() > 0 {
			b.own[posting.Account], b.clusters[cluster] = true, true
		}
	}
}

func touches(entry ledger.Entry, account string) bool {
	return slices.ContainsFunc(entry.Postings, func(p ledger.Posting) bool { return p.Account == account })
}

// move adds what the entry does to the account's money as a whole: from purse to hold is no movement.
func (b *builder) move(entry ledger.Entry, kind string) error {
	deltas := map[money.Asset]int64{}
	for _, posting := range entry.Postings {
		if !b.own[posting.Account] {
			continue
		}
		sum, err := money.AddMinor(deltas[posting.Amount.Asset], posting.Amount.Minor)
		if err != nil {
			return err
		}
		deltas[posting.Amount.Asset] = sum
	}
	for asset, delta := range deltas {
		if err := b.add(asset, kind, delta); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) add(asset money.Asset, kind string, delta int64) error {
	kept := b.balances[asset]
	if kept == nil {
		kept = &balance{}
		b.balances[asset] = kept
	}
	if delta == 0 {
		return nil
	}
	now, err := money.AddMinor(kept.now, delta)
	if err != nil {
		return err
	}
	kept.now = now
	if !b.begun {
		return nil
	}
	place := slices.IndexFunc(kept.movements, func(m Movement) bool { return m.Kind == kind })
	if place < 0 {
		place = len(kept.movements)
		kept.movements = append(kept.movements, Movement{Kind: kind, Amount: money.Amount{Asset: asset}})
	}
	m := &kept.movements[place]
	m.Entries++
	m.Amount.Minor, err = money.AddMinor(m.Amount.Minor, delta)
	return err
}

// minute settles a minute of one of the account's clusters again, and names its cluster.
func (b *builder) minute(entry ledger.Entry) (cluster string, err error) {
	if cluster, found := clusterOf(entry.Note); found && !b.clusters[cluster] {
		return cluster, nil
	}
	var note meter.MinuteNote
	if err := json.Unmarshal(entry.Note, &note); err != nil {
		return "", fmt.Errorf("note of a minute: %w", err)
	}
	if !b.clusters[note.Cluster] {
		return note.Cluster, nil
	}
	l := b.leases[note.Lease]
	if l == nil {
		if l, err = b.begin(note); err != nil {
			return "", err
		}
		b.leases[note.Lease] = l
	}
	inside := b.begun && (b.order.Cluster == "" || b.order.Cluster == note.Cluster)
	if inside && l.line.Charged+l.line.Waived == 0 {
		b.lines = append(b.lines, l)
	}
	if entry.Kind == meter.KindWaived {
		if inside {
			l.line.Waived++
		}
		return note.Cluster, l.meter.Waive(note.Ordinal)
	}
	return note.Cluster, l.charge(entry, note, inside)
}

// clusterOf looks at how a note begins: most notes of a journal are other people's and need no reading.
func clusterOf(note []byte) (cluster string, found bool) {
	rest, found := bytes.CutPrefix(note, []byte(`{"cluster":"`))
	if !found {
		return "", false
	}
	id, _, found := bytes.Cut(rest, []byte(`"`))
	return string(id), found
}

func (b *builder) begin(note meter.MinuteNote) (*lease, error) {
	purse := exchange.Purse(note.Purse)
	if purse == "" {
		purse = exchange.Grant // before there were purses, all credit was granted
	}
	if _, err := exchange.ParsePurse(string(purse)); err != nil {
		return nil, err
	}
	return &lease{
		meter: meter.Lease{Rate: note.Rate, FeeBasisPoints: note.FeeBasisPoints},
		line: Line{Cluster: note.Cluster, ClusterName: b.order.Names[note.Cluster], Lease: note.Lease, Node: note.Node, Machine: note.Machine,
			Purse: purse, Rate: note.Rate, FeeBasisPoints: note.FeeBasisPoints, Paid: money.Amount{Asset: purse.Asset()}},
	}, nil
}

func (l *lease) charge(entry ledger.Entry, note meter.MinuteNote, inside bool) error {
	use, fee, err := l.meter.Charge(note.Ordinal)
	if err != nil {
		return err
	}
	cost, err := money.AddMinor(use, fee)
	if l.line.Purse == exchange.IO {
		cost, err = money.ToIO(use, note.Price)
	}
	if err != nil {
		return err
	}
	paid := money.Amount{Minor: -cost, Asset: l.line.Paid.Asset}
	for _, posting := range entry.Postings {
		if posting.Account != ledger.Hold(note.Cluster) {
			continue
		}
		if paid, err = paid.Sub(posting.Amount); err != nil {
			return err
		}
	}
	if paid.Sign() != 0 {
		return fmt.Errorf("minute %d of lease %s costs %v, which is not what its hold paid", note.Ordinal, note.Lease, money.Amount{Minor: cost, Asset: paid.Asset})
	}
	if !inside {
		return nil
	}
	l.line.Charged++
	l.line.Prices = l.line.Prices.with(note.Price, note.PriceID)
	return sums(&l.use, use, &l.fee, fee, &l.line.Paid.Minor, cost)
}

// sums adds to each first number the second.
func sums(a *int64, x int64, b *int64, y int64, c *int64, z int64) (err error) {
	for _, pair := range [...]struct {
		to  *int64
		add int64
	}{{a, x}, {b, y}, {c, z}} {
		if *pair.to, err = money.AddMinor(*pair.to, pair.add); err != nil {
			return err
		}
	}
	return nil
}

func (p *Prices) with(value money.Price, id uint64) *Prices {
	if value == 0 {
		return p
	}
	if p == nil {
		return &Prices{Low: value, High: value, FirstID: id, LastID: id}
	}
	return &Prices{Low: min(p.Low, value), High: max(p.High, value), FirstID: min(p.FirstID, id), LastID: max(p.LastID, id)}
}

func (b *builder) finish() (Invoice, error) {
	o := b.order
	invoice := Invoice{Number: o.Number, IssuedAt: o.IssuedAt.UTC(), Issuer: o.Issuer, Customer: o.Customer, Account: o.Account, Cluster: o.Cluster,
		From: orElse(o.From, b.first.At), To: orElse(o.To, b.last.At), Lines: []Line{}, Totals: []Total{}, Balances: []Balance{}}
	if !b.begun { // nothing happened in the period
		for _, kept := range b.balances {
			kept.before = kept.now
		}
		b.first.Seq = b.last.Seq + 1
	}
	invoice.Journal = Range{First: b.first.Seq, Last: b.last.Seq, Hash: b.last.Hash}
	totals := map[money.Asset]*Total{}
	place := map[string]int{}
	for _, l := range b.lines {
		if _, found := place[l.line.Cluster]; !found {
			place[l.line.Cluster] = len(place)
		}
		asset := l.line.Paid.Asset
		l.line.Use, l.line.Fee = money.MicroUSD(l.use), money.Amount{Minor: l.fee, Asset: asset}
		if totals[asset] == nil {
			totals[asset] = &Total{money.MicroUSD(0), money.Amount{Asset: asset}, money.Amount{Asset: asset}}
		}
		t := totals[asset]
		if err := sums(&t.Use.Minor, l.use, &t.Fee.Minor, l.fee, &t.Paid.Minor, l.line.Paid.Minor); err != nil {
			return Invoice{}, err
		}
		invoice.Lines = append(invoice.Lines, l.line)
	}
	slices.SortStableFunc(invoice.Lines, func(a, b Line) int { return cmp.Compare(place[a.Cluster], place[b.Cluster]) })
	for _, asset := range [...]money.Asset{money.USD, money.USDC, money.IO} {
		if t := totals[asset]; t != nil {
			invoice.Totals = append(invoice.Totals, *t)
		}
		if kept := b.balances[asset]; kept != nil && (kept.before != 0 || kept.now != 0 || len(kept.movements) > 0) {
			invoice.Balances = append(invoice.Balances, Balance{Before: money.Amount{Minor: kept.before, Asset: asset}, Movements: append([]Movement{}, kept.movements...),
				After: money.Amount{Minor: kept.now, Asset: asset}})
		}
	}
	invoice.numbered()
	return invoice, nil
}

func orElse(at, other time.Time) time.Time {
	if at.IsZero() {
		return other
	}
	return at.UTC()
}
