package state

import (
	"crypto/ed25519"
	"net/url"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
)

// States of a machine, as admins set them. Whether it is up is not in the log: the leader sees it.
const (
	MachineActive   = "active"
	MachineDraining = "draining" // keeps its leases, gets no new ones
	MachineBanned   = "banned"
)

// Machine is one host of a supplier.
type Machine struct {
	ID        raylink.MachineID
	Name      string
	Owner     raylink.AccountID
	PublicKey string // Ed25519 identity, standard base64
	Offer     raylink.Offer
	OfferedAt time.Time // when the offer was set last
	State     string
	Reason    string
	JoinedAt  time.Time

	SetAt      time.Time            `json:",omitzero"`  // when State was set last
	Admin      bool                 `json:",omitempty"` // an admin drains it, not its owner
	Leaves     *time.Time           `json:",omitempty"` // draining: when its owner takes it back, whatever runs
	Host       *raylink.Host        `json:",omitempty"` // what it says it is
	HostAt     time.Time            `json:",omitzero"`  // when it said so
	Claimed    map[string]time.Time `json:",omitempty"` // its GPUs, and when it claimed each for the first time without a break
	Quarantine *Quarantine          `json:",omitempty"`
	Record     Record
	Proven     map[string]*Proven `json:",omitempty"` // by device
}

// Gateway is one process that serves endpoints.
type Gateway struct {
	ID        raylink.GatewayID
	Name      string
	PublicKey string
	URL       string
	JoinedAt  time.Time
	Beside    string `json:",omitempty"` // id of the coordinator that it stands beside, as it says; empty when it has not said
}

// Member is one coordinator, as the group knows it.
type Member struct {
	ID       string
	Raft     string // address where its peers reach it
	API      string // URL
	JoinedAt time.Time
}

// Bounds of an offer, which Offer.Check looks at, bound what is asked of one, too.
const (
	maxCores  = raylink.MaxCores
	maxMemory = raylink.MaxMemory
	maxGPUs   = raylink.MaxGPUs
	maxLabel  = raylink.MaxLabel
)

func checkPublicKey(text string) (ed25519.PublicKey, error) {
	key, ok := identity.DecodeKey(text)
	if !ok {
		return nil, raylink.Errorf(raylink.CodeInvalid, "an identity key is 32 bytes in base64")
	}
	return key, nil
}

// JoinMachine lets a machine in by its join token.
type JoinMachine struct {
	TokenHash string            `json:"token_hash"`
	ID        raylink.MachineID `json:"id"`
	PublicKey string            `json:"public_key"`
	Name      string            `json:"name"`
	Offer     raylink.Offer     `json:"offer"`
}

func (*JoinMachine) kind() string { return "machine.join" }

func (c *JoinMachine) apply(s *State) (any, error) {
	key, err := checkPublicKey(c.PublicKey)
	if err != nil {
		return nil, err
	}
	if string(c.ID) != string(identity.MachineID(key)) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the machine's id does not follow from its key")
	}
	if err := CheckName("the machine's name", c.Name); err != nil {
		return nil, err
	}
	if err := c.Offer.Check(); err != nil {
		return nil, err
	}
	if m, ok := s.Machines[c.ID]; ok && m.State == MachineBanned {
		return nil, raylink.Errorf(raylink.CodeForbidden, "this machine is banned: %s", m.Reason).WithHint("ask the group's admin")
	}
	token, err := s.consume(c.TokenHash, JoinKindMachine, string(c.ID))
	if err != nil {
		return nil, err
	}
	if m, ok := s.Machines[c.ID]; ok {
		m.Name, m.Offer, m.OfferedAt, m.Owner = c.Name, c.Offer, s.Now, token.Account
		return c.ID, nil
	}
	s.Machines[c.ID] = &Machine{ID: c.ID, Name: c.Name, Owner: token.Account, PublicKey: c.PublicKey, Offer: c.Offer, OfferedAt: s.Now, State: MachineActive, JoinedAt: s.Now}
	return c.ID, nil
}

