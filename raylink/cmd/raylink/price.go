package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/raylink/wire"
)

func (a *app) price() *cobra.Command {
	c := &cobra.Command{
		Use:   "price",
		Short: "Show what IO costs, and whether that is believed",
		Long: `Price shows the price of IO that minutes are converted at, and where it comes from. While no price can be believed, conversions from and
into IO wait, with the reason that stands here; what is used goes on being counted in USD.`,
		Example: "  raylink price\n  raylink price -o json", Args: wants(),
	}
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Price, error) { return s.Price(c.Context()) }, a.showPrice)
}

func (a *app) showPrice(w io.Writer, p wire.Price) {
	if p.Halt != "" {
		fmt.Fprintf(w, "%s %s: %s\n", a.paint(a.out, red, "not believed:"), p.Halt, p.Reason)
		if p.Last != nil {
			pairs(w, "", "last believed", priceText(p.Last.Price)+" since "+moment(p.Last.At))
		}
	} else {
		pairs(w, "", "price", a.paint(a.out, bold, priceText(p.Price)), "since", moment(p.At), "snapshot", fmt.Sprint(p.ID), "of", strings.Join(p.Sources, ", "))
	}
	if p.Average > 0 {
		pairs(w, "", "last hour's average", priceText(p.Average))
	}
	if len(p.Samples) == 0 {
		return
	}
	rows := [][]string{{"SOURCE", "SAYS", "GIVE OR TAKE", "OBSERVED"}}
	for _, s := range p.Samples {
		spread := ""
		if s.Confidence > 0 {
			spread = priceText(s.Confidence)
		}
		rows = append(rows, []string{s.Source, priceText(s.Price), spread, ago(&s.ObservedAt)})
	}
	fmt.Fprintln(w)
	grid(w, "", rows...)
}

// priceText writes a price for people, with at least two decimals.
func priceText(p money.Price) string {
	number, unit, _ := strings.Cut(p.String(), " ")
	return shorten(number) + " " + unit
}

// readPrice reads `0.25` or '0.25 USD/IO'.
func readPrice(c *cobra.Command, text string) (money.Price, error) {
	const unit = " USD/IO"
	p, err := money.ParsePrice(strings.TrimSuffix(text, unit) + unit)
	if err != nil || p == 0 {
		return 0, usage(c, "%q is not a price: write 0.25 or '0.25%s'", text, unit)
	}
	return p, nil
}

// span writes a duration without zeros behind it: `10m` for `10m0s`.
func span(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

// percent writes basis points.
func percent(basisPoints int64) string {
	return shortenAll(fmt.Sprintf("%d.%02d", basisPoints/100, basisPoints%100)) + " %"
}

// shortenAll takes all zeros behind the point away, and the point with them.
func shortenAll(number string) string {
	return strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
}
