package state

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"raylink/billing/cardbook"
	"raylink/billing/exchange"
	"raylink/billing/lot"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// settleAll settles each lease's next minutes of a cluster, as used.
func (w *world) settleAll(name string, minutes int64) {
	w.t.Helper()
	c := &SettleMinutes{}
	for _, l := range w.s.ClusterLeases(id[raylink.ClusterID]("c", name)) {
		for k := range minutes {
			c.Minutes = append(c.Minutes, w.minute(l.ID, l.Meter.Next+k, w.s.Machines[l.Machine].Name, "gone", 60, 60))
		}
	}
	w.must(c)
}

// paidFrom quotes and creates a cluster, and takes it to ready.
func (w *world) paidFrom(name string, owner raylink.AccountID, p exchange.Purse, budget int64, machines ...string) {
	w.t.Helper()
	q := w.quoteOf(name, owner, 1, machines...)
	q.Purse, q.Budget = p, budget
	c := createOf(name, owner, len(machines))
	w.must(q, c, &AdvanceCluster{ID: c.ID, Phase: raylink.PhaseReady})
}

func attemptOf(batch string, n int) *RecordAttempt {
	return &RecordAttempt{Attempt: payout.Attempted{Batch: batch, N: n, Signature: fmt.Sprint(batch, "-", n), LastValidHeight: uint64(10 * n),
		Raw: base64.StdEncoding.EncodeToString([]byte(batch))}}
}

func withdrawal(id string, account raylink.AccountID, wallet, text string) *RequestPayout {
	a := amount(text)
	return &RequestPayout{By: "account:x", Request: payout.Request{ID: id, Kind: payout.Withdrawal, Account: string(account), Asset: a.Asset, Amount: a.Minor, Wallet: address(wallet)}}
}

func cardPaid(topup string, cents int64) *TakeCardFact {
	return &TakeCardFact{Fact: cardbook.Fact{Topup: topup, Session: &cardbook.SessionFact{ID: "cs_" + topup, Status: "complete"},
		Payment: &cardbook.PaymentFact{ID: "pi_" + topup, Status: "succeeded", Received: cents, Currency: "usd"}}}
}

// rich is a world in which every kind of command can do something.
func rich(t tester) *world {
	t.Helper()
	w := newWorld(t)
	ada, bob, sam, tom := w.account("ada", "1000"), w.account("bob", ""), w.account("sam", ""), w.account("tom", "")
	w.market("0.25")
	w.must(&SetPayoutPolicy{Policy: payout.DefaultPolicy(), Every: time.Hour})
	w.machine("mone", sam, offerOf(64, 64, "60"))
	w.machine("mtwo", tom, offerOf(64, 64, "60"))
	w.machine("msick", tom, offerOf(1, 1, "60"))
	w.gateway("gone")
	w.tokens(ada, "adaw", "1000 USDC")
	w.tokens(ada, "adaw", "4000 IO")
	w.proves(sam, "samw")
	w.proves(tom, "tomw")
	w.must(&SetSettlement{Account: sam, Takes: money.USDC, Wallet: address("samw")}, &SetSettlement{Account: tom, Takes: money.IO, Wallet: address("tomw"), Minimum: 1})
	for _, name := range []string{"adaw", "samw", "tomw"} {
		w.must(exists(name, money.USDC), exists(name, money.IO))
	}
	for _, lot := range []struct{ name, text string }{{LotGrants, "50 USDC"}, {LotGrants, "50 IO"}, {LotCapital, "500 USDC"}} {
		a := amount(lot.text)
		topup := "lot-" + lot.name + string(a.Asset)
		w.must(&OpenTopup{ID: topup, Account: sam, Asset: a.Asset, Reference: address(topup), Lot: lot.name, TTL: time.Hour})
		o := w.seen("sig-"+topup, a.Asset, a.Minor)
		o.References = []string{address(topup)}
		w.must(&ObserveDeposit{Observation: o})
	}
	w.must(&RequestCardTopup{ID: "c1", Account: ada, Amount: usd("1000")}, cardPaid("c1", 100000), &RequestCardTopup{ID: "c2", Account: bob, Amount: usd("10")},
		&RequestCardTopup{ID: "c3", Account: ada, Amount: usd("10")})
	lost := cardPaid("c2", 1000)
	lost.Fact.Disputes = []cardbook.DisputeFact{{ID: "dp_1", Amount: 1000, Currency: "usd", Status: "lost"}}
	w.must(lost, &RefundCard{ID: "r1", Account: ada, Amount: usd("5")})
	richClusters(w, ada)
	richPayouts(w, ada)
	richProofs(w)
	return w
}

