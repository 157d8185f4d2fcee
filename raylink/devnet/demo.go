package devnet

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// billed is how long the demo's cluster is billed for at least.
const billed = 3 * time.Minute

// Tell tells the whole story.
func (s *Story) Tell(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{s.signIn, s.topUp, s.create, s.work, s.loseHead, s.end, s.paid, s.next} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Story) signIn(ctx context.Context) error {
	s.chapter("The network, as its admin sees it")
	n := s.Network
	for _, who := range []string{"admin", "engineer"} {
		if _, err := s.raylink(ctx, who, "login", n.api[coordinatorName(0)], "--ca-sha256", n.caSum, "--token-file", n.people[who].tokenFile, "--name", who); err != nil {
			return err
		}
	}
	if _, err := s.raylink(ctx, "admin", "admin", "status"); err != nil {
		return err
	}
	_, err := s.raylink(ctx, "engineer", "machine", "list")
	return err
}

func (s *Story) create(ctx context.Context) error {
	s.chapter("A cluster: the price first, then the stages")
	manifest := filepath.Join(s.Job, "cluster.yaml")
	pay := []string(nil)
	if s.Network.chain != nil {
		pay = []string{"--pay", "usdc"}
	}
	if _, err := s.raylink(ctx, "engineer", append([]string{"quote", "-f", manifest}, pay...)...); err != nil {
		return err
	}
	if _, err := s.raylink(ctx, "engineer", append([]string{"cluster", "create", "-f", manifest, "--yes"}, pay...)...); err != nil {
		return err
	}
	// Another coordinator than the one that the CLI asked may hear of it a moment later.
	return s.soon(ctx, "every coordinator knows the cluster to be ready", 10*time.Second, func(ctx context.Context) error {
		x, err := s.look(ctx)
		if err == nil && (x.ReadyAt == nil || len(x.Endpoints) == 0) {
			err = fmt.Errorf("it is %s", x.Phase)
		}
		s.cluster = x
		return err
	})
}

// look is the story's cluster as it is now.
func (s *Story) look(ctx context.Context) (wire.Cluster, error) {
	c, err := s.Network.As("engineer")
	if err != nil {
		return wire.Cluster{}, err
	}
	defer c.Close()
	return c.Cluster(ctx, "first-job")
}

func (s *Story) endpoint() string { return s.cluster.Endpoints[0] }

// work submits the job, kills agents and leader under it, and brings the killed ones back.
func (s *Story) work(ctx context.Context) error {
	s.chapter("The job, by the unmodified Ray client; agents and leader die under it")
	left := billed - time.Since(*s.cluster.ReadyAt)
	j, err := s.submit(ctx, s.endpoint(), "│", "python", "train.py", "--seconds", fmt.Sprint(int(left.Seconds())))
	if err != nil {
		return err
	}
	if err := s.soon(ctx, "waiting for the job's first epochs", 2*time.Minute, func(context.Context) error {
		if j.ended() {
			return fmt.Errorf("the job ended early:\n%s", j)
		}
		if !strings.Contains(j.String(), "epoch ") {
			return fmt.Errorf("not there yet")
		}
		return nil
	}); err != nil {
		return err
	}
	carried, err := s.loseAgents(ctx)
	if err != nil {
		return err
	}
	if err := s.soon(ctx, "waiting for the second minute", 2*time.Minute, func(context.Context) error {
		if time.Since(*s.cluster.ReadyAt) < 65*time.Second {
			return fmt.Errorf("not there yet")
		}
		return nil
	}); err != nil {
		return err
	}
	killed, err := s.killLeader(ctx)
	if err != nil {
		return err
	}
	if err := s.catchUp(ctx, killed); err != nil {
		return err
	}
	if err := j.wait(ctx, 4*time.Minute); err != nil {
		return fmt.Errorf("the job did not go on to its end: %w\n%s", err, j)
	}
	if !strings.Contains(j.String(), "train.py: done, loss") || !strings.Contains(j.String(), "succeeded") {
		return fmt.Errorf("the job's log is not whole:\n%s", j)
	}
	if err := everyEpoch(j.String()); err != nil {
		return fmt.Errorf("the job's log is not whole: %w", err)
	}
	s.note("the same client streamed the whole log; the job noticed nothing")
	return s.stillCarried(ctx, carried)
}

// fallen is a coordinator that was killed.
type fallen struct {
	id    string
	index uint64 // its own newest, just before
}

