package plan

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/challenge"
	"raylink/raylink/manifest"
	"raylink/raylink/wire"
)

// TestGPUTranscript reads testdata/gpus.txt aloud: each `> command` is followed by its answer, and `| ` lines are a command's manifest. After every
// command the agents report and the leader does what there is to do, and no GPU may have two leases.
func TestGPUTranscript(t *testing.T) {
	text, err := os.ReadFile("testdata/gpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := newGPUMarket(t)
	var out strings.Builder
	lines := slices.Collect(strings.Lines(string(text)))
	for i := 0; i < len(lines); i++ {
		command, isCommand := strings.CutPrefix(lines[i], "> ")
		switch {
		case isCommand:
			out.WriteString(lines[i])
			body := ""
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "| ") {
				i++
				out.WriteString(lines[i])
				body += lines[i][2:]
			}
			out.WriteString(m.say(strings.Fields(command), body))
			m.rest()
			m.once()
		case strings.HasPrefix(lines[i], "#") || lines[i] == "\n":
			out.WriteString(lines[i])
		}
	}
	goldenRing(t, "gpus.txt", out.String())
}

// gpuMarket is a world whose machines have GPUs, and agents that report as the real one does: host and offer in each report.
type gpuMarket struct {
	*world
	agents map[string]*wire.AgentReport
	names  []string                 // of machines, in the order in which they joined
	done   map[raylink.LeaseID]bool // what the agents have removed
	owners map[string]raylink.AccountID
}

func newGPUMarket(t *testing.T) *gpuMarket {
	m := &gpuMarket{provers(t), map[string]*wire.AgentReport{}, nil, map[raylink.LeaseID]bool{}, map[string]raylink.AccountID{}}
	policy := state.DefaultProofPolicy()
	policy.Lottery = 0 // it would open proofs under leases, which are told elsewhere
	m.apply(&state.SetProofPolicy{Policy: policy})
	m.owners["ada"], m.owners["bob"] = m.account("ada", "100"), m.account("bob", "100")
	return m
}

// rest lets every agent report, and the leader work until there is nothing to do.
func (m *gpuMarket) rest() {
	m.t.Helper()
	for range 30 {
		for name, r := range m.agents {
			r.Leases = nil
			for _, o := range Orders(m.s, machineID(name)) {
				if m.done[o.Lease] {
					r.Leases = append(r.Leases, wire.LeaseReport{Lease: o.Lease, Stage: raylink.StageGone})
				}
			}
			m.hear(name, *r)
		}
		m.seen.Entropy = sha256.Sum256(fmt.Append(nil, "rest", m.index))
		steps := Next(m.s, m.seen, m.now)
		if len(steps) == 0 {
			return
		}
		m.apply(steps...)
	}
	m.t.Fatalf("the leader never rests")
}

// once checks that no GPU has two leases, and that a lease has as many as it pays for, all of its machine.
func (m *gpuMarket) once() {
	m.t.Helper()
	holder := map[string]raylink.LeaseID{}
	for _, l := range m.s.Leases {
		if l.Gone {
			continue
		}
		if int64(len(l.Devices))*raylink.Unit != l.Resources.GPU {
			m.t.Fatalf("%s pays for %d GPUs and has %v", l.Node, l.Resources.GPU/raylink.Unit, l.Devices)
		}
		for _, gpu := range l.Devices {
			if other, taken := holder[gpu]; taken {
				m.t.Fatalf("%s has two leases, %s and %s", gpu, other, l.ID)
			}
			holder[gpu] = l.ID
		}
	}
}

