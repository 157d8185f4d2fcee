package api

import (
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// row is one request and what each caller gets for it.
type row struct {
	path string
	body any
	want [8]int // in the order of callers
}

func callers() []string {
	return []string{"", "ada", "bob", "sam", "admin", "machine", "gateway", "coordinator"}
}

// Statuses in the order of callers: nobody; the tenant it belongs to, another one; the supplier it belongs to; an admin; a machine, a gateway, a coordinator.
func everybody(status int) [8]int {
	return [8]int{status, status, status, status, status, status, status, status}
}
func users(own, other, supplier, admin int) [8]int {
	return [8]int{401, own, other, supplier, admin, 401, 401, 401}
}
func peers(machine, gateway, coordinator int) [8]int {
	return [8]int{401, 401, 401, 401, 401, machine, gateway, coordinator}
}

// surface has at least one row for each route of routes.go.
func surface(t *testing.T, r *rig) map[string][]row {
	acc := func(name string) raylink.AccountID { return id[raylink.AccountID]("acc", name) }
	mone, mtwo := string(machineID("mone")), string(machineID("mtwo"))
	return map[string][]row{
		"GET /healthz":               {{"", nil, everybody(200)}},
		"GET /metrics":               {{"", nil, everybody(200)}},
		"GET /v1/status":             {{"", nil, everybody(200)}},
		"POST /v1/join":              {{"", wire.JoinRequest{CSR: csr(t, "new"), Name: "new"}, everybody(401)}},
		"POST /v1/group/join":        {{"", wire.GroupJoinRequest{ID: "b", Raft: "127.0.0.1:2", API: "https://127.0.0.1:3"}, everybody(401)}},
		"POST /v1/group/voter":       {{"", nil, peers(401, 401, 204)}},
		"POST /v1/renew":             {{"", wire.RenewRequest{CSR: csr(t, "mone")}, peers(200, 403, 401)}, {"", wire.RenewRequest{CSR: csr(t, "gate")}, peers(403, 200, 401)}},
		"GET /v1/agent/assignment":   {{"", nil, peers(200, 401, 401)}},
		"POST /v1/agent/report":      {{"", wire.AgentReport{}, peers(204, 401, 401)}},
		"GET /v1/gateway/assignment": {{"", nil, peers(401, 200, 401)}},
		"POST /v1/gateway/report":    {{"", wire.GatewayReport{}, peers(401, 204, 401)}},
		"POST /v1/gateway/certificate": {
			{"", wire.RenewRequest{CSR: ecdsaRequest(t)}, peers(401, 200, 401)},
			{"", wire.RenewRequest{CSR: csr(t, "gate")}, peers(401, 422, 401)}, // an Ed25519 key
			{"", wire.RenewRequest{CSR: []byte("garbage")}, peers(401, 400, 401)},
		},

		"GET /v1/whoami":               {{"", nil, users(200, 200, 200, 200)}},
		"GET /v1/accounts":             {{"", nil, users(403, 403, 403, 200)}},
		"POST /v1/accounts":            {{"", wire.AccountRequest{Name: "eve"}, users(403, 403, 403, 200)}},
		"POST /v1/accounts/:id/grants": {{"/v1/accounts/" + string(acc("ada")) + "/grants", `{"amount":"1.000000 USD","reason":"more"}`, users(403, 403, 403, 200)}},
		"GET /v1/tokens":               {{"", nil, users(200, 200, 200, 200)}},
		"POST /v1/tokens": {
			{"", wire.TokenRequest{Role: raylink.RoleTenant}, users(200, 200, 403, 200)},
			{"", wire.TokenRequest{Role: raylink.RoleAdmin}, users(403, 403, 403, 200)},
			{"", wire.TokenRequest{Role: raylink.RoleTenant, Account: acc("ada")}, users(200, 403, 403, 200)},
		},
		"DELETE /v1/tokens/:id": {{"/v1/tokens/" + string(id[raylink.TokenID]("tok", "spare")), nil, users(200, 404, 404, 200)}},
		"POST /v1/join-tokens": {
			{"", wire.JoinTokenRequest{Kind: "machine"}, users(403, 403, 200, 200)},
			{"", wire.JoinTokenRequest{Kind: "machine", Account: acc("sue")}, users(403, 403, 403, 200)},
			{"", wire.JoinTokenRequest{Kind: "gateway"}, users(403, 403, 403, 200)},
			{"", wire.JoinTokenRequest{Kind: "coordinator"}, users(403, 403, 403, 200)},
		},
		"GET /v1/machines":     {{"", nil, users(200, 200, 200, 200)}},
		"GET /v1/machines/:id": {{"/v1/machines/" + mone, nil, users(200, 200, 200, 200)}, {"/v1/machines/" + mtwo, nil, users(200, 200, 404, 200)}, {"/v1/machines/mone", nil, users(200, 200, 200, 200)}},
		"POST /v1/machines/:id/:action": {
			{"/v1/machines/" + mone + "/drain", wire.MachineAction{}, users(403, 403, 200, 200)},
			{"/v1/machines/" + mtwo + "/drain", wire.MachineAction{}, users(403, 403, 404, 200)},
			{"/v1/machines/" + mone + "/ban", wire.MachineAction{Reason: "lies"}, users(403, 403, 403, 200)},
			{"/v1/machines/" + mone + "/burn", wire.MachineAction{}, users(403, 403, 404, 404)},
		},
		"POST /v1/quotes":           {{"", wire.QuoteRequest{Manifest: r.manifest}, users(200, 200, 403, 200)}},
		"GET /v1/quotes/:id":        {{"/v1/quotes/" + string(quote), nil, users(200, 404, 403, 200)}},
		"GET /v1/clusters":          {{"", nil, users(200, 200, 403, 200)}},
		"POST /v1/clusters":         {{"", wire.CreateRequest{Quote: quote}, users(201, 404, 403, 404)}},
		"GET /v1/clusters/:id":      {{"/v1/clusters/" + string(cluster), nil, users(200, 404, 403, 200)}, {"/v1/clusters/ready", nil, users(200, 404, 403, 200)}},
		"DELETE /v1/clusters/:id":   {{"/v1/clusters/" + string(cluster), nil, users(200, 404, 403, 200)}},
		"GET /v1/clusters/:id/bill": {{"/v1/clusters/" + string(cluster) + "/bill", nil, users(200, 404, 403, 200)}},
		"GET /v1/balance":           {{"", nil, users(200, 200, 200, 200)}, {"/v1/balance?account=" + string(acc("ada")), nil, users(200, 403, 403, 200)}},
		"GET /v1/journal":           {{"", nil, users(403, 403, 403, 200)}},
	}
}

// TestSurface asks for every route as every caller. A route without a row fails, and so does a row without a route.
func TestSurface(t *testing.T) {
	r := newRig(t)
	rows := surface(t, r)
	known := map[string]bool{}
	for _, route := range r.handler.(*gin.Engine).Routes() {
		name := route.Method + " " + route.Path
		known[name] = true
		if len(rows[name]) == 0 {
			t.Errorf("%s has no row", name)
		}
	}
	for name, list := range rows {
		if !known[name] {
			t.Errorf("%s is no route", name)
			continue
		}
		method, path, _ := strings.Cut(name, " ")
		for _, row := range list {
			if row.path == "" {
				row.path = path
			}
			for i, who := range callers() {
				r.reset()
				got := r.call(who, method, row.path, row.body)
				if got.status != row.want[i] {
					t.Errorf("%s %s as %q: %d, want %d: %s", method, row.path, who, got.status, row.want[i], got.body)
					continue
				}
				if got.status < 400 {
					continue
				}
				if e := got.refusal(t); e.Hint == "" && (got.status == 401 || got.status == 404) {
					t.Errorf("%s %s as %q: %q gives no hint", method, row.path, who, e.Message)
				}
			}
		}
	}
}

func TestNoRoute(t *testing.T) {
	r := newRig(t)
	for _, request := range []string{"GET /v1/nothing", "PUT /v1/clusters", "GET /v2/status", "POST /v1/status"} {
		method, path, _ := strings.Cut(request, " ")
		got := r.call("ada", method, path, nil)
		if e := got.refusal(t); got.status != 404 || e.Code != raylink.CodeNotFound || e.Hint == "" {
			t.Errorf("%s: %d %+v", request, got.status, e)
		}
	}
}
