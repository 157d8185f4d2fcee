#!/usr/bin/env python3
"""Judges exported journals, bills and earnings of a Raylink network, by themselves. A second implementation, written from billing/DESIGN.md and nothing else:
it shares no code with `raylink verify`, and needs nothing but Python 3.9 or newer.

    python3 verify.py FILE...
"""

import base64
import calendar
import copy
import datetime
import hashlib
import json
import re
import struct
import sys

import ed25519

DECIMALS = {"USD": 6, "USDC": 6, "IO": 8}
PURSES = {"grant": "USD", "card": "USD", "usdc": "USDC", "io": "IO"}
ROOT_LAG = 10_000
MAX_LINE, MAX_HEADER = 1 << 20, 16 << 20

# Which accounts an entry of a kind may take from, and give to; a name that ends in a colon stands for all that begin with it.
KINDS = {
    "burn": ("lot:burn", "treasury:chain"),
    "card.dispute-lost": ("tenant-card:, dispute:, treasury:card-loss", "tenant-card:, treasury:card"),
    "card.dispute-won": ("dispute:, treasury:card", "tenant-card:"),
    "card.dispute": ("tenant-card:, treasury:card-loss", "dispute:, treasury:card"),
    "card.freeze": ("tenant-card:", "dispute:"),
    "card.recovered": ("tenant-card:, dispute:", "treasury:card-loss"),
    "card.refund-failed": ("refund:, treasury:card", "tenant-card:"),
    "card.refund-outside-failed": ("treasury:card", "tenant-card:, treasury:card-loss"),
    "card.refund-outside": ("tenant-card:, treasury:card-loss", "treasury:card"),
    "card.refund": ("tenant-card:", "refund:, treasury:card"),
    "card.refunded": ("refund:", "treasury:card"),
    "card.topup": ("treasury:card", "tenant-card:"),
    "deposit": ("treasury:chain", "tenant:, lot:, suspense"),
    "grant": ("treasury:grants", "tenant:"),
    "hold.refill": ("tenant:, tenant-card:", "hold:"),
    "hold": ("tenant:, tenant-card:", "hold:"),
    "payout.paid": ("payout:", "treasury:chain"),
    "payout.release": ("payout:", "supplier:, tenant:, lot:, suspense"),
    "payout.reserve": ("supplier:, tenant:, lot:, suspense", "payout:"),
    "release": ("hold:, lot:, supplier-grant:, supplier-card:", "tenant:, tenant-card:, supplier:, fx:in"),
    "resume": ("supplier-paused:, fx:in, fx:out", "supplier:, supplier-grant:, supplier-card:, fx:in, fx:out, fees"),
    "suspense.assign": ("suspense", "tenant:, lot:"),
    "swap": ("fees, suspense, treasury:chain, fx:in, fx:out", "lot:burn, treasury:chain, fx:in, fx:out"),
}

ENTRY = {"seq": int, "at": str, "kind": str, "ref": str, "postings": list, "note": object, "prev": str, "hash": str}
FORMS = {"raylink-journal/1": (False, False), "raylink-bill/1": (True, False), "raylink-earnings/1": (False, True)}  # has a cluster, a supplier
HEADER = {"format": str, "cluster": str, "supplier": str, "exported_at": str, "group_key": str, "machines": dict, "gateways": dict, "chain": str, "treasury": list}
MINUTE = {"cluster": str, "lease": str, "node": str, "machine": str, "ordinal": int, "rate": str, "fee_basis_points": int, "agent": dict, "gateway": dict, "coordinator": dict,
          "reason": str, "purse": str, "takes": str, "supplier_fee_basis_points": int, "price": str, "price_id": int, "price_halt": str, "budget": int}
AGENT = {"seconds": int, "ray_node": str, "machine": str, "signature": str}
GATEWAY = {"gateway": str, "seconds": int, "ray_node": str, "signature": str}
SEAL = {"place": int, "of": int, "path": str, "signature": str}
PAUSED = {"purse": str, "supplier": str, "amount": str, "takes": str, "supplier_fee_basis_points": int, "price": str, "price_id": int}
ROOT = {"seq": int, "hash": str, "key": str, "signature": str}
ANCHOR = {"seq": int, "hash": str, "signature": str}


class Wrong(Exception):
    """Something in the file does not hold."""


def need(holds, words):
    if not holds:
        raise Wrong(words)


# Reading


