package devnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/coordinator/dashboard/browser"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// browsed is how long a person looks at the pages at most, the browser's cold start and a cluster's assembly on a slow machine included.
const browsed = 10 * time.Minute

// browse opens a real browser at a page of the first coordinator's dashboard, signs a person in who is sent to do so, and looks. A browser that
// complains, of a script or of what a page's policy refused, fails.
func (n *Network) browse(ctx context.Context, who, page string, look func(context.Context, *browser.Browser) error) error {
	return browsing(ctx, func(ctx context.Context, b *browser.Browser) error {
		url := n.api[coordinatorName(0)] + page
		if err := n.signInAt(ctx, b, who, url); err != nil {
			return fmt.Errorf("signing %s in at %s: %w", who, url, err)
		}
		if err := look(ctx, b); err != nil {
			return err
		}
		if said := b.Complaints(); len(said) > 0 {
			return fmt.Errorf("the browser complains: %s", strings.Join(said, "; "))
		}
		return nil
	})
}

// browsing opens a real browser for as long as somebody looks.
func browsing(ctx context.Context, look func(context.Context, *browser.Browser) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, browsed)
	defer cancel()
	b, err := browser.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return look(ctx, b)
}

// signInAt opens a page, which asks who is there, and is shown it once that is answered.
func (n *Network) signInAt(ctx context.Context, b *browser.Browser, who, url string) error {
	if err := b.Navigate(ctx, url); err != nil {
		return err
	}
	if err := b.Fill(ctx, "#token", n.people[who].token); err != nil {
		return err
	}
	if err := b.Click(ctx, "section button"); err != nil {
		return err
	}
	if err := b.WaitText(ctx, ".who", who); err != nil {
		return err
	}
	at, err := b.Address(ctx)
	if err == nil && at != url {
		err = fmt.Errorf("the window is at %s", at)
	}
	return err
}

// shows waits for texts in a part of the open page, one after the other.
func shows(ctx context.Context, b *browser.Browser, selector string, texts ...string) error {
	for _, text := range texts {
		if err := b.WaitText(ctx, selector, text); err != nil {
			return err
		}
	}
	return nil
}

// live is a selector of what the page's script keeps fresh.
func live(selector string) string { return "html.live " + selector }

// machineState selects the state of one machine on the page of machines.
func (n *Network) machineState(ctx context.Context, id raylink.MachineID) (string, error) {
	list, err := n.machines(ctx) // in the order of the page
	if err != nil {
		return "", err
	}
	row := 1 + slices.IndexFunc(list, func(m wire.Machine) bool { return m.ID == id })
	return live(fmt.Sprintf("#list tbody tr:nth-child(%d) td[data-label=State]", row)), nil
}

// seeMachineDrained leaves the page of machines open while an admin drains one and takes it back: it says so, and why, by itself.
func (n *Network) seeMachineDrained(ctx context.Context, b *browser.Browser) error {
	list, err := n.machines(ctx)
	if err != nil {
		return err
	}
	id := list[0].ID
	state, err := n.machineState(ctx, id)
	if err != nil {
		return err
	}
	if err := shows(ctx, b, state, string(raylink.MachineReady)); err != nil {
		return err
	}
	admin, err := n.As("admin")
	if err != nil {
		return err
	}
	defer admin.Close()
	if _, err := admin.DrainMachine(ctx, id, wire.MachineAction{Reason: "more memory is put in"}); err != nil {
		return err
	}
	why := raylink.ReasonAdminDrain
	if err := shows(ctx, b, state, string(raylink.MachineDraining), why.Words(), "more memory is put in", why.Remedy()); err != nil {
		return err
	}
	if _, err := admin.ResumeMachine(ctx, id, wire.MachineAction{}); err != nil {
		return err
	}
	return b.WaitText(ctx, state, string(raylink.MachineReady))
}

// createBrowsed creates the story's cluster while its owner looks at the dashboard.
func (s *Story) createBrowsed(ctx context.Context) error {
	return s.Network.browse(ctx, "engineer", "/ui/clusters", func(ctx context.Context, b *browser.Browser) error {
		creating, end := context.WithCancel(ctx)
		defer end()
		looking, leave := context.WithCancel(ctx)
		defer leave()
		created := make(chan error, 1)
		go func() {
			err := s.create(creating)
			if err != nil {
				leave() // there is nothing to wait for
			}
			created <- err
		}()
		err := s.seeReady(looking, b)
		if err != nil {
			end() // nobody is left to wait for it
		}
		if err = errors.Join(err, <-created); err != nil {
			return err
		}
		return s.seeHired(ctx, b)
	})
}

