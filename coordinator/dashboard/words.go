package dashboard

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// functions are what the templates say things with.
func (d *Dashboard) functions() template.FuncMap {
	return template.FuncMap{
		"amount": amount, "sums": sums, "rate": func(r money.Rate) string { return amount(money.MicroUSD(int64(r))) }, "units": units, "bytes": bytesOf, "asset": d.assetPath,
		"stamp": stamp, "clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }, "ago": ago, "took": took, "short": short,
		"plain": plain, "reliable": reliable, "tone": tone, "quote": shellQuoted, "sum": func(a, b int64) int64 { return a + b }, "percent": percent, "web": web,
		"coins": func(a money.Asset, minor int64) string { return amount(money.Amount{Minor: minor, Asset: a}) }, "price": func(p money.Price) string { return trimmed(p.String()) },
		"why": why, "came": came, "doubt": doubt, "topupState": topupState, "topupBadge": topupBadge, "lasts": lasts, "purse": purse, "tx": transaction, "lower": func(v any) string { return strings.ToLower(fmt.Sprint(v)) },
		"part": partOf,
	}
}

func (d *Dashboard) assetPath(name string) string {
	return "/ui/assets/" + name + "?v=" + d.assets[name].version
}

// sums are amounts of several assets: "1.25 USD + 3.00 IO".
func sums(list wire.Sums) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = amount(a)
	}
	return strings.Join(texts, " + ")
}

// amount is an amount without the zeros that say nothing: "1.25 USD", "0.002033 USD".
func amount(a money.Amount) string { return trimmed(a.String()) }

func trimmed(text string) string {
	number, unit, ok := strings.Cut(text, " ")
	whole, fraction, point := strings.Cut(number, ".")
	if !ok || !point || len(fraction) < 2 {
		return text
	}
	return whole + "." + fraction[:2] + strings.TrimRight(fraction[2:], "0") + " " + unit
}

// units is a quantity of 1/10,000: "2", "0.5".
func units(n int64) string {
	text := strconv.FormatInt(n/raylink.Unit, 10)
	if rest := n % raylink.Unit; rest > 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%04d", rest), "0")
	}
	return text
}

// bytesOf is a size in GiB, to a tenth, or in MiB below one.
func bytesOf(n int64) string {
	if n < 1<<30 {
		return strconv.FormatInt(n>>20, 10) + " MiB"
	}
	tenths := n >> 20 * 10 >> 10
	text := strconv.FormatInt(tenths/10, 10)
	if tenths%10 > 0 {
		text += "." + strconv.FormatInt(tenths%10, 10)
	}
	return text + " GiB"
}

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return min(max(part, 0)*100/whole, 100)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func ago(now, t time.Time) string {
	switch d := now.Sub(t); {
	case d < 2*time.Second:
		return "now"
	case d < 10*time.Second:
		return fmt.Sprintf("%d s ago", d/time.Second)
	default:
		return took(d) + " ago"
	}
}

// took is a duration as people say it, to two places.
func took(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 10*time.Second:
		tenths := d.Round(100*time.Millisecond) / (100 * time.Millisecond)
		return fmt.Sprintf("%d.%d s", tenths/10, tenths%10)
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// lasts is a duration that is only guessed: took without seconds.
func lasts(d time.Duration) string {
	if d < time.Hour {
		return fmt.Sprintf("%d min", max(d, 0)/time.Minute)
	}
	return took(d)
}

// short is the beginning of a long id.
func short(id string) string {
	if runes := []rune(id); len(runes) > 12 {
		return string(runes[:12]) + "…"
	}
	return id
}

// plain takes out what could turn the writing round or hide in it, where no element can hold it together (as in a title).
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
}

// reliable is a reliability, of 10,000, in words.
func reliable(r *int64) string {
	if r == nil {
		return "–"
	}
	return fmt.Sprintf("%d.%02d %%", *r/100, *r%100)
}

// tone is how a word of state is coloured.
func tone(word any) string {
	switch fmt.Sprint(word) {
	case "ready", "hired", "up", "charged", "running", "paid", "burnt", "finalized", agrees:
		return "good"
	case "failed", "banned", "down", "blocked", "disputed", "charged-back", "quarantined", differs:
		return "bad"
	case "ended", "gone", "waived", "expired", "cancelled", "refunded":
		return "still"
	case "draining", "ending", "waiting-approval", inSuspense:
		return "warn"
	}
	return "busy"
}

// shellQuoted is a word as a shell reads it.
func shellQuoted(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:@,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// web says whether an address may be shown as a link.
func web(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// step is one stage of a cluster's way to ready.
type step struct {
	Name  raylink.Phase
	About string
	State string // done, now, bad, stopped, later
	Time  string // how long it took, or lasts already
}

// steps is the whole way, with what is known of each part.
func steps(cl wire.Cluster, now time.Time) []step {
	entered := map[raylink.Phase]time.Time{}
	reached, left := -1, now
	for _, s := range cl.Stages {
		if order := s.Phase.Order(); order >= 0 && order <= raylink.PhaseReady.Order() {
			entered[s.Phase], reached = s.At, order
		}
	}
	for _, s := range cl.Stages {
		if s.Phase == raylink.PhaseEnding || s.Phase.Over() {
			left = s.At // it went no further
			break
		}
	}
	var list []step
	next := left
	for i, p := range raylink.Phases() {
		list = append(list, step{Name: p, About: about(p), State: stateOf(cl, i, reached)})
	}
	for i := len(list) - 1; i >= 0; i-- {
		at, ok := entered[list[i].Name]
		switch {
		case !ok:
			continue
		case list[i].Name == raylink.PhaseReady:
			list[i].Time = "after " + took(at.Sub(cl.CreatedAt))
		default:
			list[i].Time = took(next.Sub(at))
		}
		next = at
	}
	return list
}

func stateOf(cl wire.Cluster, order, reached int) string {
	stopped := cl.Phase == raylink.PhaseEnding || cl.Phase.Over()
	switch {
	case order > reached:
		return "later"
	case order < reached:
		return "done"
	case cl.Failure != nil:
		return "bad"
	case cl.ReadyAt != nil:
		return "done"
	case stopped:
		return "stopped"
	}
	return "now"
}

func about(p raylink.Phase) string {
	switch p {
	case raylink.PhasePlaced:
		return "machines chosen, money held"
	case raylink.PhaseImage:
		return "machines fetch the image"
	case raylink.PhaseOverlay:
		return "the private network comes up"
	case raylink.PhasePreflight:
		return "every pair of nodes is dialled"
	case raylink.PhaseHead:
		return "Ray's head starts"
	case raylink.PhaseWorkers:
		return "Ray's workers start"
	}
	return "every node is alive in Ray's own view"
}
