package dashboard

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"html/template"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/exchange"
	"raylink/billing/money"
	"raylink/billing/solanapay/qr"
	"raylink/raylink"
	"raylink/raylink/wire"
)

const (
	refreshPaying = 3  // seconds between two looks at a top-up that is open
	shownTopups   = 20 // the newest
	byCard        = "card"
)

type balancePage struct {
	wire.Balance
	Own      bool
	Pays     bool // tops up and has clusters: not a supplier
	Clusters []wire.Cluster
	Purses   []purseLine
	CapEnds  time.Duration // until today's cap is used up at what runs now; 0: not today
	Price    *wire.Price   // where something is paid in IO
	Topups   []wire.Topup
	Earlier  int // top-ups that are not shown
	Form     topupForm
}

// purseLine is a purse and how long it lasts.
type purseLine struct {
	wire.Purse
	Running  int
	PerHour  money.Amount  // of what runs, with the fee, in the purse's asset
	LastsFor time.Duration // until RunsOutAt
	Unknown  bool          // there is no price to tell by
	Halt     string        // why only what is held counts
}

type topupForm struct {
	Means
	Once          string // the account's newest top-up: the same form sent twice opens one
	Amount, Asset string
	Trouble       *raylink.Error
}

func (d *Dashboard) balance(c *gin.Context, who *visitor) (view, error) {
	if id := c.Query("topup"); id != "" { // the card company sends payers here
		if t, err := d.source.Topup(who.Account, who.Role, id); err == nil {
			return view{to: "/ui/topups/" + t.ID}, nil
		}
	}
	account := raylink.AccountID(cmp.Or(c.Query("account"), string(who.Account)))
	if account != who.Account && !who.admin() {
		return view{}, raylink.Errorf(raylink.CodeForbidden, "only an admin may see another account's balance")
	}
	return d.balanceOf(account, who, topupForm{})
}

func (d *Dashboard) balanceOf(account raylink.AccountID, who *visitor, form topupForm) (view, error) {
	b, err := d.source.Balance(account)
	if err != nil {
		return view{}, err
	}
	p := balancePage{Balance: b, Own: account == who.Account, Pays: who.Role != raylink.RoleSupplier}
	v := view{name: "balance", title: "Balance", section: "/ui/balance", refresh: refreshCalm, typed: p.Own && p.Pays}
	if !p.Own {
		v.section = "/ui/accounts"
	}
	if p.Pays {
		if err := d.fillPurses(&p); err != nil {
			return view{}, err
		}
		p.Topups = d.source.Topups(account)
		if len(p.Topups) > 0 {
			form.Once = p.Topups[0].ID
		}
		form.Means = d.source.Means()
		p.Earlier = max(len(p.Topups)-shownTopups, 0)
		p.Topups = p.Topups[:len(p.Topups)-p.Earlier]
	}
	p.Form, v.data = form, &p
	return v, nil
}

// fillPurses tells what each purse pays for and how long it lasts, and when today's cap is used up.
func (d *Dashboard) fillPurses(p *balancePage) error {
	clusters, pays := d.source.Clusters(p.Account, raylink.RoleTenant), d.source.Purses(p.Account)
	by := map[string][]wire.Cluster{}
	for _, cl := range clusters {
		purse := cmp.Or(pays[cl.ID], string(exchange.Grant))
		by[purse] = append(by[purse], cl)
		if cl.Hold.Sign() != 0 || cl.Spent.Sign() != 0 {
			p.Clusters = append(p.Clusters, cl)
		}
	}
	all := int64(0)
	for _, purse := range p.Balance.Purses {
		line := purseLine{Purse: purse}
		n, perHour, err := running(by[purse.Purse])
		if err != nil {
			return err
		}
		fee, err := money.Fee(perHour.Minor, exchange.Purse(purse.Purse).FeeBasisPoints())
		if err != nil {
			return err
		}
		line.Running, line.PerHour = n, money.Amount{Minor: perHour.Minor + fee, Asset: purse.Free.Asset}
		all += line.PerHour.Minor
		if n > 0 && purse.Free.Asset == money.IO {
			now := d.source.Price()
			p.Price = &now
			if err := line.inIO(now); err != nil {
				return err
			}
		}
		if purse.RunsOutAt != nil {
			line.LastsFor = time.Until(*purse.RunsOutAt).Round(time.Minute)
		}
		p.Purses = append(p.Purses, line)
	}
	if p.Cap != nil && all > 0 {
		left := time.Duration(min(max(p.Cap.PerDay.Minor-p.Cap.Today.Minor, 0)/max(all/60, 1), 24*60)) * time.Minute
		if now := time.Now().UTC(); now.Add(left).Format(time.DateOnly) == now.Format(time.DateOnly) {
			p.CapEnds = max(left, time.Minute)
		}
	}
	return nil
}