// killLeader kills it with SIGKILL and waits until another leads and bills.
func (s *Story) killLeader(ctx context.Context) (fallen, error) {
	killed, err := s.behead(ctx)
	if err != nil {
		return killed, err
	}
	minutes := s.cluster.Minutes
	return killed, s.soon(ctx, "the new leader bills on", 3*time.Minute, func(ctx context.Context) error {
		x, err := s.look(ctx)
		if err != nil {
			return err
		}
		if x.Minutes < minutes+int64(2*len(x.Nodes)) {
			return fmt.Errorf("%d node minutes are charged", x.Minutes)
		}
		s.note("the new leader bills on: %d node minutes are charged", x.Minutes)
		return nil
	})
}

// behead kills the leader and waits for the next one.
func (s *Story) behead(ctx context.Context) (fallen, error) {
	before, err := s.Network.status(ctx)
	if err != nil {
		return fallen{}, err
	}
	own, err := s.statusOf(ctx, before.Leader)
	if err != nil {
		return fallen{}, err
	}
	s.note("killing the leader, %s, with SIGKILL", before.Leader)
	start := time.Now()
	if err := s.Network.Kill(before.Leader); err != nil {
		return fallen{}, err
	}
	return fallen{id: before.Leader, index: own.Index}, s.soon(ctx, "electing a new leader", 30*time.Second, func(ctx context.Context) error {
		after, err := s.Network.status(ctx)
		if err == nil && (after.Leader == before.Leader || after.Leader == "") {
			err = fmt.Errorf("no new leader yet")
		}
		if err == nil {
			s.note("%s leads after %.1f s", after.Leader, time.Since(start).Seconds())
		}
		return err
	})
}

// statusOf is the group's status as one coordinator sees it.
func (s *Story) statusOf(ctx context.Context, name string) (wire.Status, error) {
	c, err := s.Network.at(name, "admin")
	if err != nil {
		return wire.Status{}, err
	}
	defer c.Close()
	return c.StatusOf(ctx, s.Network.api[name])
}

// writesMissed is how many writes happen while a coordinator is away, so that the log that it missed is gone and it needs a snapshot.
const writesMissed = 40