// try applies commands one by one until one is refused.
func (m *gpuMarket) try(commands ...state.Command) error {
	for _, c := range commands {
		raw, err := state.Encode("test", "", c)
		if err != nil {
			return err
		}
		m.index++
		for _, r := range m.s.Apply(m.index, m.now, []json.RawMessage{raw}) {
			if err := state.ReadResult(r, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *gpuMarket) say(words []string, body string) string {
	option := map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			option[k] = v
		}
	}
	var err error
	var text string
	switch words[0] {
	case "join":
		m.join(words[1], option)
	case "prove":
		text = m.prove(words[1], option["only"], option["wrong"])
	case "market":
		text = m.market(words[1:])
	case "quote":
		text, err = m.quote(body, m.owners[option["for"]])
	case "accept":
		text, err = m.accept(words[1], m.owners[option["for"]])
	case "told":
		text = m.told(words[1])
	case "end":
		err = m.try(&state.EndCluster{ID: id[raylink.ClusterID]("c", words[1]), Reason: "deleted"})
	case "gone": // the agents have removed all of a cluster
		c := m.s.Clusters[id[raylink.ClusterID]("c", words[1])]
		if c == nil {
			m.t.Fatalf("no cluster for %q", words)
		}
		for _, l := range c.Leases {
			m.done[l] = true
		}
	case "break", "mend": // what the driver tells of a GPU while the agent runs
		m.tells(words[1], words[2], strings.Join(words[3:], " "))
	case "restart": // the agent finds at its start what is there
		m.restart(words[1], option)
	case "wait":
		d, bad := time.ParseDuration(words[1])
		m.now, err = m.now.Add(d), bad
	default:
		m.t.Fatalf("unknown command %q", words)
	}
	var e *raylink.Error
	if errors.As(err, &e) {
		text = fmt.Sprintf("refused (%s): %s\nhint: %s\n", e.Code, e.Message, e.Hint)
	} else if err != nil {
		m.t.Fatalf("%q: %v", words, err)
	}
	for _, name := range m.names {
		text = strings.ReplaceAll(text, string(machineID(name)), name)
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString("  " + line)
	}
	return out.String()
}

// cards are the GPUs of this story as drivers call them, with their memory in MiB.
var cards = map[string]raylink.Device{
	"RTX-4090": {Vendor: "nvidia", Name: "NVIDIA GeForce RTX 4090", Memory: 24564 << 20},
	"RTX-3090": {Vendor: "nvidia", Name: "NVIDIA GeForce RTX 3090", Memory: 24576 << 20},
	"A100-80G": {Vendor: "nvidia", Name: "NVIDIA A100 80GB PCIe", Memory: 81920 << 20},
}

// found is the host and the offer that an agent makes of gpus=MODEL:UUID,UUID, as supplier/gpuoffer.go does. mib= is a lie about the GPUs' memory, as=
// one about their model.
func found(option map[string]string) (*raylink.Host, raylink.Offer) {
	h := hostOf()
	model, uuids, _ := strings.Cut(option["gpus"], ":")
	for _, uuid := range strings.FieldsFunc(uuids, func(r rune) bool { return r == ',' }) {
		d := cards[model]
		d.ID, d.Kind, d.Model = uuid, raylink.DeviceGPU, model
		if mib, err := strconv.ParseInt(option["mib"], 10, 64); err == nil {
			d.Memory = mib << 20
		}
		h.Devices = append(h.Devices, d)
	}
	offer, _, _ := catalogue.Offer(*h, catalogue.Bounds{CPUHour: 20_000})
	if option["gpus"] == "" {
		offer.CPUHour = 10_000 // so that heads go there
	}
	if entry, ok := catalogue.Find(offer.Accelerator); ok {
		offer.GPUHour = entry.Price
	}
	if as := option["as"]; as != "" {
		offer.Accelerator = as
	}
	return h, offer
}

func (m *gpuMarket) join(name string, option map[string]string) {
	h, offer := found(option)
	m.machine(name, m.account("of"+name, ""), offer) // an owner each: those of one would be proven together
	m.agents[name] = &wire.AgentReport{Host: h, Offer: &offer}
	m.names = append(m.names, name)
}

func (m *gpuMarket) restart(name string, option map[string]string) {
	h, offer := found(option)
	if option["offer"] == "none" { // its owner's `--gpus none`
		offer.Resources.GPU, offer.Accelerator, offer.GPUHour = 0, "", 0
	}
	m.agents[name].Host, m.agents[name].Offer = h, &offer
}

// tells changes a GPU's fault, and the offer with it, as supplier/gpus.go does.
func (m *gpuMarket) tells(name, gpu, fault string) {
	r := m.agents[name]
	h, offer := *r.Host, *r.Offer
	h.Devices = slices.Clone(h.Devices)
	well := int64(0)
	for i := range h.Devices {
		d := &h.Devices[i]
		if d.ID == gpu {
			d.Fault = fault
		}
		if d.Kind == raylink.DeviceGPU && d.Fault == "" {
			well += raylink.Unit
		}
	}
	offer.Resources.GPU = well
	r.Host, r.Offer = &h, &offer
}

// prove lets a machine do what it is asked to, or that of one device only; one of them may answer wrongly.
func (m *gpuMarket) prove(name, only, wrong string) string {
	mach, shown := machineID(name), []string{}
	for again := true; again; m.rest() {
		again = false
		for _, o := range ProofOrders(m.s, mach) {
			if only != "" && o.Device != only {
				continue
			}
			again = true
			p := m.s.Proofs[o.ID]
			what := "products"
			if p.Task.Walks() {
				what = "memory"
			}
			if p.Round != nil && m.now.Before(p.Round.Starts) {
				m.now = p.Round.Starts
			}
			m.apply(&state.BeginProof{ID: o.ID, Machine: mach, Nonce: challenge.Seed{1}})
			m.now = m.now.Add(1500 * time.Millisecond)
			m.apply(&state.CommitProof{ID: o.ID, Machine: mach, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, p.Task.Links)}})
			m.apply(&state.WalkProof{ID: o.ID, Machine: mach})
			m.apply(&state.JudgeProof{ID: o.ID, Machine: mach, Right: o.Device != wrong, Judge: "n1", SHA256: strings.Repeat("0", 64), Draw: challenge.Seed{byte(m.index), 1}})
			if o.Device == wrong {
				what += " (wrong)"
			}
			shown = append(shown, o.Device+"'s "+what)
		}
	}
	return "shown: " + strings.Join(shown, ", ") + "\n"
}

