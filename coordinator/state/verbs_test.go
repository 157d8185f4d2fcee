package state

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"raylink/billing/cardbook"
	"raylink/billing/deposit"
	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/lot"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
)

func acc(name string) raylink.AccountID { return id[raylink.AccountID]("acc", name) }

// know lets an address appear in answers by its name.
func (r *reader) know(name string) string {
	r.names[address(name)] = "<" + name + ">"
	return address(name)
}

func assetOf(text string) money.Asset {
	if text == "all" {
		return ""
	}
	return money.Asset(text)
}

// money reads the verbs of money that come in and of what is set; nil for other words.
func (r *reader) money(words []string, option map[string]string) Command {
	name := words[1]
	switch words[0] {
	case "treasury":
		r.know("ours USDC")
		r.know("ours IO")
		r.know("treasury")
		return &SetTreasury{Treasury: r.treasury(option), Rules: deposit.DefaultRules(), Cluster: name, Keep: option["keep"] != "no"}
	case "operator":
		return &SetPricePolicy{Policy: pricePolicy(name)}
	case "price":
		by := "oracle"
		if option["by"] != "" {
			by = option["by"]
		}
		return &SetPrice{Sample: r.w.sample(name, by), Override: option["override"] != ""}
	case "convert":
		return &ResumeEarnings{Supplier: acc(name), Purse: exchange.Purse(words[2])}
	case "wallet":
		nonce := fmt.Sprintf("nonce-%012d", r.w.index)
		r.know(words[2])
		r.w.must(&ChallengeWallet{Account: acc(name), Nonce: nonce})
		return proof(acc(name), words[2], nonce)
	case "unwallet":
		return &RemoveWallet{Account: acc(name), Address: address(words[2])}
	case "topup": // id amount asset
		life := time.Hour
		if option["life"] != "" {
			life, _ = time.ParseDuration(option["life"])
		}
		a := amount(words[2] + " " + words[3])
		return &OpenTopup{ID: name, Account: acc(option["for"]), Asset: a.Asset, Reference: r.know("ref " + name), Expected: a.Minor, Lot: option["lot"], TTL: life}
	case "pay":
		return &ObserveDeposit{Observation: r.observation(words, option)}
	case "assign":
		return &AssignSuspense{Key: name + "/" + ours(assetOf(words[2])), Account: acc(option["for"]), By: "admin"}
	case "rewind":
		return &RewindDeposits{Account: ours(assetOf(name)), Signature: option["to"]}
	case "cap":
		return &SetCap{Account: acc(name), PerDay: usd(words[2]).Minor, Alarm: number(option["alarm"])}
	case "budget":
		c := &SetBudget{ID: id[raylink.ClusterID]("c", name), Budget: usd(words[2]).Minor}
		if option["alarm"] != "" {
			c.Alarm = number(option["alarm"])
		}
		return c
	case "quote":
		q := r.w.quoteOf(name, acc(option["for"]), number(option["cores"]), strings.Split(option["on"], ",")...)
		q.Purse = exchange.Purse(option["pay"])
		if b := option["budget"]; b == "purse" { // what the purse holds
			q.Bounded = true
		} else if b != "" {
			q.Budget = usd(b).Minor
		}
		return q
	}
	return r.moneyOut(words, option)
}

// treasury is the usual one: usdc=NAME gives USDC an account and a wallet of that name, usdc=none none at all.
func (r *reader) treasury(option map[string]string) deposit.Treasury {
	t := treasuryOf()
	switch name := option["usdc"]; name {
	case "":
	case "none":
		return t[1:]
	default:
		t[0].Account, t[0].Wallet = r.know(name+" USDC"), r.know(name)
	}
	return t
}

func (r *reader) observation(words []string, option map[string]string) deposit.Observation {
	a := amount(words[2] + " " + words[3])
	o := r.w.seen(words[1], a.Asset, a.Minor)
	if after, ok := option["after"]; ok {
		o.After = after
	}
	if option["ref"] != "" {
		o.References = []string{address("ref " + option["ref"])}
	}
	o.Memo = option["memo"]
	for _, from := range strings.Fields(strings.ReplaceAll(option["from"], ",", " ")) {
		o.Senders = append(o.Senders, r.know(from))
	}
	if option["mint"] != "" {
		o.Mint = address(option["mint"])
	}
	if option["program"] == "2022" {
		o.Program = deposit.Token2022
	}
	if option["seenby"] != "" {
		o.Witnesses = strings.Split(option["seenby"], ",")
	}
	o.Failed = option["failed"] != ""
	return o
}

