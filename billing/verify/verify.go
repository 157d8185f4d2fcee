// Package verify writes and judges exported journals, bills of single clusters, and earnings of single suppliers. Verify needs nothing but the file: it trusts
// the exporting group with the list of keys, and with nothing else.
package verify

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// ErrFormat says that the input is neither a journal of Format, nor a bill of BillFormat, nor earnings of EarningsFormat, or a line of it is over the limit.
var ErrFormat = errors.New("not an exported journal (" + Format + "), bill (" + BillFormat + ") or earnings (" + EarningsFormat + ")")

// Verify reads an export to its end and reports all that is wrong with it. The error is for what
// prevents reading: the reader's own, or an ErrFormat. A report without problems is worth as much
// as its Key: compare that with the group's key known from elsewhere.
func Verify(r io.Reader) (Report, error) {
	return VerifyWith(r, func(n int, do func(i int)) {
		for i := range n {
			do(i)
		}
	})
}

// Many does something for each of 0 to n-1, in any order or at the same time, and returns when all is done.
type Many func(n int, do func(i int))

// VerifyWith is Verify with the signatures checked by many, some thousand at a time: nearly all of the work, and the one part of it that several
// processors can share.
func VerifyWith(r io.Reader, many Many) (Report, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), MaxHeader+2)
	if !lines.Scan() {
		return Report{}, ended(lines, 1)
	}
	header := bytes.Clone(lines.Bytes())
	v := newVerifier()
	v.many = many
	if err := readStrict(header, &v.header); err != nil {
		return Report{}, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	if !v.header.formed() {
		return Report{}, fmt.Errorf("%w: format %.60q, cluster %.60q, supplier %.60q", ErrFormat, v.header.Format, v.header.Cluster, v.header.Supplier)
	}
	v.scope = scopeOf(v.header)
	v.report.ExportedAt, v.report.Cluster, v.report.Supplier, v.report.Head = v.header.ExportedAt, v.header.Cluster, v.header.Supplier, v.header.Head
	v.heads()

	// Only the end of the file tells which line is the checkpoint, so one line is kept back.
	var kept []byte
	found := false
	for v.line = 1; lines.Scan(); v.line++ {
		if len(lines.Bytes()) > MaxLine {
			return Report{}, fmt.Errorf("%w: line %d is longer than %d bytes", ErrFormat, v.line+1, MaxLine)
		}
		if found {
			v.entry(kept)
		}
		kept, found = append(kept[:0], lines.Bytes()...), true
	}
	if err := lines.Err(); err != nil {
		return Report{}, ended(lines, v.line+1)
	}
	v.signatures()
	if v.scope.part() {
		v.receipt(header, kept)
	} else {
		v.checkpoint(header, kept)
	}
	return v.finish(), nil
}

// ended is why the scanner stopped at that line.
func ended(lines *bufio.Scanner, line int) error {
	switch err := lines.Err(); {
	case err == nil:
		return fmt.Errorf("%w: empty", ErrFormat)
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%w: line %d is longer than %d bytes", ErrFormat, line, MaxHeader)
	default:
		return fmt.Errorf("reading the journal: %w", err)
	}
}

type name struct{ kind, ref string }

type slot struct {
	account string
	asset   money.Asset
}

// verifier is the state of one Verify. It derives the balances anew, by means other than the ledger's.
type verifier struct {
	header   Header
	report   Report
	scope    *scope
	digest   hash.Hash // of the entries, where they are a part of the journal
	line     int       // in the file, from 1
	seq      uint64
	hash     string
	lost     bool // the line before could not be read: the next is not blamed for not following it
	names    map[name]uint64
	balances map[slot]int64
	leases   map[string]*lease
	kinds    map[string]kind
	flights  map[string]string // of payouts: the account that each was reserved from
	priceID  uint64            // the highest number of a price so far,
	priced   money.Price       // and the price
	recent   map[uint64]string // hashes of the last ledger.RootLag entries, by number
	roots    map[uint64]string // hashes of checkpoints, by number
	spent    map[string]int64  // micro-USD with fees, by cluster
	seals    bool              // a minute was signed by a coordinator: all later ones have to be
	lastSeal string            // the statement and signature of the last of those
	many     Many
	pending  []signed // statements whose signatures are still to be checked
}

func newVerifier() *verifier {
	return &verifier{digest: sha256.New(), names: map[name]uint64{}, balances: map[slot]int64{}, leases: map[string]*lease{}, kinds: kinds(), flights: map[string]string{},
		recent: map[uint64]string{}, roots: map[uint64]string{}, spent: map[string]int64{}}
}

