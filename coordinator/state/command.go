package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"raylink/raylink"
)

// Command is one change of the state. The types that implement it are all in this package.
type Command interface {
	kind() string
	apply(s *State) (any, error)
}

// Envelope is a command as it stands in the log.
type Envelope struct {
	Kind string          `json:"kind"`
	By   string          `json:"by"`            // who asked: "account:acc-…", "machine:m-…", "leader"
	Key  string          `json:"key,omitempty"` // the caller's idempotency key
	Body json.RawMessage `json:"body"`
}

// MaxKey is the longest idempotency key that is taken, in bytes.
const MaxKey = 128

// keyLife is how long an idempotency key is remembered.
const keyLife = 24 * time.Hour

// Encode puts a command into its envelope.
func Encode(by, key string, c Command) (json.RawMessage, error) {
	if len(key) > MaxKey {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the idempotency key has %d bytes; at most %d are taken", len(key), MaxKey)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", c.kind(), err)
	}
	return json.Marshal(Envelope{Kind: c.kind(), By: by, Key: key, Body: body})
}

// Decode reads an envelope and its command, strictly.
func Decode(raw json.RawMessage) (Envelope, Command, error) {
	var env Envelope
	if err := strict(raw, &env); err != nil {
		return env, nil, fmt.Errorf("reading a command's envelope: %w", err)
	}
	cmd := blank(env.Kind)
	if cmd == nil {
		return env, nil, fmt.Errorf("unknown kind of command %q", env.Kind)
	}
	if err := strict(env.Body, cmd); err != nil {
		return env, nil, fmt.Errorf("reading the body of %s: %w", env.Kind, err)
	}
	return env, cmd, nil
}

func strict(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("something follows the JSON value")
	}
	return nil
}

// Result is what a command gave: a value, or a refusal that changed nothing.
type Result struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error *raylink.Error  `json:"error,omitempty"`
}

// ReadResult decodes one of Apply's results into value, or returns its refusal.
func ReadResult(raw json.RawMessage, value any) error {
	var r Result
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("reading a result: %w", err)
	}
	if r.Error != nil {
		return r.Error
	}
	if value == nil || len(r.Value) == 0 {
		return nil
	}
	return json.Unmarshal(r.Value, value)
}

func encodeResult(value any, err error) json.RawMessage {
	var r Result
	if err != nil {
		r.Error = clipped(raylink.AsError(err))
	} else if value != nil {
		raw, merr := json.Marshal(value)
		if merr != nil {
			panic(fmt.Sprintf("encoding a result: %v", merr))
		}
		r.Value = raw
	}
	raw, merr := json.Marshal(r)
	if merr != nil {
		panic(fmt.Sprintf("encoding a result: %v", merr))
	}
	return raw
}

// maxWords is the most bytes of a refusal's message, and of its hint: they may quote what was sent.
const maxWords = 2000

// clipped is a refusal that is not longer than it has to be; it stands in every replica's memory.
func clipped(e *raylink.Error) *raylink.Error {
	short := *e
	short.Message, short.Hint = clip(short.Message), clip(short.Hint)
	return &short
}

func clip(text string) string {
	if len(text) <= maxWords {
		return text
	}
	return strings.ToValidUTF8(text[:maxWords], "") + "…"
}

// Answer is a remembered result of an idempotency key.
type Answer struct {
	At     time.Time
	Hash   string // of kind and body
	Result json.RawMessage
}

func (a *Answer) again(env Envelope) json.RawMessage {
	if a.Hash != env.hash() {
		return encodeResult(nil, raylink.Errorf(raylink.CodeConflict, "the idempotency key %q was used for another request", env.Key).
			WithHint("make a new key for a new request"))
	}
	return a.Result
}

func (e Envelope) hash() string {
	sum := sha256.Sum256(append([]byte(e.Kind+"\n"), e.Body...))
	return hex.EncodeToString(sum[:])
}

func (s *State) remember(env Envelope, result json.RawMessage) {
	for len(s.KeyOrder) > 0 {
		oldest := s.Keys[s.KeyOrder[0]]
		if oldest != nil && s.Now.Sub(oldest.At) < keyLife {
			break
		}
		delete(s.Keys, s.KeyOrder[0])
		s.KeyOrder = s.KeyOrder[1:]
	}
	key := env.By + " " + env.Key
	s.Keys[key] = &Answer{At: s.Now, Hash: env.hash(), Result: result}
	s.KeyOrder = append(s.KeyOrder, key)
}

// blank makes an empty command of a kind, nil if there is none. Kinds are append-only.
func blank(kind string) Command {
	for _, c := range kinds() {
		if c.kind() == kind {
			return c
		}
	}
	return nil
}

func kinds() []Command {
	return []Command{
		&OpenAccount{}, &IssueToken{}, &RevokeToken{}, &IssueJoinToken{}, &GrantCredit{},
		&JoinMachine{}, &SetOffer{}, &SetMachine{}, &JoinGateway{}, &SetGatewayURL{}, &JoinMember{},
		&MakeQuote{}, &CreateCluster{}, &AdvanceCluster{}, &EndCluster{}, &CloseCluster{}, &WarnCluster{},
		&RecordLeases{}, &RecordGateway{}, &SettleMinutes{}, &Sweep{},
		&PinImage{}, &UnpinImage{},
		&SetCap{}, &SetBudget{}, &SetPricePolicy{}, &SetPrice{}, &HaltPrice{}, &ResumeEarnings{},
		&SetTreasury{}, &OpenTopup{}, &ObserveDeposit{}, &AssignSuspense{}, &RewindDeposits{},
		&ChallengeWallet{}, &ProveWallet{}, &RemoveWallet{},
		&SetSettlement{}, &SetPayoutPolicy{}, &RequestPayout{}, &RunPayouts{}, &CheckDestination{}, &HaltPayouts{}, &ChangePayout{},
		&MakeBatch{}, &RecordAttempt{}, &RecordOutcome{}, &ReleaseLot{}, &SetBuyback{}, &ProposeBuyback{}, &RecordSwap{}, &BurnBought{},
		&RequestCardTopup{}, &OpenCardTopup{}, &TakeCardFact{}, &RefundCard{}, &RefuseCardRefund{}, &PardonCard{},
		&RecordCheckpoint{}, &RecordAnchor{},
		&SetHost{}, &QuarantineMachine{}, &ReleaseMachine{}, &SetVersions{},
		&OpenProof{}, &BeginProof{}, &CommitProof{}, &WalkProof{}, &JudgeProof{}, &ExpireProof{}, &AsideProof{}, &SetProofPolicy{},
	}
}
