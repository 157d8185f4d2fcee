package cardfake

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxForm is how long a request's body may be.
const maxForm = 64 << 10

// answer is what a request with an idempotency key was answered.
type answer struct {
	request string // method, path and parameters
	status  int
	body    []byte
}

// call is one request to the API.
type call struct {
	path   url.Values // not used by the provider: parts of the path
	form   url.Values
	origin string // of the fake itself, as the caller reached it
}

func (c call) expands(field string) bool {
	for name, values := range c.form {
		if strings.HasPrefix(name, "expand") && slices.Contains(values, field) {
			return true
		}
	}
	return false
}

type handler func(f *Fake, c call) (any, *problem)

func (f *Fake) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]handler{
		"POST /v1/checkout/sessions":     (*Fake).createSession,
		"GET /v1/checkout/sessions":      (*Fake).listSessions,
		"GET /v1/checkout/sessions/{id}": (*Fake).getSession,
		"GET /v1/payment_intents/{id}":   (*Fake).getIntent,
		"POST /v1/refunds":               (*Fake).createRefund,
		"GET /v1/refunds":                (*Fake).listRefunds,
		"GET /v1/refunds/{id}":           (*Fake).getRefund,
		"GET /v1/disputes":               (*Fake).listDisputes,
		"GET /v1/disputes/{id}":          (*Fake).getDispute,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, handle) })
	}
	mux.HandleFunc("GET /pay/{id}", f.page)
	mux.HandleFunc("POST /pay/{id}", f.payPage)
	return mux
}

