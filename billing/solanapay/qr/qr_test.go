package qr

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const payment = "solana:7fUAJdStEuGbc3sM84cKRL6yYaaSstyLSU4ve5oovLS7?amount=50&spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v" +
	"&reference=82ZJ7nbGpixjeDCmEhUcmwXYfvurzAgGdtSMuHnUgyny&label=Raylink&memo=rl%3Atu%3Aabc"

// read turns the half blocks back into modules.
func read(t *testing.T, drawn string) matrix {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
	m := matrix{side: len([]rune(lines[0]))}
	for y := range m.side {
		for _, char := range lines[y/2] {
			light := char == '█' || (char == '▀' && y%2 == 0) || (char == '▄' && y%2 == 1)
			m.dark = append(m.dark, !light)
		}
	}
	return m
}

func plain(drawn string) string {
	return strings.NewReplacer("\x1b[38;5;231;48;5;16m", "", "\x1b[0m", "").Replace(drawn)
}

func TestSameModulesEverywhere(t *testing.T) {
	want, err := encode(payment)
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range []bool{false, true} {
		drawn, err := Text(payment, colour)
		if err != nil {
			t.Fatal(err)
		}
		if colour == (plain(drawn) == drawn) {
			t.Errorf("colour %v, yet %q", colour, drawn[:40])
		}
		compare(t, "text", read(t, plain(drawn)), want)
	}
	raw, err := PNG(payment, 3)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "PNG", modules(picture, 3), want)
	raw, err = SVG(payment)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "SVG", path(t, raw), want)
}

func compare(t *testing.T, what string, got, want matrix) {
	t.Helper()
	if got.side != want.side {
		t.Fatalf("%s: %d modules a side, want %d", what, got.side, want.side)
	}
	dark := 0
	for i := range want.dark {
		if got.dark[i] != want.dark[i] {
			t.Fatalf("%s: module %d, %d differs", what, i%want.side, i/want.side)
		}
		x, y := i%want.side, i/want.side
		if inside := min(x, y, want.side-1-x, want.side-1-y) >= quiet; want.dark[i] && !inside {
			t.Fatalf("%s: a dark module in the quiet zone", what)
		}
		if want.dark[i] {
			dark++
		}
	}
	if share := 100 * dark / len(want.dark); share < 25 || share > 60 {
		t.Errorf("%d %% of the code are dark", share)
	}
}

func modules(picture image.Image, scale int) matrix {
	m := matrix{side: picture.Bounds().Dx() / scale}
	for y := range m.side {
		for x := range m.side {
			m.dark = append(m.dark, color.GrayModel.Convert(picture.At(x*scale+scale/2, y*scale+scale/2)).(color.Gray).Y < 128)
		}
	}
	return m
}

func path(t *testing.T, raw []byte) matrix {
	t.Helper()
	var document struct {
		ViewBox string `xml:"viewBox,attr"`
		Path    struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	side, err := strconv.Atoi(document.ViewBox[strings.LastIndexByte(document.ViewBox, ' ')+1:])
	if err != nil {
		t.Fatal(err)
	}
	m := matrix{side: side, dark: make([]bool, side*side)}
	for _, run := range strings.Split(strings.TrimSuffix(document.Path.D, "z"), "z") {
		numbers := strings.FieldsFunc(run, func(r rune) bool { return r < '0' || r > '9' })
		x, _ := strconv.Atoi(numbers[0])
		y, _ := strconv.Atoi(numbers[1])
		length, _ := strconv.Atoi(numbers[2])
		for i := range length {
			m.dark[y*side+x+i] = true
		}
	}
	return m
}

func TestRefused(t *testing.T) {
	for _, text := range []string{"", "two words", "line\n", "ü", "\x00", strings.Repeat("x", maxText+1)} {
		if _, err := Text(text, true); !errors.Is(err, ErrText) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, scale := range []int{0, -1, maxScale + 1} {
		if _, err := PNG("x", scale); err == nil {
			t.Errorf("%d pixels a module were taken", scale)
		}
	}
	if drawn, err := Text(strings.Repeat("x", maxText), false); err != nil || strings.Count(drawn, "\n") > 75 {
		t.Errorf("the longest text: %d lines, %v", strings.Count(drawn, "\n"), err)
	}
}

// A reader that is not ours must see the text, in a picture and in what a terminal shows, on both grounds.
func TestZBarReads(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs the program zbarimg; runs with RAYLINK_REAL=1")
	}
	program, err := exec.LookPath("zbarimg")
	if err != nil {
		t.Fatal("zbarimg is not installed (Debian's package zbar-tools)")
	}
	drawn, err := Text(payment, true)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := PNG(payment, 4)
	if err != nil {
		t.Fatal(err)
	}
	for name, picture := range map[string][]byte{
		"png": raw, "dark terminal": terminal(t, plain(drawn), color.Black), "light terminal": terminal(t, plain(drawn), color.White),
	} {
		file := filepath.Join(t.TempDir(), "code.png")
		if err := os.WriteFile(file, picture, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "--quiet", "--raw", file).Output()
		if err != nil || strings.TrimSpace(string(out)) != payment {
			t.Errorf("%s reads as %q, %v", name, out, err)
		}
	}
}

// terminal is what a terminal shows of the drawing in its own colours, on a ground.
func terminal(t *testing.T, drawn string, ground color.Color) []byte {
	t.Helper()
	const scale, margin = 4, 60
	m := read(t, drawn)
	picture := image.NewGray(image.Rect(0, 0, m.side*scale+2*margin, m.side*scale+2*margin))
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			shade := ground
			if in := image.Pt(x-margin, y-margin).In(image.Rect(0, 0, m.side*scale, m.side*scale)); in {
				shade = color.White
				if m.at((x-margin)/scale, (y-margin)/scale) {
					shade = color.Black
				}
			}
			picture.Set(x, y, shade)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
