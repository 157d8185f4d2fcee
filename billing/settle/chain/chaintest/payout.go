package chaintest

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"raylink/billing/settle/chain"
)

// payout: a full batch goes through its stages and moves every amount once.
func payout(t *testing.T, s *stage) {
	var accounts []chain.Address
	total := int64(0)
	for i := range chain.MaxTransfers {
		accounts = append(accounts, s.account2(t))
		total += 1000 + int64(i)
	}
	tx := s.sign(t, s.batch(accounts...))
	s.stageOf(t, tx.name, chain.Unknown)
	must(t, s.Sender.Send(t.Context(), tx.raw))
	if s.Finality > 0 {
		s.stageOf(t, tx.name, chain.Seen)
	}
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Finalized)
	for i, a := range accounts {
		s.holds(t, a, 1000+int64(i))
	}
	s.holds(t, s.account, 1_000_000_000-total)
	got, err := s.Reader.Effect(t.Context(), tx.name, s.account)
	must(t, err)
	if got.Delta != -total || got.Memo != "rl:po:1" || !slices.Equal(got.Senders, []chain.Address{s.wallet()}) {
		t.Fatalf("effect on ourselves %+v, wanted %d", got, -total)
	}
}

// replay: the same bytes never pay twice, whatever came between and however old they are.
func replay(t *testing.T, s *stage) {
	to := s.account2(t)
	payer := s.payer(t, 1000)
	tx := s.sign(t, s.batch(to))
	must(t, s.Sender.Send(t.Context(), tx.raw))
	refused(t, s.Sender.Send(t.Context(), tx.raw), chain.Replayed, -1)
	for range 40 { // a node that remembers only the last 32 would take it again
		s.Pay(t, payer, s.wallet(), 1, "")
		s.Tick(t, 1)
	}
	refused(t, s.Sender.Send(t.Context(), tx.raw), chain.Replayed, -1)
	s.Tick(t, s.Finality)
	s.holds(t, to, 1000)
	again := s.batch(to)
	hash, err := s.Sender.Blockhash(t.Context())
	must(t, err)
	first, second := s.signOn(t, again, hash), s.signOn(t, again, hash)
	if first.name != second.name {
		t.Fatal("the same batch on the same blockhash has two names")
	}
	again.Memo += "'"
	if third := s.signOn(t, again, hash); third.name == first.name {
		t.Fatal("another memo gives no other name")
	}
}

// refusals: each for its reason and its item, nothing moved.
func refusals(t *testing.T, s *stage) {
	good := s.account2(t)
	frozen := s.account2(t)
	s.Freeze(t, frozen, true)
	owner, closed := s.receiver(t)
	s.Close(t, owner, closed)
	foreign := s.payer(t, 5000)
	foreignAccount, err := s.Builder.TokenAccount(addressOf(foreign), s.Mint)
	must(t, err)
	s.Tick(t, s.Finality)

	rich := s.batch(good, good)
	rich.Transfers[1].Amount = 1_000_000_000
	stolen := s.batch(good)
	stolen.From = foreignAccount
	cases := []struct {
		name  string
		batch chain.Batch
		code  chain.FailureCode
		item  int
	}{
		{"more than there is", rich, chain.Insufficient, 1},
		{"frozen", s.batch(good, good, frozen), chain.Frozen, 2},
		{"closed", s.batch(good, closed), chain.NoAccount, 1},
		{"not ours", stolen, chain.WrongOwner, 0},
	}
	for _, c := range cases {
		tx := s.sign(t, c.batch)
		t.Log(c.name)
		refused(t, s.Sender.Send(t.Context(), tx.raw), c.code, c.item)
		s.stageOf(t, tx.name, chain.Unknown)
	}
	tx := s.sign(t, s.batch(good))
	flipped := slices.Clone(tx.raw)
	flipped[20] ^= 1
	refused(t, s.Sender.Send(t.Context(), flipped), chain.Other, -1)
	refused(t, s.Sender.Send(t.Context(), []byte("not a transaction")), chain.Other, -1)
	s.Tick(t, s.Finality)
	s.holds(t, good, 0)
	s.holds(t, s.account, 1_000_000_000)
	s.Freeze(t, frozen, false)
	must(t, s.Sender.Send(t.Context(), s.sign(t, s.batch(frozen)).raw))
}

// burn: the supply falls by what our account lost.
func burn(t *testing.T, s *stage) {
	before, err := s.Reader.Supply(t.Context(), s.Mint.Address)
	must(t, err)
	batch := s.batch()
	batch.Burn = 400_000_000
	tx := s.sign(t, batch)
	must(t, s.Sender.Send(t.Context(), tx.raw))
	if now, err := s.Reader.Supply(t.Context(), s.Mint.Address); err != nil || now != before {
		t.Fatalf("supply before it is finalized: %d %v, wanted %d", now, err, before)
	}
	s.Tick(t, s.Finality)
	s.holds(t, s.account, 600_000_000)
	after, err := s.Reader.Supply(t.Context(), s.Mint.Address)
	must(t, err)
	if before-after != 400_000_000 {
		t.Fatalf("supply fell by %d", before-after)
	}
	batch = s.batch()
	batch.Burn = 600_000_001
	refused(t, s.Sender.Send(t.Context(), s.sign(t, batch).raw), chain.Insufficient, -1)
}

