package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// TestTranscripts reads the files in testdata aloud: each `> command` is followed by its answer. -update rewrites them.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := reader{w: newWorld(t), names: map[string]string{}}
			var out strings.Builder
			for line := range strings.Lines(string(text)) {
				command, isCommand := strings.CutPrefix(line, "> ")
				switch {
				case isCommand:
					out.WriteString(line + indent(r.say(t, strings.Fields(command))))
				case strings.HasPrefix(line, "#") || line == "\n":
					out.WriteString(line)
				}
			}
			even(t, r.w.s)
			export(t, r.w.s)
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if out.String() != string(text) {
				t.Errorf("%s reads otherwise (-update rewrites it):\n%s", file, out.String())
			}
		})
	}
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// reader runs a transcript's commands on one replica.
type reader struct {
	w     *world
	names map[string]string // ids that follow from keys, in words
}

func (r *reader) say(t *testing.T, words []string) string {
	t.Helper()
	var option = map[string]string{}
	var plain []string
	for _, word := range words {
		if k, v, ok := strings.Cut(word, "="); ok {
			option[k] = v
		} else {
			plain = append(plain, word)
		}
	}
	if text, ok := r.look(plain); ok {
		return text
	}
	c := r.command(t, plain, option)
	r.names[string(machineID(plain[len(plain)-1]))] = "m-" + plain[len(plain)-1]
	result := r.w.do("account:"+option["by"], option["key"], c)
	var e *raylink.Error
	if err := ReadResult(result, nil); errors.As(err, &e) {
		text := fmt.Sprintf("refused (%s): %s\n", e.Code, e.Message)
		if e.Hint != "" {
			text += "hint: " + e.Hint + "\n"
		}
		return r.translate(text)
	}
	var settled Settled
	if _, ok := c.(*SettleMinutes); ok && ReadResult(result, &settled) == nil {
		return fmt.Sprintf("charged %d, waived %d, skipped %d\n", settled.Charged, settled.Waived, settled.Skipped)
	}
	value, _ := strings.CutPrefix(string(result), `{"value":`)
	return r.translate(strings.TrimSpace("ok "+strings.Trim(value, "{}")) + "\n")
}

func (r *reader) translate(text string) string {
	for from, to := range r.names {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

// look answers what changes nothing but the time.
func (r *reader) look(words []string) (string, bool) {
	w := r.w
	if text, ok := r.lookMoney(words); ok {
		return text, true
	}
	switch words[0] {
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			panic(err)
		}
		w.now = w.now.Add(d)
		return "", true
	case "balances":
		var out strings.Builder
		for _, a := range w.s.Ledger.Accounts() {
			fmt.Fprintf(&out, "%-22s %s\n", a.Name, a.Balance)
		}
		return out.String(), true
	case "show":
		c := w.s.Clusters[id[raylink.ClusterID]("c", words[1])]
		var out strings.Builder
		fmt.Fprintf(&out, "%s %s subnet=%d warning=%q reason=%q\n", c.ID, c.Phase, c.Subnet, c.Warning, c.Reason)
		for _, s := range c.Stages {
			fmt.Fprintf(&out, "%s %s\n", s.At.Format(time.TimeOnly), s.Phase)
		}
		for _, l := range w.s.ClusterLeases(c.ID) {
			fmt.Fprintf(&out, "%s on m-%s at %s, %s: %d charged, %d waived\n", l.Node, w.s.Machines[l.Machine].Name, l.Address, l.Meter.Rate, l.Meter.Charged, l.Meter.Waived)
		}
		return out.String(), true
	case "runway":
		c := w.s.Clusters[id[raylink.ClusterID]("c", words[1])]
		r, p := w.s.Runway(c), PurseOf(c)
		limit := "no limit"
		if r.Budget != NoLimit {
			limit = fmt.Sprint(r.Budget, " by the budget")
		}
		return fmt.Sprintf("%d minutes held, %d in the purse %s, %s\n", r.Held, r.Purse, p, strings.TrimSpace(limit+" "+r.Halt)), true
	case "restart":
		w.s = reload(w.t, w.s)
		return "", true
	}
	return "", false
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (r *reader) command(t *testing.T, words []string, option map[string]string) Command {
	t.Helper()
	name := words[1]
	if c := r.money(words, option); c != nil {
		return c
	}
	switch words[0] {
	case "account":
		return &OpenAccount{ID: acc(name), Name: name}
	case "grant":
		return &GrantCredit{ID: fmt.Sprintf("grant-%d", r.w.index), Account: acc(name), Amount: usd(words[2]), Reason: "credit"}
	case "token":
		return &IssueToken{ID: id[raylink.TokenID]("tok", name), Account: acc(option["for"]), Role: raylink.Role(option["role"]), Hash: hashOf(name)}
	case "revoke":
		return &RevokeToken{ID: id[raylink.TokenID]("tok", name)}
	case "invite":
		return &IssueJoinToken{ID: id[raylink.TokenID]("tok", "join"+name), Kind: JoinKindMachine, Account: acc(option["for"]), Hash: hashOf("join " + name), TTL: time.Hour}
	case "join":
		c := r.w.joinMachine(name, offerOf(number(option["cores"]), number(option["gib"]), option["price"]))
		if with := option["with"]; with != "" {
			c.TokenHash = hashOf("join " + with)
		}
		return c
	case "gateway":
		r.w.gateway(name)
		return &SetGatewayURL{ID: gatewayID(name), URL: "https://" + name + ":8443"}
	case "drain", "resume", "ban":
		to := map[string]string{"drain": MachineDraining, "resume": MachineActive, "ban": MachineBanned}[words[0]]
		return &SetMachine{ID: machineID(name), State: to, Reason: option["reason"]}
	case "create":
		c := createOf(name, acc(option["for"]), int(number(option["nodes"])))
		c.Capped = option["capped"] != "no"
		if q := option["quote"]; q != "" {
			c.Quote = id[raylink.QuoteID]("q", q)
		}
		return c
	}
	return r.later(t, words, option)
}

func (r *reader) later(t *testing.T, words []string, option map[string]string) Command {
	t.Helper()
	cluster := id[raylink.ClusterID]("c", words[1])
	if _, ok := r.w.s.Clusters[cluster]; !ok && (words[0] == "settle" || words[0] == "gone") {
		t.Fatalf("no cluster for %q", words)
	}
	switch words[0] {
	case "advance":
		return &AdvanceCluster{ID: cluster, Phase: raylink.Phase(words[2])}
	case "end":
		return &EndCluster{ID: cluster, Reason: "asked for"}
	case "close":
		return &CloseCluster{ID: cluster}
	case "warn":
		return &WarnCluster{ID: cluster, Warning: option["text"]}
	case "sweep":
		return &Sweep{}
	case "gone":
		var facts []LeaseFact
		for _, l := range r.w.s.ClusterLeases(cluster) {
			facts = append(facts, LeaseFact{Lease: l.ID, Stage: raylink.StageGone})
		}
		return &RecordLeases{Facts: facts}
	case "settle": // cluster first last agent gateway: every lease's minutes, with these seconds seen
		c := &SettleMinutes{}
		for _, l := range r.w.s.ClusterLeases(cluster) {
			for k := number(words[2]); k <= number(words[3]); k++ {
				c.Minutes = append(c.Minutes, r.w.minute(l.ID, k, r.w.s.Machines[l.Machine].Name, option["gateway"], int(number(words[4])), int(number(words[5]))))
			}
		}
		return c
	}
	t.Fatalf("unknown command %q", words)
	return nil
}
