package api

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
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

// selves is users, with what a machine is answered that acts for itself.
func selves(own, other, supplier, admin, machine int) [8]int {
	return [8]int{401, own, other, supplier, admin, machine, 401, 401}
}

func peers(machine, gateway, coordinator int) [8]int {
	return [8]int{401, 401, 401, 401, 401, machine, gateway, coordinator}
}

// surface has at least one row for each route of routes.go.
func surface(t *testing.T, r *rig) map[string][]row {
	acc := func(name string) raylink.AccountID { return id[raylink.AccountID]("acc", name) }
	mone, mtwo := string(machineID("mone")), string(machineID("mtwo"))
	rows := map[string][]row{
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
		"GET /v1/machines/:id": {{"/v1/machines/" + mone, nil, selves(200, 200, 200, 200, 200)}, {"/v1/machines/" + mtwo, nil, selves(200, 200, 404, 200, 403)}, {"/v1/machines/mone", nil, selves(200, 200, 200, 200, 403)}},
		"POST /v1/machines/:id/:action": {
			{"/v1/machines/" + mone + "/drain", wire.MachineAction{}, selves(403, 403, 200, 200, 200)},
			{"/v1/machines/" + mtwo + "/drain", wire.MachineAction{}, selves(403, 403, 404, 200, 403)},
			{"/v1/machines/" + mone + "/ban", wire.MachineAction{Reason: "lies"}, selves(403, 403, 403, 200, 403)},
			{"/v1/machines/" + mone + "/burn", wire.MachineAction{}, selves(403, 403, 404, 404, 404)},
		},
		"POST /v1/quotes":                  {{"", wire.QuoteRequest{Manifest: r.manifest}, users(200, 200, 403, 200)}},
		"GET /v1/quotes/:id":               {{"/v1/quotes/" + string(quote), nil, users(200, 404, 403, 200)}},
		"GET /v1/clusters":                 {{"", nil, users(200, 200, 403, 200)}},
		"POST /v1/clusters":                {{"", wire.CreateRequest{Quote: quote}, users(201, 404, 403, 404)}},
		"GET /v1/clusters/:id":             {{"/v1/clusters/" + string(cluster), nil, users(200, 404, 403, 200)}, {"/v1/clusters/ready", nil, users(200, 404, 403, 200)}},
		"DELETE /v1/clusters/:id":          {{"/v1/clusters/" + string(cluster), nil, users(200, 404, 403, 200)}},
		"GET /v1/clusters/:id/bill":        {{"/v1/clusters/" + string(cluster) + "/bill", nil, users(200, 404, 403, 200)}},
		"GET /v1/balance":                  {{"", nil, users(200, 200, 200, 200)}, {"/v1/balance?account=" + string(acc("ada")), nil, users(200, 403, 403, 200)}},
		"GET /v1/clusters/:id/bill/export": {{"/v1/clusters/" + string(cluster) + "/bill/export", nil, users(200, 404, 403, 200)}},
		"GET /v1/policy/versions":          {{"", nil, users(200, 200, 200, 200)}},
		"PUT /v1/policy/versions":          {{"", wire.Versions{Minimum: map[string]string{"kernel": "6.1"}}, users(403, 403, 403, 403)}}, // nobody signed it
		"GET /v1/journal":                  {{"", nil, users(403, 403, 403, 200)}},
		"GET /v1/invoice": {
			{"", nil, users(200, 200, 403, 200)},
			{"/v1/invoice?cluster=" + string(cluster), nil, users(200, 404, 403, 200)},
			{"/v1/invoice?account=" + string(acc("ada")), nil, users(200, 403, 403, 200)},
			{"/v1/invoice?from=yesterday", nil, users(400, 400, 403, 400)},
			{"/v1/invoice?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", nil, users(400, 400, 403, 400)},
		},
	}
	maps.Copy(rows, moneySurface(acc))
	proofSurface(rows, mone, mtwo)
	return rows
}

