// Package state is the replicated state: what the group of coordinators has agreed on, and the commands that change it.
//
// It is pure. Each command is a type of its own with an unexported apply, in the file of the thing that it changes. Kinds are
// append-only: testdata/golden.jsonl keeps every form that ever shipped, and a replica that does not understand its log stops.
// Money moves in the same apply that records the use, so a fact and its price cannot disagree.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"raylink/billing/cardbook"
	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/lot"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/billing/wallet"
	"raylink/raylink"
)

// State is all that is replicated. Whoever reads it holds it still: consensus gives it out under a read lock.
type State struct {
	Now        time.Time // the replicated clock: the greatest time of any entry
	Index      uint64    // of the last entry applied
	Accounts   map[raylink.AccountID]*Account
	Tokens     map[raylink.TokenID]*Token
	JoinTokens map[raylink.TokenID]*JoinToken
	Machines   map[raylink.MachineID]*Machine
	Gateways   map[raylink.GatewayID]*Gateway
	Members    map[string]*Member
	Quotes     map[raylink.QuoteID]*Quote
	Clusters   map[raylink.ClusterID]*Cluster
	Leases     map[raylink.LeaseID]*Lease
	Subnets    map[int]time.Time // overlay subnets given back, and when: they rest before they are used again
	Keys       map[string]*Answer
	KeyOrder   []string // idempotency keys, oldest first
	Ledger     *ledger.Ledger
	Caps       map[raylink.AccountID]*Cap
	Versions   Versions             // what machines must have at least
	Images     map[string]*ImagePin // by the catalogue's name

	// Money that crosses the border: each book keeps its own rules, and what it decides is posted here.
	Chain         string // the chain's name, for people's eyes; empty while no tokens are taken
	Prices        price.Book
	Deposits      *deposit.Book
	Wallets       *wallet.Book
	Payouts       *payout.Book
	Lots          *lot.Book
	Cards         *cardbook.Book
	PayEvery      time.Duration     // how often suppliers are paid
	PaidRunAt     time.Time         // when they were looked at last
	Unexplained   []deposit.Deposit // what left our token accounts and no payout or recorded swap explains, oldest first
	BuybackPolicy BuybackPolicy
	Buybacks      []*Buyback    // oldest first
	Checkpoints   []*Checkpoint // of the journal, oldest first
	SealKey       string        `json:",omitempty"` // base64 of the group's key, from the first minutes that it signed on

	Proving ProofPolicy                `json:",omitzero"`
	Proofs  map[raylink.ProofID]*Proof `json:",omitempty"` // the open ones, and the last few of each device

	byHash    map[string]raylink.TokenID                     // derived: access tokens by their hash
	byMachine map[raylink.MachineID]map[raylink.LeaseID]bool // derived: leases that still hold resources
	byDevice  map[string]map[raylink.MachineID]bool          // derived: machines by the GPUs that they claim
	open      map[raylink.ProofID]bool                       // derived: proofs that have not ended
	ahead     *ahead                                         // what Prepare has read
}

// lastYear is the last year that an entry's time may move the clock to. Later ones, with what is added to them, leave the range of the
// journal (2262) and of JSON (9999).
const lastYear = 2199

// New makes the empty state.
func New() *State {
	s := &State{
		Accounts:   map[raylink.AccountID]*Account{},
		Tokens:     map[raylink.TokenID]*Token{},
		JoinTokens: map[raylink.TokenID]*JoinToken{},
		Machines:   map[raylink.MachineID]*Machine{},
		Gateways:   map[raylink.GatewayID]*Gateway{},
		Members:    map[string]*Member{},
		Quotes:     map[raylink.QuoteID]*Quote{},
		Clusters:   map[raylink.ClusterID]*Cluster{},
		Leases:     map[raylink.LeaseID]*Lease{},
		Subnets:    map[int]time.Time{},
		Keys:       map[string]*Answer{},
		Ledger:     ledger.New(),
		Images:     map[string]*ImagePin{},
		Caps:       map[raylink.AccountID]*Cap{},
		Prices:     price.Book{Policy: price.Default()},
		Deposits:   deposit.NewBook(),
		Wallets:    wallet.NewBook(),
		Payouts:    payout.NewBook(),
		Lots:       lot.NewBook(),
		Cards:      cardbook.New(),
		PayEvery:   DefaultPayEvery,
		Proofs:     map[raylink.ProofID]*Proof{},
		ahead:      &ahead{},
	}
	s.derive()
	return s
}