func richClusters(w *world, ada raylink.AccountID) {
	for _, p := range exchange.Purses() {
		w.paidFrom("paid"+string(p), ada, p, 0, "mone", "mtwo")
	}
	w.paidFrom("closing", ada, exchange.Card, 0, "mone")
	ready := createOf("fresh", ada, 1)
	w.must(w.quoteOf("fresh", ada, 1, "mone"), ready, w.quoteOf("open", ada, 1, "mone"))
	w.must(&SetBuyback{Threshold: 1, Interval: time.Minute})
	w.now = w.now.Add(5 * time.Minute)
	w.settleAll("closing", 5)
	w.must(&EndCluster{ID: id[raylink.ClusterID]("c", "closing"), Reason: "x"})
	w.gone(id[raylink.ClusterID]("c", "closing"))
	for _, name := range []string{"paidgrant", "paidcard", "paidusdc", "paidio"} {
		w.settleAll(name, 2)
	}
	w.must(&ProposeBuyback{})
	w.must(&HaltPrice{Reason: "a while"})
	for _, name := range []string{"paidgrant", "paidusdc", "paidio"} {
		w.settleAll(name, 1)
	}
	w.must(&HaltPrice{})
	swap := func(signature string, gave, got money.Amount) {
		w.must(&ObserveDeposit{Observation: w.seen(signature, gave.Asset, -gave.Minor)}, &ObserveDeposit{Observation: w.seen(signature, got.Asset, got.Minor)})
	}
	swap("sig-bb", amount("0.01 USDC"), amount("0.04 IO"))
	w.must(&RecordSwap{Signature: "sig-bb", Purpose: SwapBuyback, By: "x"})
	swap("sig-pos", amount("8 IO"), amount("2 USDC"))
	w.must(&ObserveDeposit{Observation: w.seen("sig-lost", money.USDC, 5_000_000)})
}

func richPayouts(w *world, ada raylink.AccountID) {
	w.must(withdrawal("p1", ada, "adaw", "10 USDC"), &MakeBatch{Asset: money.USDC, Aside: true}, attemptOf("pb-00000001", 1))
	w.must(withdrawal("p2", ada, "adaw", "10 IO"), &MakeBatch{Asset: money.IO, Aside: true})
	w.must(withdrawal("p3", ada, "adaw", "11 USDC"))
	w.must(&ChallengeWallet{Account: ada, Nonce: "nonce-of-the-rich"})
	w.must(&IssueToken{ID: id[raylink.TokenID]("tok", "rich"), Account: ada, Role: raylink.RoleTenant, Hash: hashOf("rich")})
	for name, kind := range map[string]string{"joinnewm": JoinKindMachine, "joinnewg": JoinKindGateway, "joinnewc": JoinKindCoordinator} {
		w.must(&IssueJoinToken{ID: id[raylink.TokenID]("tok", name), Kind: kind, Account: ada, Hash: hashOf(name), TTL: time.Hour})
	}
	w.must(&SetPrice{Sample: w.sample("0.25", "oracle")}, &QuarantineMachine{ID: machineID("msick"), Reason: raylink.ReasonDeviceFault}, &PinImage{Pin: ImagePin{Image: "raylink/old:1", Digest: pinDigest}})
	seq, hash := w.s.Ledger.Head()
	w.must(&RecordCheckpoint{Root: rootOf(seq, hash, groupKey())})
	w.now = w.now.Add(2 * time.Minute)
}

