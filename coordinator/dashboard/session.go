package dashboard

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"raylink/raylink"
)

// A session is a sealed cookie, so that any coordinator of the group takes it, and none stores it.
const (
	sessionCookie = "__Host-raylink"
	formCookie    = "__Host-raylink-form" // binds the sign-in form to the browser that asked for it
	sessionFor    = 12 * time.Hour
	formFor       = time.Hour
	sealedAs      = "raylink dashboard session v1"
	maxCookie     = 1 << 10
	maxEnded      = 10_000
)

// session is what the cookie holds: never the access token, only its hash, which is looked up at every request.
type session struct {
	ID    string    `json:"id"`
	Hash  string    `json:"hash"`
	Until time.Time `json:"until"`
}

// sessions seals and opens cookies.
type sessions struct {
	box     cipher.AEAD
	formKey []byte

	mu    sync.Mutex
	ended map[string]time.Time // signed out on this coordinator, until they would have expired
}

// newSessions derives the two keys, by HKDF-SHA256.
func newSessions(key []byte) (*sessions, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("the dashboard's key has %d bytes, not 32", len(key))
	}
	sealing, err := hkdf.Key(sha256.New, key, nil, sealedAs, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of sessions: %w", err)
	}
	forms, err := hkdf.Key(sha256.New, key, nil, "raylink dashboard form v1", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of forms: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, fmt.Errorf("making the cipher of sessions: %w", err)
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("making the cipher of sessions: %w", err)
	}
	return &sessions{box: box, formKey: forms, ended: map[string]time.Time{}}, nil
}

// begin makes the session of an access token's holder, and its cookie.
func (s *sessions) begin(hash string, now time.Time) (*http.Cookie, error) {
	raw, err := json.Marshal(session{ID: rand.Text(), Hash: hash, Until: now.Add(sessionFor).UTC()})
	if err != nil {
		return nil, fmt.Errorf("encoding a session: %w", err)
	}
	return cookie(sessionCookie, base64.RawURLEncoding.EncodeToString(s.box.Seal(nil, nil, raw, []byte(sealedAs))), sessionFor), nil
}

// find opens the session of a request.
func (s *sessions) find(r *http.Request, now time.Time) (session, error) {
	none := raylink.Errorf(raylink.CodeUnauthenticated, "nobody is signed in")
	k, err := r.Cookie(sessionCookie)
	if err != nil || len(k.Value) > maxCookie {
		return session{}, none
	}
	sealed, err := base64.RawURLEncoding.DecodeString(k.Value)
	if err != nil {
		return session{}, none
	}
	raw, err := s.box.Open(nil, nil, sealed, []byte(sealedAs))
	if err != nil {
		return session{}, none
	}
	var found session
	if err := json.Unmarshal(raw, &found); err != nil || !now.Before(found.Until) {
		return session{}, none
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, over := s.ended[found.ID]; over {
		return session{}, none
	}
	return found, nil
}

// end refuses a session from now on, on this coordinator; the browser forgets it anyway, and revoking its token ends it everywhere.
func (s *sessions) end(x session, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := ""
	for id, until := range s.ended {
		if !now.Before(until) {
			delete(s.ended, id)
		} else if first == "" || until.Before(s.ended[first]) {
			first = id
		}
	}
	if len(s.ended) >= maxEnded {
		delete(s.ended, first)
	}
	s.ended[x.ID] = x.Until
}

// form is the secret field of every form that is shown under an id: a session's, or a sign-in form's cookie.
func (s *sessions) form(id string) string {
	mac := hmac.New(sha256.New, s.formKey)
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkForm refuses a form that another site sent, or that was not shown under this id.
func (s *sessions) checkForm(r *http.Request, id string) error {
	site := r.Header.Get("Sec-Fetch-Site") // browsers set it, scripts cannot
	if (site == "" || site == "same-origin" || site == "none") && id != "" && hmac.Equal([]byte(r.PostForm.Get("form")), []byte(s.form(id))) {
		return nil
	}
	return raylink.Errorf(raylink.CodeForbidden, "this form is too old, or did not come from this page").WithHint("open the page again and repeat what you did")
}

// cookie has the __Host- rules: Secure, of this host alone, for all paths.
func cookie(name, value string, lasts time.Duration) *http.Cookie {
	c := &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(lasts / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if lasts <= 0 {
		c.MaxAge = -1
	}
	return c
}