func (v *verifier) problem(seq uint64, format string, args ...any) {
	if len(v.report.Problems) < MaxProblems {
		v.report.Problems = append(v.report.Problems, Problem{Seq: seq, Line: v.line, What: fmt.Sprintf(format, args...)})
	} else {
		v.report.MoreProblems++
	}
}

// entry judges one line.
func (v *verifier) entry(line []byte) {
	entry, err := ledger.UnmarshalLine(line)
	if err != nil {
		v.problem(v.seq+1, "cannot be read: %v", err)
		v.lost = true
		return
	}
	v.place(entry)
	v.stood(entry)
	if ledger.HashOf(entry) != entry.Hash {
		v.problem(entry.Seq, "content does not have the hash that it carries")
	}
	v.seq, v.hash, v.lost = entry.Seq, entry.Hash, false
	v.report.Entries++
	if first, found := v.names[name{entry.Kind, entry.Ref}]; found {
		v.problem(entry.Seq, "%s %s is entry %d already", entry.Kind, entry.Ref, first)
	}
	v.names[name{entry.Kind, entry.Ref}] = entry.Seq
	if err := ledger.Check(entry); err != nil {
		v.problem(entry.Seq, "%v", err)
	}
	v.rules(entry)
	v.post(entry)
	v.recent[entry.Seq] = entry.Hash
	delete(v.recent, entry.Seq-min(entry.Seq, ledger.RootLag))
}

// post applies the postings to the balances; v.rules has seen the balances before.
func (v *verifier) post(entry ledger.Entry) {
	for _, posting := range entry.Postings {
		place := slot{posting.Account, posting.Amount.Asset}
		sum, err := money.AddMinor(v.balances[place], posting.Amount.Minor)
		if err != nil {
			v.problem(entry.Seq, "balance of %s: %v", posting.Account, err)
			continue
		}
		v.balances[place] = sum
	}
	for _, posting := range entry.Postings {
		balance := money.Amount{Minor: v.balances[slot{posting.Account, posting.Amount.Asset}], Asset: posting.Amount.Asset}
		if posting.Amount.Sign() < 0 && balance.Sign() < 0 && !ledger.MayBeNegative(posting.Account) && v.scope.whole(posting.Account) {
			v.problem(entry.Seq, "account %s falls to %v", posting.Account, balance)
		}
	}
}

// checkpoint judges the last line.
func (v *verifier) checkpoint(header, line []byte) {
	var last Checkpoint
	if err := readLast(line, &last); err != nil {
		v.problem(v.seq, "the last line is not a checkpoint, so the file may be cut off: %v", err)
		return
	}
	if last.Seq != v.seq || last.Hash != v.hash {
		v.problem(v.seq, "checkpoint is of entry %d with another hash: entries are missing or replaced", last.Seq)
	}
	v.vouched(last.Key, CheckpointBytes(header, last.Seq, last.Hash), last.Signature, "checkpoint")
}

// finish sums up.
func (v *verifier) finish() Report {
	slices.SortStableFunc(v.report.Problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	v.report.Seq, v.report.Hash = v.seq, v.hash
	sums := map[money.Asset]int64{}
	for place, balance := range v.balances {
		if balance == 0 {
			continue
		}
		v.report.Accounts = append(v.report.Accounts, ledger.Account{Name: place.account, Balance: money.Amount{Minor: balance, Asset: place.asset}})
	}
	ledger.SortAccounts(v.report.Accounts)
	for _, account := range v.report.Accounts {
		sum, err := money.AddMinor(sums[account.Balance.Asset], account.Balance.Minor)
		if err != nil {
			v.problem(v.seq, "sum of all accounts: %v", err)
			continue
		}
		sums[account.Balance.Asset] = sum
	}
	for place := range v.balances { // an asset that is all spent has a sum as well
		sums[place.asset] += 0
	}
	for asset, sum := range sums {
		v.report.Sums = append(v.report.Sums, money.Amount{Minor: sum, Asset: asset})
	}
	slices.SortFunc(v.report.PaidOut, func(a, b money.Amount) int { return strings.Compare(string(a.Asset), string(b.Asset)) })
	slices.SortFunc(v.report.Sums, func(a, b money.Amount) int { return strings.Compare(string(a.Asset), string(b.Asset)) })
	for _, sum := range v.report.Sums {
		if sum.Sign() != 0 {
			v.problem(v.seq, "all accounts together hold %v, not zero", sum)
		}
	}
	v.report.Accounts = slices.DeleteFunc(v.report.Accounts, func(a ledger.Account) bool { return !v.scope.whole(a.Name) })
	for _, lease := range v.leases {
		v.report.add(lease)
	}
	slices.SortFunc(v.report.Leases, func(a, b LeaseReport) int { return strings.Compare(a.Lease, b.Lease) })
	return v.report
}