// market tells where machines stand, all of them where none is named.
func (m *gpuMarket) market(names []string) string {
	var out strings.Builder
	if len(names) == 0 {
		names = m.names
	}
	for _, name := range names {
		mach := m.s.Machines[machineID(name)]
		st := StandingOf(m.s, m.seen, mach.ID, m.now)
		fmt.Fprintf(&out, "%-8s%s", name, st.State)
		if st.Reason != raylink.ReasonNone {
			fmt.Fprintf(&out, " (%s: %s)", st.Reason, st.Detail)
		}
		if mach.Offer.Resources.GPU == 0 {
			out.WriteString("; offers no GPU\n")
			continue
		}
		used, free := m.s.Used(mach.ID).GPU/raylink.Unit, max(m.s.FreeGPUs(mach), 0)
		if !NewStandings(m.s, m.seen, m.now).Takes(mach) {
			free = 0
		}
		fmt.Fprintf(&out, "; offers %d of %s at %s, %d leased, %d to be had", mach.Offer.Resources.GPU/raylink.Unit, mach.Offer.Accelerator, mach.Offer.GPUHour, used, free)
		if wait := st.GPUsWait(); wait != "" {
			out.WriteString("; " + wait)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// quote reads a manifest, places it and has it priced.
func (m *gpuMarket) quote(text string, owner raylink.AccountID) (string, error) {
	spec, _, err := manifest.Parse([]byte(text))
	if err != nil {
		return "", err
	}
	nodes, err := Place(m.s, m.seen, m.now, spec)
	if err != nil {
		return "", err
	}
	q := id[raylink.QuoteID]("q", fmt.Sprintf("%s%c", spec.Name, 'a'+len(m.s.Quotes)))
	if err := m.try(&state.MakeQuote{ID: q, Owner: owner, Spec: spec, Image: "raylink/worker", Nodes: nodes}); err != nil {
		return "", err
	}
	var out strings.Builder
	for _, n := range nodes {
		what := ""
		if n.Resources.GPU > 0 {
			what = fmt.Sprintf("%d x %s, ", n.Resources.GPU/raylink.Unit, m.s.Machines[n.Machine].Offer.Accelerator)
		}
		fmt.Fprintf(&out, "%-18s on %-7s %s%s cores, %d GiB: %s\n", n.Node, m.s.Machines[n.Machine].Name, what, tenThousandths(n.Resources.CPU), n.Resources.Memory>>30, n.Rate)
	}
	made := m.s.Quotes[q]
	fmt.Fprintf(&out, "%s an hour, %s are held\n", money.MicroUSD(made.PerHour), money.MicroUSD(made.Hold))
	return out.String(), nil
}

// accept takes the last quote of a cluster's name.
func (m *gpuMarket) accept(name string, owner raylink.AccountID) (string, error) {
	var last *state.Quote
	for _, q := range m.s.Quotes {
		if q.Spec.Name == name && q.Owner == owner && (last == nil || q.CreatedAt.After(last.CreatedAt) || q.ID > last.ID) {
			last = q
		}
	}
	c := &state.CreateCluster{ID: id[raylink.ClusterID]("c", name), Owner: owner, Quote: last.ID}
	for i := range last.Nodes {
		c.Leases = append(c.Leases, id[raylink.LeaseID]("l", fmt.Sprintf("%.8s%c", name+"bbbbbbbb", 'a'+i)))
	}
	if err := m.try(c); err != nil {
		return "", err
	}
	var out strings.Builder
	for _, l := range m.s.ClusterLeases(c.ID) {
		fmt.Fprintf(&out, "%-18s on %-7s has %s\n", l.Node, m.s.Machines[l.Machine].Name, listed(l.Devices))
	}
	return out.String(), nil
}

func listed(gpus []string) string {
	if len(gpus) == 0 {
		return "no GPU"
	}
	return strings.Join(gpus, " ")
}

// told is what a machine's agent is to run, as far as GPUs are concerned.
func (m *gpuMarket) told(name string) string {
	var out strings.Builder
	for _, o := range Orders(m.s, machineID(name)) {
		flags := []string{}
		for _, word := range o.Command {
			if strings.HasPrefix(word, "--num-gpus") || strings.Contains(word, raylink.LabelAccelerator) {
				flags = append(flags, word)
			}
		}
		fmt.Fprintf(&out, "%s: %s with %s; %s\n", o.Node, o.Want, listed(o.Devices), strings.Join(flags, " "))
	}
	return out.String()
}
