package api

import (
	"crypto/rand"
	"strings"
	"testing"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// TestSignerSeesNothingElse asks for every route with an access token of role signer, of the admin's own account: who steals it from the signer's
// machine learns the batches to sign, and nothing else.
func TestSignerSeesNothingElse(t *testing.T) {
	r := newRig(t)
	token, err := identity.NewAccessToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.tokens["signer"] = token
	admin := id[raylink.AccountID]("acc", "admin")
	for name, rows := range surface(t, r) {
		method, path, _ := strings.Cut(name, " ")
		for _, row := range rows {
			if row.path != "" {
				path = row.path
			}
			r.reset()
			r.apply(r.group.s.Now, &state.IssueToken{ID: "tok-signeraaaa", Account: admin, Role: raylink.RoleSigner, Hash: identity.HashToken(token)})
			got := r.call("signer", method, path, row.body)
			want := row.want[0] // as nobody, where no access token is asked for
			switch {
			case strings.HasPrefix(path, "/v1/signer/"):
				if got.status == 403 || got.status == 401 {
					t.Errorf("%s: %d %s", name, got.status, got.body)
				}
				continue
			case path == "/v1/whoami":
				want = 200
			case row.want[0] == 401 && row.want[4] != 401: // a user's
				want = 403
			}
			if got.status != want {
				t.Errorf("%s %s: %d, want %d: %.200s", method, path, got.status, want, got.body)
			}
		}
	}
}
