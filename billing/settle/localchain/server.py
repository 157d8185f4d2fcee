"""A small Solana node: JSON-RPC over node.py. It listens on the loopback only, keeps everything in memory, and ends when its standard input
ends."""

import argparse
import base64
import json
import signal
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from node import BASE_SLOT, TOKEN, TOKEN_2022, WINDOW, Chain, Refusal, called, parse_token, ui_amount
from solders.message import MessageV0
from solders.pubkey import Pubkey

MAX_BODY = 256 << 10


class Down(Exception):
    """The node is not there, by a fault that was asked for."""


def encoded_account(account):
    if account is None or (account.lamports == 0 and not account.data):
        return None
    data = bytes(account.data)
    return {"lamports": account.lamports, "owner": str(account.owner), "executable": account.executable, "rentEpoch": 0,
            "space": len(data), "data": [base64.b64encode(data).decode(), "base64"]}


class Methods:
    """The RPC methods; each takes the chain and the parameters."""

    def __init__(self, chain):
        self.chain = chain

    def options(self, params, index):
        return params[index] if len(params) > index and isinstance(params[index], dict) else {}

    def slot_of(self, params, index, default="finalized"):
        return self.chain.at(self.options(params, index).get("commitment", default))

    def value(self, slot, value):
        return {"context": {"slot": slot, "apiVersion": "localchain"}, "value": value}

    def key(self, text):
        try:
            return Pubkey.from_string(text)
        except BaseException:
            raise Refusal(-32602, "Invalid param: Invalid") from None

    def getHealth(self, p):
        return "ok"

    def getVersion(self, p):
        return {"solana-core": "localchain", "feature-set": 0}

    def getGenesisHash(self, p):
        return self.chain.genesis

    def getSlot(self, p):
        return self.slot_of(p, 0)

    def getBlockHeight(self, p):
        return self.slot_of(p, 0) - BASE_SLOT

    def getLatestBlockhash(self, p):
        slot = self.slot_of(p, 0)
        for height, found in reversed(self.chain.order):
            if height <= slot - BASE_SLOT:
                return self.value(slot, {"blockhash": str(found), "lastValidBlockHeight": height + WINDOW - 1})
        raise Refusal(-32005, "Node is behind")

    def isBlockhashValid(self, p):
        return self.value(self.slot_of(p, 1), self.chain.in_window(p[0]))

    def getMinimumBalanceForRentExemption(self, p):
        return self.chain.svm.minimum_balance_for_rent_exemption(int(p[0]))

    def getRecentPrioritizationFees(self, p):
        return [{"slot": self.chain.slot(), "prioritizationFee": 0}]

    def getBalance(self, p):
        slot = self.slot_of(p, 1)
        account = self.chain.account(self.key(p[0]), slot)
        return self.value(slot, account.lamports if account else 0)

    def getAccountInfo(self, p):
        slot = self.slot_of(p, 1)
        return self.value(slot, encoded_account(self.chain.account(self.key(p[0]), slot)))

    def getMultipleAccounts(self, p):
        slot = self.slot_of(p, 1)
        return self.value(slot, [encoded_account(self.chain.account(self.key(k), slot)) for k in p[0][:100]])

    def getTokenAccountBalance(self, p):
        slot = self.slot_of(p, 1)
        token = parse_token(self.chain.account(self.key(p[0]), slot))
        if token is None:
            raise Refusal(-32602, "Invalid param: could not find account")
        return self.value(slot, ui_amount(token[2], self.chain.decimals(token[0])))

    def getTokenSupply(self, p):
        slot = self.slot_of(p, 1)
        account = self.chain.account(self.key(p[0]), slot)
        if account is None or account.owner not in (TOKEN, TOKEN_2022) or len(account.data) < 82:
            raise Refusal(-32602, "Invalid param: could not find account")
        return self.value(slot, ui_amount(struct.unpack_from("<Q", bytes(account.data), 36)[0], bytes(account.data)[44]))

    def getTokenAccountsByOwner(self, p):
        slot, owner, which = self.slot_of(p, 2), self.key(p[0]), p[1]
        programs = [self.key(which["programId"])] if "programId" in which else [TOKEN, TOKEN_2022]
        keys = {k for program in programs for k, _ in self.chain.svm.get_program_accounts(program)} | set(self.chain.undo)
        found = []
        for key in sorted(keys, key=str):
            account = self.chain.account(key, slot)
            token = parse_token(account)
            if token and token[1] == owner and account.owner in programs and which.get("mint", str(token[0])) == str(token[0]):
                found.append({"pubkey": str(key), "account": encoded_account(account)})
        return self.value(slot, found)

    def requestAirdrop(self, p):
        return self.chain.airdrop(self.key(p[0]), int(p[1]))

    def sendTransaction(self, p):
        options = self.options(p, 1)
        if options.get("encoding", "base58") != "base64":
            raise Refusal(-32602, "Invalid params: this node takes base64 only")
        try:
            raw = base64.b64decode(p[0], validate=True)
        except ValueError:
            raise Refusal(-32602, "invalid base64 encoding") from None
        return self.chain.send(raw, bool(options.get("skipPreflight")))

    def simulateTransaction(self, p):
        err, meta = self.chain.simulate(self.chain.decode(base64.b64decode(p[0])))
        logs = list(called(meta.logs)) if meta is not None else []
        units = called(meta.compute_units_consumed) if meta is not None else 0
        return self.value(self.chain.slot(), {"err": err, "logs": logs, "accounts": None, "unitsConsumed": units, "returnData": None})

    def getSignatureStatuses(self, p):
        chain, found = self.chain, []
        newest = chain.at("processed")
        for name in p[0][:256]:
            done = chain.txs.get(name)
            # Without a search of the history only the recent ones are known.
            recent = done is not None and (self.options(p, 1).get("searchTransactionHistory") or chain.height - (done.slot - BASE_SLOT) < WINDOW)
            if done is None or done.slot > newest or not recent or chain.stale:
                found.append(None)
                continue
            final = done.slot <= chain.at("finalized")
            stage = "finalized" if final else "confirmed" if done.slot <= chain.at("confirmed") else "processed"
            found.append({"slot": done.slot, "confirmations": None if final else newest - done.slot, "err": done.err,
                          "status": {"Ok": None} if done.err is None else {"Err": done.err}, "confirmationStatus": stage})
        return self.value(newest, found)

    def getSignaturesForAddress(self, p):
        options = self.options(p, 1)
        newest = self.chain.at(self.no_processed(options))
        limit = int(options.get("limit") or 1000)
        if not 1 <= limit <= 1000:
            raise Refusal(-32602, "Invalid limit; max 1000")
        before, until, out = options.get("before"), options.get("until"), []
        for done in reversed(self.chain.by_address.get(self.key(p[0]), [])):
            if before is not None:
                before = None if done.signature == before else before
                continue
            if done.slot > newest:
                continue
            if done.signature == until or len(out) == limit or self.chain.stale:
                break
            stage = "finalized" if done.slot <= self.chain.at("finalized") else "confirmed"
            out.append({"signature": done.signature, "slot": done.slot, "err": done.err, "memo": done.memo(), "blockTime": done.when,
                        "confirmationStatus": stage})
        return out

    def no_processed(self, options):
        commitment = options.get("commitment", "finalized")
        if commitment == "processed":
            raise Refusal(-32602, "Method does not support commitment below `confirmed`")
        return commitment

    def getTransaction(self, p):
        options = self.options(p, 1)
        newest = self.chain.at(self.no_processed(options))
        done = self.chain.txs.get(p[0])
        if done is None or done.slot > newest or self.chain.stale:
            return None
        if options.get("encoding") != "base64":
            raise Refusal(-32602, "Invalid params: this node answers in base64 only")
        legacy = not isinstance(done.tx.message, MessageV0)
        if not legacy and options.get("maxSupportedTransactionVersion") is None:
            raise Refusal(-32015, "Transaction version (0) is not supported by the requesting client. Please try the request again with the "
                          'following configuration parameter: "maxSupportedTransactionVersion": 0')
        meta = {"err": done.err, "status": {"Ok": None} if done.err is None else {"Err": done.err}, "fee": done.fee,
                "preBalances": done.lamports[0], "postBalances": done.lamports[1], "preTokenBalances": done.tokens[0],
                "postTokenBalances": done.tokens[1], "logMessages": done.logs, "rewards": [], "computeUnitsConsumed": done.units,
                "innerInstructions": self.inner(done),
                "loadedAddresses": {"writable": [str(k) for k in done.loaded[0]], "readonly": [str(k) for k in done.loaded[1]]}}
        return {"slot": done.slot, "blockTime": done.when, "version": "legacy" if legacy else 0, "meta": meta,
                "transaction": [base64.b64encode(done.raw).decode(), "base64"]}

    def inner(self, done):
        def shape(ins, height):
            return {"programIdIndex": ins.program_id_index, "accounts": list(bytes(ins.accounts)), "data": base58(bytes(ins.data)), "stackHeight": height}

        return [{"index": i, "instructions": [shape(*x) for x in group]} for i, group in enumerate(done.inner) if group]

    # Hooks of this node alone.

    def local_tick(self, p):
        self.chain.tick(int(p[0]))
        return self.chain.height

    def local_fault(self, p):
        kind, n = p[0], int(p[1])
        if kind == "lag":
            self.chain.lag = n
        elif kind == "stale":
            self.chain.stale = n > 0
        elif kind == "fork":
            return self.chain.fork()
        elif kind in ("drop", "ambiguous", "nopreflight"):
            self.chain.faults += [kind] * n
        else:
            raise Refusal(-32602, "no such fault")
        return n


