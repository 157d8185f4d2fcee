package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/challenge/kernel"
)

// judged is what `raylink challenge verify` found.
type judged struct {
	Proof    string         `json:"proof"`
	Machine  string         `json:"machine"`
	Device   string         `json:"device"`
	Judge    string         `json:"judge"`
	SHA256   string         `json:"sha256"`  // of the transcript, as `raylink challenge show` names it
	Verdict  string         `json:"verdict"` // right, wrong
	Why      string         `json:"why,omitempty"`
	Task     challenge.Task `json:"task"`
	Millis   int64          `json:"millis"`
	WalkMs   int64          `json:"walk_ms,omitempty"`
	Rate     int64          `json:"rate"`      // millions of multiply-adds in a second
	Kernel   string         `json:"kernel"`    // that judged here
	VerifyMs int64          `json:"verify_ms"` // that it took here
}

func (a *app) challengeVerify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Judge an exported transcript again, without the network",
		Long: `Verify judges the transcript of a proof of compute anywhere: it derives the device's seed from whose proof it is, computes the tiles that were
drawn, and walks the parts of the memory that were drawn, bit for bit as the coordinator did. Who judged, and how long the device took,
is the judge's word: the transcript is his where its SHA-256 is the one that "raylink challenge show" names.
The exit code is 0 for a right answer alone.`,
		Example: "  raylink challenge verify proof.json\n  raylink challenge verify - -o json < proof.json", Args: wants("FILE"),
	}
	format := outputFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		from := a.in
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("`raylink challenge export PROOF --file FILE` writes one")
			}
			defer f.Close()
			from = f
		}
		data, err := io.ReadAll(io.LimitReader(from, challenge.MaxTranscript+1))
		if err != nil {
			return fmt.Errorf("reading %s: %w", args[0], err)
		}
		found, err := judge(data)
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%s cannot be judged: %v", args[0], err).WithHint("is it a whole transcript, as a coordinator exports it?")
		}
		if err := a.show(*format, found, func(w io.Writer) { a.showJudged(w, found) }); err != nil {
			return err
		}
		if found.Why != "" {
			return raylink.Errorf(raylink.CodeConflict, "%s does not hold: %s", args[0], found.Why).
				WithHint("the machine's owner can have the same challenge judged by another coordinator: `raylink machine appeal`")
		}
		return nil
	}
	return c
}

// judge gives a verdict on a transcript; the error says that there can be none.
func judge(data []byte) (judged, error) {
	t, err := challenge.Decode(data)
	if err != nil {
		return judged{}, err
	}
	by := kernel.New(0)
	began := time.Now()
	err = challenge.Verify(t, by)
	found := judged{
		Proof: t.Proof, Machine: t.Machine, Device: t.Device, Judge: t.Judge, SHA256: fmt.Sprintf("%x", sha256.Sum256(data)), Verdict: "right", Task: t.Task,
		Millis: t.Millis(), WalkMs: t.WalkMillis(), Rate: challenge.Rate(t.Task, t.Millis()), Kernel: by.Name(), VerifyMs: time.Since(began).Milliseconds(),
	}
	switch {
	case errors.Is(err, challenge.ErrWrong):
		found.Verdict, found.Why = "wrong", err.Error()
	case err != nil:
		return judged{}, err
	}
	return found, nil
}

func (a *app) showJudged(w io.Writer, j judged) {
	walk := ""
	if j.Task.Walks() {
		walk = fmt.Sprintf("%d steps through %d MiB in %d ms; %d of %d lanes opened", j.Task.Steps, j.Task.Memory>>20, j.WalkMs, j.Task.Checks, j.Task.Segments)
	}
	pairs(w, "", "proof", ofStranger(j.Proof), "machine", ofStranger(j.Machine), "device", ofStranger(j.Device), "judged by", ofStranger(j.Judge), "transcript", j.SHA256,
		"products", fmt.Sprintf("%d of %d×%d in %d ms: %d million multiply-adds/s", j.Task.Links, j.Task.Size, j.Task.Size, j.Millis, j.Rate),
		"opened", fmt.Sprintf("%d of %d tiles", j.Task.Openings, j.Task.Links*j.Task.TilesPerLink()), "walk", walk,
		"here", fmt.Sprintf("%d ms, %s", j.VerifyMs, j.Kernel))
	a.verdict(w, j.Why == "", "what was opened is right, bit for bit")
	if j.Why != "" {
		fmt.Fprintf(w, "  %s\n", a.paint(a.out, red, j.Why))
	}
}

// ofStranger shows what somebody wrote into a file: as it is, or quoted where it would move the cursor, or pass for a line of ours.
func ofStranger(text string) string {
	if raylink.Printable(text) {
		return text
	}
	return fmt.Sprintf("%q", text)
}