// moneySurface has the routes of money in and out.
func moneySurface(acc func(string) raylink.AccountID) map[string][]row {
	const nobody = "11111111111111111111111111111112"
	budget := wire.BudgetRequest{Budget: money.MicroUSD(9_000_000)}
	return map[string][]row{
		"PUT /v1/clusters/:id/budget": {{"/v1/clusters/" + string(cluster) + "/budget", budget, users(200, 404, 403, 200)}},
		"PUT /v1/cap":                 {{"", wire.CapRequest{PerDay: money.MicroUSD(1_000_000), Alarm: 80}, users(200, 200, 403, 200)}},
		"GET /v1/topups":              {{"", nil, users(200, 200, 403, 200)}},
		"POST /v1/topups": {
			{"", wire.TopupRequest{Amount: money.Amount{Minor: 1_000_000, Asset: money.USDC}}, users(200, 200, 403, 200)},
			{"", wire.TopupRequest{Amount: money.Amount{Minor: 1_000_000, Asset: money.USDC}, Lot: "grants"}, users(403, 403, 403, 200)},
			{"", wire.TopupRequest{Amount: money.MicroUSD(5_000_000), Card: true}, users(422, 422, 403, 422)}, // no card company is configured
		},
		"GET /v1/topups/:id":           {{"/v1/topups/top-paid", nil, users(200, 404, 403, 200)}},
		"GET /v1/wallets":              {{"", nil, users(200, 200, 200, 200)}},
		"POST /v1/wallets":             {{"", wire.WalletRequest{Address: nobody, Nonce: "none", Signature: "none"}, users(403, 403, 403, 403)}},
		"POST /v1/wallets/challenge":   {{"", wire.WalletRequest{Address: nobody}, users(200, 200, 200, 200)}},
		"DELETE /v1/wallets/:address":  {{"/v1/wallets/" + nobody, nil, users(200, 200, 200, 200)}},
		"GET /v1/settlement":           {{"", nil, users(200, 200, 200, 200)}},
		"PUT /v1/settlement":           {{"", `{"takes":"IO","wallet":"","minimum":"2.00000000 IO"}`, users(200, 200, 200, 200)}},
		"GET /v1/earnings":             {{"", nil, users(200, 200, 200, 200)}, {"/v1/earnings?account=" + string(acc("sam")), nil, users(403, 403, 200, 200)}},
		"GET /v1/earnings/export":      {{"", nil, users(200, 200, 200, 200)}, {"/v1/earnings/export?account=" + string(acc("sam")), nil, users(403, 403, 200, 200)}},
		"POST /v1/withdrawals":         {{"", wire.WithdrawalRequest{Amount: money.Amount{Minor: 5_000_000, Asset: money.USDC}, Wallet: nobody}, users(402, 402, 403, 402)}},
		"GET /v1/payouts":              {{"", nil, users(200, 200, 200, 200)}},
		"POST /v1/payouts/:id/:action": {{"/v1/payouts/po-none/cancel", wire.PayoutAction{}, users(404, 404, 404, 404)}},
		"GET /v1/images":               {{"", nil, users(200, 200, 200, 200)}},
		"PUT /v1/images":               {{"", wire.ImagePin{Image: "raylink/worker:1", Digest: "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8"}, users(403, 403, 403, 200)}, {"", wire.ImagePin{Image: "raylink/none:1"}, users(403, 403, 403, 404)}},
		"GET /v1/price":                {{"", nil, users(200, 200, 200, 200)}},
		"POST /v1/price":               {{"", wire.PriceRequest{Sample: price.Sample{Source: "x", Price: 1}}, users(403, 403, 403, 400)}},
		"PUT /v1/price/policy":         {{"", price.Default(), users(403, 403, 403, 200)}},
		"POST /v1/price/halt":          {{"", wire.HaltRequest{Reason: "a look at it"}, users(403, 403, 403, 200)}},
		"GET /v1/treasury":             {{"", nil, users(403, 403, 403, 200)}},
		"PUT /v1/treasury":             {{"", wire.TreasuryRequest{Chain: "local", Treasury: treasury()}, users(403, 403, 403, 200)}},
		"PUT /v1/treasury/payouts":     {{"", wire.PayoutPolicyRequest{Policy: payout.DefaultPolicy(), Every: "1h"}, users(403, 403, 403, 200)}},
		"PUT /v1/treasury/buyback":     {{"", wire.BuybackRequest{Threshold: money.Amount{Minor: 1, Asset: money.USDC}}, users(403, 403, 403, 200)}},
		"POST /v1/treasury/run":        {{"", struct{}{}, users(403, 403, 403, 200)}},
		"POST /v1/treasury/halt":       {{"", wire.HaltRequest{Reason: "a look at it"}, users(403, 403, 403, 200)}},
		"POST /v1/treasury/swaps":      {{"", wire.SwapRequest{Signature: "none", Purpose: "position"}, users(403, 403, 403, 409)}},
		"POST /v1/treasury/rewind":     {{"", wire.RewindRequest{Asset: money.USDC}, users(403, 403, 403, 200)}},
		"POST /v1/suspense/refund":     {{"", wire.RefundRequest{Key: "none/none", Account: acc("ada"), Wallet: nobody}, users(403, 403, 403, 404)}},
		"POST /v1/suspense/assign":     {{"", wire.AssignRequest{Key: "none/none", Account: acc("ada")}, users(403, 403, 403, 404)}},
		"POST /v1/accounts/:id/pardon": {{"/v1/accounts/" + string(acc("ada")) + "/pardon", struct{}{}, users(403, 403, 403, 404)}},
		"GET /v1/signer/work":          {{"", nil, users(403, 403, 403, 403)}},
		"POST /v1/signer/attempts":     {{"", payout.Attempted{Batch: "pb-1"}, users(403, 403, 403, 403)}},
		"POST /v1/signer/anchors":      {{"", wire.AnchorRequest{Seq: 1}, users(403, 403, 403, 403)}},
		"POST /v1/cards/webhook":       {{"", struct{}{}, everybody(422)}},
	}
}

