package pdf

import (
	"fmt"
	"strings"

	"raylink/billing/exchange"
	"raylink/billing/invoice"
	"raylink/billing/money"
)

// column is one of a table; the widths of a table's columns sum to the page's.
type column struct {
	title string
	wide  float64
	align string
}

const (
	rowHeight = 5.2
	gutter    = 2.0
)

// head writes the columns' titles.
func (s *sheet) head(columns []column) {
	s.font("", 8, grey())
	s.cells(columns, titles(columns))
	s.y += rowHeight
	s.stroke(left, s.y, right)
	s.y += 1
}

func titles(columns []column) (texts []string) {
	for _, c := range columns {
		texts = append(texts, c.title)
	}
	return texts
}

func (s *sheet) cells(columns []column, texts []string) {
	x := left
	for i, c := range columns {
		s.put(x, s.y, c.wide-gutter*float64(min(1, len(columns)-1-i)), c.align, texts[i])
		x += c.wide
	}
}

// row writes one line of a table, on a new page with the titles again where the page is full.
func (s *sheet) row(columns []column, style string, texts ...string) {
	if s.room(rowHeight) {
		s.head(columns)
	}
	s.font(style, 8, ink())
	s.cells(columns, texts)
	s.y += rowHeight
}

func lineColumns() []column {
	return []column{{"Node", 33, "L"}, {"Machine", 29, "L"}, {"Price per hour", 27, "R"}, {"Charged", 14, "R"}, {"Waived", 12, "R"}, {"Use, USD", 22, "R"}, {"Paid with fee", 33, "R"}}
}

func (s *sheet) lines() {
	if len(s.in.Lines) == 0 {
		return
	}
	columns := lineColumns()
	s.section("Use", 3*rowHeight)
	s.head(columns)
	cluster := ""
	for _, l := range s.in.Lines {
		if l.Cluster != cluster {
			cluster = l.Cluster
			s.cluster(columns, l)
		}
		s.row(columns, "", l.Node, l.Machine, l.Rate.String(), fmt.Sprintf("%d min", l.Charged), fmt.Sprintf("%d min", l.Waived), number(l.Use), l.Paid.String())
	}
	s.y += 1
	s.stroke(left, s.y, right)
	s.y += 1
	for i, total := range s.in.Totals {
		label := ""
		if i == 0 {
			label = "Total"
		}
		s.row(columns, "B", label, "", "", "", "", number(total.Use), total.Paid.String())
		if total.Fee.Sign() > 0 {
			s.row(columns, "", "", "", "", "", "", "fee in it", total.Fee.String())
		}
	}
	s.y += 2
	s.font("", 8, grey())
	s.paragraph(fees(s.in.Lines) + " A minute is charged only if the machine's agent and a gateway both saw the node alive; other minutes are waived, and a part of a minute at the end is free.")
	if text := prices(s.in.Lines); text != "" {
		s.paragraph(text)
	}
}

// cluster writes the line above a cluster's nodes. It stays with the first of them.
func (s *sheet) cluster(columns []column, l invoice.Line) {
	s.y += 1
	if s.room(2 * rowHeight) {
		s.head(columns)
	}
	name := l.Cluster
	if l.ClusterName != "" {
		name = l.ClusterName + "  (" + l.Cluster + ")"
	}
	s.font("B", 8.5, ink())
	s.put(left, s.y, width-60, "L", name)
	s.font("", 8, grey())
	s.put(right-60, s.y, 60, "R", "paid from "+purse(l.Purse))
	s.y += rowHeight
}

func purse(p exchange.Purse) string {
	switch p {
	case exchange.Grant:
		return "granted credit, USD"
	case exchange.Card:
		return "card top-ups, USD"
	}
	return string(p.Asset())
}

// number is an amount without its asset.
func number(a money.Amount) string {
	text, _, _ := strings.Cut(a.String(), " ")
	return text
}

// fees says what falls on top, for each purse that the lines name.
func fees(lines []invoice.Line) string {
	var parts []string
	seen := map[string]bool{}
	for _, l := range lines {
		part := fmt.Sprintf("%s %%: %s", percent(l.FeeBasisPoints), purse(l.Purse))
		if l.FeeBasisPoints == 0 {
			part = "none: " + purse(l.Purse)
		}
		if !seen[part] {
			seen[part] = true
			parts = append(parts, part)
		}
	}
	return "Fee on top of the use: " + strings.Join(parts, "; ") + "."
}

// percent is a number of basis points as a percentage, without needless zeros.
func percent(basisPoints int64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%02d", basisPoints/100, basisPoints%100), "0"), ".")
}

// prices says at which prices of IO the lines were settled.
func prices(lines []invoice.Line) string {
	var all *invoice.Prices
	for _, l := range lines {
		switch p := l.Prices; {
		case p == nil:
		case all == nil:
			first := *p
			all = &first
		default:
			all.Low, all.High = min(all.Low, p.Low), max(all.High, p.High)
			all.FirstID, all.LastID = min(all.FirstID, p.FirstID), max(all.LastID, p.LastID)
		}
	}
	if all == nil {
		return ""
	}
	return fmt.Sprintf("IO was settled at %v to %v, price snapshots %d to %d; each minute's snapshot stands in the journal.", all.Low, all.High, all.FirstID, all.LastID)
}

func (s *sheet) balances() {
	if len(s.in.Balances) == 0 {
		return
	}
	columns := []column{{"", 90, "L"}, {"Entries", 30, "R"}, {"Amount", 50, "R"}}
	s.section("Balance, with what clusters have on hold", 4*rowHeight)
	s.head(columns)
	for i, b := range s.in.Balances {
		if i > 0 {
			s.y += 2
		}
		s.row(columns, "", "Before", "", b.Before.String())
		for _, m := range b.Movements {
			s.row(columns, "", movement(m.Kind), fmt.Sprint(m.Entries), m.Amount.String())
		}
		s.row(columns, "B", "After", "", b.After.String())
	}
}

// movement is an entry's kind in words, where there are better ones.
func movement(kind string) string {
	switch kind {
	case "minute.charged":
		return "Minutes charged"
	case invoice.OtherCharges:
		return "Minutes charged, other clusters"
	case "grant":
		return "Credit granted"
	case "deposit":
		return "Deposits"
	}
	return kind
}

// proof says how to check the invoice without believing anybody.
func (s *sheet) proof() {
	s.section("How to verify this invoice", 7*line)
	s.font("", 8.5, ink())
	s.paragraph(fmt.Sprintf("It was computed from entries %d to %d of the journal, in which each entry's hash covers all entries before it. The hash of entry %d is",
		s.in.Journal.First, s.in.Journal.Last, s.in.Journal.Last))
	s.mono(8.5, ink())
	s.paragraph(s.in.Journal.Hash)
	s.y += 1
	s.font("", 8.5, ink())
	s.paragraph("Export the journal and check it offline: the chain, the signatures on each minute, every price and every sum. Entry and hash in it must be those above.")
	s.y += 1
	s.mono(8.5, ink())
	s.room(2 * line)
	s.paragraph("raylink journal export --file journal.jsonl")
	s.paragraph("raylink verify journal.jsonl")
}
