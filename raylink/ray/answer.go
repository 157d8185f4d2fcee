package ray

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"raylink/raylink"
)

// MaxAnswer bounds what is read of one of Ray's answers, in bytes; the head belongs to the tenant.
const MaxAnswer = 8 << 20

// NodeView is one node in Ray's own view.
type NodeView struct {
	ID      string // Ray's, 56 hex digits
	Address netip.Addr
	Alive   bool
	Head    bool
	Reason  string            // why it is dead, in Ray's words
	Labels  map[string]string // LabelLease among them
}

// Lease is the lease that the node was started for; "" if it says none.
func (v NodeView) Lease() raylink.LeaseID { return raylink.LeaseID(v.Labels[LabelLease]) }

// Nodes reads the answer to NodesPath. A head that was started again stands there twice, once dead; so match living nodes.
// All of it is the head's word, and the head belongs to the tenant: it may lie, but not break the reader.
func Nodes(answer []byte) ([]NodeView, error) {
	var body struct {
		Result bool   `json:"result"`
		Msg    string `json:"msg"`
		Data   struct {
			Result struct {
				Filtered  int    `json:"num_filtered"`
				Truncated int    `json:"num_after_truncation"`
				Warning   string `json:"partial_failure_warning"`
				Result    []struct {
					ID      string            `json:"node_id"`
					IP      string            `json:"node_ip"`
					Head    bool              `json:"is_head_node"`
					State   string            `json:"state"`
					Message *string           `json:"state_message"`
					Labels  map[string]string `json:"labels"`
				} `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := decode(answer, &body, "Ray's nodes"); err != nil {
		return nil, err
	}
	if !body.Result {
		return nil, fmt.Errorf("reading Ray's nodes: Ray says %q", clip(body.Msg))
	}
	list := body.Data.Result
	if list.Truncated < list.Filtered {
		return nil, fmt.Errorf("reading Ray's nodes: %d of %d shown", list.Truncated, list.Filtered)
	}
	out := make([]NodeView, 0, len(list.Result))
	for _, r := range list.Result {
		if r.ID == "" || len(r.ID) > 64 || strings.Trim(r.ID, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("reading Ray's nodes: %q is not a node id", clip(r.ID))
		}
		addr, err := netip.ParseAddr(r.IP)
		if err != nil || addr.Zone() != "" { // a zone may hold any text
			return nil, fmt.Errorf("reading Ray's nodes: %q is not an address of %s", clip(r.IP), r.ID)
		}
		v := NodeView{ID: r.ID, Address: addr, Alive: r.State == "ALIVE", Head: r.Head, Labels: r.Labels}
		if r.Message != nil {
			v.Reason = clip(*r.Message)
		}
		out = append(out, v)
	}
	return out, nil
}

// JobView is one job as the Jobs API shows it.
type JobView struct {
	ID         string // the submission id; a driver that was not submitted has only a job id, which then stands here
	Status     string // PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED
	Message    string
	Entrypoint string
}

// Terminal says that the job is over: its log is whole, and its status will not change.
func (j JobView) Terminal() bool {
	return j.Status == "STOPPED" || j.Status == "SUCCEEDED" || j.Status == "FAILED"
}

// JobPath is the path of one job; tail its log's WebSocket when "/logs/tail" is appended.
func JobPath(submission string) string { return JobsPath + url.PathEscape(submission) }

type jobBody struct {
	Submission *string `json:"submission_id"`
	Job        *string `json:"job_id"`
	Status     string  `json:"status"`
	Message    *string `json:"message"`
	Entrypoint string  `json:"entrypoint"`
}

func (b jobBody) view() (JobView, error) {
	v := JobView{Status: b.Status, Entrypoint: b.Entrypoint}
	if b.Job != nil {
		v.ID = *b.Job
	}
	if b.Submission != nil {
		v.ID = *b.Submission
	}
	if b.Message != nil {
		v.Message = clip(*b.Message)
	}
	if v.ID == "" || v.Status == "" {
		return v, fmt.Errorf("reading a job: the answer names no job or no status")
	}
	return v, nil
}

// Job reads the answer to JobPath.
func Job(answer []byte) (JobView, error) {
	var body jobBody
	if err := decode(answer, &body, "a job"); err != nil {
		return JobView{}, err
	}
	return body.view()
}

// Jobs reads the answer to JobsPath.
func Jobs(answer []byte) ([]JobView, error) {
	var bodies []jobBody
	if err := decode(answer, &bodies, "Ray's jobs"); err != nil {
		return nil, err
	}
	out := make([]JobView, 0, len(bodies))
	for _, b := range bodies {
		v, err := b.view()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// VersionView is what a cluster says of itself. A head that was started anew has another session.
type VersionView struct {
	API     string `json:"version"`
	Ray     string `json:"ray_version"`
	Session string `json:"session_name"`
}

// Version reads the answer to VersionPath.
func Version(answer []byte) (VersionView, error) {
	var v VersionView
	if err := decode(answer, &v, "Ray's version"); err != nil {
		return v, err
	}
	if v.Ray == "" {
		return v, fmt.Errorf("reading Ray's version: the answer names none")
	}
	return VersionView{API: clip(v.API), Ray: clip(v.Ray), Session: clip(v.Session)}, nil
}

func decode(answer []byte, into any, what string) error {
	if len(answer) > MaxAnswer {
		return fmt.Errorf("reading %s: the answer is longer than %d bytes", what, MaxAnswer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	return nil
}

// clip bounds words from outside that are shown or logged.
func clip(s string) string {
	const most = 500
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
