// Package api is the HTTP API of a coordinator. routes.go is the whole surface on one page. Every coordinator answers everything: reads from
// its own copy of the state, writes through the consensus, and what only the leader knows by asking the leader.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/authority"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// Limits of requests.
const (
	maxBody      = 1 << 20  // bytes; manifests are the largest
	maxReport    = 3 << 20  // bytes of an agent's or gateway's report; it must fit into a call among coordinators
	firstRead    = 16 << 10 // bytes that a body's announced length is believed before they are here
	maxWait      = 30 * time.Second
	proposeLimit = 15 * time.Second
	indexLimit   = 5 * time.Second
	seenLimit    = 2 * time.Second // for what a page or list can do without
)

// Group is what the API needs of the consensus.
type Group interface {
	Read(func(*state.State))
	Propose(ctx context.Context, commands ...json.RawMessage) ([]json.RawMessage, uint64, error)
	CallLeader(ctx context.Context, method string, body []byte) ([]byte, error)
	Waiter
}

// Waiter waits for the state to move. Barrier returns when everything is here that was acknowledged anywhere before the call.
type Waiter interface {
	WaitIndex(ctx context.Context, index uint64) error
	Barrier(ctx context.Context) (uint64, error)
	Changed() <-chan struct{} // closed at the next change
}

// Roster knows the members of the group and lets a new one in.
type Roster interface {
	Leader() string
	Voters() map[string]bool
	Restored() uint64 // index of the snapshot that was loaded last
	AddVoter(ctx context.Context, id, address string) error
}

// Server answers the API's requests.
type Server struct {
	ID        string // this coordinator's
	Version   string
	Group     Group
	Roster    Roster
	Authority *authority.Authority
	Log       *slog.Logger
	Pages     func(*gin.Engine, *Server) // the dashboard's routes; nil without one
	Metrics   http.Handler
	Cards     Cards  // nil without a card company
	Judge     *Judge // of proofs; nil judges none
	Told      *Told  // shared with the Leader; nil reads each report anew

	digest digest
}

// digest remembers the state's digest: the status is public, and computing it reads the whole state.
type digest struct {
	mu    sync.Mutex
	index uint64
	text  string
}

func (d *digest) of(st *state.State) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.text == "" || d.index != st.Index {
		d.index, d.text = st.Index, st.Digest()
	}
	return d.text
}

// caller is who sent a request with an access token.
type caller struct {
	account raylink.AccountID
	name    string
	role    raylink.Role
	token   raylink.TokenID
	until   *time.Time // the access token's end, if it has one
}

func (c caller) by() string { return "account:" + string(c.account) }

type handler func(c *gin.Context) (any, error)

// answer runs a handler and writes its value or its error.
func (s *Server) answer(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := s.awaitIndex(c); err != nil {
			s.refuse(c, err)
			return
		}
		value, err := h(c)
		switch {
		case err != nil:
			s.refuse(c, err)
		case c.Writer.Written():
		case value == nil:
			c.Status(http.StatusNoContent)
		default:
			c.JSON(statusOf(c), value)
		}
	}
}

func statusOf(c *gin.Context) int {
	if c.Request.Method == http.MethodPost && c.FullPath() == "/v1/clusters" {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (s *Server) awaitIndex(c *gin.Context) error {
	text := c.Query("min_index")
	if text == "" {
		return nil
	}
	index, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "min_index must be a number")
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), indexLimit)
	defer cancel()
	if err := s.Group.WaitIndex(ctx, index); err != nil {
		return raylink.Errorf(raylink.CodeUnavailable, "this coordinator has not reached index %d yet", index).WithHint("try again, or ask another coordinator")
	}
	return nil
}

func (s *Server) refuse(c *gin.Context, err error) {
	e := raylink.AsError(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		e = raylink.Errorf(raylink.CodeUnavailable, "the group did not answer in time").WithHint("try again; a repeated request with the same Idempotency-Key is done once")
	}
	if e.Code == raylink.CodeInternal {
		s.Log.Error("answering a request", "method", c.Request.Method, "path", c.FullPath(), "err", err)
	}
	if c.Writer.Written() { // a stream that broke off: what is missing shows it, an error in its midst would not
		s.Log.Warn("an answer broke off", "path", c.FullPath(), "err", err)
		c.Abort()
		return
	}
	c.AbortWithStatusJSON(e.Code.HTTPStatus(), e)
}

// body reads a request's JSON strictly.
func body(c *gin.Context, limit int64, into any) error {
	text, err := receive(c, limit)
	if err != nil {
		return err
	}
	return strictly(text, into)
}

// receive reads a request's body as it is.
func receive(c *gin.Context, limit int64) ([]byte, error) {
	text := bytes.NewBuffer(make([]byte, 0, min(max(c.Request.ContentLength, 0), firstRead)+bytes.MinRead))
	_, err := text.ReadFrom(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, raylink.Errorf(raylink.CodeTooLarge, "the request's body is over %d bytes", limit)
	}
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "reading the request's body: %v", err)
	}
	return text.Bytes(), nil
}