def parse(text):
    """Strict JSON: no doubled names, no NaN."""
    def once(pairs):
        need(len(dict(pairs)) == len(pairs), "a field stands twice")
        return dict(pairs)

    def never(name):
        raise Wrong(name + " is no JSON")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=never)
    except (ValueError, RecursionError) as e:
        raise Wrong(f"no JSON: {e}")


def read(value, fields, optional=()):
    """An object with these fields, of these types, and no others."""
    need(isinstance(value, dict), "not an object")
    for name, of in value.items():
        need(name in fields, f"unknown field {name!r}")
        need(fields[name] in (object, type(of)), f"field {name!r} is of another type")
    for name in fields:
        need(name in value or name in optional, f"field {name!r} is missing")
    return value


def fixed(text, unit, decimals):
    """`12.345678 USD` as a count of its last decimal, 64 bits."""
    match = re.fullmatch(r"(-?)(0|[1-9][0-9]{0,18})\.([0-9]{%d}) %s" % (decimals, re.escape(unit)), text)
    need(match, f"{text!r} is not a number of {unit} with {decimals} decimals")
    return small(int(match[1] + match[2] + match[3]))


def small(n):
    need(-(1 << 63) <= n < 1 << 63, "out of the range of 64 bits")
    return n


def amount(text):
    asset = text.rpartition(" ")[2]
    need(asset in DECIMALS, f"{text!r} is of no asset that is known")
    return fixed(text, asset, DECIMALS[asset]), asset


def show(minor, asset):
    digits = str(abs(minor)).zfill(DECIMALS[asset] + 1)
    return f"{'-' * (minor < 0)}{digits[:-DECIMALS[asset]]}.{digits[-DECIMALS[asset]:]} {asset}"