// seeReady looks at the new cluster's page, which is opened before it is ready and never again, and sees how it becomes ready.
func (s *Story) seeReady(ctx context.Context, b *browser.Browser) error {
	var x wire.Cluster
	if err := s.soon(ctx, "the new cluster is there", readyLimit, func(ctx context.Context) (err error) {
		x, err = s.look(ctx)
		return err
	}); err != nil {
		return err
	}
	page := "/ui/clusters/" + string(x.ID)
	if err := b.Navigate(ctx, s.Network.api[coordinatorName(0)]+page); err != nil {
		return err
	}
	first, err := b.Text(ctx, "#title .badge")
	if err == nil && (first == "" || first == string(raylink.PhaseReady)) {
		err = fmt.Errorf("the page of the new cluster begins with %q", first)
	}
	if err != nil {
		return err
	}
	if err := shows(ctx, b, live("#title .badge"), string(raylink.PhaseReady)); err != nil {
		return err
	}
	if err := shows(ctx, b, live("#way"), "after"); err != nil {
		return err
	}
	return shows(ctx, b, live("#endpoint"), "ray job submit --address "+s.Network.gateways[0]+"/c/"+string(x.ID))
}

// seeHired sees that the machine of the ready cluster's first node is hired.
func (s *Story) seeHired(ctx context.Context, b *browser.Browser) error {
	state, err := s.Network.machineState(ctx, s.cluster.Nodes[0].Machine)
	if err != nil {
		return err
	}
	if err := b.Navigate(ctx, s.Network.api[coordinatorName(0)]+"/ui/machines"); err != nil {
		return err
	}
	return shows(ctx, b, state, string(raylink.MachineHired))
}

// raysDashboard opens Ray's own dashboard at the issued endpoint, as it was printed: Ray's page asks for a token, does not take somebody else's, takes
// the user's, and then shows what Ray knows: every node alive at its address, and the job that was submitted.
func (s *Story) raysDashboard(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // everything is there already
	defer cancel()
	err := browsing(ctx, func(ctx context.Context, b *browser.Browser) error {
		if err := b.Navigate(ctx, s.endpoint()); err != nil {
			return err
		}
		if err := s.signInAtRays(ctx, b); err != nil {
			return fmt.Errorf("signing in: %w", err)
		}
		if err := b.Navigate(ctx, s.endpoint()+"/#/cluster"); err != nil {
			return err
		}
		nodes := len(s.cluster.Nodes)
		if err := shows(ctx, b, "body", fmt.Sprintf("TOTAL\nx %d\nALIVE\nx %d\n", nodes, nodes)); err != nil {
			return err
		}
		for _, node := range s.cluster.Nodes {
			if err := shows(ctx, b, "tbody", node.Address); err != nil {
				return err
			}
		}
		if err := b.Navigate(ctx, s.endpoint()+"/#/jobs"); err != nil {
			return err
		}
		if err := shows(ctx, b, "tbody", "python train.py", "SUCCEEDED"); err != nil {
			return err
		}
		for _, said := range b.Complaints() {
			if strings.Contains(said, "Refused to") { // of others there are many: it asks before it is signed in, and for a Grafana that is not there
				return fmt.Errorf("the browser complains: %s", said)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("Ray's own dashboard: %w", err)
	}
	return nil
}

// signInAtRays answers Ray's own dialog, first with a token that opens another account's clusters and not this one.
func (s *Story) signInAtRays(ctx context.Context, b *browser.Browser) error {
	const dialog = "[role=dialog]"
	for _, answer := range [][2]string{{supplierName(0), "Invalid authentication token."}, {"engineer", ""}} {
		if err := shows(ctx, b, dialog, "Provide the matching authentication token for this cluster."); err != nil {
			return err
		}
		if err := b.Fill(ctx, dialog+" input", s.Network.people[answer[0]].token); err != nil {
			return err
		}
		if err := b.Click(ctx, dialog+" .MuiDialogActions-root button"); err != nil {
			return err
		}
		if answer[1] != "" {
			if err := shows(ctx, b, dialog, answer[1]); err != nil {
				return err
			}
		}
	}
	return nil // the page loads itself anew, and stays where it is sent in the meantime
}
