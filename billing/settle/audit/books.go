// Package audit compares a journal with the chain: every deposit, payout, burn, swap and anchored checkpoint of an export against what its transaction
// really did, and the other way round every transaction on our token accounts against the journal. It asks any node for finalized
// effects, and needs nothing of the group that exported.
package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/verify"
)

// Books collects from an export's lines what the chain can be asked about. It is an io.Writer, so that it can sit beside a verifier that
// reads the same file (io.TeeReader); whether the lines are true to each other is for that one to say.
type Books struct {
	header   verify.Header
	begun    bool
	skipping bool // a line that is over the limit
	line     []byte

	hashes  map[uint64]string // of a part: of all entries that it shows, and of those before them
	claims  []claim
	anchors []anchor
	sums    map[money.Asset]int64 // what treasury:chain holds, minus: what our token accounts hold
	flights map[string]money.Amount
	failure error
}

// claim is one entry that says what a transaction did, to our token account and to somebody else's.
type claim struct {
	seq       uint64
	kind      string
	asset     money.Asset
	signature chain.Signature
	account   chain.Address // ours; empty where the entry does not say which
	delta     int64         // minor units, of our account
	wallet    chain.Address // that was paid; empty for none
}

type anchor struct {
	seq       uint64
	signature chain.Signature
	memo      string
}

// NewBooks is an empty one.
func NewBooks() *Books {
	return &Books{hashes: map[uint64]string{}, sums: map[money.Asset]int64{}, flights: map[string]money.Amount{}}
}

// Write takes the next bytes of the export. It never fails, so that the verifier beside it goes on; what it could not read is said by Err.
func (b *Books) Write(p []byte) (int, error) {
	taken := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if len(b.line)+len(part) > verify.MaxHeader {
			b.skipping, b.line = true, nil
		}
		if !b.skipping {
			b.line = append(b.line, part...)
		}
		if end < 0 {
			break
		}
		b.take(b.line)
		b.line, b.skipping = b.line[:0], false
		p = p[end+1:]
	}
	return taken, nil
}

// Err is the first line that was not what it should be.
func (b *Books) Err() error { return b.failure }

// Chain is the name of the chain that the export says its tokens are on.
func (b *Books) Chain() string { return b.header.Chain }

// ExportedAt is when the journal was exported.
func (b *Books) ExportedAt() time.Time { return b.header.ExportedAt }

// Mints are the tokens that the export says the treasury holds.
func (b *Books) Mints() []chain.Mint {
	var list []chain.Mint
	for _, t := range b.header.Treasury {
		list = append(list, mintOf(t))
	}
	return list
}

func mintOf(t verify.TokenAccount) chain.Mint {
	return chain.Mint{Asset: t.Asset, Address: chain.Address(t.Mint), Program: chain.Address(t.Program), Decimals: t.Asset.Decimals()}
}

func (b *Books) fail(seq uint64, format string, args ...any) {
	if b.failure == nil {
		b.failure = fmt.Errorf("entry %d: %s", seq, fmt.Sprintf(format, args...))
	}
}

func (b *Books) take(line []byte) {
	if !b.begun {
		b.begun = true
		if err := json.Unmarshal(line, &b.header); err != nil {
			b.failure = fmt.Errorf("reading the journal's header: %w", err)
		}
		b.shows()
		return
	}
	if b.Part() && bytes.HasPrefix(line, []byte(`{"entries":`)) {
		return // the receipt
	}
	// Most lines are minutes, which the chain knows nothing of: they are not even parsed.
	if !b.Part() && !bytes.Contains(line, []byte(ledger.TreasuryChain)) && !bytes.Contains(line, []byte(`"payout:`)) && !bytes.Contains(line, []byte(`"`+ledger.KindAnchor+`"`)) {
		return
	}
	entry, err := ledger.UnmarshalLine(line)
	if err != nil {
		b.fail(0, "%v", err)
		return
	}
	if b.Part() {
		b.hashes[entry.Seq], b.hashes[entry.Seq-min(entry.Seq, 1)] = entry.Hash, entry.Prev
	}
	for _, p := range entry.Postings {
		if strings.HasPrefix(p.Account, "payout:") {
			if b.flights[p.Account], err = p.Amount.Add(money.Amount{Minor: b.flights[p.Account].Minor, Asset: p.Amount.Asset}); err != nil {
				b.fail(entry.Seq, "%v", err)
			}
		}
		if p.Account != ledger.TreasuryChain {
			continue
		}
		if b.sums[p.Amount.Asset], err = money.AddMinor(b.sums[p.Amount.Asset], -p.Amount.Minor); err != nil {
			b.fail(entry.Seq, "%v", err)
		}
		b.claim(entry, money.Amount{Minor: -p.Amount.Minor, Asset: p.Amount.Asset})
	}
	if entry.Kind == ledger.KindAnchor {
		b.anchor(entry)
	}
}

// shows takes what the header of a part says of the journal.
func (b *Books) shows() {
	if head := b.header.Head; head != nil {
		b.hashes[head.Seq] = head.Hash
	}
	if a := b.header.Anchor; a != nil {
		b.hashes[a.Seq] = a.Hash
		b.anchors = append(b.anchors, anchor{seq: a.Seq, signature: chain.Signature(a.Signature), memo: ledger.RootMemo(a.Seq, a.Hash)})
	}
}

// claim reads which transaction moved the amount, which is what came to us, or less than zero for what went.
func (b *Books) claim(entry ledger.Entry, moved money.Amount) {
	c := claim{seq: entry.Seq, kind: entry.Kind, asset: moved.Asset, delta: moved.Minor}
	switch entry.Kind {
	case "deposit":
		signature, account, _ := strings.Cut(entry.Ref, "/")
		c.signature, c.account = chain.Signature(signature), chain.Address(account)
	case "swap":
		c.signature = chain.Signature(entry.Ref)
	case "payout.paid":
		var note struct {
			Signature string `json:"signature"`
			Payout    struct {
				Wallet string `json:"wallet"`
			} `json:"payout"`
		}
		if err := json.Unmarshal(entry.Note, &note); err != nil || note.Signature == "" {
			b.fail(entry.Seq, "a payout that names no transaction")
			return
		}
		c.signature, c.wallet = chain.Signature(note.Signature), chain.Address(note.Payout.Wallet)
	default:
		b.fail(entry.Seq, "%s moves %s and names no transaction", entry.Kind, ledger.TreasuryChain)
		return
	}
	b.claims = append(b.claims, c)
}

func (b *Books) anchor(entry ledger.Entry) {
	var note ledger.Anchor
	if err := json.Unmarshal(entry.Note, &note); err != nil {
		b.fail(entry.Seq, "note of an anchor: %v", err)
		return
	}
	b.anchors = append(b.anchors, anchor{seq: entry.Seq, signature: chain.Signature(note.Signature), memo: ledger.RootMemo(note.Seq, note.Hash)})
}

// inFlight is what payouts in the asset have set aside and not been posted as paid.
func (b *Books) inFlight(asset money.Asset) int64 {
	var total int64
	for _, left := range b.flights {
		if left.Asset == asset {
			total += left.Minor
		}
	}
	return total
}
