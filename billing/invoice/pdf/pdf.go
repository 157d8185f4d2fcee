// Package pdf prints an invoice on A4. The same invoice gives the same bytes, whenever and wherever it is printed: dates come from
// the invoice, nothing is compressed, and the fonts are those that every reader has.
package pdf

import (
	"fmt"
	"io"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"raylink/billing/invoice"
)

// Measures in millimetres.
const (
	left     = 20.0
	right    = 190.0
	top      = 20.0
	bottom   = 272.0 // below it is the footer
	footer   = 280.0
	line     = 5.0
	width    = right - left
	maxLines = 8 // of a party's address
)

const pageTotal = "{n}" // stands for the number of pages until the end; in names, latin writes no braces

type colour struct{ r, g, b int }

func ink() colour   { return colour{24, 32, 45} }
func grey() colour  { return colour{105, 115, 130} }
func rule() colour  { return colour{208, 214, 222} }
func shade() colour { return colour{243, 245, 248} }
func mark() colour  { return colour{23, 92, 158} }

// Write prints the invoice.
func Write(w io.Writer, in invoice.Invoice) error {
	s := newSheet(in)
	s.heading()
	s.parties()
	s.totals()
	s.lines()
	s.balances()
	s.proof()
	if err := s.doc.Output(w); err != nil {
		return fmt.Errorf("printing invoice %s: %w", in.Number, err)
	}
	return nil
}

// sheet is a document in the making; y is where the next thing goes.
type sheet struct {
	doc *fpdf.Fpdf
	in  invoice.Invoice
	y   float64
}

func newSheet(in invoice.Invoice) *sheet {
	doc := fpdf.New("P", "mm", "A4", "")
	doc.SetCompression(false)
	doc.SetCatalogSort(true)
	doc.SetCreationDate(in.IssuedAt.UTC())
	doc.SetModificationDate(in.IssuedAt.UTC())
	doc.SetProducer("Raylink", false)
	doc.SetCreator("Raylink", false)
	doc.SetTitle("Invoice "+in.Number, true)
	doc.SetAuthor(in.Issuer.Name, true)
	doc.SetLang("en")
	doc.SetMargins(left, top, 210-right)
	doc.SetAutoPageBreak(false, 0)
	doc.SetCellMargin(0)
	doc.AliasNbPages(pageTotal)
	s := &sheet{doc: doc, in: in}
	doc.SetFooterFunc(s.footer)
	s.page()
	return s
}

func (s *sheet) page() {
	s.doc.AddPage()
	s.y = top
}

// room begins a new page if so much does not fit on this one, and says so.
func (s *sheet) room(height float64) bool {
	if s.y+height <= bottom {
		return false
	}
	s.page()
	return true
}

func (s *sheet) footer() {
	s.stroke(left, footer-3, right)
	s.font("", 8, grey())
	s.put(left, footer, width/2, "L", fmt.Sprintf("Invoice %s, account %s", s.in.Number, s.in.Account))
	// The number of pages is filled in at the end, so its width is not known here: it is set from the left.
	s.doc.SetXY(right-20, footer)
	s.doc.CellFormat(20, line, fmt.Sprintf("Page %d of %s", s.doc.PageNo(), pageTotal), "", 0, "L", false, 0, "")
}

func (s *sheet) font(style string, size float64, c colour) {
	s.doc.SetFont("Helvetica", style, size)
	s.doc.SetTextColor(c.r, c.g, c.b)
}

func (s *sheet) mono(size float64, c colour) {
	s.doc.SetFont("Courier", "", size)
	s.doc.SetTextColor(c.r, c.g, c.b)
}

func (s *sheet) stroke(from, y, to float64) {
	c := rule()
	s.doc.SetDrawColor(c.r, c.g, c.b)
	s.doc.SetLineWidth(0.2)
	s.doc.Line(from, y, to, y)
}

// put writes a text of one line into a box. What stands at the right is a number or a date, which is made smaller until it fits; other
// text is cut where the box ends.
func (s *sheet) put(x, y, wide float64, align, text string) {
	const smallest = 4.0
	text = latin(text)
	before, _ := s.doc.GetFontSize()
	for size := before; align == "R" && size > smallest && s.doc.GetStringWidth(text) > wide; {
		size -= 0.5
		s.doc.SetFontSize(size)
	}
	s.doc.SetXY(x, y)
	s.doc.CellFormat(wide, line, s.fit(text, wide), "", 0, align, false, 0, "")
	s.doc.SetFontSize(before)
}

