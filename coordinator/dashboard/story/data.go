package story

import (
	"fmt"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// idOf is the id of the storybook's cluster in a phase.
func idOf(p raylink.Phase) string { return "c-" + (string(p) + "aaaaaaaaaa")[:10] }

// everything is a busy coordinator's world: a cluster in each phase, the newest first.
func everything(now time.Time) world {
	w := world{
		bills:   map[raylink.ClusterID]wire.Bill{},
		balance: wire.Balance{Account: "acc-ownerowner", Name: "Example Labs", Free: wire.Sums{money.MicroUSD(48_731_250)}, Held: wire.Sums{money.MicroUSD(1_224_000)}, Earned: wire.Sums{money.MicroUSD(3_172_805)}},
		accounts: []wire.Account{
			{ID: "acc-ownerowner", Name: "Example Labs", Free: wire.Sums{money.MicroUSD(48_731_250)}, Held: wire.Sums{money.MicroUSD(1_224_000)}, Earned: wire.Sums{money.MicroUSD(0)}, CreatedAt: now.Add(-31 * 24 * time.Hour)},
			{ID: "acc-millmillmi", Name: "Old Mill Hosting", Free: wire.Sums{money.MicroUSD(0)}, Held: wire.Sums{money.MicroUSD(0)}, Earned: wire.Sums{money.MicroUSD(3_172_805)}, CreatedAt: now.Add(-12 * 24 * time.Hour)},
		},
		machines: machines(now),
		status:   status(now),
	}
	w.affairs = riches(now)
	w.balance.Free, w.balance.Held, w.balance.Purses, w.balance.Cap = purses(), wire.Sums{money.MicroUSD(1_224_000)}, inPurses(now), &wire.Cap{PerDay: money.MicroUSD(50_000_000), Alarm: 80, Today: money.MicroUSD(42_180_500)}
	for _, p := range raylink.Phases() {
		w.clusters = append(w.clusters, cluster(p, now))
	}
	w.clusters = append(w.clusters, warned(now), restarted(now), leaving(raylink.PhaseEnding, now), leaving(raylink.PhaseEnded, now), failed(now), lost(now))
	for i, cl := range w.clusters {
		w.bills[cl.ID] = bill(cl, now)
		w.pays[cl.ID] = []string{"grant", "usdc", "io", "usdc"}[i%4]
	}
	ready := raylink.ClusterID(idOf(raylink.PhaseReady))
	w.bills[ready] = inIO(w.bills[ready])
	return w
}

func machines(now time.Time) []wire.Machine {
	list := []wire.Machine{}
	for i, m := range []struct{ name, state, accelerator string }{
		{"mill-01", "up", ""}, {"mill-02", "up", ""}, {"mill-03", "draining", ""}, {"desk", "down", ""}, {"hall-7", "up", "NVIDIA-GeForce-RTX-4090"}, {"stranger", "banned", ""},
	} {
		seen := now.Add(-time.Duration(i) * 3 * time.Second)
		v := wire.Machine{ID: raylink.MachineID(fmt.Sprintf("m-%010d", i)), Name: m.name, Owner: "acc-millmillmi", State: m.state, JoinedAt: now.Add(-100 * time.Hour), LastSeen: &seen,
			Offer: raylink.Offer{Resources: raylink.Resources{CPU: 16 * raylink.Unit, Memory: 62 << 30}, Arch: "amd64", CPUHour: 20_000, Labels: map[string]string{"zone": "mill"}},
			Used:  raylink.Resources{CPU: int64(i*3) * raylink.Unit, Memory: int64(i) * 7 << 30}, Leases: i}
		if m.accelerator != "" {
			v.Offer.Accelerator, v.Offer.Resources.GPU, v.Offer.GPUHour, v.Used.GPU = m.accelerator, 4*raylink.Unit, 340_000, 3*raylink.Unit
		}
		if m.state == "banned" {
			v.LastSeen = nil
		}
		stand(&v, i, now)
		list = append(list, v)
	}
	return list
}

func status(now time.Time) wire.Status {
	seen := now.Add(-2 * time.Second)
	old := now.Add(-7 * time.Minute)
	s := wire.Status{ID: "b", Leader: "a", Index: 48_213, Snapshot: 40_960, Digest: strings.Repeat("9f86d081884c7d65", 4), CASHA256: strings.Repeat("2c26b46b68ffc68f", 4), Now: now, Version: "0.1.0"}
	for i, id := range []string{"a", "b", "c"} {
		s.Members = append(s.Members, wire.Member{ID: id, Raft: fmt.Sprintf("10.0.0.%d:7444", i+1), API: fmt.Sprintf("https://10.0.0.%d:7443", i+1), Leader: id == "a", Voter: id != "c"})
	}
	for i, at := range []*time.Time{&seen, &old, nil} {
		s.Gateways = append(s.Gateways, wire.Gateway{ID: raylink.GatewayID(fmt.Sprintf("g-%010d", i)), URL: fmt.Sprintf("https://gw%d.example.org:8443", i), LastSeen: at})
	}
	return s
}

// cluster is one on its way: in phase p since four seconds ago.
func cluster(p raylink.Phase, now time.Time) wire.Cluster {
	began := now.Add(-time.Duration(p.Order())*1700*time.Millisecond - 4200*time.Millisecond)
	cl := wire.Cluster{ID: raylink.ClusterID(idOf(p)), Name: "train-" + string(p), Owner: "acc-ownerowner", Phase: p, Detail: "waiting for train-" + string(p) + "-gpu-2", CreatedAt: began,
		Endpoints: []string{}, PerHour: money.MicroUSD(1_200_000), Hold: money.MicroUSD(1_224_000), Spent: money.MicroUSD(0), Image: "raylink/worker:2.60.0-py311", RayVersion: "2.60.0", Subnet: "10.77.4.0/24"}
	for _, q := range raylink.Phases()[:p.Order()+1] {
		cl.Stages = append(cl.Stages, wire.StageTime{Phase: q, At: began.Add(time.Duration(q.Order()) * 1700 * time.Millisecond)})
	}
	stages := [...]raylink.Stage{raylink.StageNone, raylink.StageNone, raylink.StageImage, raylink.StageMesh, raylink.StagePreflight, raylink.StageRunning, raylink.StageRunning}
	for i, node := range []string{"head", "gpu-1", "gpu-2"} {
		n := wire.Node{Lease: raylink.LeaseID(fmt.Sprintf("l-%010d", i)), Node: cl.Name + "-" + node, Role: raylink.NodeWorker, Group: "gpu", Machine: raylink.MachineID(fmt.Sprintf("m-%010d", i)),
			Address: fmt.Sprintf("10.77.4.%d", 9+i), Stage: stages[p.Order()], Rate: 400_000}
		if i == 0 {
			n.Role, n.Group, n.Address = raylink.NodeHead, "headgroup", "10.77.4.2"
		}
		if i == 1 && p.Order() > 0 {
			n.Stage = stages[min(p.Order()+1, 6)]
		}
		if p == raylink.PhaseReady || p == raylink.PhaseWorkers && i == 0 {
			n.RayNode = strings.Repeat("c0ffee1234", 6)[:56]
		}
		cl.Nodes = append(cl.Nodes, n)
	}
	if p.Order() >= raylink.PhaseOverlay.Order() {
		cl.Endpoints = []string{"https://gw0.example.org:8443/c/" + string(cl.ID), "https://gw1.example.org:8443/c/" + string(cl.ID)}
	}
	if p == raylink.PhaseReady {
		cl.ReadyAt, cl.Detail, cl.Spent, cl.Minutes = &cl.Stages[6].At, "", money.MicroUSD(61_200), 9
		most, until := money.MicroUSD(25_000_000), now.Add(20*time.Hour)
		cl.Maximum, cl.Alarm, cl.RunsOutAt = &most, 80, &until
	}
	return cl
}

func warned(now time.Time) wire.Cluster {
	cl := cluster(raylink.PhaseReady, now)
	cl.ID, cl.Name = "c-warnedwarn", "night-run"
	cl.Warning = "the balance covers 7 more minutes; the cluster ends then: ask your admin for credit"
	return cl
}

func restarted(now time.Time) wire.Cluster {
	cl := cluster(raylink.PhaseReady, now)
	cl.ID, cl.Name, cl.Nodes[0].Restarts = "c-restartsre", "second-wind", 2
	cl.Warning = "second-wind-head was started again at its address; the workers stayed"
	return cl
}

func leaving(p raylink.Phase, now time.Time) wire.Cluster {
	cl := cluster(raylink.PhaseReady, now.Add(-26*time.Hour))
	cl.ID, cl.Name, cl.Phase, cl.RunsOutAt = raylink.ClusterID(idOf(p)), "train-"+string(p), p, nil
	cl.Detail, cl.Spent, cl.Minutes = "deleted by Example Labs", money.MicroUSD(31_824_000), 4680
	at := now.Add(-3 * time.Second)
	cl.Stages = append(cl.Stages, wire.StageTime{Phase: raylink.PhaseEnding, At: at})
	if p == raylink.PhaseEnding {
		cl.Detail += "; machines clean up and the last minutes are settled"
		return cl
	}
	cl.Stages = append(cl.Stages, wire.StageTime{Phase: p, At: now})
	cl.EndedAt, cl.Hold, cl.Endpoints = &now, money.MicroUSD(0), []string{}
	for i := range cl.Nodes {
		cl.Nodes[i].Stage = raylink.StageGone
	}
	return cl
}

// failed is one that never got ready.
func failed(now time.Time) wire.Cluster {
	cl := cluster(raylink.PhasePreflight, now.Add(-time.Hour))
	end := now.Add(-59 * time.Minute)
	cl.ID, cl.Name, cl.Phase, cl.EndedAt, cl.Hold, cl.Detail = raylink.ClusterID(idOf(raylink.PhaseFailed)), "blocked-pair", raylink.PhaseFailed, &end, money.MicroUSD(0), ""
	cl.Stages = append(cl.Stages, wire.StageTime{Phase: raylink.PhaseEnding, At: end.Add(-2 * time.Second)}, wire.StageTime{Phase: raylink.PhaseFailed, At: end})
	cl.Endpoints = []string{}
	cl.Failure = &raylink.Failure{Stage: "preflight", Machine: cl.Nodes[2].Machine, Reason: "blocked between blocked-pair-gpu-1 and blocked-pair-gpu-2",
		Hint: "the machines cannot reach each other by UDP; a firewall between them is the usual cause"}
	return cl
}

// lost is one that ran, and lost a machine.
func lost(now time.Time) wire.Cluster {
	cl := leaving(raylink.PhaseEnded, now)
	cl.ID, cl.Name, cl.Phase, cl.Detail = "c-lostlostlo", "lost-machine", raylink.PhaseFailed, ""
	cl.Nodes[2].Failure = &raylink.Failure{Stage: "running", Reason: "the container's memory ran out", Hint: "ask for more memory in the manifest"}
	cl.Failure = &raylink.Failure{Stage: "ready", Machine: cl.Nodes[2].Machine, Reason: "the container's memory ran out", Hint: "ask for more memory in the manifest"}
	return cl
}

// bill has a line for each node; the second line has a waived minute.
func bill(cl wire.Cluster, now time.Time) wire.Bill {
	b := wire.Bill{Cluster: cl.ID, Name: cl.Name, FeePercent: "2", From: cl.CreatedAt, To: now, Final: cl.Phase.Over(), Held: cl.Hold,
		BalanceBefore: money.MicroUSD(50_000_000), BalanceNow: money.MicroUSD(48_731_250), Use: money.MicroUSD(0), Fee: money.MicroUSD(0), Total: money.MicroUSD(0), Paid: money.MicroUSD(0), Pay: "grant"}
	if cl.ReadyAt == nil {
		return b
	}
	minutes := 5
	if b.Final {
		minutes = 300
	}
	for i, n := range cl.Nodes {
		l := wire.BillLine{Lease: n.Lease, Node: n.Node, Machine: n.Machine, Rate: n.Rate}
		for m := range minutes {
			v := wire.BillMinute{Ordinal: int64(m), Outcome: "charged", AgentSeconds: 60, GatewaySeconds: 60, Gateway: "g-0000000000", Amount: money.MicroUSD(6_667), Fee: money.MicroUSD(133), Paid: money.MicroUSD(6_800), Entry: uint64(100 + m*3 + i)}
			if i == 1 && m == 2 {
				v.Outcome, v.Reason, v.AgentSeconds, v.GatewaySeconds, v.Amount, v.Fee, v.Paid = "waived", "alive for 12 of 60 seconds", 60, 12, money.MicroUSD(0), money.MicroUSD(0), money.MicroUSD(0)
				l.Waived++
			} else {
				l.Charged++
			}
			l.Minutes = append(l.Minutes, v)
		}
		l.Use, l.Fee, l.Paid = money.MicroUSD(l.Charged*6_667), money.MicroUSD(l.Charged*133), money.MicroUSD(l.Charged*6_800)
		b.Use.Minor, b.Fee.Minor = b.Use.Minor+l.Use.Minor, b.Fee.Minor+l.Fee.Minor
		b.Lines = append(b.Lines, l)
	}
	b.Total.Minor = b.Use.Minor + b.Fee.Minor
	b.Paid.Minor = b.Total.Minor
	return b
}

// Hostile are names as somebody might choose them who means harm, or nothing at all.
func Hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(2)>`, `'; DROP TABLE machines; --`, "\u202Eevil\u202C right to left", "حاسوب التدريب", `{{.CSRF}}`,
		`javascript:alert(3)`, strings.Repeat("long", 60), "line\r\nbreak\x00", `=HYPERLINK("http://127.0.0.1/")`, `</title><script>alert(4)</script>`,
	}
}