// strictly decodes a request's body: one JSON value, and no field that is unknown here.
func strictly(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "the request's body is not what is expected here: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return raylink.Errorf(raylink.CodeInvalid, "something follows the JSON value in the request's body")
	}
	return nil
}

// propose puts one command of a request through the consensus and decodes its result.
func (s *Server) propose(c *gin.Context, by, key string, cmd state.Command, into any) error {
	index, err := s.commit(c.Request.Context(), by, key, cmd, into)
	if index > 0 {
		c.Header("X-Raylink-Index", strconv.FormatUint(index, 10))
	}
	return err
}

// commit puts one command through the consensus, waits until it is here, and decodes its result. The index is 0 where it was not proposed.
func (s *Server) commit(ctx context.Context, by, key string, cmd state.Command, into any) (uint64, error) {
	raw, err := state.Encode(by, key, cmd)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeLimit)
	defer cancel()
	results, index, err := s.Group.Propose(ctx, raw)
	if err != nil {
		return 0, err
	}
	if err := s.Group.WaitIndex(ctx, index); err != nil {
		return index, err
	}
	return index, state.ReadResult(results[0], into)
}

// leader asks the leader for what only it knows.
func (s *Server) leader(ctx context.Context, method string, ask, into any) error {
	raw, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeLimit)
	defer cancel()
	out, err := s.Group.CallLeader(ctx, method, raw)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(out, into)
}

// user finds the caller of a request by its access token, and refuses other roles than these.
func (s *Server) user(c *gin.Context, roles ...raylink.Role) (caller, error) {
	secret, ok := bearer(c)
	if !ok {
		return caller{}, raylink.Errorf(raylink.CodeUnauthenticated, "this needs an access token").WithHint("`raylink login URL` stores one; or send the header Authorization: Bearer rl_access_…")
	}
	return s.userOf(c.Request.Context(), secret, roles...)
}

func bearer(c *gin.Context) (string, bool) {
	return strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
}

func (s *Server) userOf(ctx context.Context, token string, roles ...raylink.Role) (caller, error) {
	unknown := raylink.Errorf(raylink.CodeUnauthenticated, "this access token is not known, expired or revoked").WithHint("ask your admin for a new one, then `raylink login`")
	secret, err := identity.ParseAccessToken(token)
	if err != nil {
		return caller{}, unknown
	}
	who, found := s.holder(identity.HashToken(secret))
	if !found { // it may have been issued a moment ago, on another coordinator
		if err := s.barrier(ctx); err != nil {
			return caller{}, err
		}
		if who, found = s.holder(identity.HashToken(secret)); !found {
			return caller{}, unknown
		}
	}
	for _, r := range roles {
		if who.role == r {
			return who, nil
		}
	}
	if len(roles) == 0 && who.role != raylink.RoleSigner { // a signer may do nothing but what names it
		return who, nil
	}
	if len(roles) == 0 {
		roles = []raylink.Role{raylink.RoleTenant, raylink.RoleSupplier, raylink.RoleAdmin}
	}
	return caller{}, raylink.Errorf(raylink.CodeForbidden, "an access token of role %s may not do this", who.role).WithHint("it needs the role %s: use a token of that role (`raylink --context NAME`), or ask an admin", inWords(roles))
}

// inWords lists roles as a sentence does.
func inWords(roles []raylink.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, " or ")
}

// holder finds whose access token has this hash, while it is good.
func (s *Server) holder(hash string) (who caller, found bool) {
	s.Group.Read(func(st *state.State) {
		if t, ok := st.TokenByHash(hash); ok && t.Usable(time.Now()) {
			found = true
			who = caller{account: t.Account, name: st.Accounts[t.Account].Name, role: t.Role, token: t.ID, until: t.ExpiresAt}
		}
	})
	return who, found
}

// Who says whose access token has this hash (identity.HashToken); an error once it is revoked or expired. The addresses are left out.
func (s *Server) Who(hash string) (wire.WhoAmI, error) {
	who, found := s.holder(hash)
	if !found {
		return wire.WhoAmI{}, raylink.Errorf(raylink.CodeUnauthenticated, "this access token is not known, expired or revoked").WithHint("ask your admin for a new one")
	}
	return wire.WhoAmI{Account: who.account, Name: who.name, Role: who.role}, nil
}

// barrier waits until this coordinator knows all that was acknowledged anywhere.
func (s *Server) barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, indexLimit)
	defer cancel()
	if _, err := s.Group.Barrier(ctx); err != nil {
		return raylink.Errorf(raylink.CodeUnavailable, "this coordinator cannot learn what is new: %v", err).WithHint("try again, or ask another coordinator")
	}
	return nil
}

// peer is the machine or gateway at the other end, by its certificate alone.
func (s *Server) peer(c *gin.Context, kind identity.Kind) (string, error) {
	if c.Request.TLS != nil {
		if p, ok := authority.PrincipalOf(c.Request.TLS); ok && p.Kind == kind {
			return p.ID, nil
		}
	}
	return "", raylink.Errorf(raylink.CodeUnauthenticated, "this needs the certificate of a %s", kind).WithHint("join the group first: `raylink join-token create` makes a token")
}

// idempotency is the caller's key of a write.
func idempotency(c *gin.Context) string { return c.GetHeader("Idempotency-Key") }