// ServeHTTP serves the API under /v1/ and the page where sessions are paid under /pay/.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// serve answers one call of the API: faults, key, idempotency, then the endpoint itself.
func (f *Fake) serve(w http.ResponseWriter, r *http.Request, handle handler) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxForm))
	if err != nil {
		return
	}
	form, err := url.ParseQuery(string(text))
	if err != nil || r.Method == http.MethodGet {
		form = r.URL.Query()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.fault()
	switch fault {
	case FaultDropped:
		panic(http.ErrAbortHandler)
	case FaultDown:
		writeProblem(w, &problem{Status: 500, Type: "api_error", Message: "Something went wrong on the fake's end."})
		return
	case FaultBusy:
		writeProblem(w, &problem{Status: 429, Type: "invalid_request_error", Code: "rate_limit", Message: "Too many requests."})
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+f.config.Key {
		writeProblem(w, &problem{Status: 401, Type: "invalid_request_error", Message: "Invalid API Key provided"})
		return
	}
	status, body := f.once(r, form, handle)
	switch fault {
	case FaultLost:
		panic(http.ErrAbortHandler)
	case FaultGarbage:
		body = []byte("<html>the proxy in between is tired</html>")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller has gone; he will ask again
}

func (f *Fake) fault() Fault {
	if len(f.faults) == 0 {
		return ""
	}
	fault := f.faults[0]
	f.faults = f.faults[1:]
	return fault
}

// once answers a request that was made before under the same key as it was answered then.
func (f *Fake) once(r *http.Request, form url.Values, handle handler) (int, []byte) {
	key := r.Header.Get("Idempotency-Key")
	request := r.Method + " " + r.URL.Path + "?" + form.Encode()
	if r.Method == http.MethodPost && key != "" {
		if before, found := f.answers[key]; found {
			if before.request != request {
				return encode(nil, &problem{
					Status: 400, Type: "idempotency_error",
					Message: "Keys for idempotent requests can only be used with the same parameters they were first used with.",
				})
			}
			return before.status, before.body
		}
	}
	c := call{path: url.Values{"id": {r.PathValue("id")}}, form: form, origin: "http://" + r.Host}
	status, body := encode(handle(f, c))
	if r.Method == http.MethodPost && key != "" {
		f.answers[key] = answer{request, status, body}
	}
	return status, body
}

func encode(object any, failed *problem) (int, []byte) {
	status := http.StatusOK
	if failed != nil {
		status, object = failed.Status, map[string]any{"error": failed}
	}
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(object); err != nil {
		return http.StatusInternalServerError, []byte(`{"error":{"type":"api_error","message":"not JSON"}}`)
	}
	return status, text.Bytes()
}

func writeProblem(w http.ResponseWriter, p *problem) {
	status, body := encode(nil, p)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller has gone; he will ask again
}

func (f *Fake) createSession(c call) (any, *problem) {
	now := f.config.Now().Unix()
	cents, err := strconv.ParseInt(c.form.Get("line_items[0][price_data][unit_amount]"), 10, 64)
	expires, late := strconv.ParseInt(c.form.Get("expires_at"), 10, 64)
	switch {
	case c.form.Get("mode") != "payment":
		return nil, invalid("", "Invalid mode: must be payment")
	case err != nil || cents < 50:
		return nil, invalid("amount_too_small", "The Checkout Session's total amount must convert to at least 50 cents.")
	case c.form.Get("line_items[0][price_data][currency]") != "usd" || c.form.Get("line_items[0][quantity]") != "1":
		return nil, invalid("", "The fake sells one thing, in usd")
	case late != nil || expires < now+30*60 || expires > now+24*60*60:
		return nil, invalid("", "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.")
	case c.form.Get("success_url") == "":
		return nil, invalid("parameter_missing", "Missing required param: success_url.")
	}
	s := &session{
		ID: f.id("cs"), Object: "checkout.session", AmountTotal: cents, Currency: "usd", ClientReferenceID: c.form.Get("client_reference_id"),
		Created: now, ExpiresAt: expires, Metadata: metadata(c.form, "metadata["), Mode: "payment", PaymentStatus: "unpaid", Status: "open",
		SuccessURL: c.form.Get("success_url"), CancelURL: c.form.Get("cancel_url"), intentMetadata: metadata(c.form, "payment_intent_data[metadata]["),
	}
	s.URL = c.origin + "/pay/" + s.ID
	f.sessions = append(f.sessions, s)
	return f.object(s, c)
}

func metadata(form url.Values, prefix string) map[string]string {
	data := map[string]string{}
	for name := range form {
		if rest, found := strings.CutPrefix(name, prefix); found {
			data[strings.TrimSuffix(rest, "]")] = form.Get(name)
		}
	}
	return data
}

func (f *Fake) object(object any, c call) (any, *problem) {
	form, err := f.shown(object, c.expands("payment_intent"))
	if err != nil {
		return nil, &problem{Status: 500, Type: "api_error", Message: err.Error()}
	}
	return form, nil
}

func (f *Fake) getSession(c call) (any, *problem) {
	s, err := f.session(c.path.Get("id"))
	if err != nil {
		return nil, missing("checkout.session", c.path.Get("id"))
	}
	f.expire(s, false)
	return f.object(s, c)
}

func (f *Fake) getIntent(c call) (any, *problem) {
	if i := f.intents[c.path.Get("id")]; i != nil {
		return f.object(i, c)
	}
	return nil, missing("payment_intent", c.path.Get("id"))
}

func (f *Fake) createRefund(c call) (any, *problem) {
	cents, err := strconv.ParseInt(c.form.Get("amount"), 10, 64)
	if err != nil {
		return nil, invalid("parameter_invalid_integer", "Invalid integer: %.20s", c.form.Get("amount"))
	}
	r, failed := f.refund(c.form.Get("payment_intent"), cents, metadata(c.form, "metadata["))
	if failed != nil {
		return nil, failed
	}
	return f.object(r, c)
}

func (f *Fake) getRefund(c call) (any, *problem) {
	for _, r := range f.refunds {
		if r.ID == c.path.Get("id") {
			return f.object(r, c)
		}
	}
	return nil, missing("refund", c.path.Get("id"))
}

func (f *Fake) getDispute(c call) (any, *problem) {
	for _, d := range f.disputes {
		if d.ID == c.path.Get("id") {
			return f.object(d, c)
		}
	}
	return nil, missing("dispute", c.path.Get("id"))
}

// list answers a page of objects, the newest first, that keep accepts.
func list[O any](f *Fake, c call, objects []O, id func(O) string, keep func(O) bool) (any, *problem) {
	limit, err := strconv.Atoi(c.form.Get("limit"))
	if err != nil || limit < 1 || limit > 100 {
		limit = 10
	}
	after := c.form.Get("starting_after")
	begun, more := after == "", false
	data := []any{}
	for _, object := range slices.Backward(objects) {
		if !begun {
			begun = id(object) == after
			continue
		}
		if !keep(object) {
			continue
		}
		if len(data) == limit {
			more = true
			break
		}
		form, err := f.shown(object, c.expands("data.payment_intent"))
		if err != nil {
			return nil, &problem{Status: 500, Type: "api_error", Message: err.Error()}
		}
		data = append(data, form)
	}
	return map[string]any{"object": "list", "data": data, "has_more": more, "url": "/v1/list"}, nil
}

func (f *Fake) listSessions(c call) (any, *problem) {
	from, _ := strconv.ParseInt(c.form.Get("created[gte]"), 10, 64) // none is 0: from the first
	to, err := strconv.ParseInt(c.form.Get("created[lt]"), 10, 64)
	return list(f, c, f.sessions, func(s *session) string { return s.ID }, func(s *session) bool {
		f.expire(s, false)
		return s.Created >= from && (err != nil || s.Created < to)
	})
}

func (f *Fake) listRefunds(c call) (any, *problem) {
	payment := c.form.Get("payment_intent")
	return list(f, c, f.refunds, func(r *refund) string { return r.ID }, func(r *refund) bool { return payment == "" || r.PaymentIntent == payment })
}

func (f *Fake) listDisputes(c call) (any, *problem) {
	payment := c.form.Get("payment_intent")
	return list(f, c, f.disputes, func(d *dispute) string { return d.ID }, func(d *dispute) bool { return payment == "" || d.PaymentIntent == payment })
}
