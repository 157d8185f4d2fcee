package api

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"strconv"

	"github.com/gin-gonic/gin"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/verify"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

func (s *Server) getBill(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cl, err := s.Cluster(who.account, who.role, c.Param("id"))
	if err != nil {
		return nil, err
	}
	return s.Bill(cl.ID)
}

// Bill is what a cluster cost so far, with the evidence of every minute.
func (s *Server) Bill(id raylink.ClusterID) (wire.Bill, error) {
	var b wire.Bill
	var err error
	s.Group.Read(func(st *state.State) { b, err = billView(st, st.Clusters[id]) })
	return b, err
}

func billView(st *state.State, cl *state.Cluster) (wire.Bill, error) {
	purse := state.PurseOf(cl)
	asset := purse.Asset()
	b := wire.Bill{Cluster: cl.ID, Name: cl.Spec.Name, FeePercent: strconv.FormatInt(purse.FeeBasisPoints()/100, 10), From: cl.CreatedAt, To: st.Now, Final: cl.Phase.Over(),
		BalanceBefore: money.Amount{Minor: cl.BalanceBefore, Asset: asset}, BalanceNow: st.Free(cl.Owner, purse), Held: st.Held(cl), Pay: string(purse), Paid: money.Amount{Asset: asset}}
	if cl.Budget > 0 {
		most := money.MicroUSD(cl.Budget)
		b.Maximum = &most
	}
	if cl.EndedAt != nil {
		b.To = *cl.EndedAt
	}
	var use, fee int64
	for _, l := range st.ClusterLeases(cl.ID) {
		line := wire.BillLine{Lease: l.ID, Node: l.Node, Machine: l.Machine, Rate: l.Meter.Rate, Charged: l.Meter.Charged, Waived: l.Meter.Waived,
			Use: money.MicroUSD(l.Meter.Accrued), Fee: money.MicroUSD(l.Meter.Fees), Paid: money.Amount{Asset: asset}}
		use, fee = use+l.Meter.Accrued, fee+l.Meter.Fees
		again := meter.Lease{Rate: l.Meter.Rate, FeeBasisPoints: l.Meter.FeeBasisPoints}
		for ordinal := range l.Meter.Next {
			m, err := minuteView(st, l, &again, ordinal)
			if err != nil {
				return b, err
			}
			line.Minutes = append(line.Minutes, m)
			line.Paid.Minor += m.Paid.Minor
		}
		b.Paid.Minor += line.Paid.Minor
		b.Lines = append(b.Lines, line)
	}
	b.Use, b.Fee, b.Total = money.MicroUSD(use), money.MicroUSD(fee), money.MicroUSD(use+fee)
	return b, nil
}

// minuteView reads a minute from the journal. Again is the lease's meter, counted anew from its first minute.
func minuteView(st *state.State, l *state.Lease, again *meter.Lease, ordinal int64) (wire.BillMinute, error) {
	ref := meter.Ref(string(l.ID), ordinal)
	asset := state.PurseOf(st.Clusters[l.Cluster]).Asset()
	v := wire.BillMinute{Ordinal: ordinal, Outcome: "charged", Amount: money.MicroUSD(0), Fee: money.MicroUSD(0), Paid: money.Amount{Asset: asset}}
	entry, ok := st.Ledger.Find(meter.KindCharged, ref)
	if !ok {
		v.Outcome = "waived"
		if entry, ok = st.Ledger.Find(meter.KindWaived, ref); !ok {
			return v, raylink.Errorf(raylink.CodeInternal, "minute %s is settled but not in the journal", ref)
		}
	}
	var note meter.MinuteNote
	if err := json.Unmarshal(entry.Note, &note); err != nil {
		return v, err
	}
	v.Entry, v.Reason, v.PriceIO, v.Halt = entry.Seq, note.Reason, note.Price, note.PriceHalt
	if note.Agent != nil {
		v.AgentSeconds = note.Agent.Seconds
	}
	if note.Gateway != nil {
		v.GatewaySeconds, v.Gateway = note.Gateway.Seconds, note.Gateway.Gateway
	}
	if v.Outcome == "waived" {
		return v, again.Waive(ordinal)
	}
	use, fee, err := again.Charge(ordinal)
	if err != nil {
		return v, err
	}
	v.Amount, v.Fee = money.MicroUSD(use), money.MicroUSD(fee)
	for _, p := range entry.Postings {
		if p.Account == ledger.Hold(string(l.Cluster)) {
			v.Paid.Minor -= p.Amount.Minor
		}
	}
	return v, nil
}

// getJournal streams the journal as billing/DESIGN.md describes it: header, entries, signed checkpoint.
func (s *Server) getJournal(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	if who.role != raylink.RoleAdmin {
		return nil, raylink.Errorf(raylink.CodeForbidden, "the whole journal holds everybody's bills: only an admin exports it").WithHint("`raylink bill CLUSTER --file FILE` writes your own, for `raylink verify FILE`")
	}
	return s.export(c, func(st *state.State, h *verify.Header) {
		for id, m := range st.Machines {
			h.Machines[string(id)], _ = identity.DecodeKey(m.PublicKey) // checked when it joined
		}
	}, func(w io.Writer, h verify.Header, journal pages, key ed25519.PublicKey, sign func([]byte) []byte) error {
		return verify.Write(w, h, journal, key, sign)
	})
}

// pages reads the journal a page at a time, so that the state is held still for a page only.
type pages struct {
	read func(func(*state.State))
	upTo uint64
}

func (p pages) Entries(after uint64, limit int) []ledger.Entry {
	var entries []ledger.Entry
	p.read(func(st *state.State) { entries = st.Ledger.Entries(after, min(limit, int(p.upTo-min(after, p.upTo)))) })
	return entries
}
