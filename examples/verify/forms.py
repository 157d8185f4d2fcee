"""How the lines of an export are spelled, and what is hashed of them."""

import base64
import calendar
import datetime
import hashlib
import json
import re
import struct

DECIMALS = {"USD": 6, "USDC": 6, "IO": 8}
ENTRY = {"seq": int, "at": str, "kind": str, "ref": str, "postings": list, "note": object, "prev": str, "hash": str}
FORMS = {"raylink-journal/1": (False, False), "raylink-bill/1": (True, False), "raylink-earnings/1": (False, True)}  # has a cluster, a supplier
HEADER = {"format": str, "cluster": str, "payer": str, "supplier": str, "exported_at": str, "group_key": str, "machines": dict, "gateways": dict, "chain": str, "treasury": list,
          "head": dict, "anchor": dict}
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