// proofSurface adds the routes of proofs, and what may be asked of a machine's. In this group there are none.
func proofSurface(rows map[string][]row, mone, mtwo string) {
	const none = "p-noneaaaaaa"
	agent := "/v1/agent/proofs/" + none
	maps.Copy(rows, map[string][]row{
		"POST /v1/agent/proofs/:id/begin":  {{agent + "/begin", struct{}{}, peers(404, 401, 401)}},
		"POST /v1/agent/proofs/:id/commit": {{agent + "/commit", wire.ProofCommit{}, peers(404, 401, 401)}},
		"POST /v1/agent/proofs/:id/walked": {{agent + "/walked", wire.ProofWalked{}, peers(404, 401, 401)}},
		"POST /v1/agent/proofs/:id/answer": {{agent + "/answer", wire.ProofAnswer{}, peers(404, 401, 401)}},
		"GET /v1/proofs":                   {{"", nil, users(200, 200, 200, 200)}},
		"GET /v1/proofs/policy":            {{"", nil, users(200, 200, 200, 200)}},
		"PUT /v1/proofs/policy":            {{"", `{"required":true}`, users(403, 403, 403, 200)}},
		"GET /v1/proofs/:id":               {{"/v1/proofs/" + none, nil, users(404, 404, 404, 404)}},
		"GET /v1/proofs/:id/transcript":    {{"/v1/proofs/" + none + "/transcript", nil, users(404, 404, 404, 404)}},
		"POST /v1/clusters/:id/prove":      {{"/v1/clusters/ready/prove", struct{}{}, users(409, 404, 403, 409)}},
	})
	actions := "POST /v1/machines/:id/:action"
	rows[actions] = append(rows[actions], row{"/v1/machines/" + mone + "/appeal", wire.MachineAction{}, selves(403, 403, 409, 409, 409)},
		row{"/v1/machines/" + mtwo + "/prove", wire.MachineAction{}, selves(403, 403, 404, 409, 403)})
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

// routes.go is the whole surface on one page: no other file of this room adds a route.
func TestRoutesStandOnOnePage(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	added, seen := regexp.MustCompile(`\.(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|Any|Handle|Group|Match)\("`), 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range added.FindAllString(string(text), -1) {
			if seen++; name != "routes.go" && !strings.HasSuffix(name, "_test.go") {
				t.Errorf("%s adds a route with %s…: it belongs into routes.go", name, route)
			}
		}
	}
	if seen < 80 {
		t.Errorf("only %d routes were found: are they looked for rightly?", seen)
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