// hostile is a world in which every name and text that comes from outside is one of those.
func hostile(now time.Time) world {
	w := everything(now)
	names := Hostile()
	next := 0
	name := func() string { next++; return names[next%len(names)] }
	w.who.Name, w.balance.Name = names[0], names[0]
	w.clusters = []wire.Cluster{failed(now)}
	for range names {
		w.clusters = append(w.clusters, warned(now))
	}
	for i := range w.clusters {
		cl := &w.clusters[i]
		cl.ID = raylink.ClusterID(fmt.Sprintf("c-%010d", i))
		cl.Name, cl.Detail, cl.Warning, cl.Image, cl.RayVersion, cl.Owner = name(), name(), name(), name(), name(), raylink.AccountID(name())
		cl.Endpoints = []string{"javascript:alert(5)", "https://gw.example.org/$(reboot)'\"><script>", name()}
		for j := range cl.Nodes {
			n := &cl.Nodes[j]
			n.Node, n.Group, n.RayNode, n.Stage = name(), name(), name(), raylink.Stage(name())
			n.Failure = &raylink.Failure{Stage: name(), Machine: raylink.MachineID(name()), Reason: name(), Hint: name()}
		}
		if i == 0 {
			cl.Failure = &raylink.Failure{Stage: name(), Machine: raylink.MachineID(name()), Reason: strings.Join(names, " "), Hint: name()}
		}
		b := bill(leaving(raylink.PhaseEnded, now), now)
		b.Cluster, b.Name = cl.ID, cl.Name
		for j := range b.Lines {
			b.Lines[j].Node, b.Lines[j].Minutes[0].Reason, b.Lines[j].Minutes[0].Gateway = name(), name(), name()
		}
		w.bills[cl.ID] = b
	}
	for i := range w.machines {
		m := &w.machines[i]
		m.Name, m.State, m.Owner, m.Offer.Arch, m.Offer.Accelerator, m.Offer.Labels = name(), name(), raylink.AccountID(name()), name(), name(), map[string]string{name(): name()}
	}
	for i := range w.accounts {
		w.accounts[i].Name = name()
	}
	for i := range w.status.Members {
		w.status.Members[i].ID, w.status.Members[i].API, w.status.Members[i].Raft = name(), name(), name()
	}
	for i := range w.status.Gateways {
		w.status.Gateways[i].URL = name()
	}
	w.status.Leader, w.status.Version = name(), name()
	w.spoil(name)
	return w
}

