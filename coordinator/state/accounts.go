package state

import (
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
)

// Account is one person or firm.
type Account struct {
	ID        raylink.AccountID
	Name      string
	CreatedAt time.Time
}

// Token is an access token; its secret is kept by whoever holds it.
type Token struct {
	ID        raylink.TokenID
	Account   raylink.AccountID
	Role      raylink.Role
	Label     string
	Hash      string // SHA-256 of the secret, hex
	CreatedAt time.Time
	ExpiresAt *time.Time
	RevokedAt *time.Time
}

// Usable says whether the token opens anything at this time.
func (t *Token) Usable(now time.Time) bool {
	return t.RevokedAt == nil && (t.ExpiresAt == nil || now.Before(*t.ExpiresAt))
}

// Kinds of join tokens.
const (
	JoinKindMachine     = "machine"
	JoinKindGateway     = "gateway"
	JoinKindCoordinator = "coordinator"
)

// JoinToken lets one machine, gateway or coordinator in, once.
type JoinToken struct {
	ID        raylink.TokenID
	Kind      string
	Account   raylink.AccountID // owner of the machine; empty for gateways and coordinators
	Hash      string
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedBy    string // id of who joined with it
}

// MaxName is the longest name of anything, in bytes.
const MaxName = 64

// CheckName refuses names that are empty, long, or hold anything but printable characters.
func CheckName(what, name string) error {
	if name == "" || len(name) > MaxName || !printable(name) || strings.TrimSpace(name) != name {
		return raylink.Errorf(raylink.CodeInvalid, "%s must be 1 to %d bytes of printable characters", what, MaxName)
	}
	return nil
}

func printable(text string) bool { return raylink.Printable(text) }

func checkHash(hash string) error {
	if len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return raylink.Errorf(raylink.CodeInvalid, "a token's hash must be 64 hexadecimal digits")
	}
	return nil
}

// OpenAccount makes an account. Names are unique.
type OpenAccount struct {
	ID   raylink.AccountID `json:"id"`
	Name string            `json:"name"`
}

func (*OpenAccount) kind() string { return "account.open" }

func (c *OpenAccount) apply(s *State) (any, error) {
	if err := CheckName("the account's name", c.Name); err != nil {
		return nil, err
	}
	if _, ok := s.Accounts[c.ID]; ok || !raylink.ValidID(string(c.ID), "acc") {
		return nil, raylink.Errorf(raylink.CodeConflict, "the account id %q cannot be used", c.ID)
	}
	for _, a := range s.Accounts {
		if a.Name == c.Name {
			return nil, raylink.Errorf(raylink.CodeConflict, "an account named %q exists already: %s", c.Name, a.ID).WithHint("use that one, or another name")
		}
	}
	s.Accounts[c.ID] = &Account{ID: c.ID, Name: c.Name, CreatedAt: s.Now}
	return c.ID, nil
}

// IssueToken records an access token by its hash.
type IssueToken struct {
	ID      raylink.TokenID   `json:"id"`
	Account raylink.AccountID `json:"account"`
	Role    raylink.Role      `json:"role"`
	Label   string            `json:"label,omitempty"`
	Hash    string            `json:"hash"`
	TTL     time.Duration     `json:"ttl,omitempty"` // nanoseconds; 0 is without end
}

func (*IssueToken) kind() string { return "token.issue" }

func (c *IssueToken) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	if err := checkHash(c.Hash); err != nil {
		return nil, err
	}
	if c.Label != "" {
		if err := CheckName("the token's label", c.Label); err != nil {
			return nil, err
		}
	}
	if !c.Role.Valid() {
		return nil, raylink.Errorf(raylink.CodeInvalid, "unknown role %q", c.Role).WithHint("the roles are admin, tenant and supplier")
	}
	_, taken := s.byHash[c.Hash]
	if _, ok := s.Tokens[c.ID]; ok || taken || !raylink.ValidID(string(c.ID), "tok") {
		return nil, raylink.Errorf(raylink.CodeConflict, "the token id %q cannot be used", c.ID)
	}
	if c.TTL < 0 || c.TTL > maxTokenTTL {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a token lives for at most %s, or without end", maxTokenTTL)
	}
	t := &Token{ID: c.ID, Account: c.Account, Role: c.Role, Label: c.Label, Hash: c.Hash, CreatedAt: s.Now}
	if c.TTL > 0 {
		end := s.Now.Add(c.TTL)
		t.ExpiresAt = &end
	}
	s.Tokens[c.ID] = t
	s.byHash[c.Hash] = c.ID
	return c.ID, nil
}

// RevokeToken ends an access token for good.
type RevokeToken struct {
	ID raylink.TokenID `json:"id"`
}

func (*RevokeToken) kind() string { return "token.revoke" }

func (c *RevokeToken) apply(s *State) (any, error) {
	t, ok := s.Tokens[c.ID]
	if !ok {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no token %q", c.ID).WithHint("see `raylink token list`")
	}
	if t.RevokedAt == nil {
		now := s.Now
		t.RevokedAt = &now
	}
	return c.ID, nil
}