// fit cuts a text, in the bytes of the font, to a width.
func (s *sheet) fit(text string, wide float64) string {
	const dots = "\x85"
	if s.doc.GetStringWidth(text) <= wide {
		return text
	}
	for text != "" && s.doc.GetStringWidth(text+dots) > wide {
		text = text[:len(text)-1]
	}
	return text + dots
}

// paragraph writes a text of as many lines as it takes.
func (s *sheet) paragraph(text string) {
	for _, part := range s.doc.SplitLines([]byte(latin(text)), width) {
		s.room(line)
		s.doc.SetXY(left, s.y)
		s.doc.CellFormat(width, line, string(part), "", 0, "L", false, 0, "")
		s.y += line
	}
}

// section writes a heading that is never the last thing on a page.
func (s *sheet) section(text string, needs float64) {
	s.y += 6
	s.room(8 + needs)
	s.font("B", 10.5, mark())
	s.put(left, s.y, width, "L", text)
	s.y += 7
}

func (s *sheet) heading() {
	s.font("B", 17, ink())
	s.put(left, s.y, 100, "L", s.in.Issuer.Name)
	s.font("B", 17, mark())
	s.put(right-60, s.y, 60, "R", "INVOICE")
	s.y += 9
	begin := s.y
	s.font("", 9, grey())
	for _, text := range s.in.Issuer.Lines[:min(maxLines, len(s.in.Issuer.Lines))] {
		s.put(left, s.y, 90, "L", text)
		s.y += 4.5
	}
	end := s.y
	s.y = begin
	for _, pair := range [][2]string{
		{"Number", s.in.Number}, {"Issued", day(s.in.IssuedAt)}, {"Period", moment(s.in.From)}, {"to", moment(s.in.To)},
	} {
		s.font("", 9, grey())
		s.put(right-74, s.y, 20, "L", pair[0])
		s.font("", 9, ink())
		s.put(right-54, s.y, 54, "R", pair[1])
		s.y += 4.5
	}
	s.y = max(s.y, end) + 5
}

func (s *sheet) parties() {
	s.stroke(left, s.y, right)
	s.y += 3
	s.font("", 9, grey())
	s.put(left, s.y, 100, "L", "For")
	s.y += 5
	s.font("B", 11, ink())
	s.put(left, s.y, width, "L", s.in.Customer.Name)
	s.y += 5.5
	s.font("", 9, ink())
	for _, text := range s.in.Customer.Lines[:min(maxLines, len(s.in.Customer.Lines))] {
		s.put(left, s.y, width, "L", text)
		s.y += 4.5
	}
	about := "Account " + s.in.Account
	if s.in.Cluster != "" {
		about += ", cluster " + s.in.Cluster
	}
	s.font("", 9, grey())
	s.put(left, s.y, width, "L", about)
	s.y += 8
}

// totals is the box that answers what it cost, and what is left to pay: nothing.
func (s *sheet) totals() {
	height := 10 + 8*float64(max(1, len(s.in.Totals)))
	fill := shade()
	s.doc.SetFillColor(fill.r, fill.g, fill.b)
	s.doc.Rect(left, s.y, width, height, "F")
	s.y += 4
	if len(s.in.Totals) == 0 {
		s.font("", 11, ink())
		s.put(left+5, s.y, width-10, "L", "Nothing was charged in this period.")
		s.y += 8
	}
	for i, total := range s.in.Totals {
		label := ""
		if i == 0 {
			label = "Total, paid"
		}
		s.font("", 11, grey())
		s.put(left+5, s.y, 40, "L", label)
		s.font("", 9, grey())
		s.put(left+38, s.y, 72, "L", fmt.Sprintf("use %v, fee %v", total.Use, total.Fee))
		s.font("B", 13, ink())
		s.put(left+110, s.y, width-115, "R", total.Paid.String())
		s.y += 8
	}
	s.font("", 8, grey())
	s.put(left+5, s.y-1.5, width-10, "L", "Paid from prepaid balances, minute by minute. Nothing is due.")
	s.y += 6
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
