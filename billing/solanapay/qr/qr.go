// Package qr draws a text as a QR code: for terminals, as SVG for pages, as PNG for everything else. Each has the quiet zone of four
// modules that ISO/IEC 18004 asks for, and sets dark and light itself, so that the ground it is shown on does not matter.
package qr

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

const (
	quiet    = 4    // light modules around the code
	maxText  = 1024 // bytes; the code has at most 133 modules a side then
	maxScale = 32
)

// ErrText says that the text is empty, too long, or not of visible ASCII characters alone.
var ErrText = errors.New("text does not go into a QR code here")

// matrix are the modules with the quiet zone, true where dark.
type matrix struct {
	side int
	dark []bool
}

func (m matrix) at(x, y int) bool { return y < m.side && m.dark[y*m.side+x] }

// encode takes the level that stands 15 % of dirt. Other characters than ASCII are left to URL escapes: readers disagree on their meaning.
func encode(text string) (matrix, error) {
	if text == "" || len(text) > maxText || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return matrix{}, fmt.Errorf("drawing a QR code of %d bytes: %w", len(text), ErrText)
	}
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return matrix{}, fmt.Errorf("drawing a QR code: %w", err)
	}
	return framed(code), nil
}

func framed(code barcode.Barcode) matrix {
	size := code.Bounds().Dx()
	m := matrix{side: size + 2*quiet}
	m.dark = make([]bool, m.side*m.side)
	for y := range size {
		for x := range size {
			gray := color.GrayModel.Convert(code.At(x, y)).(color.Gray)
			m.dark[(y+quiet)*m.side+x+quiet] = gray.Y < 128
		}
	}
	return m
}

// Text draws with half blocks, two modules in the height of a line. With colour it says black and white itself and reads on any
// ground; without (for a terminal that knows no colours, or a file) light modules are drawn, as they must be on a dark ground, and
// a reader on a light ground sees the code inverted, which most take as well.
func Text(text string, colour bool) (string, error) {
	m, err := encode(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for y := 0; y < m.side; y += 2 {
		if colour {
			b.WriteString("\x1b[38;5;231;48;5;16m") // white on black, of the fixed part of the palette: themes leave it alone
		}
		for x := range m.side {
			upper, lower := m.at(x, y), m.at(x, y+1) || y+1 == m.side // nothing is drawn below the last row
			switch {
			case !upper && !lower:
				b.WriteString("█")
			case !upper:
				b.WriteString("▀")
			case !lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		if colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// SVG is a document with one unit a module and no size of its own, black on white. Its bytes depend on the text alone.
func SVG(text string) ([]byte, error) {
	m, err := encode(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code">`, m.side, m.side)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="`, m.side, m.side)
	for y := range m.side {
		for x := 0; x < m.side; x++ {
			run := 0
			for x+run < m.side && m.at(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x, y, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.Bytes(), nil
}

// PNG is a picture with so many pixels, 1 to 32, a module.
func PNG(text string, scale int) ([]byte, error) {
	if scale < 1 || scale > maxScale {
		return nil, fmt.Errorf("drawing a QR code with %d pixels a module, wanted 1 to %d", scale, maxScale)
	}
	m, err := encode(text)
	if err != nil {
		return nil, err
	}
	picture := image.NewPaletted(image.Rect(0, 0, m.side*scale, m.side*scale), color.Palette{color.White, color.Black})
	for y := range m.side * scale {
		for x := range m.side * scale {
			if m.at(x/scale, y/scale) {
				picture.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return nil, fmt.Errorf("drawing a QR code: %w", err)
	}
	return b.Bytes(), nil
}