def raw(text, length):
    """Standard base64, in its one spelling, of so many bytes (None: of any number)."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    need(length in (None, len(data)) and base64.b64encode(data).decode() == text, "not a key or signature")
    return data


def nanoseconds(text):
    match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{0,8}[1-9]))?Z", text, re.ASCII)
    need(match, f"{text!r} is not a time as the journal writes it")
    try:
        moment = datetime.datetime(*(int(part) for part in match.groups()[:6]))
    except ValueError:
        raise Wrong(f"{text!r} is no time")
    return small(calendar.timegm(moment.timetuple()) * 10**9 + int((match[7] or "").ljust(9, "0")))


def escaped(text):
    """A JSON string as the journal spells it; for visible ASCII."""
    for char in '\\"':
        text = text.replace(char, "\\" + char)
    return '"' + text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + '"'


def visible(text):
    need(re.fullmatch(r"[!-~]{1,200}", text), "a name that is not 1 to 200 visible ASCII characters")
    return text


def packed(*fields):
    """Texts and numbers, as they are hashed."""
    out = b""
    for field in fields:
        text = field.encode() if isinstance(field, str) else b""
        out += struct.pack(">Q", (len(text) if isinstance(field, str) else field) & (1 << 64) - 1) + text
    return out


def root(leaf, place, of, path):
    """The root of a tree as in RFC 6962, from one of its leaves and the hashes beside its way."""
    need(0 <= place < of <= 1000 and len(path) % 32 == 0, "no such place in a tree")
    way, low, high = [], 0, of
    while high - low > 1:  # from the root down
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        way.append(place < middle)
        low, high = (low, middle) if place < middle else (middle, high)
    need(len(path) == 32 * len(way), "path has another length")
    for left, at in zip(reversed(way), range(0, len(path), 32)):
        beside = path[at:at + 32]
        leaf = hashlib.sha256(b"\1" + (leaf + beside if left else beside + leaf)).digest()
    return leaf


class Entry:
    """One line, which has one spelling."""

    def __init__(self, line):
        whole = read(parse(line), ENTRY, ["note"])
        self.seq, self.kind, self.ref, self.prev, self.hash = whole["seq"], visible(whole["kind"]), visible(whole["ref"]), whole["prev"], whole["hash"]
        self.at, self.note, self.text = nanoseconds(whole["at"]), whole.get("note"), ""
        need(0 <= self.seq < 1 << 64 and len(whole["postings"]) <= 256, "out of range")
        self.postings = [(visible(p["account"]), *amount(p["amount"])) for p in (read(p, {"account": str, "amount": str}) for p in whole["postings"])]
        if "note" in whole:
            self.text = line[line.index(',"note":') + 8:line.rindex(',"prev":"')]
        self.spelled(line, whole["at"])
        need(all(minor for _, minor, _ in self.postings), "a posting of nothing")
        sums = {}
        for _, minor, asset in self.postings:
            sums[asset] = small(sums.get(asset, 0) + minor)
        need(not any(sums.values()), "postings do not sum to zero")

    def spelled(self, line, at):
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', self.text)
        need(not re.search(r"\s", bare) and not re.search("[<>&\u2028\u2029]", self.text) and len(self.text.encode()) <= 256 << 10, "note is not spelled as the journal writes it")
        postings = ",".join('{"account":%s,"amount":"%s"}' % (escaped(account), show(minor, asset)) for account, minor, asset in self.postings)
        note = ',"note":' + self.text if self.text else ""
        need(line == f'{{"seq":{self.seq},"at":"{at}","kind":{escaped(self.kind)},"ref":{escaped(self.ref)},"postings":[{postings}]{note},'
             f'"prev":{json.dumps(self.prev)},"hash":{json.dumps(self.hash)}}}', "line is not spelled as the journal writes it")

    def digest(self):
        """The hash that the entry has to carry."""
        fields = ["raylink journal/1", self.prev, self.seq, self.at, self.kind, self.ref, len(self.postings)]
        for account, minor, asset in self.postings:
            fields += [account, asset, minor]
        return hashlib.sha256(packed(*fields, self.text)).hexdigest()


# The rules


def fee(accrued, points):
    return small(-(-accrued * points // 10_000))


def post(*parts):
    return [(account, small(minor), asset) for account, minor, asset in parts if minor]


def earned(purse, supplier):
    return {"grant": "supplier-grant:", "card": "supplier-card:"}.get(purse, "supplier:") + supplier


def through(purse, takes, supplier, use, fee_off, io):
    """From a payer, who has paid, to the supplier, by way of IO."""
    parts = [] if purse == "io" else [("fx:in", use, PURSES[purse]), ("fx:in", -io, "IO")]
    if takes == "IO":
        return parts + [(earned(purse, supplier), io, "IO")]
    return parts + [("fx:out", io, "IO"), ("fx:out", -use, "USDC"), (earned(purse, supplier), use - fee_off, "USDC"), ("fees", fee_off, "USDC")]


def supplier_of(account):
    """Whose earnings the account keeps; nothing for another account."""
    if account.startswith("supplier-paused:"):
        return account.split(":", 2)[2] if account.count(":") > 1 else ""
    return account.partition(":")[2] if account.startswith(("supplier:", "supplier-grant:", "supplier-card:")) else ""


def verdict(agent, gateway):
    """Why a minute is waived; nothing for one that is charged."""
    if agent is None or gateway is None:
        return "no evidence"
    short = [f"the {who} saw {side['seconds']} s" for who, side in (("agent", agent), ("gateway", gateway)) if side["seconds"] < 45]
    return " and ".join(short) + " of 60, at least 45 needed" if short else ""


class Minute:
    """What a minute's note says, and what it costs its lease."""

    def __init__(self, note):
        n = read(note, MINUTE, ["agent", "gateway", "coordinator", "reason", "purse", "takes", "supplier_fee_basis_points", "price", "price_id", "price_halt", "budget"])
        self.cluster, self.lease, self.machine, self.ordinal, self.points = n["cluster"], n["lease"], n["machine"], small(n["ordinal"]), small(n["fee_basis_points"])
        self.same = (n["cluster"], n["node"], n["machine"], n["rate"], n["fee_basis_points"])
        self.rate, self.reason, self.purse, self.takes = fixed(n["rate"], "USD/h", 6), n.get("reason", ""), n.get("purse", ""), n.get("takes", "")
        self.agent = read(n["agent"], AGENT) if "agent" in n else None
        self.gateway = read(n["gateway"], GATEWAY) if "gateway" in n else None
        self.off, self.price_id, self.halt, self.budget = n.get("supplier_fee_basis_points", 0), n.get("price_id", 0), n.get("price_halt", ""), n.get("budget", 0)
        self.price = fixed(n["price"], "USD/IO", 12) if "price" in n else 0
        self.seal = read(n["coordinator"], SEAL, ["path"]) if "coordinator" in n else None
        self.why = verdict(self.agent, self.gateway)
        self.use = self.fee = self.fee_off = 0
        need(min(self.rate, self.points, self.off, self.price, self.price_id, self.budget, self.ordinal) >= 0, "below zero")

    def leaf(self):
        """What a coordinator signs for, among other minutes."""
        out = hashlib.sha256(b"\0" + packed(self.lease, self.ordinal))
        for side, who in (self.agent, "machine"), (self.gateway, "gateway"):
            out.update(packed(1, side[who], side["seconds"], side["ray_node"], side["signature"]) if side else packed(0))
        return out.digest()

    @property
    def believed(self):
        return self.price > 0 and not self.halt

    @property
    def paused(self):
        return not self.believed and (self.purse == "io" or self.takes == "IO")

    def cost(self):
        if self.purse == "io":
            need(self.price, "no price for a payer in IO")
            return small(self.use * 10**14 // self.price)
        return small(self.use + self.fee)

    def postings(self, supplier):
        hold = "hold:" + self.cluster
        if not self.purse:
            return post((hold, -self.use - self.fee, "USD"), ("supplier:" + supplier, self.use, "USD"), ("fees", self.fee, "USD"))
        asset, cost = PURSES[self.purse], self.cost()
        parts = [(hold, -cost, asset), ("fees", self.fee, asset)]
        if self.paused:
            parts.append((f"supplier-paused:{self.purse}:{supplier}", cost - self.fee, asset))
        elif not self.believed:
            parts += [] if asset == "USDC" else [("fx:in", self.use, asset), ("fx:in", -self.use, "USDC")]
            parts += [(earned(self.purse, supplier), self.use - self.fee_off, "USDC"), ("fees", self.fee_off, "USDC")]
        else:
            parts += through(self.purse, self.takes, supplier, self.use, self.fee_off, cost if self.purse == "io" else self.use * 10**14 // self.price)
        return post(*parts)


class Lease:
    """The meter of one lease."""

    def __init__(self, first):
        self.first, self.supplier, self.purse = first, "", ""
        self.next = self.charged = self.accrued = self.fees = self.off_accrued = self.off_fees = 0

    def settle(self, m):
        need(m.ordinal == self.next, f"minute {m.ordinal} of lease {m.lease}, where {self.next} is the next")
        self.next += 1

    def price(self, m):
        """What the minute costs; charges the meter."""
        accrued = small(m.rate * (self.charged + 1) // 60)
        fees = fee(accrued, m.points)
        m.use, m.fee = accrued - self.accrued, fees - self.fees
        self.charged, self.accrued, self.fees = self.charged + 1, accrued, fees
        if m.off:
            self.off_accrued = small(self.off_accrued + m.use)
            m.fee_off = max(fee(self.off_accrued, m.off) - self.off_fees, 0)
            self.off_fees += m.fee_off


class Judge:
    """Reads a file line by line, and collects what does not hold."""

    def __init__(self, header_line):
        need(len(header_line) <= MAX_HEADER, "header is too long")
        self.header = h = read(parse(header_line.decode()), HEADER, ["cluster", "supplier", "group_key", "chain", "treasury"])
        self.cluster, self.supplier = h.get("cluster", ""), h.get("supplier", "")
        self.part = bool(self.cluster or self.supplier)
        need(FORMS.get(h["format"]) == (bool(self.cluster), bool(self.supplier)), "not a form that is known")
        self.group = raw(h["group_key"], 32) if "group_key" in h else None
        self.keys = {(side, id): raw(key, 32) for side in ("machines", "gateways") for id, key in h[side].items()}
        self.header_hash = hashlib.sha256(header_line).hexdigest()
        self.problems, self.statements, self.digest = [], [], hashlib.sha256()
        self.seq = self.count = self.price_id = self.price = 0
        self.hash, self.sealed = "", False
        self.names, self.balances, self.leases, self.flights, self.hashes, self.roots, self.spent = set(), {}, {}, {}, {}, {}, {}

    def check(self, where, do, *args):
        try:
            do(*args)
        except (Wrong, UnicodeError) as e:
            self.problems.append(f"{where}: {e}")

    def of(self, e):
        """Whether the entry belongs into a file of one cluster or supplier."""
        if not e.postings and e.kind in ("minute.charged", "minute.waived") and isinstance(e.note, dict):
            return e.note.get("cluster") == self.cluster if self.cluster else e.note.get("machine") in self.header["machines"]
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
