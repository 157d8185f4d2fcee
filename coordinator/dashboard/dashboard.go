// Package dashboard is a coordinator's web pages: machines, clusters with their stages, bills, money in and out, the group. They are made on the
// server, work without JavaScript and without the Internet, and show to each access token what the API would show it. The one thing that they change
// is to open a top-up; all else is done by the commands that they name.
package dashboard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

//go:embed templates assets
var files embed.FS

// leaderLimit bounds how long a page waits for what only the leader knows; without it the page says less, but comes.
const leaderLimit = 2 * time.Second

// Source is what the pages show. Every function must be safe for concurrent use. The dashboard asks only for what a role may see; Clusters, Cluster and
// Machines hold back what an account may not see.
type Source struct {
	Who      func(tokenHash string) (wire.WhoAmI, error) // whose access token has this hash (identity.HashToken); an error once it is revoked or expired
	Status   func(ctx context.Context) wire.Status
	Machines func(ctx context.Context, account raylink.AccountID, role raylink.Role) []wire.Machine
	Clusters func(account raylink.AccountID, role raylink.Role) []wire.Cluster
	Cluster  func(account raylink.AccountID, role raylink.Role, ref string) (wire.Cluster, error)
	Fetching func(ctx context.Context, cl wire.Cluster) wire.Cluster // adds how far its image has come; nil adds nothing
	Bill     func(id raylink.ClusterID) (wire.Bill, error)
	Balance  func(id raylink.AccountID) (wire.Balance, error)
	Accounts func() []wire.Account
	Earnings func(id raylink.AccountID) wire.Earnings
	Treasury func() wire.Treasury
	Price    func() wire.Price
	Till
}

// Till is how an account's money comes in, and what it is spent from.
type Till struct {
	Means     func() Means
	Purses    func(owner raylink.AccountID) map[raylink.ClusterID]string // what each of an account's clusters pays from
	Topups    func(id raylink.AccountID) []wire.Topup                    // newest first
	Topup     func(account raylink.AccountID, role raylink.Role, id string) (wire.Topup, error)
	OpenTopup func(ctx context.Context, account raylink.AccountID, key string, r wire.TopupRequest) (wire.Topup, error) // once for each key
}

// Means are the ways in which money can be paid in.
type Means struct {
	Assets []money.Asset // tokens that the treasury has an account for
	Cards  bool
}

// Dashboard serves the pages.
type Dashboard struct {
	source   Source
	log      *slog.Logger
	sessions *sessions
	pages    map[string]*template.Template
	assets   map[string]asset
}

type asset struct {
	kind, version string
	content       []byte
}

// New makes a dashboard. Coordinators with the same key (32 bytes, secret) accept each other's sessions.
func New(source Source, key []byte, log *slog.Logger) (*Dashboard, error) {
	s, err := newSessions(key)
	if err != nil {
		return nil, err
	}
	d := &Dashboard{source: source, log: log, sessions: s, pages: map[string]*template.Template{}, assets: map[string]asset{}}
	if err := d.readAssets(); err != nil {
		return nil, err
	}
	return d, d.readTemplates()
}

func (d *Dashboard) readAssets() error {
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		return fmt.Errorf("reading the dashboard's assets: %w", err)
	}
	for _, e := range entries {
		content, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			return fmt.Errorf("reading the dashboard's assets: %w", err)
		}
		sum := sha256.Sum256(content)
		d.assets[e.Name()] = asset{kind: kindOf(e.Name()), version: base64.RawURLEncoding.EncodeToString(sum[:9]), content: content}
	}
	return nil
}

// kindOf is an asset's content type; the machine's own table of types may say anything.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}