// SetOffer changes what a machine offers. Leases that run keep their rates.
type SetOffer struct {
	ID    raylink.MachineID `json:"id"`
	Offer raylink.Offer     `json:"offer"`
}

func (*SetOffer) kind() string { return "machine.offer" }

func (c *SetOffer) apply(s *State) (any, error) {
	m, err := s.machine(c.ID)
	if err != nil {
		return nil, err
	}
	if err := c.Offer.Check(); err != nil {
		return nil, err
	}
	m.Offer, m.OfferedAt = c.Offer, s.Now
	return c.ID, nil
}

// SetMachine drains, resumes or bans a machine.
type SetMachine struct {
	ID     raylink.MachineID `json:"id"`
	State  string            `json:"state"`
	Reason string            `json:"reason,omitempty"`
	Admin  bool              `json:"admin,omitempty"`  // an admin asks, not the owner
	Leaves *time.Time        `json:"leaves,omitempty"` // the early form of Notice, which nothing proposes any more: the time itself
	Notice time.Duration     `json:"notice,omitempty"` // draining: after it the owner takes the machine back; whatever runs then ends in order
}

func (*SetMachine) kind() string { return "machine.set" }

func (c *SetMachine) apply(s *State) (any, error) {
	m, err := s.machine(c.ID)
	if err != nil {
		return nil, err
	}
	if c.State != MachineActive && c.State != MachineDraining && c.State != MachineBanned {
		return nil, raylink.Errorf(raylink.CodeInvalid, "unknown state %q of a machine", c.State)
	}
	if c.Reason != "" {
		if err := CheckName("the reason", c.Reason); err != nil {
			return nil, err
		}
	}
	if c.Leaves != nil && (c.Notice != 0 || c.State != MachineDraining || !c.Leaves.After(s.Now) || c.Leaves.Sub(s.Now) > MaxNotice) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a notice belongs to a drain, lies in the future, and is at most %s long", MaxNotice)
	}
	if c.Notice < 0 || c.Notice > MaxNotice || c.Notice > 0 && c.State != MachineDraining {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a notice belongs to a drain, and is at most %s long", MaxNotice)
	}
	var leaves *time.Time
	if c.Notice > 0 {
		at := s.Now.Add(c.Notice)
		leaves = &at
	} else if c.Leaves != nil {
		at := c.Leaves.UTC()
		leaves = &at
	}
	if m.State != c.State {
		m.SetAt = s.Now
	}
	m.State, m.Reason, m.Admin, m.Leaves = c.State, c.Reason, c.Admin, leaves
	return c.ID, nil
}

// JoinGateway lets a gateway in by its join token.
type JoinGateway struct {
	TokenHash string            `json:"token_hash"`
	ID        raylink.GatewayID `json:"id"`
	PublicKey string            `json:"public_key"`
	Name      string            `json:"name"`
	URL       string            `json:"url"`
}

func (*JoinGateway) kind() string { return "gateway.join" }

func (c *JoinGateway) apply(s *State) (any, error) {
	key, err := checkPublicKey(c.PublicKey)
	if err != nil {
		return nil, err
	}
	if string(c.ID) != string(identity.GatewayID(key)) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the gateway's id does not follow from its key")
	}
	if err := CheckName("the gateway's name", c.Name); err != nil {
		return nil, err
	}
	if err := CheckURL(c.URL); err != nil {
		return nil, err
	}
	if _, err := s.consume(c.TokenHash, JoinKindGateway, string(c.ID)); err != nil {
		return nil, err
	}
	joined, beside := s.Now, ""
	if g, ok := s.Gateways[c.ID]; ok {
		joined, beside = g.JoinedAt, g.Beside
	}
	s.Gateways[c.ID] = &Gateway{ID: c.ID, Name: c.Name, PublicKey: c.PublicKey, URL: c.URL, JoinedAt: joined, Beside: beside}
	return c.ID, nil
}

// maxAddress is the longest URL or host:port, in bytes.
const maxAddress = 512