// catchUp starts the killed coordinator again; it needs a snapshot of the others', and then all digests agree.
func (s *Story) catchUp(ctx context.Context, killed fallen) error {
	c, err := s.Network.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	for range writesMissed {
		if _, err := c.CreateToken(ctx, wire.TokenRequest{Role: raylink.RoleAdmin, TTL: "1m", Label: "one of many writes"}); err != nil {
			return err
		}
	}
	if err := s.soon(ctx, "the others keep snapshots and forget the log before them", 60*time.Second, func(context.Context) error {
		for i := range s.Network.cfg.Coordinators {
			if name := coordinatorName(i); name != killed.id && s.Network.saved(name) <= killed.index+trailing {
				return fmt.Errorf("%s has its newest snapshot at index %d, and may know what %s lacks from %d on", name, s.Network.saved(name), killed.id, killed.index)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	s.note("%d writes later, %s is started again", writesMissed, killed.id)
	if err := s.Network.Restart(killed.id); err != nil {
		return err
	}
	return s.soon(ctx, "the killed coordinator catches up", 60*time.Second, func(ctx context.Context) error {
		var all []wire.Status
		for i := range s.Network.cfg.Coordinators {
			st, err := s.statusOf(ctx, coordinatorName(i))
			if err != nil {
				return err
			}
			all = append(all, st)
		}
		began, err := caughtUp(all, killed, before.Index)
		if err == nil {
			s.note("all %d coordinators are at index %d with the digest %.16s…; %s began at a snapshot that it was sent, of index %d: its own newest was %d",
				len(all), all[0].Index, all[0].Digest, killed.id, began, killed.index)
		}
		return err
	})
}

// caughtUp says whether all coordinators agree at one index, not before the one given, and the killed one was sent a snapshot: one of its own is never
// beyond its own newest index. It gives the snapshot's.
func caughtUp(all []wire.Status, killed fallen, index uint64) (uint64, error) {
	began := uint64(0)
	for _, st := range all {
		if st.Index < index || st.Index != all[0].Index {
			return 0, fmt.Errorf("%s is at index %d, %s at %d", st.ID, st.Index, all[0].ID, all[0].Index)
		}
		if st.Digest != all[0].Digest {
			return 0, fmt.Errorf("digests differ at index %d: %s has %s, %s has %s", st.Index, st.ID, st.Digest, all[0].ID, all[0].Digest)
		}
		if st.ID == killed.id {
			began = st.Snapshot
		}
	}
	if began <= killed.index {
		return 0, fmt.Errorf("%s has caught up without a snapshot of the others': it began at index %d, and had %d itself", killed.id, began, killed.index)
	}
	return began, nil
}

// loseHead kills the head's container: the cluster comes back at the same address, and an actor on a worker remembers.
func (s *Story) loseHead(ctx context.Context) error {
	s.chapter("The head's container is killed; the cluster comes back at the same address")
	doomed, err := s.submit(ctx, s.endpoint(), "┆", "python", "train.py", "--seconds", "600")
	if err != nil {
		return err
	}
	if err := s.soon(ctx, "waiting for a second job to run", time.Minute, func(context.Context) error {
		if !strings.Contains(doomed.String(), "epoch ") {
			return fmt.Errorf("it says: %s", doomed)
		}
		return nil
	}); err != nil {
		return err
	}
	head := s.cluster.Nodes[0]
	container := "raylink-" + string(head.Lease)
	fmt.Fprintf(s.Network.cfg.Out, "\n$ docker kill %s\n", container)
	if out, err := exec.CommandContext(ctx, "docker", "kill", container).CombinedOutput(); err != nil {
		return fmt.Errorf("killing the head's container: %w: %s", err, out)
	}
	start := time.Now()
	if err := s.headBack(ctx, head, start); err != nil {
		return err
	}
	ask, err := s.submit(ctx, s.endpoint(), "│", "python", "ask.py")
	if err != nil {
		return err
	}
	if err := ask.wait(ctx, 2*time.Minute); err != nil || !strings.Contains(ask.String(), "ask.py: the keeper on left") {
		return fmt.Errorf("the detached actor did not answer from its old state: %w\n%s", err, ask)
	}
	s.note("the detached actor on a worker outlived the head and answered from its old state")
	s.note("the job whose driver ran on the old head cannot go on; its stream is held until Ray's verdict")
	if err := doomed.wait(ctx, 4*time.Minute); exitCode(err) != 1 || !strings.Contains(doomed.String(), "raylink: ") {
		return fmt.Errorf("the lost job's client ended with code %d and without the reason:\n%s", exitCode(err), doomed)
	}
	return nil
}

func (s *Story) headBack(ctx context.Context, head wire.Node, start time.Time) error {
	return s.soon(ctx, "the head comes back", 2*time.Minute, func(ctx context.Context) error {
		x, err := s.look(ctx)
		if err != nil {
			return err
		}
		now, err := cameBack(x.Nodes, head)
		if err == nil {
			s.note("the head is back after %.1f s at the same address, %s (before: %s)", time.Since(start).Seconds(), now.Address, head.Address)
		}
		return err
	})
}

// cameBack is the head as it is now, once Ray sees a new one where the old one was.
func cameBack(nodes []wire.Node, head wire.Node) (wire.Node, error) {
	i := slices.IndexFunc(nodes, func(n wire.Node) bool { return n.Role == raylink.NodeHead })
	if i < 0 {
		return wire.Node{}, fmt.Errorf("the cluster has no head any more")
	}
	now := nodes[i]
	if now.Lease != head.Lease || now.Address != head.Address {
		return now, fmt.Errorf("the head is lease %s at %s, and was %s at %s", now.Lease, now.Address, head.Lease, head.Address)
	}
	if now.RayNode == "" || now.RayNode == head.RayNode {
		return now, fmt.Errorf("Ray does not see a new head yet")
	}
	return now, nil
}

// end deletes the cluster and shows what it cost.
func (s *Story) end(ctx context.Context) error {
	s.chapter("The bill")
	if _, err := s.raylink(ctx, "engineer", "cluster", "delete", "first-job", "--wait"); err != nil {
		return err
	}
	c, err := s.Network.As("engineer")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := s.soon(ctx, "the cluster ends", 4*time.Minute, func(ctx context.Context) error {
		x, err := c.Cluster(ctx, string(s.cluster.ID))
		if err == nil && x.Phase != raylink.PhaseEnded {
			err = fmt.Errorf("it is %s: %s", x.Phase, x.Detail)
		}
		return err
	}); err != nil {
		return err
	}
	if _, err := s.raylink(ctx, "engineer", "bill", "first-job", "--minutes"); err != nil {
		return err
	}
	bill := filepath.Join(s.Network.cfg.Dir, "bill.jsonl")
	for _, args := range [][]string{{"bill", "first-job", "--file", bill}, {"verify", bill}} {
		if _, err := s.raylink(ctx, "engineer", args...); err != nil {
			return err
		}
	}
	return s.check(ctx, c)
}

// check exports the journal and lets it be verified offline.
func (s *Story) check(ctx context.Context, c *client.Client) error {
	b, err := c.Bill(ctx, string(s.cluster.ID))
	if err != nil {
		return err
	}
	if err := nobodyLostAMinute(b, int64(billed/time.Minute)); err != nil {
		return err
	}
	file := filepath.Join(s.Network.cfg.Dir, "journal.jsonl")
	if _, err := s.raylink(ctx, "admin", "journal", "export", "--file", file); err != nil {
		return err
	}
	_, err = s.raylink(ctx, "engineer", "verify", file)
	return err
}