// readTemplates gives each page its own set: the layout, the parts, and the page's body.
func (d *Dashboard) readTemplates() error {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return fmt.Errorf("reading the dashboard's templates: %w", err)
	}
	for _, name := range names {
		base := path.Base(name)
		if base == "layout.html" || base == "parts.html" {
			continue
		}
		t, err := template.New("layout.html").Funcs(d.functions()).ParseFS(files, "templates/layout.html", "templates/parts.html", name)
		if err != nil {
			return fmt.Errorf("reading the dashboard's templates: %w", err)
		}
		d.pages[base[:len(base)-len(".html")]] = t
	}
	return nil
}

// Routes puts the pages under /ui of r.
func (d *Dashboard) Routes(r *gin.Engine) {
	r.GET("/", func(c *gin.Context) { c.Redirect(http.StatusSeeOther, "/ui") })
	ui := r.Group("/ui", headers)
	ui.GET("/assets/:file", d.getAsset)
	ui.GET("/sign-in", d.getSignIn)
	ui.POST("/sign-in", d.postSignIn)
	ui.POST("/sign-out", d.postSignOut)

	ui.GET("", d.page(d.overview))
	ui.GET("/clusters", d.page(d.clusters, raylink.RoleTenant, raylink.RoleAdmin))
	ui.GET("/clusters/:id", d.page(d.cluster, raylink.RoleTenant, raylink.RoleAdmin))
	ui.GET("/clusters/:id/bill", d.page(d.bill, raylink.RoleTenant, raylink.RoleAdmin))
	ui.GET("/machines", d.page(d.machines))
	ui.GET("/balance", d.page(d.balance))
	ui.GET("/topups", func(c *gin.Context) { c.Redirect(http.StatusSeeOther, "/ui/balance") })
	ui.POST("/topups", d.act(d.openTopup, "/ui/balance", raylink.RoleTenant, raylink.RoleAdmin))
	ui.GET("/topups/:id", d.page(d.topup, raylink.RoleTenant, raylink.RoleAdmin))
	ui.GET("/earnings", d.page(d.earnings))
	ui.GET("/treasury", d.page(d.treasury, raylink.RoleAdmin))
	ui.GET("/group", d.page(d.group, raylink.RoleAdmin))
	ui.GET("/accounts", d.page(d.accounts, raylink.RoleAdmin))
}