// CheckURL refuses what is not a plain http(s) base.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(text) > maxAddress || !printable(text) {
		return raylink.Errorf(raylink.CodeInvalid, "%.100q is no http(s) address", text).WithHint("give it as https://host:port")
	}
	return nil
}

// CheckBeside refuses what cannot be the id of the coordinator that a gateway stands beside; a gateway need not say one.
func CheckBeside(id string) error {
	if id != "" && !(identity.Principal{Kind: identity.Coordinator, ID: id}).Valid() {
		return raylink.Errorf(raylink.CodeInvalid, "%.100q is no coordinator's id", id).WithHint("`raylink admin status` lists them")
	}
	return nil
}

// SetGatewayURL records where a gateway serves now, and which coordinator it stands beside.
type SetGatewayURL struct {
	ID     raylink.GatewayID `json:"id"`
	URL    string            `json:"url"`
	Beside string            `json:"beside,omitempty"` // a coordinator's id; it need not be one of the group yet
}

func (*SetGatewayURL) kind() string { return "gateway.url" }

func (c *SetGatewayURL) apply(s *State) (any, error) {
	g, ok := s.Gateways[c.ID]
	if !ok {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no gateway %q", c.ID)
	}
	if err := CheckURL(c.URL); err != nil {
		return nil, err
	}
	if err := CheckBeside(c.Beside); err != nil {
		return nil, err
	}
	g.URL, g.Beside = c.URL, c.Beside
	return c.ID, nil
}

// JoinMember records a coordinator: a new one by its join token, a known one (or the founder) without.
type JoinMember struct {
	TokenHash string `json:"token_hash,omitempty"`
	ID        string `json:"id"`
	Raft      string `json:"raft"`
	API       string `json:"api"`
}

func (*JoinMember) kind() string { return "member.join" }

func (c *JoinMember) apply(s *State) (any, error) {
	if !(identity.Principal{Kind: identity.Coordinator, ID: c.ID}).Valid() {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the coordinator's id must be 1 to 63 of a-z, 0-9 and -, as in a host name")
	}
	if c.Raft == "" || len(c.Raft) > maxAddress || !printable(c.Raft) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the coordinator's Raft address must be host:port, at most %d bytes", maxAddress)
	}
	if err := CheckURL(c.API); err != nil {
		return nil, err
	}
	known, ok := s.Members[c.ID]
	if c.TokenHash != "" {
		if ok && known.Raft != c.Raft {
			return nil, raylink.Errorf(raylink.CodeConflict, "a coordinator %q exists already", c.ID).WithHint("give the new one another --id")
		}
		if _, err := s.consume(c.TokenHash, JoinKindCoordinator, c.ID); err != nil {
			return nil, err
		}
	}
	joined := s.Now
	if ok {
		joined = known.JoinedAt
	}
	s.Members[c.ID] = &Member{ID: c.ID, Raft: c.Raft, API: c.API, JoinedAt: joined}
	return c.ID, nil
}

func (s *State) machine(id raylink.MachineID) (*Machine, error) {
	m, ok := s.Machines[id]
	if !ok {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no machine %q", id).WithHint("see `raylink machine list`")
	}
	return m, nil
}

// Used is what the leases on a machine take of its offer.
func (s *State) Used(id raylink.MachineID) raylink.Resources {
	var used raylink.Resources
	for l := range s.byMachine[id] {
		r := s.Leases[l].Resources
		used.CPU += r.CPU
		used.Memory += r.Memory
		used.GPU += r.GPU
	}
	return used
}

// LeasesOn are the leases that still hold something on a machine, in no order.
func (s *State) LeasesOn(id raylink.MachineID) []*Lease {
	var list []*Lease
	for l := range s.byMachine[id] {
		list = append(list, s.Leases[l])
	}
	return list
}

// Hired are the machines with leases that still hold something, in no order.
func (s *State) Hired() []raylink.MachineID {
	var list []raylink.MachineID
	for id, leases := range s.byMachine {
		if len(leases) > 0 {
			list = append(list, id)
		}
	}
	return list
}
