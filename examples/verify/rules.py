"""What a minute costs, who is paid, and which accounts an entry may touch."""

import hashlib

from forms import AGENT, GATEWAY, MINUTE, SEAL, fixed, need, packed, read, small

PURSES = {"grant": "USD", "card": "USD", "usdc": "USDC", "io": "IO"}

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
