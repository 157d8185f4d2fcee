package ledger

// Draft is a ledger of what would follow. Post, Find, Balance and Head do on it what they would do on the ledger, which stays as it is and is only read; its other
// methods know of nothing but the draft. It means nothing any more once something else was posted to the ledger.
func (l *Ledger) Draft() *Ledger {
	d := New()
	d.under, d.from = l, l.entries.count
	d.entries.list = [][]Entry{nil} // a first page that grows: most drafts are short
	return d
}

// Take adds what was posted to a draft of this ledger. It costs less than Post: texts, sums and hashes are made already.
func (l *Ledger) Take(draft *Ledger) {
	if draft.under != l || draft.from != l.entries.count {
		panic("taking a draft that does not go on from this ledger")
	}
	for _, page := range draft.entries.list {
		for _, entry := range page {
			l.add(entry)
		}
	}
	for place, balance := range draft.balances {
		l.set(place, balance)
	}
}