// headers keep the pages to themselves: nothing from elsewhere runs in them, nobody frames them, nothing of them is stored or told to others.
func headers(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

func (d *Dashboard) getAsset(c *gin.Context) {
	a, ok := d.assets[c.Param("file")]
	if !ok {
		d.refuse(c, nil, raylink.Errorf(raylink.CodeNotFound, "there is no such file"))
		return
	}
	if c.Query("v") == a.version {
		c.Header("Cache-Control", "public, max-age=31536000, immutable")
	}
	c.Data(http.StatusOK, a.kind, a.content)
}

// visitor is who looks at a page.
type visitor struct {
	wire.WhoAmI
	session session
}

func (v *visitor) admin() bool { return v.Role == raylink.RoleAdmin }

// view is one page before it is drawn.
type view struct {
	name    string // of the template
	title   string
	section string // of the navigation
	refresh int    // seconds until the page is fetched again; 0 never
	typed   bool   // somebody may be typing into it: without the script it is not fetched again
	status  int    // 0 is 200
	leave   string // where the browser goes from here by itself
	to      string // instead of a page: where else to look
	data    any
}

// page turns a function that makes a view into a handler for visitors of these roles (none: all).
func (d *Dashboard) page(make func(*gin.Context, *visitor) (view, error), roles ...raylink.Role) gin.HandlerFunc {
	return func(c *gin.Context) {
		who, err := d.visitor(c.Request)
		switch {
		case err != nil && c.Request.Header.Get("Sec-Fetch-Site") == "cross-site":
			// The browser kept the session's cookie back, as it must when another site leads here: a card company's page does. From a page of ours it sends it.
			d.draw(c, http.StatusOK, nil, view{name: "leave", title: "One moment", leave: c.Request.URL.RequestURI()})
			return
		case err != nil:
			c.Redirect(http.StatusSeeOther, "/ui/sign-in?next="+url.QueryEscape(c.Request.URL.Path))
			return
		}
		d.serve(c, who, make, roles)
	}
}

// act is a page's counterpart for forms that change something: none is taken that was not shown in the visitor's own session. Whoever is not signed in
// is sent to do so, and then to `next`.
func (d *Dashboard) act(do func(*gin.Context, *visitor) (view, error), next string, roles ...raylink.Role) gin.HandlerFunc {
	return func(c *gin.Context) {
		who, err := d.visitor(c.Request)
		if err != nil {
			c.Redirect(http.StatusSeeOther, "/ui/sign-in?next="+url.QueryEscape(next))
			return
		}
		if err = readForm(c); err == nil {
			err = d.sessions.checkForm(c.Request, who.session.ID)
		}
		if err != nil {
			d.refuse(c, who, err)
			return
		}
		d.serve(c, who, do, roles)
	}
}

func (d *Dashboard) serve(c *gin.Context, who *visitor, make func(*gin.Context, *visitor) (view, error), roles []raylink.Role) {
	if len(roles) > 0 && !slices.Contains(roles, who.Role) {
		d.refuse(c, who, raylink.Errorf(raylink.CodeForbidden, "an access token of role %s does not see this page", who.Role).
			WithHint("sign in with one of role %s", roles[0]))
		return
	}
	v, err := make(c, who)
	switch {
	case err != nil:
		d.refuse(c, who, err)
	case v.to != "":
		c.Redirect(http.StatusSeeOther, v.to)
	default:
		d.draw(c, cmp.Or(v.status, http.StatusOK), who, v)
	}
}

// refuse shows an error as a page.
func (d *Dashboard) refuse(c *gin.Context, who *visitor, err error) {
	e := raylink.AsError(err)
	if e.Code == raylink.CodeInternal {
		d.log.Error("making a page of the dashboard", "path", c.FullPath(), "err", err)
		e = raylink.Errorf(raylink.CodeInternal, "this coordinator made a mistake of its own").WithHint("report it with the time: it is in the log")
	}
	d.draw(c, e.Code.HTTPStatus(), who, view{name: "error", title: "Not this way", data: e})
}

// draw fills the layout. A page that breaks half-way is not sent at all.
func (d *Dashboard) draw(c *gin.Context, status int, who *visitor, v view) {
	page := struct {
		Title, Section, Leave, CSRF string
		Refresh                     int
		Typed                       bool
		Who                         *visitor
		Nav                         []link
		Now                         time.Time
		Data                        any
	}{Title: v.title, Section: v.section, Leave: v.leave, Refresh: v.refresh, Typed: v.typed, Who: who, Now: time.Now().UTC(), Data: v.data}
	if who != nil {
		page.Nav, page.CSRF = navigation(who.Role), d.sessions.form(who.session.ID)
	}
	var b bytes.Buffer
	if err := d.pages[v.name].Execute(&b, page); err != nil {
		d.log.Error("drawing a page of the dashboard", "page", v.name, "err", err)
		c.Data(http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("This coordinator could not draw the page; the reason is in its log.\n"))
		return
	}
	c.Data(status, "text/html; charset=utf-8", b.Bytes())
}

type link struct{ Path, Name string }

// navigation is what a role may visit.
func navigation(role raylink.Role) []link {
	all := []link{{"/ui", "Overview"}}
	if role != raylink.RoleSupplier {
		all = append(all, link{"/ui/clusters", "Clusters"})
	}
	all = append(all, link{"/ui/machines", "Machines"})
	if role == raylink.RoleSupplier {
		all = append(all, link{"/ui/earnings", "Earnings"})
	}
	all = append(all, link{"/ui/balance", "Balance"})
	if role == raylink.RoleAdmin {
		all = append(all, link{"/ui/accounts", "Accounts"}, link{"/ui/treasury", "Treasury"}, link{"/ui/group", "Group"})
	}
	return all
}