// stand gives each machine of the story another standing.
func stand(v *wire.Machine, i int, now time.Time) {
	reliability, leaves := int64(9_987-i*40), now.Add(90*time.Minute)
	list := []raylink.Standing{
		{State: raylink.MachineHired, Reliability: &reliability, Minutes: 48_211, Lost: 63},
		{State: raylink.MachineReady},
		{State: raylink.MachineDraining, Reason: raylink.ReasonNotice, Detail: "at " + leaves.Format(time.RFC3339), Leaves: &leaves},
		{State: raylink.MachineDown, Reason: raylink.ReasonSilent},
		{State: raylink.MachineQuarantined, Reason: raylink.ReasonStageFailures, Detail: "3 leases in a row before Ray started", Reliability: &reliability, Minutes: 900, Lost: 17},
		{State: raylink.MachineBlocked, Reason: raylink.ReasonBanned, Detail: "mined coins"},
	}
	v.Standing = list[i%len(list)]
	v.Host = &raylink.Host{OS: "Debian GNU/Linux 12 (bookworm)", Arch: "amd64", Memory: 64 << 30, Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "AMD Ryzen 9 7950X 16-Core Processor"}}}
	if v.Offer.Accelerator != "" {
		v.Standing.GPUs, v.Standing.ProvenGPUs, v.Standing.WaitingGPUs, v.Standing.GPUReason = 4, 3, 1, raylink.ReasonProofRunning
		v.Host.Devices = append(v.Host.Devices, raylink.Device{Kind: raylink.DeviceGPU, Name: "NVIDIA GeForce RTX 4090", Memory: 24 << 30}, raylink.Device{Kind: raylink.DeviceGPU, Name: "NVIDIA GeForce RTX 4090", Memory: 24 << 30, Fault: "Xid 79: fallen off the bus"})
		v.Failures = []wire.FailureCount{{Stage: "image", Reason: "no space left on the disk", Count: 3, LastAt: now}}
	}
}