// IssueJoinToken records a join token by its hash.
type IssueJoinToken struct {
	ID      raylink.TokenID   `json:"id"`
	Kind    string            `json:"kind"`
	Account raylink.AccountID `json:"account,omitempty"`
	Hash    string            `json:"hash"`
	TTL     time.Duration     `json:"ttl"` // nanoseconds
}

// The longest lives of an access token that has an end, and of a join token.
const (
	maxTokenTTL = 10 * 365 * 24 * time.Hour
	maxJoinTTL  = 24 * time.Hour
)

func (*IssueJoinToken) kind() string { return "jointoken.issue" }

func (c *IssueJoinToken) apply(s *State) (any, error) {
	if c.Kind != JoinKindMachine && c.Kind != JoinKindGateway && c.Kind != JoinKindCoordinator {
		return nil, raylink.Errorf(raylink.CodeInvalid, "unknown kind of join token %q", c.Kind).WithHint("the kinds are machine, gateway and coordinator")
	}
	if c.Kind == JoinKindMachine {
		if err := s.knowAccount(c.Account); err != nil {
			return nil, err
		}
	}
	if err := checkHash(c.Hash); err != nil {
		return nil, err
	}
	if c.TTL <= 0 || c.TTL > maxJoinTTL {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a join token lives for at most %s", maxJoinTTL).WithHint("give a shorter time to live, such as 1h")
	}
	taken := false // two of one hash would make it a matter of chance which one is used up
	for _, t := range s.JoinTokens {
		taken = taken || t.Hash == c.Hash
	}
	if _, ok := s.JoinTokens[c.ID]; ok || taken || !raylink.ValidID(string(c.ID), "tok") {
		return nil, raylink.Errorf(raylink.CodeConflict, "the token id %q cannot be used", c.ID)
	}
	s.JoinTokens[c.ID] = &JoinToken{ID: c.ID, Kind: c.Kind, Account: c.Account, Hash: c.Hash, CreatedAt: s.Now, ExpiresAt: s.Now.Add(c.TTL)}
	return c.ID, nil
}

// consume uses up the join token with this hash for the one that joins, or says why it cannot be used.
func (s *State) consume(hash, kind, by string) (*JoinToken, error) {
	t, err := s.Admits(hash, kind, by)
	if err != nil {
		return nil, err
	}
	t.UsedBy = by
	return t, nil
}

// Admits finds the join token with this hash that lets the one that joins in, or says why there is none; it uses nothing up, and so tells before a
// proposal whether that would be refused. Who has joined with it already may ask again: its answer was lost on the way.
func (s *State) Admits(hash, kind, by string) (*JoinToken, error) {
	for _, t := range s.JoinTokens {
		switch {
		case t.Hash != hash || t.Kind != kind:
		case t.UsedBy == by:
			return t, nil
		case t.UsedBy != "":
			return nil, raylink.Errorf(raylink.CodeUnauthenticated, "this join token has been used").WithHint("ask for a new one: `raylink join-token create`")
		case !s.Now.Before(t.ExpiresAt):
			return nil, raylink.Errorf(raylink.CodeUnauthenticated, "this join token has expired").WithHint("ask for a new one: `raylink join-token create`")
		default:
			return t, nil
		}
	}
	return nil, raylink.Errorf(raylink.CodeUnauthenticated, "this join token is not known here").
		WithHint("check that it is whole, is meant for a %s, and comes from this group", kind)
}

// GrantCredit gives an account credit in USD, from the named treasury account.
type GrantCredit struct {
	ID      string            `json:"id"` // of the grant; the journal's reference
	Account raylink.AccountID `json:"account"`
	Amount  money.Amount      `json:"amount"`
	Reason  string            `json:"reason"`
}

func (*GrantCredit) kind() string { return "credit.grant" }

func (c *GrantCredit) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	if err := CheckName("the grant's reason", c.Reason); err != nil {
		return nil, err
	}
	if c.Amount.Asset != money.USD || c.Amount.Minor <= 0 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a grant is a positive amount of USD, not %s", c.Amount)
	}
	moves, err := ledger.Move(ledger.Grants, ledger.Posting{Account: ledger.Tenant(string(c.Account)), Amount: c.Amount})
	if err != nil {
		return nil, refusal(err)
	}
	if _, err := s.Ledger.Post(s.Now, "grant", c.ID, moves, map[string]string{"reason": c.Reason}); err != nil {
		return nil, refusal(err)
	}
	return c.Account, nil
}

func (s *State) knowAccount(id raylink.AccountID) error {
	if _, ok := s.Accounts[id]; !ok {
		return raylink.Errorf(raylink.CodeNotFound, "no account %q", id).WithHint("see `raylink admin account list`")
	}
	return nil
}

// TokenByHash finds an access token by the SHA-256 of its secret.
func (s *State) TokenByHash(hash string) (*Token, bool) {
	t, ok := s.Tokens[s.byHash[hash]]
	return t, ok
}