// Apply applies one entry: every command at the time at, each with a result of its own (an encoded Result).
// It is deterministic. An entry that this build does not understand changes nothing and has no results: the replica then stops rather than diverge.
func (s *State) Apply(index uint64, at time.Time, commands []json.RawMessage) []json.RawMessage {
	ahead := s.ahead.take(commands)
	if !ahead.ok {
		return nil
	}
	s.tell(at)
	s.Index = index
	results := append(make([]json.RawMessage, 0, len(ahead.list)), ahead.rehearsal.perform(s)...)
	for _, d := range ahead.list[len(results):] {
		results = append(results, s.applyOnce(d.env, d.cmd))
	}
	return results
}

// tell moves the replicated clock on.
func (s *State) tell(at time.Time) {
	if at.After(s.Now) && at.Year() <= lastYear {
		s.Now = at.UTC()
	}
}

func (s *State) applyOnce(env Envelope, cmd Command) json.RawMessage {
	if env.Key != "" {
		if prior, ok := s.Keys[env.By+" "+env.Key]; ok {
			return prior.again(env)
		}
	}
	value, err := cmd.apply(s)
	result := encodeResult(value, err)
	// A refusal is not remembered: nothing changed, and the caller may mend the cause and try again with the same key.
	if env.Key != "" && err == nil {
		s.remember(env, result)
	}
	return result
}

// Save writes the whole state as JSON.
func (s *State) Save(w io.Writer) error {
	return json.NewEncoder(w).Encode(s)
}

// Load replaces the state by what Save wrote.
func (s *State) Load(r io.Reader) error {
	fresh := New()
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(fresh); err != nil {
		return fmt.Errorf("reading a snapshot: %w", err)
	}
	// To the very end: the decoder stops at the last brace, and whoever looks for a rest behind it must not find the line's end.
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("reading a snapshot: something follows it")
	}
	fresh.derive()
	*s = *fresh
	return nil
}

// Digest is the SHA-256 of the state. The journal enters by its head's hash, which binds every entry before it.
func (s *State) Digest() string {
	sum := sha256.New()
	bare := *s
	bare.Ledger = nil
	seq, head := s.Ledger.Head()
	for _, part := range []any{&bare, seq, head, s.Ledger.Accounts()} {
		if err := json.NewEncoder(sum).Encode(part); err != nil {
			panic(fmt.Sprintf("encoding the state for its digest: %v", err))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// derive builds the indexes anew: the one place both for a fresh state and for a restored one.
func (s *State) derive() {
	s.byHash = map[string]raylink.TokenID{}
	for id, t := range s.Tokens {
		s.byHash[t.Hash] = id
	}
	s.byMachine = map[raylink.MachineID]map[raylink.LeaseID]bool{}
	for id, l := range s.Leases {
		if !l.Gone {
			s.occupy(l.Machine, id)
		}
	}
	s.open = map[raylink.ProofID]bool{}
	for id, p := range s.Proofs {
		if !p.Ended() {
			s.open[id] = true
		}
	}
	s.byDevice = map[string]map[raylink.MachineID]bool{}
	for _, m := range s.Machines {
		s.claim(m)
	}
}

func (s *State) occupy(m raylink.MachineID, l raylink.LeaseID) {
	if s.byMachine[m] == nil {
		s.byMachine[m] = map[raylink.LeaseID]bool{}
	}
	s.byMachine[m][l] = true
}
