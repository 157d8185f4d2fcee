#!/usr/bin/env python3
"""Judges exported journals, bills and earnings of a Raylink network, by themselves. A second implementation, written from billing/DESIGN.md and nothing else:
it shares no code with `raylink verify`, and needs nothing but Python 3.9 or newer.

    python3 verify.py FILE...
"""

import copy
import hashlib
import json
import re
import sys

import ed25519
from forms import ANCHOR, FORMS, HEADER, PAUSED, ROOT, Entry, Wrong, amount, fixed, need, parse, raw, read, root, small
from rules import KINDS, PURSES, Lease, Minute, fee, post, supplier_of, through

ROOT_LAG = 10_000  # entries that may have followed the one that a checkpoint is of
MAX_LINE, MAX_HEADER = 1 << 20, 16 << 20


class Judge:
    """Reads a file line by line, and collects what does not hold."""

    def __init__(self, header_line):
        need(len(header_line) <= MAX_HEADER, "header is too long")
        self.header = h = read(parse(header_line.decode()), HEADER, ["cluster", "payer", "supplier", "group_key", "chain", "treasury", "head", "anchor"])
        self.cluster, self.supplier = h.get("cluster", ""), h.get("supplier", "")
        self.part = bool(self.cluster or self.supplier)
        need(FORMS.get(h["format"]) == (bool(self.cluster), bool(self.supplier)), "not a form that is known")
        need(self.cluster or "payer" not in h, "a payer of no bill")
        need(self.part or not ("head" in h or "anchor" in h), "a journal's head is its last line's to say")
        self.group = raw(h["group_key"], 32) if "group_key" in h else None
        self.keys = {(side, id): raw(key, 32) for side in ("machines", "gateways") for id, key in h[side].items()}
        self.header_hash = hashlib.sha256(header_line).hexdigest()
        self.problems, self.statements, self.digest = [], [], hashlib.sha256()
        self.seq = self.count = self.price_id = self.price = 0
        self.hash, self.sealed, self.fixed = "", False, []
        self.check("header", self.heads)
        self.names, self.balances, self.leases, self.flights, self.hashes, self.roots, self.spent = set(), {}, {}, {}, {}, {}, {}

    def check(self, where, do, *args):
        try:
            do(*args)
        except (Wrong, UnicodeError) as e:
            self.problems.append(f"{where}: {e}")

    def heads(self):
        """How the journal stood that a part was taken from, and what of it was on the chain."""
        head = read(self.header.get("head", {}), {"seq": int, "hash": str}, () if "head" in self.header else ("seq", "hash"))
        if head:
            self.fixed.append(("head", head["seq"], head["hash"]))
        if "anchor" in self.header:
            anchor = read(self.header["anchor"], ANCHOR)
            self.fixed.append(("anchor", anchor["seq"], anchor["hash"]))
            need(head and anchor["seq"] <= head["seq"] and (anchor["seq"] < head["seq"] or anchor["hash"] == head["hash"]), "anchor is not of the head's journal")

    def of(self, e):
        """Whether the entry belongs into a file of one cluster or supplier."""
        if not e.postings and e.kind in ("minute.charged", "minute.waived") and isinstance(e.note, dict):
            return e.note.get("cluster") == self.cluster if self.cluster else e.note.get("machine") in self.header["machines"]
        if e.kind == "deposit" and self.header.get("payer"):
            return any(account == "tenant:" + self.header["payer"] for account, _, _ in e.postings)
        if self.cluster:
            return any(account == "hold:" + self.cluster for account, _, _ in e.postings)
        return any(supplier_of(account) == self.supplier or account in self.flights for account, _, _ in e.postings)

    def whole(self, account):
        """Whether the file has all that the account ever got."""
        if self.supplier:
            return supplier_of(account) == self.supplier or account.startswith("payout:")
        return not self.cluster or account == "hold:" + self.cluster

    def entry(self, line):
        need(len(line) <= MAX_LINE, "line is too long")
        e = Entry(line.decode())
        follows = e.seq == self.seq + 1
        need(follows or (self.part and e.seq > self.seq), f"entry {e.seq} follows entry {self.seq}")
        need(not follows and self.part or e.prev == self.hash, "prev is not the hash of the entry before")
        need(e.digest() == e.hash, "content does not have the hash that it carries")
        need(not self.part or self.of(e), "is not about the file's cluster or supplier")
        for name, seq, hash in self.fixed:
            need((e.seq != seq or e.hash == hash) and (e.seq - 1 != seq or e.prev == hash), f"the header's {name} says another hash of entry {seq}")
            need(name != "head" or e.seq <= seq, "comes after the journal's end by the header")
        self.seq, self.hash, self.count = e.seq, e.hash, self.count + 1
        self.digest.update(e.hash.encode() + b"\n")
        need((e.kind, e.ref) not in self.names, f"{e.kind} {e.ref} stands twice")
        self.names.add((e.kind, e.ref))
        self.rules(e)
        self.move(e)
        self.hashes[e.seq] = e.hash
        self.hashes.pop(e.seq - ROOT_LAG, None)

    def move(self, e):
        for account, minor, asset in e.postings:
            self.balances[account, asset] = small(self.balances.get((account, asset), 0) + minor)
        for account, minor, asset in e.postings:
            free = account.startswith("treasury:") or account in ("fx:in", "fx:out") or not self.whole(account)
            need(free or minor > 0 or self.balances[account, asset] >= 0, f"{account} falls below zero")

    def rules(self, e):
        if e.kind in ("minute.charged", "minute.waived"):
            return self.minute(e)
        if any(a.startswith("hold:") and minor < 0 for a, minor, _ in e.postings):
            need(all(a.startswith(("hold:", "tenant:", "tenant-card:")) for a, _, _ in e.postings), "moves money from a hold; only a charged minute may")
        if e.kind in ("checkpoint", "anchor"):
            getattr(self, e.kind)(e)
        if not e.postings:
            return
        need(e.kind in KINDS, f"{e.kind} is not a kind that moves money")
        for account, minor, _ in e.postings:
            names = KINDS[e.kind][minor > 0].split(", ")
            need(any(account == n or n.endswith(":") and account.startswith(n) for n in names), f"{e.kind} may not touch {account} so")
        do = {"resume": self.resume, "release": self.release, "deposit": self.deposit}.get(e.kind, self.payout if e.kind.startswith("payout.") else None)
        if do:
            do(e)

    def signed(self, side, who, statement, message):
        need(0 <= statement["seconds"] <= 60, "claims seconds that a minute does not have")
        need((side, who) in self.keys, f"no key of {who} in the header")
        self.statements.append((self.seq, who, self.keys[side, who], message, statement["signature"]))

    def minute(self, e):
        m = Minute(e.note)
        need(e.ref == f"{m.lease}/{m.ordinal}", "ref is not that of the note's minute")
        if m.agent:
            need(m.agent["machine"] == m.machine, "evidence of another machine")
            self.signed("machines", m.machine, m.agent, f"raylink minute v1\n{m.lease}\n{m.ordinal}\n{m.agent['seconds']}\n{m.agent['ray_node']}\n")
        if m.gateway:
            self.signed("gateways", m.gateway["gateway"], m.gateway, f"raylink confirm v1\n{m.lease}\n{m.ordinal}\n{m.gateway['seconds']}\n{m.gateway['ray_node']}\n")
        need(m.seal or not self.sealed, "no coordinator signed this minute, though some before it are signed")
        if m.seal:
            self.sealed = True
            top = root(m.leaf(), m.seal["place"], m.seal["of"], raw(m.seal.get("path", ""), None))
            self.statements.append((self.seq, "the coordinator", self.group or b"", f"raylink minutes v1\n{m.seal['of']}\n{top.hex()}\n", m.seal["signature"]))
        lease = self.leases.setdefault(m.lease, Lease(m))
        need(lease.first.same == m.same, "cluster, node, machine, rate or fee differ from the lease's first minute's")
        if e.kind == "minute.waived":
            self.waived(e, m, lease)
            return lease.settle(m)
        need(not m.why and not m.reason, "charged, though to be waived")
        self.purse(m, lease)
        lease.settle(m)
        lease.price(m)
        lease.supplier = lease.supplier or next((s for s in (supplier_of(a) for a, _, _ in e.postings) if s), "")
        self.spent[m.cluster] = self.spent.get(m.cluster, 0) + m.use + m.fee
        need(not m.budget or self.spent[m.cluster] <= m.budget, "cluster has cost more than its budget")
        need(m.postings(lease.supplier) == e.postings, "postings are not those of the minute")

    def waived(self, e, m, lease):
        need(not e.postings, "waived, yet with postings")
        if not m.why or m.purse:
            self.purse(m, lease)
        if m.why:
            return need(m.reason == m.why, "the evidence gives another reason")
        need(m.reason in ("budget is spent", "hold is spent"), "waived, though proven and paid for")
        lease = copy.copy(lease)  # it costs nothing: only what it would have cost is asked
        lease.settle(m)
        lease.price(m)
        asset, cost = PURSES.get(m.purse, "USD"), m.cost()
        if not self.whole("hold:" + m.cluster):  # a supplier does not see what was in the hold, nor what other leases have cost
            return need(m.budget or m.reason == "hold is spent", "no budget")
        if m.reason == "hold is spent":
            need(self.balances.get(("hold:" + m.cluster, asset), 0) < cost, "the hold could have paid")
        else:
            need(m.budget and self.spent.get(m.cluster, 0) + m.use + m.fee > m.budget, "the budget was not spent")

    def purse(self, m, lease):
        before, lease.purse = lease.purse, m.purse
        if not m.purse:
            return need(not (before or m.takes or m.off or m.price or m.price_id or m.halt), "minute without a purse")
        need(m.purse in PURSES and m.takes in ("USDC", "IO"), "no such purse, or taken in no such token")
        before = before or ("grant" if lease.charged else "")
        need(before in ("", m.purse), "paid from another purse than before")
        need(m.points == (0 if m.purse == "io" else 200), "payer's fee is not the rule's")
        need(m.off == (200 if m.takes == "USDC" and not m.paused else 0), "supplier's fee is not the rule's")
        need(m.price or m.halt, "neither a price nor a reason why there is none")
        self.priced(m.price, m.price_id)

    def priced(self, price, number):
        if price or number:
            need(price and number and number >= self.price_id, "number of the price goes back, or there is none")
            need(number > self.price_id or price == self.price, "number of the price had another price")
            self.price_id, self.price = number, price

    def resume(self, e):
        n = read(e.note, PAUSED, ["supplier_fee_basis_points", "price_id"])
        (a, asset), p, points = amount(n["amount"]), fixed(n["price"], "USD/IO", 12), n.get("supplier_fee_basis_points", 0)
        self.priced(p, n.get("price_id", 0))
        need(PURSES.get(n["purse"]) == asset and n["takes"] in ("USDC", "IO") and a >= 0 and p > 0, "no such purse, token, amount or price")
        need(points == (200 if n["takes"] == "USDC" else 0), "supplier's fee is not the rule's")
        use, io = (a * p // 10**14, a) if n["purse"] == "io" else (a, a * 10**14 // p)
        want = post((f"supplier-paused:{n['purse']}:{n['supplier']}", -a, asset), *through(n["purse"], n["takes"], n["supplier"], use, fee(use, points), io))
        need(want == e.postings, "postings are not those of the resumption")

    def release(self, e):
        if any(a.startswith("hold:") and minor < 0 for a, minor, _ in e.postings):
            return
        account, minor, asset = e.postings[-1]
        who = supplier_of(account)
        need(minor > 0 and any(e.postings == [("lot:" + lot, -minor, asset), ("fx:in", minor, asset), (f"supplier-{s}:{who}", -minor, asset), ("supplier:" + who, minor, asset)]
                               for lot, s in (("grants", "grant"), ("card", "card"))), "neither of a hold nor of a lot to who earned it")

    def deposit(self, e):
        need(re.fullmatch(r"[^/]+/[^/]+", e.ref), "is not named <signature>/<token account>")
        need(len(e.postings) == 2 and e.postings[0][0] == "treasury:chain", "not one amount to one account")

    def payout(self, e):
        need(len(e.postings) == 2, "not one amount between two accounts")
        (source, _, _), (to, _, _) = e.postings
        flight = "payout:" + e.ref
        if e.kind == "payout.reserve":
            self.flights[flight] = source
            return need(to == flight, "reserved on another account")
        need(source == flight, "takes from another payout")
        need(e.kind != "payout.release" or self.flights.get(flight) == to, "released to another account than it came from")

    def checkpoint(self, e):
        n = read(e.note, ROOT)
        need(self.group in (None, raw(n["key"], 32)), "checkpoint of another key than the group's")
        self.statements.append((self.seq, "the group", raw(n["key"], 32), f"raylink root v1\n{n['seq']}\n{n['hash']}\n", n["signature"]))
        need(self.hashes.get(n["seq"]) == n["hash"], "checkpoint has another hash than its entry")
        self.roots[n["seq"]] = n["hash"]

    def anchor(self, e):
        n = read(e.note, ANCHOR)
        need(self.roots.get(n["seq"]) == n["hash"], "anchor of no checkpoint before it")

    def last(self, line):
        text = line.decode()
        n = read(parse(text), {"entries": int, "digest": str, "signature": str, "key": str} if self.part else {"seq": int, "hash": str, "signature": str, "key": str})
        need(json.dumps(n, separators=(",", ":"), ensure_ascii=False) == text, "the last line is not spelled as an export writes it")
        if self.part:
            need(list(n) == ["entries", "digest", "signature", "key"] and (n["entries"], n["digest"]) == (self.count, self.digest.hexdigest()), "receipt of other entries")
            message = f"raylink {'bill' if self.cluster else 'earnings'} v1\n{n['entries']}\n{n['digest']}\n{self.header_hash}\n"
        else:
            need(list(n) == ["seq", "hash", "signature", "key"] and (n["seq"], n["hash"]) == (self.seq, self.hash), "checkpoint of another entry")
            message = f"raylink checkpoint v1\n{n['seq']}\n{n['hash']}\n{self.header_hash}\n"
        need(self.group in (None, raw(n["key"], 32)), "signed by another key than the header's")
        self.statements.append((self.seq, "the group", raw(n["key"], 32), message, n["signature"]))

    def signature(self, who, key, message, text):
        need(ed25519.fits(key, message.encode(), raw(text, 64)), f"signature of {who} does not fit")

    def finish(self):
        if not self.problems:  # they take the most time, and say nothing more about a file that does not hold
            for seq, *statement in self.statements:
                self.check(f"entry {seq}", self.signature, *statement)


def judge(path):
    """The problems of a file, and a line about it."""
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    try:
        if lines[-1] == b"":
            lines.pop()
        need(len(lines) > 1, "not an export: a header and a last line are missing")
        j = Judge(lines[0])
    except (Wrong, UnicodeError) as e:
        return [str(e)], ""
    for number, line in enumerate(lines[1:-1], 2):
        j.check(f"line {number}", j.entry, line)
    j.check("last line", j.last, lines[-1])
    j.finish()
    return j.problems, f"{j.count} entries, {len(j.leases)} leases, {len(j.statements)} signatures"


def main(paths):
    if not paths:
        sys.exit(__doc__)
    bad = 0
    for path in paths:
        problems, words = judge(path)
        bad += bool(problems)
        print(f"{path}: wrong: {problems[0]}" if problems else f"{path}: verified: {words}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main(sys.argv[1:])
