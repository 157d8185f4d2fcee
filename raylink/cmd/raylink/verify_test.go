package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/verify"
	"raylink/raylink"
)

// exported is a real journal of one grant.
func exported(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	book, at := ledger.New(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	postings, err := ledger.Move("treasury:grants", ledger.Posting{Account: ledger.Tenant("acc-aaaaaaaaaa"), Amount: money.MicroUSD(5_000_000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := book.Post(at, "grant", "grant-aaaaaaaaaa", postings, map[string]string{"reason": "welcome"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	header := verify.Header{ExportedAt: at, GroupKey: public}
	if err := verify.Write(&out, header, book, public, func(message []byte) []byte { return ed25519.Sign(private, message) }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestVerifyReadsAJournalAloud(t *testing.T) {
	good := string(exported(t))
	for _, c := range []struct {
		name, text, out, errs string
		exit                  int
	}{
		{"good", good, "verified: the hash chain", "", 0},
		{"a changed amount", strings.ReplaceAll(good, "5.000000 USD", "6.000000 USD"), "wrong: entry 1", "does not hold", raylink.CodeConflict.ExitCode()},
		{"cut off", good[:strings.LastIndex(strings.TrimSpace(good), "\n")+1], "wrong:", "does not hold", raylink.CodeConflict.ExitCode()},
		{"another file", "hello\n", "", "cannot be verified", raylink.CodeInvalid.ExitCode()},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			a := &app{in: strings.NewReader(c.text), out: &out, err: &errs, getenv: func(string) string { return "" }}
			if exit := a.run(t.Context(), []string{"verify", "-"}); exit != c.exit {
				t.Errorf("exits with %d, want %d", exit, c.exit)
			}
			if !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
				t.Errorf("says %q and %q", &out, &errs)
			}
		})
	}
}
