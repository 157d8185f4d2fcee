// Package story is the dashboard's storybook: every page with canned data, in every state that it can be in, to be looked at without a network and
// drawn by tests.
package story

import (
	"context"
	"crypto/sha256"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/coordinator/dashboard"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Scene is one page of the dashboard.
type Scene struct {
	Name    string // of letters and dashes
	Path    string
	Handler http.Handler // answers Path, and what it loads
}

// world is what one storybook's coordinator knows.
type world struct {
	who      wire.WhoAmI
	clusters []wire.Cluster
	bills    map[raylink.ClusterID]wire.Bill
	machines []wire.Machine
	accounts []wire.Account
	status   wire.Status
	balance  wire.Balance
	affairs
}

func (w world) source() dashboard.Source {
	return dashboard.Source{
		Who:      func(string) (wire.WhoAmI, error) { return w.who, nil },
		Status:   func(context.Context) wire.Status { return w.status },
		Machines: func(context.Context, raylink.AccountID, raylink.Role) []wire.Machine { return w.machines },
		Clusters: func(raylink.AccountID, raylink.Role) []wire.Cluster { return w.clusters },
		Cluster: func(_ raylink.AccountID, _ raylink.Role, ref string) (wire.Cluster, error) {
			if i := slices.IndexFunc(w.clusters, func(c wire.Cluster) bool { return string(c.ID) == ref }); i >= 0 {
				return w.clusters[i], nil
			}
			return wire.Cluster{}, raylink.Errorf(raylink.CodeNotFound, "no cluster %q", ref).WithHint("see `raylink cluster list`")
		},
		Bill:     func(id raylink.ClusterID) (wire.Bill, error) { return w.bills[id], nil },
		Balance:  func(raylink.AccountID) (wire.Balance, error) { return w.balance, nil },
		Accounts: func() []wire.Account { return w.accounts },
		Earnings: func(raylink.AccountID) wire.Earnings { return w.earnings },
		Treasury: func() wire.Treasury { return w.treasury },
		Price:    func() wire.Price { return w.price },
		Till:     w.till(),
	}
}

// Scenes are all pages, as they are at a time.
func Scenes(now time.Time) ([]Scene, error) {
	var scenes []Scene
	add := func(prefix string, w world, paths ...string) error {
		h, err := stage(w)
		if err != nil {
			return err
		}
		for _, p := range paths {
			name := prefix + strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(strings.TrimPrefix(p, "/ui"))
			scenes = append(scenes, Scene{Name: strings.TrimSuffix(name, "-"), Path: p, Handler: h})
		}
		return nil
	}
	full := everything(now)
	var clusters []string
	for _, cl := range full.clusters {
		clusters = append(clusters, "/ui/clusters/"+string(cl.ID))
	}
	bills := []string{"/ui/clusters/" + idOf(raylink.PhaseReady) + "/bill", "/ui/clusters/" + idOf(raylink.PhaseEnded) + "/bill", "/ui/clusters/" + idOf(raylink.PhaseImage) + "/bill"}
	odd := hostile(now)
	oddCluster := "/ui/clusters/" + string(odd.clusters[0].ID)
	admin := []string{"/ui", "/ui/clusters", "/ui/machines", "/ui/balance", "/ui/accounts", "/ui/treasury", "/ui/group"}
	var topups, odds []string
	for i := range full.topups {
		topups, odds = append(topups, "/ui/topups/"+full.topups[i].ID), append(odds, "/ui/topups/"+odd.topups[i].ID)
	}
	for _, err := range []error{
		add("tenant", as(full, raylink.RoleTenant), append(append([]string{"/ui", "/ui/clusters", "/ui/machines", "/ui/balance", "/ui/clusters/none"}, clusters...), append(bills, topups...)...)...),
		add("supplier", as(full, raylink.RoleSupplier), "/ui", "/ui/machines", "/ui/balance", "/ui/earnings", "/ui/clusters"),
		add("admin", as(full, raylink.RoleAdmin), append(admin, clusters[0], topups[0], "/ui/balance?account=acc-millmillmi", "/ui/earnings?account=acc-millmillmi")...),
		add("halted", as(halted(full, now), raylink.RoleAdmin), "/ui/balance", "/ui/treasury", "/ui/earnings", bills[0]),
		add("cards", as(cardsAlone(full), raylink.RoleTenant), "/ui/balance"),
		add("tokens", as(tokensAlone(full), raylink.RoleTenant), "/ui/balance"),
		add("empty-tenant", as(world{}, raylink.RoleTenant), "/ui", "/ui/clusters", "/ui/machines", "/ui/balance"),
		add("empty-supplier", as(world{}, raylink.RoleSupplier), "/ui", "/ui/machines", "/ui/balance", "/ui/earnings"),
		add("empty-admin", as(world{}, raylink.RoleAdmin), admin...),
		add("hostile", as(odd, raylink.RoleAdmin), append(append(admin, oddCluster, oddCluster+"/bill", "/ui/earnings"), odds...)...),
	} {
		if err != nil {
			return nil, err
		}
	}
	signedOut, err := engine(full)
	if err != nil {
		return nil, err
	}
	refused, err := stage(as(full, raylink.RoleTenant))
	if err != nil {
		return nil, err
	}
	scenes = append(scenes, Scene{Name: "refused-topup", Path: "/ui/topups", Handler: posting(refused)})
	return append(scenes, Scene{Name: "sign-in", Path: "/ui/sign-in", Handler: signedOut.r}), nil
}

// as is a world seen in a role.
func as(w world, role raylink.Role) world {
	if w.who.Name == "" {
		w.who.Name = "Example Labs"
	}
	w.who.Account, w.who.Role = "acc-ownerowner", role
	if w.balance.Name == "" {
		zero := money.MicroUSD(0)
		w.earnings = wire.Earnings{Account: w.who.Account, Settlement: wire.Settlement{Takes: money.USDC, Minimum: usdc(1_000_000)}, Paid: wire.Sums{zero}, NextRun: time.Time{}.Add(time.Hour),
			Lines: []payout.Line{{Amount: usdc(0), Code: payout.NothingEarned}}}
		w.price.Halt = price.CodeNoPrice
		w.balance = wire.Balance{Account: w.who.Account, Name: w.who.Name, Free: wire.Sums{zero}, Held: wire.Sums{zero}, Earned: wire.Sums{zero}}
	}
	return w
}

type drawn struct {
	r *gin.Engine
	d *dashboard.Dashboard
}

func engine(w world) (drawn, error) {
	key := sha256.Sum256([]byte("storybook"))
	d, err := dashboard.New(w.source(), key[:], slog.New(slog.DiscardHandler))
	if err != nil {
		return drawn{}, err
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	d.Routes(r)
	return drawn{r, d}, nil
}

// stage is a world's dashboard with somebody signed in.
func stage(w world) (http.Handler, error) {
	e, err := engine(w)
	if err != nil {
		return nil, err
	}
	cookie, err := e.d.Cookie("nobody's")
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.AddCookie(cookie)
		e.r.ServeHTTP(rw, r)
	}), nil
}

