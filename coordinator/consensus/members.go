package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"raylink/raylink"
)

func (n *Node) servers() []raft.Server {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		n.log.Warn("raft does not tell its members", "error", err)
		return nil
	}
	return future.Configuration().Servers
}

func (n *Node) voters() int {
	voters := 0
	for _, server := range n.servers() {
		if server.Suffrage == raft.Voter {
			voters++
		}
	}
	return max(voters, 1)
}

// Member is one node of the group as this node sees it.
type Member struct {
	ID      string
	Address string // of its Raft port
	Leader  bool
	Voter   bool
	// LastContact is when this node last heard from it: a leader from each peer (at every comparison of clocks), a follower from the leader; else zero.
	LastContact time.Time
}

// Members are the members of the group, in the log's order.
func (n *Node) Members() []Member {
	_, leader := n.raft.LeaderWithID()
	self := raft.ServerID(n.cfg.ID)
	var members []Member
	for _, server := range n.servers() {
		m := Member{ID: string(server.ID), Address: string(server.Address), Leader: server.ID == leader, Voter: server.Suffrage == raft.Voter}
		switch {
		case server.ID == self:
			m.LastContact = time.Now()
		case leader == self:
			m.LastContact = n.clock.heard(server.ID)
		case server.ID == leader:
			m.LastContact = n.raft.LastContact()
		}
		members = append(members, m)
	}
	return members
}

type memberCall struct {
	ID      string `json:"id"`
	Address string `json:"address,omitempty"`
}

// AddVoter brings a running node into the group, or tells the group its new address. It works on any node. The leader must reach it, and their clocks agree.
func (n *Node) AddVoter(ctx context.Context, id, address string) error {
	return n.member(ctx, callAdd, memberCall{ID: id, Address: address})
}

// Remove takes a node out of the group; its process goes on until its owner ends it. It works on any node. The last voter stays.
func (n *Node) Remove(ctx context.Context, id string) error {
	return n.member(ctx, callRemove, memberCall{ID: id})
}

func (n *Node) member(ctx context.Context, method string, m memberCall) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("naming a member: %w", err)
	}
	_, err = n.CallLeader(ctx, method, body)
	return err
}

// answerAdd looks before it leaps: a voter that cannot be reached costs a small group its majority, and one with a wrong clock its leader.
func (n *Node) answerAdd(ctx context.Context, body []byte) ([]byte, error) {
	var m memberCall
	if err := json.Unmarshal(body, &m); err != nil || m.ID == "" || m.Address == "" {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a member needs an id and an address")
	}
	for _, server := range n.servers() {
		if server.Address == raft.ServerAddress(m.Address) && server.ID != raft.ServerID(m.ID) {
			return nil, raylink.Errorf(raylink.CodeConflict, "coordinator %s has the address %s already", server.ID, m.Address).
				WithHint("give each coordinator its own Raft address, or remove %s first", server.ID)
		}
	}
	drift := n.clock.drift()
	id, offset, err := n.clockAt(ctx, m.Address)
	switch {
	case err != nil:
		return nil, notYet("coordinator %s at %s is not added, since the leader cannot reach it: %v", m.ID, m.Address, err)
	case id != m.ID:
		return nil, raylink.Errorf(raylink.CodeConflict, "at %s is coordinator %s, not %s", m.Address, id, m.ID).WithHint("check the Raft address")
	case offset.Abs() > n.cfg.ClockLimit:
		return nil, raylink.Errorf(raylink.CodeConflict, "the clock of coordinator %s is %v from the leader's", m.ID, offset.Abs().Round(time.Second)).
			WithHint("set the clocks of all coordinators (ntp), then add it again")
	}
	n.clock.note(raft.ServerID(id), sample{offset: offset, drift: drift, at: time.Now()}) // its vote counts from now on, so does its clock
	err = n.raft.AddVoter(raft.ServerID(m.ID), raft.ServerAddress(m.Address), 0, n.cfg.LeaderWait).Error()
	return nil, memberResult(err)
}

func (n *Node) answerRemove(_ context.Context, body []byte) ([]byte, error) {
	var m memberCall
	if err := json.Unmarshal(body, &m); err != nil || m.ID == "" {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a member needs an id")
	}
	for _, server := range n.servers() {
		if server.ID != raft.ServerID(m.ID) {
			continue
		}
		if server.Suffrage == raft.Voter && n.voters() == 1 {
			return nil, raylink.Errorf(raylink.CodeConflict, "%s is the last coordinator", m.ID).WithHint("add another one first")
		}
		return nil, memberResult(n.raft.RemoveServer(server.ID, 0, n.cfg.LeaderWait).Error())
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "no coordinator %s is in the group", m.ID).WithHint("raylink admin status lists them")
}

// memberResult tells a caller how a change of membership went; both changes may be repeated.
func memberResult(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return notYet("the members were not changed: %v", err)
	}
	return raylink.Errorf(raylink.CodeUnavailable, "the members may have been changed or not: %v", err).WithHint("look at the members and try again")
}
