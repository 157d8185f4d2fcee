package card_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"raylink/billing/card/cardfake"
	"raylink/billing/cardbook"
)

// TestPayOnThePage pays as a browser does: the page says what it is, a declined card can be replaced, and after paying it leads back to us.
func TestPayOnThePage(t *testing.T) {
	b := newBench(t)
	asked, err := b.book.Request(b.now, "t1", "ada", cardbook.FromCents(2505), false)
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := b.client.Create(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		card         string // empty: only look
		status       int
		text, leadTo string
	}{
		{"", 200, "Amount: 25.05 USD", ""},
		{"", 200, "No money moves", ""},
		{cardfake.CardDeclined, 402, "declined", ""},
		{cardfake.CardGood, 303, "", "http://127.0.0.1:7443/money?paid=1&topup=t1"},
		{"", 200, "This checkout is complete", ""},
		{cardfake.CardGood, 409, "This checkout is complete", ""},
	} {
		var response *http.Response
		if c.card == "" {
			response, err = browser.Get(checkout.URL)
		} else {
			response, err = browser.PostForm(checkout.URL, url.Values{"card": {c.card}})
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != c.status || !strings.Contains(string(text), c.text) || response.Header.Get("Location") != c.leadTo {
			t.Errorf("card %q: %s to %q: %s", c.card, response.Status, response.Header.Get("Location"), text)
		}
	}
	b.hearAll(0)
	b.want("tenant-card:ada", 2505)
}
