package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
)

type sample struct {
	Name    string        `flag:"name" default:"d" help:"a name"`
	Wait    time.Duration `flag:"wait" default:"3s"`
	Count   int           `flag:"count"`
	On      bool          `flag:"on"`
	List    []string      `flag:"list" default:"x"`
	Price   money.Rate    `flag:"price" default:"0.12 USD/h"`
	Secret  string        `flag:"secret" env:"OTHER"`
	Hidden  string        `flag:"-"`
	private string
}

func TestSettingsComeFromFlagEnvironmentFileDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "role.yaml")
	if err := os.WriteFile(file, []byte("name: file\nwait: 5s\ncount: 7\nlist: [a, b]\nprice: 1 USD/h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"RAYLINK_ROLE_NAME": "env", "RAYLINK_ROLE_WAIT": "9s", "OTHER": "s"}
	var got sample
	c := &cobra.Command{}
	r, err := bindRole(c, "role", &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "d" || got.Price.String() != "0.120000 USD/h" || !slices.Equal(got.List, []string{"x"}) {
		t.Fatalf("defaults: %+v", got)
	}
	if err := c.ParseFlags([]string{"--config", file, "--wait", "1m", "--on"}); err != nil {
		t.Fatal(err)
	}
	if err := r.load(c.Flags(), func(name string) string { return env[name] }); err != nil {
		t.Fatal(err)
	}
	want := sample{Name: "env", Wait: time.Minute, Count: 7, On: true, Price: 1_000_000, Secret: "s"}
	list := got.List
	got.List = nil
	if got.Name != want.Name || got.Wait != want.Wait || got.Count != want.Count || !got.On || got.Price != want.Price || got.Secret != "s" || !slices.Equal(list, []string{"a", "b"}) {
		t.Fatalf("got %+v and %v, want %+v", got, list, want)
	}
}

func TestListsAreGivenByCommasOrRepeating(t *testing.T) {
	var got sample
	c := &cobra.Command{}
	if _, err := bindRole(c, "role", &got); err != nil {
		t.Fatal(err)
	}
	if err := c.ParseFlags([]string{"--list", "a,b", "--list", "c"}); err != nil || !slices.Equal(got.List, []string{"a", "b", "c"}) {
		t.Fatalf("got %v, %v", got.List, err)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for text, want := range map[string]string{"nmae: x\n": `"nmae"`, "count: many\n": "count in", "name: [": "reading the settings"} {
		file := filepath.Join(t.TempDir(), "role.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var got sample
		c := &cobra.Command{}
		r, err := bindRole(c, "role", &got)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ParseFlags([]string{"--config", file}); err != nil {
			t.Fatal(err)
		}
		if err := r.load(c.Flags(), func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestUnits(t *testing.T) {
	for got, want := range map[string]string{
		amount(money.MicroUSD(360_000)):   "0.36 USD",
		amount(money.MicroUSD(5_000_000)): "5.00 USD",
		amount(money.MicroUSD(-1)):        "-0.000001 USD",
		amount(money.Amount{}):            "",
		rate(120_000):                     "0.12 USD/h",
		quantity(15_000):                  "1.5",
		quantity(20_000):                  "2",
		quantity(1):                       "0.0001",
		size(2 << 30):                     "2 GiB",
		size(1536 << 20):                  "1.5 GiB",
		size(500 << 20):                   "500 MiB",
		quoted("/a/b-c.pem"):              "/a/b-c.pem",
		quoted("/a b/it's"):               `'/a b/it'\''s'`,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
