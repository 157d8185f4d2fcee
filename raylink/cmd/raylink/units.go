package main

import (
	"fmt"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// amount writes money for people: `0.36 USD`, with at least two decimals and no zeros beyond.
func amount(a money.Amount) string {
	if a.Asset == "" {
		return ""
	}
	number, asset, found := strings.Cut(a.String(), " ")
	if !found {
		return a.String()
	}
	return shorten(number) + " " + asset
}

// sums writes amounts of several assets.
func sums(list wire.Sums) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = amount(a)
	}
	return strings.Join(texts, " + ")
}

// rate writes a price per hour.
func rate(r money.Rate) string {
	number, unit, _ := strings.Cut(r.String(), " ")
	return shorten(number) + " " + unit
}

func shorten(number string) string {
	whole, fraction, found := strings.Cut(number, ".")
	if !found {
		return number
	}
	for len(fraction) > 2 && strings.HasSuffix(fraction, "0") {
		fraction = fraction[:len(fraction)-1]
	}
	return whole + "." + fraction
}

// quantity writes a number of 1/10,000.
func quantity(n int64) string {
	whole, rest := n/raylink.Unit, n%raylink.Unit
	if rest == 0 {
		return fmt.Sprint(whole)
	}
	return strings.TrimRight(fmt.Sprintf("%d.%04d", whole, rest), "0")
}

// size writes bytes in GiB or MiB, to one decimal.
func size(bytes int64) string {
	unit, name := int64(1<<30), "GiB"
	if bytes < unit {
		unit, name = 1<<20, "MiB"
	}
	tenths := (bytes*10 + unit/2) / unit
	if tenths%10 == 0 {
		return fmt.Sprintf("%d %s", tenths/10, name)
	}
	return fmt.Sprintf("%d.%d %s", tenths/10, tenths%10, name)
}

// seconds writes a span as stages show it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// ago writes how long something is past.
func ago(t *time.Time) string {
	if t == nil {
		return ""
	}
	d := time.Since(*t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

// moment writes a time in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