// moneyOut reads the verbs of money that goes out.
func (r *reader) moneyOut(words []string, option map[string]string) Command {
	name := words[1]
	switch words[0] {
	case "takes":
		c := &SetSettlement{Account: acc(name), Takes: assetOf(words[2])}
		if option["wallet"] != "" {
			c.Wallet = address(option["wallet"])
		}
		if option["minimum"] != "" {
			c.Minimum = amount(option["minimum"] + " " + words[2]).Minor
		}
		return c
	case "withdraw", "giveback", "settle-to": // id amount asset for= to= item=
		kind := map[string]payout.Kind{"withdraw": payout.Withdrawal, "giveback": payout.Refund, "settle-to": payout.Settlement}[words[0]]
		a := amount(words[2] + " " + words[3])
		q := payout.Request{ID: name, Kind: kind, Account: string(acc(option["for"])), Asset: a.Asset, Amount: a.Minor, Wallet: r.know(option["to"])}
		if option["item"] != "" {
			q.Item = option["item"] + "/" + ours(a.Asset)
		}
		return &RequestPayout{Request: q, By: "admin"}
	case "looked":
		c := exists(name, assetOf(words[2]))
		c.Seen.Frozen, c.Seen.Exists = option["frozen"] != "", option["gone"] == ""
		return c
	case "run":
		return &RunPayouts{By: name}
	case "batch":
		return &MakeBatch{Asset: assetOf(name), Aside: true}
	case "attempt": // batch n
		return &RecordAttempt{Attempt: payout.Attempted{Batch: name, N: int(number(words[2])), Signature: name + "-try-" + words[2],
			Raw: base64.StdEncoding.EncodeToString([]byte("bytes of " + name)), LastValidHeight: 100 * uint64(number(words[2]))}}
	case "outcome": // batch n stage
		height := uint64(0)
		if option["height"] != "" {
			height = uint64(number(option["height"]))
		}
		return &RecordOutcome{Result: payout.Result{Batch: name, N: int(number(words[2])), Signature: name + "-try-" + words[2], Stage: payout.Stage(words[3]),
			Height: height, Code: payout.Code(option["code"]), Reason: option["reason"]}}
	case PayoutApprove, PayoutRetry, PayoutCancel:
		return &ChangePayout{ID: name, Action: words[0], By: "admin"}
	case "halt":
		reason := strings.Join(words[2:], " ")
		if name == "price" {
			return &HaltPrice{Reason: reason}
		}
		return &HaltPayouts{Asset: assetOf(name), By: "admin", Reason: reason}
	case "go":
		if name == "price" {
			return &HaltPrice{}
		}
		return &HaltPayouts{Asset: assetOf(name), By: "admin"}
	case "bounds":
		return r.bounds(assetOf(name), option)
	}
	return r.moneyHouse(words, option)
}

func (r *reader) bounds(asset money.Asset, option map[string]string) Command {
	policy := payout.DefaultPolicy()
	for key, bound := range map[string]map[money.Asset]int64{"per": policy.PerPayout, "hour": policy.PerHour, "least": policy.Minimum} {
		if option[key] != "" {
			bound[asset] = amount(option[key] + " " + string(asset)).Minor
		}
	}
	return &SetPayoutPolicy{Policy: policy, Every: time.Hour}
}

// moneyHouse reads the verbs of lots, swaps and cards.
func (r *reader) moneyHouse(words []string, option map[string]string) Command {
	name := words[1]
	switch words[0] {
	case "release":
		return &ReleaseLot{Origin: lot.Origin(name), Asset: assetOf(words[2])}
	case "buyback":
		return &SetBuyback{Threshold: amount(name + " USDC").Minor, Interval: time.Hour}
	case "propose":
		return &ProposeBuyback{}
	case "swap":
		return &RecordSwap{Signature: name, Purpose: words[2], By: "admin"}
	case "burn":
		return &BurnBought{}
	case "card":
		return &RequestCardTopup{ID: name, Account: acc(option["for"]), Amount: usd(words[2])}
	case "session":
		return &OpenCardTopup{ID: name, Session: "cs_" + name}
	case "abandon":
		return &OpenCardTopup{ID: name}
	case "fact":
		f := cardbook.Fact{Topup: name}
		if option["paid"] != "" {
			f.Payment = &cardbook.PaymentFact{ID: "pi_" + name, Status: "succeeded", Received: number(option["paid"]), Currency: "usd"}
		}
		if parts := strings.Split(option["refund"], ","); len(parts) == 3 { // ours,cents,status
			f.Refunds = []cardbook.RefundFact{{ID: "re_" + parts[0], Ours: parts[0], Amount: number(parts[1]), Currency: "usd", Status: parts[2]}}
		}
		if parts := strings.Split(option["dispute"], ","); len(parts) == 2 { // cents,status
			f.Disputes = []cardbook.DisputeFact{{ID: "dp_" + name, Amount: number(parts[0]), Currency: "usd", Status: parts[1]}}
		}
		return &TakeCardFact{Fact: f}
	case "uncard":
		return &RefundCard{ID: name, Account: acc(option["for"]), Amount: usd(words[2])}
	case "refuse":
		return &RefuseCardRefund{ID: name, Reason: "declined"}
	case "pardon":
		return &PardonCard{Account: acc(name)}
	}
	return nil
}

