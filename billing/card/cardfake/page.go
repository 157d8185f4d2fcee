package cardfake

import (
	"errors"
	"html/template"
	"net/http"
)

// pageText is the page where a session is paid. It must not be mistaken for the provider's.
const pageText = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Test checkout</title><style>body{font:16px/1.5 sans-serif;max-width:32em;margin:3em auto;padding:0 1em}strong{background:#fd6}</style>
<h1>Test checkout</h1>
<p><strong>This is a stand-in for the card provider. No money moves; never type a real card number here.</strong></p>
{{if .Problem}}<p role="alert">{{.Problem}}</p>{{end}}
{{if eq .Session.Status "open"}}<form method="post">
<p>Amount: {{.Dollars}}.{{.Cents}} USD</p>
<p><label>Test card <select name="card">
<option value="` + CardGood + `">4242 4242 4242 4242 (is paid)</option>
<option value="` + CardDeclined + `">4000 0000 0000 0002 (is declined)</option>
<option value="` + CardDisputed + `">4000 0000 0000 0259 (is paid, then disputed)</option>
</select></label></p>
<p><button>Pay</button> <a href="{{.Session.CancelURL}}">Go back</a></p></form>
{{else}}<p>This checkout is {{.Session.Status}}.</p>{{end}}</html>`

func (f *Fake) page(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.session(r.PathValue("id"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	f.expire(s, false)
	show(w, http.StatusOK, s, "")
}

func show(w http.ResponseWriter, status int, s *session, trouble string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	page := template.Must(template.New("pay").Parse(pageText))
	_ = page.Execute(w, map[string]any{ // the browser has gone
		"Session": s, "Problem": trouble, "Dollars": s.AmountTotal / 100, "Cents": string([]byte{byte('0' + s.AmountTotal/10%10), byte('0' + s.AmountTotal%10)}),
	})
}

// payPage pays with the form's card, then leads the browser on as the provider does.
func (f *Fake) payPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	card := r.PostFormValue("card")
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.session(r.PathValue("id"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	switch err := f.pay(s, card); {
	case errors.Is(err, ErrDeclined):
		show(w, http.StatusPaymentRequired, s, "Your card was declined.")
	case err != nil:
		show(w, http.StatusConflict, s, "")
	default:
		http.Redirect(w, r, s.SuccessURL, http.StatusSeeOther)
	}
}
