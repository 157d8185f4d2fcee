package wire

// ProofPolicy is what has to be proven, and when: GET /v1/proofs/policy. In PUT, an admin's, what is left out stays as it is. Durations are Go's.
type ProofPolicy struct {
	Required *bool  `json:"required,omitempty"` // devices are challenged, and only proven machines are placed on
	Least    string `json:"least,omitempty"`    // a device that is idle is proven again after a random time between these two
	Most     string `json:"most,omitempty"`
	Work     string `json:"work,omitempty"`     // what a proof's products take
	Openings *int   `json:"openings,omitempty"` // tiles that are opened
	Lottery  *int64 `json:"lottery,omitempty"`  // of a thousand hours under lease, how many draw a proof
	Begin    string `json:"begin,omitempty"`    // a device has so long to begin,
	Compute  string `json:"compute,omitempty"`  // from there to commit,
	Walk     string `json:"walk,omitempty"`     // from there to have walked,
	Answer   string `json:"answer,omitempty"`   // and from there to answer
	Budget   string `json:"budget,omitempty"`   // of a device's time in any hour; 20 s at most
	Rounds   *int   `json:"rounds,omitempty"`   // slow ones in a row, after which a device is slow
	Memory   *bool  `json:"memory,omitempty"`   // memory is shown too, every other time
	Retry    string `json:"retry,omitempty"`    // between two tries, at least
	Appeals  string `json:"appeals,omitempty"`  // between two appeals, at least
}

// Proved is the answer to a tenant who asked for proofs under his leases: POST /v1/clusters/<id>/prove.
type Proved struct {
	Proofs  []Proof  `json:"proofs"`            // that were opened
	Refused []string `json:"refused,omitempty"` // devices that were not, and why
}