// inIO turns an hour's cost into IO: at the price that is believed, or else the last one that was; then only what is held is used up.
func (l *purseLine) inIO(now wire.Price) (err error) {
	at := now.Price
	if now.Halt != "" {
		l.Halt = now.Halt
		if at = 0; now.Last != nil {
			at = now.Last.Price
		}
	}
	if at <= 0 {
		l.Unknown, l.PerHour.Minor = true, 0
		return nil
	}
	l.PerHour.Minor, err = money.ToIO(l.PerHour.Minor, at)
	return err
}

// openTopup takes the form of the balance page.
func (d *Dashboard) openTopup(c *gin.Context, who *visitor) (view, error) {
	in := c.Request.PostForm
	form := topupForm{Amount: strings.TrimSpace(in.Get("amount")), Asset: in.Get("asset")}
	r, err := form.read()
	var t wire.Topup
	if err == nil {
		// What was asked for belongs to the key: two windows that ask for different things get both.
		sum := sha256.Sum256([]byte(strings.Join([]string{who.session.ID, in.Get("once"), r.Amount.String(), form.Asset}, "\n")))
		t, err = d.source.OpenTopup(c.Request.Context(), who.Account, "page-"+hex.EncodeToString(sum[:16]), r)
	}
	if err != nil {
		if form.Trouble = raylink.AsError(err); form.Trouble.Code == raylink.CodeInternal {
			return view{}, err
		}
		v, err := d.balanceOf(who.Account, who, form)
		v.status, v.refresh = form.Trouble.Code.HTTPStatus(), 0 // fetched again it would be another page
		return v, err
	}
	if !r.Card || t.State != "open" {
		return view{to: "/ui/topups/" + t.ID}, nil
	}
	if !web(t.URL) {
		return view{}, raylink.Errorf(raylink.CodeUnavailable, "the card company gave no page to pay on").WithHint("try again in a minute; nothing was charged")
	}
	// No redirect: browsers hold the answers to forms to the page's own policy, which names no other site.
	return view{name: "leave", title: "Pay by card", section: "/ui/balance", leave: t.URL, data: t}, nil
}

// read is what the form asks for.
func (f topupForm) read() (wire.TopupRequest, error) {
	asset := map[string]money.Asset{"usdc": money.USDC, "io": money.IO, byCard: money.USD}[f.Asset]
	if asset == "" {
		return wire.TopupRequest{}, raylink.Errorf(raylink.CodeInvalid, "choose what to pay with")
	}
	amount, err := money.Parse(f.Amount + " " + string(asset))
	if err != nil || amount.Sign() <= 0 {
		return wire.TopupRequest{}, raylink.Errorf(raylink.CodeInvalid, "%.40q is no amount of %s to pay in", f.Amount, asset).
			WithHint("write digits, with a point before parts of one and at most %d behind it: 12.50", asset.Decimals())
	}
	return wire.TopupRequest{Amount: amount, Card: f.Asset == byCard}, nil
}

type topupPage struct {
	wire.Topup
	Card    bool
	Pay     template.URL  // for a wallet; empty where nothing is to be paid
	QR      template.HTML // the same, to be scanned
	OwnerIs string        // admins only
}

func (d *Dashboard) topup(c *gin.Context, who *visitor) (view, error) {
	t, err := d.source.Topup(who.Account, who.Role, c.Param("id"))
	if err != nil {
		return view{}, err
	}
	p := topupPage{Topup: t, Card: t.Amount.Asset == money.USD}
	if who.admin() && t.Account != who.Account {
		p.OwnerIs = d.owners(who).Of(t.Account)
	}
	v := view{name: "topup", title: "Top-up", section: "/ui/balance", data: &p}
	if t.State == "open" || t.State == "expired" && !p.Card { // what comes late is taken all the same
		v.refresh = refreshPaying
	}
	if t.State == "open" && strings.HasPrefix(t.URL, "solana:") {
		picture, err := qr.SVG(t.URL)
		if err != nil {
			return view{}, err
		}
		p.Pay, p.QR = template.URL(t.URL), template.HTML(picture) // the one begins as checked, the other is numbers of our own
	}
	return v, nil
}