// memoAlone: a root on the chain.
func memoAlone(t *testing.T, s *stage) {
	tx := s.sign(t, chain.Batch{Owner: s.wallet(), Memo: "rl:root:0123456789abcdef"})
	must(t, s.Sender.Send(t.Context(), tx.raw))
	s.Tick(t, s.Finality)
	s.stageOf(t, tx.name, chain.Finalized)
	got, err := s.Reader.Effect(t.Context(), tx.name, s.account)
	must(t, err)
	if got.Memo != "rl:root:0123456789abcdef" || got.Delta != 0 || got.Payer != s.wallet() {
		t.Fatalf("effect %+v", got)
	}
	found, err := s.Reader.History(t.Context(), s.wallet(), "", 1000)
	must(t, err)
	if !slices.Contains(found, tx.name) {
		t.Fatalf("the wallet leads to %v", found)
	}
}

// builder: what cannot be a batch is refused, and what can is read as it was written.
func builder(t *testing.T, s *stage) {
	to := s.account2(t)
	hash, err := s.Sender.Blockhash(t.Context())
	must(t, err)
	var many []chain.Address
	for range chain.MaxTransfers + 1 {
		many = append(many, addressOf(s.Wallet(t)))
	}
	full := s.batch(many[1:]...)
	full.Memo = string(make([]byte, chain.MaxMemo-len(full.Memo))) + full.Memo
	burning := s.batch()
	burning.Burn = 1 << 62
	for _, batch := range []chain.Batch{s.batch(to), full, s.batch(to, to), burning, {Owner: s.wallet(), Memo: "é"}} {
		tx := s.signOn(t, batch, hash)
		got, on, err := s.Builder.Read(tx.raw)
		must(t, err)
		if on != hash.Hash || !slices.Equal(got.Transfers, batch.Transfers) || got.Memo != batch.Memo || got.Mint != batch.Mint ||
			got.From != batch.From || got.Owner != batch.Owner || got.Burn != batch.Burn {
			t.Fatalf("read %+v on %s\nwrote %+v on %s", got, on, batch, hash.Hash)
		}
	}
	change := func(f func(*chain.Batch)) chain.Batch {
		b := s.batch(to)
		f(&b)
		return b
	}
	bad := map[string]chain.Batch{
		"too many":        s.batch(many...),
		"no memo":         change(func(b *chain.Batch) { b.Memo = "" }),
		"long memo":       change(func(b *chain.Batch) { b.Memo = string(make([]byte, chain.MaxMemo+1)) }),
		"no text":         change(func(b *chain.Batch) { b.Memo = "\xff" }),
		"nothing":         change(func(b *chain.Batch) { b.Transfers[0].Amount = 0 }),
		"less than none":  change(func(b *chain.Batch) { b.Transfers[0].Amount = -1 }),
		"to ourselves":    change(func(b *chain.Batch) { b.Transfers[0].Account = b.From }),
		"burn and pay":    change(func(b *chain.Batch) { b.Burn = 1 }),
		"burn less":       change(func(b *chain.Batch) { b.Transfers, b.Burn = nil, -1 }),
		"other decimals":  change(func(b *chain.Batch) { b.Mint.Decimals++ }),
		"other mint":      change(func(b *chain.Batch) { b.Mint.Address = to }),
		"no address":      change(func(b *chain.Batch) { b.Transfers[0].Account = "nowhere" }),
		"no owner":        change(func(b *chain.Batch) { b.Owner = "" }),
		"mint but a memo": change(func(b *chain.Batch) { b.Transfers = nil }),
	}
	for name, batch := range bad {
		if _, err := s.Builder.Message(batch, hash.Hash); err == nil {
			t.Errorf("%s: a message was made", name)
		}
	}
	if _, err := s.Builder.Message(s.batch(to), "no hash"); err == nil {
		t.Error("a message on no blockhash")
	}
}

// strictReading: bytes that differ anywhere from what was signed are read by nobody.
func strictReading(t *testing.T, s *stage) {
	tx := s.sign(t, s.batch(s.account2(t), s.account2(t)))
	for i := range tx.raw {
		bent := slices.Clone(tx.raw)
		bent[i] ^= 1
		if _, _, err := s.Builder.Read(bent); err == nil {
			t.Fatalf("byte %d of %d can be changed", i, len(tx.raw))
		}
	}
	for _, raw := range [][]byte{nil, {1}, tx.raw[:len(tx.raw)-1], append(slices.Clone(tx.raw), 0), make([]byte, 300), make([]byte, 1<<16)} {
		if _, _, err := s.Builder.Read(raw); err == nil {
			t.Fatalf("%d bytes were read", len(raw))
		}
	}
	hash, err := s.Sender.Blockhash(t.Context())
	must(t, err)
	message, err := s.Builder.Message(s.batch(s.account2(t)), hash.Hash)
	must(t, err)
	if _, _, err := s.Builder.Assemble(message, ed25519.Sign(s.Wallet(t), message)); err == nil {
		t.Fatal("another's signature was taken")
	}
}
