package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"raylink/raylink"
)

const (
	retryAfter = 5 * time.Second
	// drainLimit and drainTime bound how much of a refused body is read to its end, in bytes: a client that is still sending does
	// not read the answer, and Ray's reads it only when it has sent everything.
	drainLimit = 1 << 30
	drainTime  = 2 * time.Minute
)

// refuse answers with Raylink's own words, as plain text: Ray's command shows the body as it is.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, e *raylink.Error) {
	control := http.NewResponseController(w)
	if r.ContentLength != 0 {
		_ = control.SetReadDeadline(time.Now().Add(10 * time.Second)) // for what the server still reads of the body
	}
	header := w.Header()
	header.Set(ErrorHeader, string(e.Code))
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if e.Code == raylink.CodeUnavailable {
		header.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	if e.Code == raylink.CodeUnauthenticated {
		header.Set("WWW-Authenticate", `Bearer realm="raylink"`)
	}
	w.WriteHeader(e.Code.HTTPStatus())
	text := "Raylink: " + e.Message + "\n"
	if e.Hint != "" {
		text += e.Hint + "\n"
	}
	_, _ = io.WriteString(w, text) // the client's loss
}

func tooLarge() *raylink.Error {
	return raylink.Errorf(raylink.CodeTooLarge, "an upload may have %d MiB, Ray takes no more", UploadLimit>>20).
		WithHint("leave data and models out of --working-dir (runtime_env \"excludes\"), or put its zip where the cluster can fetch it and name " +
			"that: --runtime-env-json '{\"working_dir\": \"https://…/dir.zip\"}' (s3:// and gs:// do as well)")
}

// refuseUpload lets the client finish sending before it is told that it was too much.
func (h *handler) refuseUpload(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength <= drainLimit {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, drainLimit)) // who does not finish does not get the answer
	}
	h.refuse(w, r, tooLarge())
}

// unanswered tells what it means that the upstream did not answer.
func (h *handler) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	var large *http.MaxBytesError
	var dial *net.OpError
	var own *raylink.Error
	switch cause := context.Cause(r.Context()); {
	case errors.As(err, &large):
		h.refuse(w, r, tooLarge())
	case errors.Is(cause, errRevoked):
		h.refuse(w, r, raylink.AsError(cause))
	case r.Context().Err() != nil: // the client has gone
	case errors.As(err, &own):
		h.refuse(w, r, own)
	case errors.Is(err, errTokenRefused):
		h.Log.Warn("the cluster's token is refused", "path", r.URL.Path, "error", err)
		h.refuse(w, r, raylink.Errorf(raylink.CodeUnavailable, "the cluster's head does not take Raylink's own token; yours is fine").
			WithHint("if this lasts longer than a minute, end the cluster and make it anew, and tell your admin"))
	case errors.As(err, &dial) && dial.Op == "dial", safe(r.Method), errors.Is(err, context.DeadlineExceeded):
		h.Log.Debug("no answer from upstream", "path", r.URL.Path, "error", err)
		h.refuse(w, r, raylink.Errorf(raylink.CodeUnavailable, "%s does not answer just now; it may be restarting", h.far).
			WithHint("try again in a few seconds; `raylink cluster get` shows how the cluster is"))
	default:
		h.Log.Debug("upstream lost in mid-request", "path", r.URL.Path, "error", err)
		w.Header().Set(ErrorHeader, string(raylink.CodeUnavailable))
		http.Error(w, "Raylink: "+h.far+" was lost while it worked on this request: whether it was carried out is not known\n"+
			"look before you repeat it (`ray job list`)", http.StatusBadGateway)
	}
}

var errRevoked = raylink.Errorf(raylink.CodeForbidden, "the access token was revoked").WithHint("`raylink login` with another one")
