package export

import (
	"bytes"
	"encoding/csv"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// hledger runs the referee; the caller decides what an exit status means.
func hledger(t *testing.T, journal []byte, args ...string) (string, error) {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs the program hledger; runs with RAYLINK_REAL=1")
	}
	program, err := exec.LookPath("hledger")
	if err != nil {
		t.Fatal("hledger is not installed (Debian's package hledger)")
	}
	file := filepath.Join(t.TempDir(), "raylink.journal")
	if err := os.WriteFile(file, journal, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, append([]string{"-f", file}, args...)...)
	command.Env = append(os.Environ(), "LANG=C.UTF-8")
	out, err := command.CombinedOutput()
	return string(out), err
}

// checked runs the checks one by one: of several in one call, hledger 1.25 minds balancednoautoconversion only in the last place.
func checked(t *testing.T, journal []byte) (out string, err error) {
	t.Helper()
	for _, check := range []string{"balancednoautoconversion", "ordereddates", "commodities"} {
		if out, err = hledger(t, journal, "check", check); err != nil {
			return out, err
		}
	}
	return out, nil
}

func exported(t *testing.T, book Journal) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := HLedger(&b, All(book)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHLedgerAgrees(t *testing.T) {
	book := story(t)
	hostile := []ledger.Posting{usd("(virtual)", 1), usd("[balanced]", math.MaxInt64/2), usd("a;b", 3), usd("*x", 4), usd("=y", 5), usd(":a::b:", 6), usd("\"q\"", 7)}
	sum := int64(0)
	for _, posting := range hostile {
		sum += posting.Amount.Minor
	}
	hostile = append(hostile, usd("treasury:{z}", -sum))
	if _, err := book.Post(story(t).Entries(20, 1)[0].At.AddDate(1, 0, 0), "(code)", "!|;=2020", hostile, "date:2020-99-99 [x]\n"); err != nil {
		t.Fatal(err)
	}
	journal := exported(t, book)
	if out, err := checked(t, journal); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := hledger(t, journal, "balance", "--flat", "--no-total", "--layout=bare", "-O", "csv")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]string{}
	for _, account := range book.Accounts() {
		plain[quoted(account.Name)] = account.Name
	}
	sums := map[string]money.Amount{}
	for _, row := range rows[1:] {
		amount, err := money.Parse(row[2] + " " + row[1])
		if err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		sums[plain[row[0]]+" "+row[1]] = amount
	}
	compare(t, sums, book)
	out, err = hledger(t, journal, "print", "-O", "csv")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if rows, err = csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil {
		t.Fatal(err)
	}
	seq, _ := book.Head()
	if last := rows[len(rows)-1][0]; last != strconv.FormatUint(seq, 10) {
		t.Errorf("hledger read %s transactions of %d", last, seq)
	}
}

// The referee must be able to say no.
func TestHLedgerRefuses(t *testing.T) {
	journal := exported(t, story(t))
	for what, spoil := range map[string][2]string{
		"a micro-USD too many": {"102.000000 USD\n", "102.000001 USD\n"},
		"an IO unit lost":      {"400.00000000 IO\n", "399.99999999 IO\n"},
		"another asset":        {"500.000000 USD\n", "500.000000 USDC\n"},
		"an unknown asset":     {" USD\n", " EUR\n"},
		"a day early":          {"\n2026-11-24 * (25)", "\n2026-11-21 * (25)"},
	} {
		at := bytes.LastIndex(journal, []byte(spoil[0]))
		if at < 100 {
			t.Fatalf("%s: %q is not there to be spoiled", what, spoil[0])
		}
		forged := string(journal[:at]) + spoil[1] + string(journal[at+len(spoil[0]):])
		if out, err := checked(t, []byte(forged)); err == nil {
			t.Errorf("%s: taken: %s", what, out)
		}
	}
}