// lookMoney answers what can be asked about money.
func (r *reader) lookMoney(words []string) (string, bool) {
	s := r.w.s
	var out strings.Builder
	switch words[0] {
	case "lasts": // cluster: how much of its budget is spent, and when it and its owner's purse run out if nothing is added
		c := s.Clusters[id[raylink.ClusterID]("c", words[1])]
		at := func(at *time.Time) string {
			if at == nil {
				return "never"
			}
			return at.Format(time.DateTime)
		}
		fmt.Fprintf(&out, "it is %s: the cluster until %s, the purse %s until %s, alarm at %d %%: %v\n", s.Now.Format(time.TimeOnly), at(s.RunsOut(c)), PurseOf(c),
			at(s.PurseRunsOut(c.Owner, PurseOf(c))), c.AlarmAt(), s.Alarmed(c))
	case "agreed": // quote: what was signed
		q := s.Quotes[id[raylink.QuoteID]("q", words[1])]
		most := "no limit"
		if q.Budget > 0 {
			most = "at most " + money.MicroUSD(q.Budget).String()
		}
		fmt.Fprintf(&out, "%s from the purse %s, %s an hour, %s held; IO at %s\n", most, q.Purse, money.MicroUSD(q.PerHour),
			money.Amount{Minor: q.Hold, Asset: q.Purse.Asset()}, q.Price)
	case "prices":
		if now, err := s.Prices.Snapshot(s.Now); err == nil {
			fmt.Fprintf(&out, "%s, number %d\n", now.Price, now.ID)
		} else {
			fmt.Fprintf(&out, "no price: %v\n", err)
		}
	case "payouts":
		for _, p := range s.LastPayouts("", 100) {
			code := s.Payouts.Why(s.Now, &p, s.Treasury(p.Asset).MayLeave())
			fmt.Fprintln(&out, strings.TrimSpace(fmt.Sprint(p.ID, " ", p.Kind, " of ", money.Amount{Minor: p.Amount, Asset: p.Asset}, ": ", p.State, " ", code, " ", p.Reason)))
		}
	case "earnings":
		a := acc(words[1])
		for _, asset := range []money.Asset{money.USDC, money.IO} {
			lines := s.Payouts.Explain(s.Now, string(a), asset, payout.Earned{Payable: s.Ledger.Balance(ledger.Supplier(string(a)), asset),
				HeldGrant: s.Ledger.Balance(ledger.SupplierGrant(string(a)), asset), HeldCard: s.Ledger.Balance(ledger.SupplierCard(string(a)), asset)}, s.Treasury(asset).MayLeave())
			for _, l := range lines {
				fmt.Fprintln(&out, strings.TrimSpace(fmt.Sprintf("%s %s %s", l.Amount, l.Code, l.State)))
			}
		}
		for _, p := range s.Paused() {
			fmt.Fprintf(&out, "paused: %s from %s\n", p.Supplier, p.Purse)
		}
	case "suspense":
		for _, d := range s.Deposits.Waiting(100) {
			fmt.Fprintf(&out, "%s: %s %v\n", d.Key, money.Amount{Minor: d.Amount, Asset: d.Asset}, d.Reasons)
		}
	case "deposit":
		d := s.Deposits.Deposits[words[1]+"/"+ours(assetOf(words[2]))]
		fmt.Fprintf(&out, "%s to %s via %s %v\n", money.Amount{Minor: d.Amount, Asset: d.Asset}, d.To, d.Via, d.Reasons)
	case "position":
		p := s.Treasury(assetOf(words[1]))
		out.WriteString(strings.NewReplacer("{", "", "}", "").Replace(fmt.Sprintf("%+v, free %d\n", p, p.Free())))
	case "journal": // the last entries' postings
		seq, _ := s.Ledger.Head()
		for _, e := range s.Ledger.Entries(seq-uint64(number(words[1])), int(number(words[1]))) {
			fmt.Fprintf(&out, "%s %s\n", e.Kind, e.Ref)
			for _, p := range e.Postings {
				fmt.Fprintf(&out, "    %-32s %s\n", p.Account, p.Amount)
			}
		}
	default:
		return "", false
	}
	return r.translate(out.String()), true
}
