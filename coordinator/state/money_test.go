package state

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/billing/verify"
	"raylink/billing/wallet"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// address is the Solana address whose key is keyOf(name).
func address(name string) string { return wallet.Encode(publicOf(name)) }

// ours is our token account of an asset.
func ours(asset money.Asset) string { return address("ours " + string(asset)) }

func amount(text string) money.Amount {
	a, err := money.Parse(text)
	if err != nil {
		panic(err)
	}
	return a
}

func treasuryOf() deposit.Treasury {
	var t deposit.Treasury
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		t = append(t, deposit.Mint{Asset: asset, Mint: address("mint " + string(asset)), Program: address("token program"), Decimals: asset.Decimals(),
			Account: ours(asset), Wallet: address("treasury")})
	}
	return t
}

// sample is what the operator says, signed.
func (w *world) sample(text, operator string) price.Sample {
	p, err := money.ParsePrice(text + " USD/IO")
	if err != nil {
		panic(err)
	}
	s := price.Sample{Source: price.SourceAdministered, Price: p, ObservedAt: w.now, Key: base64.StdEncoding.EncodeToString(publicOf(operator))}
	s.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(keyOf(operator), price.SampleBytes(s)))
	return s
}

func pricePolicy(operator string) price.Policy {
	p := price.Default()
	p.Operators = []string{base64.StdEncoding.EncodeToString(publicOf(operator))}
	return p
}

// proof is the answer to a challenge with this nonce.
func proof(account raylink.AccountID, name, nonce string) *ProveWallet {
	text := wallet.Text("group", string(account), address(name), nonce)
	return &ProveWallet{Account: account, Address: address(name), Nonce: nonce, Group: "group",
		Signature: wallet.Encode(ed25519.Sign(keyOf(name), []byte(text)))}
}

// proves makes a wallet an account's own.
func (w *world) proves(account raylink.AccountID, name string) {
	w.t.Helper()
	nonce := fmt.Sprintf("nonce-%012d", w.index)
	w.must(&ChallengeWallet{Account: account, Nonce: nonce}, proof(account, name, nonce))
}

// seen is what a watcher says of the next transaction of our account of the asset.
func (w *world) seen(signature string, asset money.Asset, delta int64) deposit.Observation {
	mint, _ := treasuryOf().Of(asset)
	return deposit.Observation{Signature: signature, After: w.s.Deposits.Cursors[mint.Account].Signature, Account: mint.Account, Mint: mint.Mint, Program: mint.Program,
		Decimals: mint.Decimals, Delta: delta, Slot: w.index, At: w.now, Witnesses: []string{"one", "two"}}
}

// exists is a token account as it should be.
func exists(name string, asset money.Asset) *CheckDestination {
	return &CheckDestination{Wallet: address(name), Asset: asset, Seen: payout.Existence{TokenAccount: address(name + " " + string(asset)), Exists: true}}
}

// settlesIn opens an account with money in tokens: a deposit by a proven wallet.
func (w *world) tokens(account raylink.AccountID, name, text string) {
	w.t.Helper()
	if !w.s.Wallets.Has(string(account), address(name)) {
		w.proves(account, name)
	}
	a := amount(text)
	o := w.seen(fmt.Sprintf("sig-%s-%d", name, w.index), a.Asset, a.Minor)
	o.Senders = []string{address(name)}
	w.must(&ObserveDeposit{Observation: o})
}

// market sets treasury, price policy and a price.
func (w *world) market(text string) {
	w.t.Helper()
	w.must(&SetTreasury{Treasury: treasuryOf(), Rules: deposit.DefaultRules(), Cluster: "local"}, &SetPricePolicy{Policy: pricePolicy("oracle")},
		&SetPrice{Sample: w.sample(text, "oracle")})
}

// even wants each asset to sum to zero, and no account below zero that must not be.
func even(t tester, s *State) {
	t.Helper()
	sums := map[money.Asset]int64{}
	for _, a := range s.Ledger.Accounts() {
		sums[a.Balance.Asset] += a.Balance.Minor
		fine := strings.HasPrefix(a.Name, "treasury:") || strings.HasPrefix(a.Name, "fx:")
		if a.Balance.Minor < 0 && !fine {
			t.Errorf("%s holds %s", a.Name, a.Balance)
		}
	}
	for asset, sum := range sums {
		if sum != 0 {
			t.Errorf("%s sums to %d", asset, sum)
		}
	}
}

// still is a digest that knows neither clock nor index: a refusal must leave it as it is.
func still(s *State) string {
	bare := *s
	bare.Now, bare.Index = noon, 0
	return bare.Digest()
}