def base58(data):
    alphabet, number, out = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        out = alphabet[digit] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, chain):
        super().__init__(("127.0.0.1", 0), Handler)
        self.chain, self.methods, self.down, self.lock = chain, Methods(chain), 0, threading.Lock()

    def answer(self, call):
        """One call of JSON-RPC."""
        name, params = call.get("method", ""), call.get("params") or []
        method = getattr(self.methods, name, None) if name.startswith(("get", "is", "request", "send", "simulate", "local_")) else None
        with self.lock:
            if name == "local_fault" and params[0] == "down":
                self.down = int(params[1])
                return params[1]
            if self.down > 0 and not name.startswith("local_"):
                self.down -= 1
                raise Down
            if method is None:
                raise Refusal(-32601, "Method not found")
            return method(params)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 300

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        if not 0 < size <= MAX_BODY:
            return self.reply(413, b"")
        body = {"jsonrpc": "2.0", "id": None}
        try:
            call = json.loads(self.rfile.read(size))
            body["id"] = call.get("id")
            body["result"] = self.server.answer(call)
        except Down:
            return self.reply(503, b"")
        except Refusal as err:
            body["error"] = err.body
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as err:
            body["error"] = {"code": -32602, "message": "Invalid params: " + repr(err)}
        except BaseException as err:  # a panic of the library is no Exception
            body["error"] = {"code": -32603, "message": "Internal error: " + repr(err)}
        self.reply(200, json.dumps(body).encode())

    def reply(self, code, body):
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args):
        pass


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--finality", type=int, default=32, help="slots until a transaction is finalized")
    args.add_argument("--slot-ms", type=int, default=0, help="milliseconds between slots; 0: only local_tick moves the chain")
    args = args.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches this process too; its owner decides when it ends
    chain = Chain(args.finality)
    server = Server(chain)
    stop = threading.Event()

    def ticker():
        while not stop.wait(args.slot_ms / 1000):
            with server.lock:
                chain.tick(1)

    threads = [threading.Thread(target=server.serve_forever, daemon=True)]
    if args.slot_ms > 0:
        threads.append(threading.Thread(target=ticker, daemon=True))
    for thread in threads:
        thread.start()
    print("ready", server.server_address[1], flush=True)
    sys.stdin.read()  # whoever started this node holds the other end: it ends with them
    stop.set()


if __name__ == "__main__":
    main()