// Handler is the whole storybook: a list of scenes under /, and the scene that was chosen last under /ui.
func Handler() (http.Handler, error) {
	names, err := Scenes(time.Now())
	if err != nil {
		return nil, err
	}
	index := template.Must(template.New("index").Parse(`<!doctype html><html lang="en"><meta name="color-scheme" content="light dark"><title>Storybook</title>
<h1>The dashboard's storybook</h1><ul>{{range .}}<li><a href="/scene/{{.Name}}">{{.Name}}</a></li>{{end}}</ul></html>`))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		if err := index.Execute(w, names); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	find := func(name string) (Scene, error) {
		scenes, err := Scenes(time.Now()) // anew, so that clocks go on
		if err != nil {
			return Scene{}, err
		}
		if i := slices.IndexFunc(scenes, func(s Scene) bool { return s.Name == name }); i >= 0 {
			return scenes[i], nil
		}
		return Scene{}, fmt.Errorf("no scene %q", name)
	}
	mux.HandleFunc("GET /scene/{name}", func(w http.ResponseWriter, r *http.Request) {
		s, err := find(r.PathValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "scene", Value: s.Name, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		http.Redirect(w, r, s.Path, http.StatusSeeOther)
	})
	mux.HandleFunc("/ui/", func(w http.ResponseWriter, r *http.Request) { play(w, r, find) })
	mux.HandleFunc("/ui", func(w http.ResponseWriter, r *http.Request) { play(w, r, find) })
	return mux, nil
}

func play(w http.ResponseWriter, r *http.Request, find func(string) (Scene, error)) {
	name := "sign-in"
	if k, err := r.Cookie("scene"); err == nil {
		name = k.Value
	}
	s, err := find(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	s.Handler.ServeHTTP(w, r)
}