// export verifies the journal as a stranger would, and gives its report.
func export(t tester, s *State) verify.Report {
	t.Helper()
	header := verify.Header{ExportedAt: s.Now, GroupKey: groupKey().Public().(ed25519.PublicKey), Machines: map[string]ed25519.PublicKey{}, Gateways: map[string]ed25519.PublicKey{}}
	for id, m := range s.Machines {
		header.Machines[string(id)], _ = identity.DecodeKey(m.PublicKey)
	}
	for id, g := range s.Gateways {
		header.Gateways[string(id)], _ = identity.DecodeKey(g.PublicKey)
	}
	var b bytes.Buffer
	err := verify.Write(&b, header, s.Ledger, header.GroupKey, func(m []byte) []byte { return ed25519.Sign(groupKey(), m) })
	if err != nil {
		t.Fatalf("exporting: %v", err)
	}
	report, err := verify.Verify(&b)
	if err != nil {
		t.Fatalf("verifying: %v", err)
	}
	for _, p := range report.Problems {
		entry := s.Ledger.Entries(p.Seq-1, 1)
		t.Errorf("verify: %v: %+v", p, entry)
	}
	for id := range s.Clusters {
		header.Cluster = string(id)
		bill(t, s, header, report)
	}
	header.Cluster = ""
	suppliers := map[raylink.AccountID]bool{}
	for _, l := range s.Leases {
		suppliers[l.Supplier] = true
	}
	for id := range suppliers {
		earnings(t, s, header, string(id), report)
	}
	return report
}

// earnings exports a supplier's part of the journal and verifies it: it says what the whole journal says of his leases and of what he has.
func earnings(t tester, s *State, header verify.Header, supplier string, whole verify.Report) {
	t.Helper()
	header.Supplier, header.Machines = supplier, map[string]ed25519.PublicKey{}
	his := func(lease string) bool { return string(s.Leases[raylink.LeaseID(lease)].Supplier) == supplier }
	for id, l := range s.Leases {
		if his(string(id)) {
			header.Machines[string(l.Machine)], _ = identity.DecodeKey(s.Machines[l.Machine].PublicKey)
		}
	}
	var b bytes.Buffer
	err := verify.WriteEarnings(&b, header, s.Ledger, his, header.GroupKey, func(m []byte) []byte { return ed25519.Sign(groupKey(), m) })
	if err != nil {
		t.Fatalf("exporting earnings: %v", err)
	}
	report, err := verify.Verify(&b)
	if err != nil || !report.OK() {
		t.Errorf("the earnings of %s: %v %v", supplier, err, report.Problems)
	}
	leases := slices.DeleteFunc(slices.Clone(whole.Leases), func(l verify.LeaseReport) bool { return !his(l.Lease) })
	if !slices.Equal(leases, report.Leases) {
		t.Errorf("the earnings of %s say\n%+v\nthe journal\n%+v", supplier, report.Leases, leases)
	}
	flights := map[string]bool{} // of what he has earned
	paid := map[money.Asset]int64{}
	for _, p := range s.Payouts.Payouts {
		if p.Kind == payout.Settlement && p.Account == supplier {
			if flights[ledger.Payout(p.ID)] = true; p.State == payout.Paid {
				paid[p.Asset] += p.Amount
			}
		}
	}
	accounts := slices.DeleteFunc(slices.Clone(whole.Accounts), func(a ledger.Account) bool {
		who, earned := ledger.EarnedBy(a.Name)
		return !flights[a.Name] && !(earned && who == supplier)
	})
	if !slices.Equal(accounts, report.Accounts) {
		t.Errorf("by his file %s has\n%v\nby the journal\n%v", supplier, report.Accounts, accounts)
	}
	for _, sum := range report.PaidOut {
		paid[sum.Asset] -= sum.Minor
	}
	for asset, left := range paid {
		if left != 0 {
			t.Errorf("%s was paid %d minor units of %s that are not in his file", supplier, left, asset)
		}
	}
}

// bill exports a cluster's part of the journal and verifies it: it says what the whole journal says of the cluster.
func bill(t tester, s *State, header verify.Header, whole verify.Report) {
	t.Helper()
	after := uint64(0)
	if hold, ok := s.Ledger.Find("hold", header.Cluster); ok {
		after = hold.Seq - 1
	}
	var b bytes.Buffer
	err := verify.WriteBill(&b, header, s.Ledger, after, header.GroupKey, func(m []byte) []byte { return ed25519.Sign(groupKey(), m) })
	if err != nil {
		t.Fatalf("exporting a bill: %v", err)
	}
	report, err := verify.Verify(&b)
	if err != nil || !report.OK() {
		t.Errorf("the bill of %s: %v %v", header.Cluster, err, report.Problems)
	}
	of := slices.DeleteFunc(slices.Clone(whole.Leases), func(l verify.LeaseReport) bool { return l.Cluster != header.Cluster })
	if !slices.Equal(of, report.Leases) {
		t.Errorf("the bill of %s says\n%+v\nthe journal\n%+v", header.Cluster, report.Leases, of)
	}
}

// chainSays is what the books say our token account holds.
func chainSays(s *State, asset money.Asset) int64 {
	return -s.Ledger.Balance(ledger.TreasuryChain, asset)
}
