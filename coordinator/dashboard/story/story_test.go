package story

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/dashboard/browser"
)

func scenes(t *testing.T) []Scene {
	t.Helper()
	list, err := Scenes(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func draw(s Scene) (int, string) {
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, s.Path, nil))
	return w.Code, w.Body.String()
}

// TestScenes draws every page and looks whether it is whole.
func TestScenes(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenes(t) {
		t.Run(s.Name, func(t *testing.T) {
			if seen[s.Name] {
				t.Error("two scenes have this name")
			}
			seen[s.Name] = true
			code, page := draw(s)
			want := http.StatusOK
			switch s.Name {
			case "refused-topup":
				want = http.StatusBadRequest
			case "tenant-clusters-none":
				want = http.StatusNotFound
			case "supplier-clusters":
				want = http.StatusForbidden
			}
			if code != want {
				t.Errorf("status %d, want %d", code, want)
			}
			if trouble := unbalanced(page); trouble != "" {
				t.Error(trouble)
			}
			for _, bad := range []string{"ZgotmplZ", "&lt;nil&gt;", "%!", "<no value>", "unknown asset", " style=", " onclick="} {
				if strings.Contains(page, bad) && !strings.HasPrefix(s.Name, "hostile") {
					t.Errorf("the page holds %q", bad)
				}
			}
		})
	}
	if len(seen) < 40 {
		t.Errorf("only %d scenes", len(seen))
	}
}

// TestAlarmIsShown: a transfer that nothing explains stands on the treasury's page, above all else.
func TestAlarmIsShown(t *testing.T) {
	for _, s := range scenes(t) {
		if s.Path != "/ui/treasury" {
			continue
		}
		_, page := draw(s)
		alarm, books := strings.Index(page, "no payout or recorded swap explains it"), strings.Index(page, "By the books")
		switch s.Name {
		case "halted-treasury":
			if alarm < 0 || alarm > books {
				t.Errorf("%s: the alarm stands at %d, the books at %d", s.Name, alarm, books)
			}
			if !strings.Contains(page, ">differs<") || strings.Contains(page, ">agrees<") {
				t.Errorf("%s: the page does not say that chain and books differ", s.Name)
			}
		default:
			if alarm >= 0 {
				t.Errorf("%s: an alarm without a reason", s.Name)
			}
			if strings.Contains(page, ">differs<") || (s.Name == "full-treasury" && !strings.Contains(page, ">agrees<")) {
				t.Errorf("%s: the page does not say that chain and books agree", s.Name)
			}
		}
	}
}

// TestHostile looks for names that escaped from their places.
func TestHostile(t *testing.T) {
	drawn := 0
	for _, s := range scenes(t) {
		if !strings.HasPrefix(s.Name, "hostile") {
			continue
		}
		drawn++
		_, page := draw(s)
		for _, bad := range []string{"<script>", "<img src=x", "onerror=alert(2)>", "</title><script", `href="javascript:`, `href="=HYPER`} {
			if strings.Contains(page, bad) {
				t.Errorf("%s holds %q", s.Name, bad)
			}
		}
		title, _, _ := strings.Cut(page, "</title>")
		if strings.Contains(title, "\u202E") {
			t.Errorf("%s turns the title's writing round", s.Name)
		}
		// Every name from outside stands in an element of its own direction.
		for _, name := range Hostile() {
			escaped := html.EscapeString(name)
			for at, rest := 0, page; strings.ContainsRune(escaped, '\u202E'); {
				if at = strings.Index(rest, "\u202Eevil"); at < 0 {
					break
				}
				if before := rest[:at]; strings.LastIndex(before, "<bdi>") <= strings.LastIndex(before, "</bdi>") && strings.LastIndex(before, `"`) <= strings.LastIndex(before, ">") {
					t.Errorf("%s: a name stands without bdi: …%s", s.Name, before[max(0, at-80):])
				}
				rest = rest[at+len("\u202Eevil"):]
			}
		}
	}
	if drawn < 7 {
		t.Fatalf("only %d hostile scenes", drawn)
	}
}