// doable is a command of each kind that the rich world takes.
func doable(w *world) []Command {
	ada, tom := acc("ada"), acc("tom")
	cluster := func(name string) raylink.ClusterID { return id[raylink.ClusterID]("c", name) }
	deposit := w.seen("sig-next", money.USDC, 1_000_000)
	deposit.Memo, deposit.References, deposit.Senders = "memo", []string{address("r")}, []string{address("adaw")}
	settle := &SettleMinutes{Minutes: []SettleMinute{w.minute(w.s.Clusters[cluster("paidio")].Leases[0], 3, "mone", "gone", 60, 60)}}
	machine, gateway := w.joinMachine("newm", offerOf(4, 4, "1")), &JoinGateway{TokenHash: hashOf("joinnewg"), ID: gatewayID("newg"),
		PublicKey: identity.EncodeKey(publicOf("newg")), Name: "newg", URL: "https://newg:1"}
	machine.TokenHash = hashOf("joinnewm")
	create := createOf("open", ada, 1)
	seq, hash := w.s.Ledger.Head()
	return append(doableProofs(), []Command{
		&OpenAccount{ID: acc("new"), Name: "new"}, &IssueToken{ID: id[raylink.TokenID]("tok", "new"), Account: ada, Role: raylink.RoleTenant, Hash: hashOf("new"), Label: "x"},
		&RevokeToken{ID: id[raylink.TokenID]("tok", "rich")},
		&IssueJoinToken{ID: id[raylink.TokenID]("tok", "newj"), Kind: JoinKindMachine, Account: ada, Hash: hashOf("newj"), TTL: time.Hour},
		&GrantCredit{ID: "g-new", Account: ada, Amount: usd("1"), Reason: "x"}, machine, &SetOffer{ID: machineID("mone"), Offer: offerOf(64, 64, "59")},
		&SetMachine{ID: machineID("mone"), State: MachineDraining, Reason: "x"}, gateway, &SetGatewayURL{ID: gatewayID("gone"), URL: "https://x:1"},
		&JoinMember{TokenHash: hashOf("joinnewc"), ID: "n9", Raft: "n9:1", API: "https://n9:1"}, w.quoteOf("newq", ada, 1, "mtwo"), create,
		&AdvanceCluster{ID: cluster("fresh"), Phase: raylink.PhaseImage}, &EndCluster{ID: cluster("paidio"), Reason: "x"}, &CloseCluster{ID: cluster("closing")},
		&WarnCluster{ID: cluster("paidio"), Warning: "x"}, &RecordLeases{Facts: []LeaseFact{{Lease: leaseOf("fresh", 0), Stage: raylink.StageRunning, RayNode: "x"}}},
		&RecordGateway{Cluster: cluster("fresh"), Gateway: gatewayID("gone"), PublicKey: "x"}, settle, &Sweep{},
		&SetCap{Account: ada, PerDay: 5, Alarm: 80}, &SetBudget{ID: cluster("paidgrant"), Budget: 30_000_000}, &SetPricePolicy{Policy: pricePolicy("other")},
		&SetPrice{Sample: w.sample("0.26", "oracle")}, &HaltPrice{Reason: "x"}, &ResumeEarnings{Supplier: tom, Purse: exchange.USDC},
		&SetTreasury{Treasury: treasuryOf(), Rules: w.s.Deposits.Rules, Cluster: "other"},
		&OpenTopup{ID: "t-new", Account: ada, Asset: money.IO, Reference: address("t-new"), Expected: 100_000_000, TTL: time.Hour}, &ObserveDeposit{Observation: deposit},
		&AssignSuspense{Key: "sig-lost/" + ours(money.USDC), Account: ada, By: "x"}, &RewindDeposits{Account: ours(money.USDC)},
		&ChallengeWallet{Account: ada, Nonce: "nonce-that-is-new"}, proof(ada, "new-wallet", "nonce-of-the-rich"), &RemoveWallet{Account: tom, Address: address("tomw")},
		&SetSettlement{Account: tom, Takes: money.USDC, Wallet: address("tomw"), Minimum: 5}, &SetPayoutPolicy{Policy: payout.DefaultPolicy(), Every: 2 * time.Hour},
		&RequestPayout{By: "x", Request: payout.Request{ID: "p-new", Kind: payout.Refund, Account: string(ada), Asset: money.USDC, Amount: 5_000_000, Wallet: address("adaw"),
			Item: "sig-lost/" + ours(money.USDC)}}, &RunPayouts{By: "x"}, exists("other", money.IO),
		&HaltPayouts{Asset: money.IO, By: "x", Reason: "x"}, &ChangePayout{ID: "p3", Action: PayoutCancel, By: "x"}, &MakeBatch{Asset: money.USDC, Aside: true}, attemptOf("pb-00000002", 1),
		&RecordOutcome{Result: payout.Result{Batch: "pb-00000001", N: 1, Signature: "pb-00000001-1", Stage: payout.Finalized, Slot: 1}},
		&ReleaseLot{Origin: lot.Grant, Asset: money.USDC}, &SetBuyback{Threshold: 5, Interval: time.Hour}, &ProposeBuyback{},
		&RecordSwap{Signature: "sig-pos", Purpose: SwapPosition, By: "x"}, &BurnBought{}, &RequestCardTopup{ID: "c-new", Account: ada, Amount: usd("10"), Live: true},
		&OpenCardTopup{ID: "c3", Session: "cs_3"}, cardPaid("c3", 1000), &RefundCard{ID: "r-new", Account: ada, Amount: usd("1")},
		&RefuseCardRefund{ID: "r1.1", Reason: "x"}, &PardonCard{Account: acc("bob")},
		&PinImage{Pin: ImagePin{Image: pinName, Digest: pinDigest}}, &UnpinImage{Image: "raylink/old:1"},
		&RecordCheckpoint{Root: rootOf(seq, hash, groupKey())}, &RecordAnchor{Seq: w.s.Checkpoints[0].Seq, Signature: strings.Repeat("5", 88)},
		&SetHost{ID: machineID("mone"), Host: hostOf("gpu-one")}, &QuarantineMachine{ID: machineID("mone"), Reason: raylink.ReasonStageFailures, Detail: "x", For: QuarantineRest},
		&ReleaseMachine{ID: machineID("msick"), Reason: raylink.ReasonDeviceFault}, w.versions("oracle", w.now, raylink.VersionKernel, "6.1"),
	}...)
}