// unbalanced checks that every element is closed where it was opened.
func unbalanced(page string) string {
	empty := []string{"meta", "link", "img", "input", "br"}
	var open []string
	for _, m := range regexp.MustCompile(`<(/?)([a-z][a-z0-9]*)\b[^>]*?(/?)>`).FindAllStringSubmatch(page, -1) {
		switch {
		case slices.Contains(empty, m[2]), m[3] != "": // only in pictures
		case m[1] == "":
			open = append(open, m[2])
		case len(open) == 0 || open[len(open)-1] != m[2]:
			return fmt.Sprintf("</%s> closes %v", m[2], open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 || !strings.HasPrefix(page, "<!doctype html>") {
		return fmt.Sprintf("the page ends with %v open", open)
	}
	return ""
}

// TestHandler turns the storybook's pages as a reader would.
func TestHandler(t *testing.T) {
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string, cookies ...*http.Cookie) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for _, k := range cookies {
			r.AddCookie(k)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	chosen := ask("/scene/admin-group")
	if chosen.StatusCode != http.StatusSeeOther || chosen.Header.Get("Location") != "/ui/group" {
		t.Fatalf("choosing a scene: %s to %q", chosen.Status, chosen.Header.Get("Location"))
	}
	if page := ask("/ui/group", chosen.Cookies()...); page.StatusCode != http.StatusOK {
		t.Errorf("the scene: %s", page.Status)
	}
	if none := ask("/scene/none"); none.StatusCode != http.StatusNotFound {
		t.Errorf("no such scene: %s", none.Status)
	}
}

// TestLook draws every scene in a real browser, wide and light, narrow and dark: nothing may be wider than the window, nothing may complain.
// RAYLINK_SHOTS names a directory to leave the pictures in.
func TestLook(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs Chromium: set RAYLINK_REAL=1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	b, err := browser.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, size := range []struct {
		name   string
		width  int
		dark   bool
		always bool
	}{{"wide-light", 1200, false, true}, {"wide-dark", 1200, true, false}, {"phone-light", 390, false, false}, {"phone-dark", 390, true, true}} {
		if !size.always && os.Getenv("RAYLINK_SHOTS") == "" {
			continue // the layout depends on the width alone
		}
		if err := b.Window(ctx, size.width, 800, size.dark); err != nil {
			t.Fatal(err)
		}
		for _, s := range scenes(t) {
			look(ctx, t, b, s, size.name)
		}
	}
	for _, c := range b.Complaints() {
		if !strings.Contains(c, "404") && !strings.Contains(c, "403") && !strings.Contains(c, "400") { // the scenes that are refusals
			t.Errorf("the browser complains: %s", c)
		}
	}
}

func look(ctx context.Context, t *testing.T, b *browser.Browser, s Scene, size string) {
	t.Helper()
	server := httptest.NewServer(s.Handler)
	defer server.Close()
	if err := b.Navigate(ctx, server.URL+s.Path); err != nil {
		t.Fatal(err)
	}
	if over, err := b.Overflow(ctx); err != nil || over > 0 {
		t.Errorf("%s, %s: %d pixels stand out of the window (%v)", s.Name, size, over, err)
	}
	if os.Getenv("RAYLINK_SHOTS") == "" {
		return
	}
	shot, err := b.Screenshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("RAYLINK_SHOTS"), s.Name+"."+size+".png"), shot, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestServe serves the storybook to a person until ^C: RAYLINK_STORYBOOK=127.0.0.1:8090 go test ./coordinator/dashboard/story -run Serve -timeout 0
func TestServe(t *testing.T) {
	address := os.Getenv("RAYLINK_STORYBOOK")
	if address == "" {
		t.Skip("serves to a person: set RAYLINK_STORYBOOK=host:port")
	}
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	fmt.Fprintf(os.Stderr, "http://%s/\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
}
