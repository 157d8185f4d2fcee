"""The state of a small Solana node: LiteSVM, which runs the real token programs, and what a node has beyond it.

LiteSVM has one state and only its latest blockhash. Made here: a window of blockhashes (random ones, as a transaction of an earlier run must
not be valid again), history, statuses, commitment by age, and a way back for forks."""

import base64
import hashlib
import json
import os
import struct
import time

from solders.account import Account
from solders.clock import Clock
from solders.compute_budget import set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata
from solders.transaction_status import (
    InstructionErrorCustom,
    TransactionErrorDuplicateInstruction,
    TransactionErrorInstructionError,
    TransactionErrorInsufficientFundsForRent,
)

WINDOW = 151  # blockhashes that are taken: the latest and 150 before it
MAX_RAW = 1232  # bytes of a transaction
BASE_SLOT = 1000  # slots run ahead of heights, as on a chain that has skipped some
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
SYSTEM = Pubkey.default()
TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
MEMOS = {"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"}


class Refusal(Exception):
    """An error of JSON-RPC."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.body = {"code": code, "message": message}
        if data is not None:
            self.body["data"] = data


def error_shape(err):
    """A transaction's error in the form of Solana's RPC; solders' own to_json gives another one."""
    if isinstance(err, TransactionErrorInstructionError):
        inner = err.err
        if isinstance(inner, InstructionErrorCustom):
            return {"InstructionError": [err.index, {"Custom": inner.code}]}
        return {"InstructionError": [err.index, str(inner).rsplit(".", 1)[-1]]}
    if isinstance(err, TransactionErrorDuplicateInstruction):
        return {"DuplicateInstruction": err.index}
    if isinstance(err, TransactionErrorInsufficientFundsForRent):
        return {"InsufficientFundsForRent": {"account_index": err.account_index}}
    return str(err).rsplit(".", 1)[-1]


def called(value):
    return value() if callable(value) else value


def ui_amount(amount, decimals):
    text = str(amount).rjust(decimals + 1, "0")
    whole = text if decimals == 0 else (text[:-decimals] + "." + text[-decimals:]).rstrip("0").rstrip(".")
    return {"amount": str(amount), "decimals": decimals, "uiAmount": amount / 10**decimals, "uiAmountString": whole}


class Landed:
    """A transaction that was recorded."""

    def __init__(self, raw, tx, slot, when, keys, loaded):
        self.raw, self.tx, self.slot, self.when, self.keys, self.loaded = raw, tx, slot, when, keys, loaded
        self.signature = str(tx.signatures[0])
        self.err, self.fee, self.logs, self.units, self.inner = None, 0, [], 0, []
        self.lamports, self.tokens = ([], []), ([], [])

    def memo(self):
        found = []
        for ins in self.tx.message.instructions:
            if str(self.keys[ins.program_id_index]) in MEMOS:
                text = bytes(ins.data).decode("utf-8", "replace")
                found.append("[%d] %s" % (len(ins.data), text))
        return "; ".join(found) or None


class Chain:
    def __init__(self, finality):
        self.finality = finality
        # The default history holds some 32 signatures, so that a replay would be taken after 40 others.
        # Signatures are checked here, once for each send and not four times.
        self.svm = LiteSVM().with_transaction_history(1_000_000).with_sigverify(False)
        self.height, self.hashes, self.order = 0, {}, []
        self.txs, self.log, self.by_address = {}, [], {}
        self.undo = {}  # pubkey -> [(slot, account before)], the way back to finalized and beyond forks
        self.faults, self.lag, self.stale = [], 0, False
        self.genesis = str(Hash(os.urandom(32)))
        self.faucet, self.drops = Keypair(), 0
        self.svm.set_account(self.faucet.pubkey(), Account(10**18, b"", SYSTEM, False, 0))
        self.tick(finality + 1)

    # Time.

    def slot(self):
        return BASE_SLOT + self.height

    def tick(self, n):
        for _ in range(n):
            self.height += 1
            fresh = Hash(os.urandom(32))
            self.order.append((self.height, fresh))
            self.hashes[str(fresh)] = self.height
        while len(self.order) > max(WINDOW, self.finality + 2):
            height, old = self.order.pop(0)
            del self.hashes[str(old)]
        self.svm.expire_blockhash()
        self.svm.warp_to_slot(self.slot())
        # Without slot hashes a lookup table cannot be made.
        self.svm.set_slot_hashes([(BASE_SLOT + h, x) for h, x in reversed(self.order)])
        clock = self.svm.get_clock()
        self.svm.set_clock(Clock(self.slot(), clock.epoch_start_timestamp, clock.epoch, clock.leader_schedule_epoch, int(time.time())))
        self.forget_undo()

    def forget_undo(self):
        done = self.at("finalized", lag=max(self.lag, 64))
        if self.height % 64 == 0:
            self.undo = {k: kept for k, old in self.undo.items() if (kept := [x for x in old if x[0] > done])}

    def at(self, commitment, lag=None):
        """The newest slot that a reader at this commitment sees."""
        ages = {"processed": 0, "confirmed": min(1, self.finality), "finalized": self.finality}
        if commitment not in ages:
            raise Refusal(-32602, "Invalid params: commitment")
        return max(BASE_SLOT, self.slot() - ages[commitment] - (self.lag if lag is None else lag))

    def in_window(self, blockhash):
        height = self.hashes.get(str(blockhash))
        return height is not None and self.height - height < WINDOW

    def account(self, key, slot):
        """The account as it stood at the end of the slot."""
        for changed, before in self.undo.get(key, ()):
            if changed > slot:
                return before
        return self.svm.get_account(key)

    # Transactions.

    def decode(self, raw):
        if len(raw) > MAX_RAW:
            encoded = len(base64.b64encode(raw))
            raise Refusal(-32602, f"base64 encoded solana_transaction::versioned::VersionedTransaction too large: {encoded} bytes "
                          f"(max: encoded/raw 1644/{MAX_RAW})")
        try:
            tx = VersionedTransaction.from_bytes(raw)
            tx.sanitize()
            if bytes(tx) != raw:
                raise ValueError("bytes left over")
        except BaseException as err:  # a panic of the library is no Exception
            raise Refusal(-32602, f"failed to deserialize solana_transaction::versioned::VersionedTransaction: {err}") from None
        return tx

    def keys_of(self, message):
        """All account keys in the order of the indices, and those that came from lookup tables."""
        keys, writable, readonly = list(message.account_keys), [], []
        if isinstance(message, MessageV0):
            for lookup in message.address_table_lookups:
                table = self.svm.get_account(lookup.account_key)
                if table is None or table.owner != TABLES:
                    raise Refusal(-32002, "Transaction simulation failed: Address table account not found", {"err": "AddressLookupTableNotFound"})
                data = bytes(table.data)[56:]
                pick = lambda i: Pubkey.from_bytes(data[32 * i : 32 * i + 32])
                writable += [pick(i) for i in bytes(lookup.writable_indexes)]
                readonly += [pick(i) for i in bytes(lookup.readonly_indexes)]
        return keys + writable + readonly, (writable, readonly)

    def arm(self, tx):
        """LiteSVM knows only its latest blockhash: whether ours is in the window is decided here; its own check is left for durable nonces."""
        self.svm.with_blockhash_check(not self.in_window(tx.message.recent_blockhash))

    def simulate(self, tx):
        if str(tx.signatures[0]) in self.txs:
            return "AlreadyProcessed", None
        self.arm(tx)
        out = self.svm.simulate_transaction(tx)
        if isinstance(out, FailedTransactionMetadata):
            return error_shape(called(out.err)), called(out.meta)
        return None, called(out.meta)

    def preflight(self, tx):
        err, meta = self.simulate(tx)
        if err is None:
            return
        logs = list(called(meta.logs)) if meta is not None else []
        words = {"AlreadyProcessed": "This transaction has already been processed", "BlockhashNotFound": "Blockhash not found",
                 "AccountNotFound": "Attempt to debit an account but found no record of a prior credit."}
        said = words.get(err) if isinstance(err, str) else None
        if said is None:
            said = "Error processing Instruction %d: %s" % tuple(err["InstructionError"]) if "InstructionError" in err else json.dumps(err)
        raise Refusal(-32002, "Transaction simulation failed: " + said, {
            "accounts": None, "err": err, "innerInstructions": None, "logs": logs, "returnData": None,
            "unitsConsumed": called(meta.compute_units_consumed) if meta is not None else 0})

    def send(self, raw, skip_preflight):
        tx = self.decode(raw)
        signature = str(tx.signatures[0])
        fault = self.faults.pop(0) if self.faults else None
        genuine = all(tx.verify_with_results())
        if not skip_preflight and fault != "nopreflight":
            if not genuine:
                raise Refusal(-32003, "Transaction signature verification failure")
            self.preflight(tx)
        if genuine and fault != "drop":
            self.land(raw, tx)
        if fault == "ambiguous":
            raise Refusal(-32005, "Node is unhealthy")
        return signature

    def land(self, raw, tx):
        """Executes and records. What a leader would leave out of its block (an old blockhash, a replay) vanishes without a word."""
        if str(tx.signatures[0]) in self.txs:
            return
        keys, loaded = self.keys_of(tx.message)
        before = self.look(tx, keys)
        done = Landed(raw, tx, self.slot(), int(time.time()), keys, loaded)
        self.arm(tx)
        out = self.svm.send_transaction(tx)
        meta = out
        if isinstance(out, FailedTransactionMetadata):
            done.err, meta = error_shape(called(out.err)), called(out.meta)
            if not isinstance(done.err, dict):
                return
            self.advance_nonce(tx)
        done.fee, done.logs, done.units = called(meta.fee), list(called(meta.logs)), called(meta.compute_units_consumed)
        done.inner = [[(i.instruction(), i.stack_height()) for i in group] for group in called(meta.inner_instructions)]
        after = self.look(tx, keys)
        for key, old, new in zip(keys, before, after):
            if old != new:
                self.undo.setdefault(key, []).append((done.slot, old))
        done.lamports = tuple([a if isinstance(a, int) else a.lamports if a else 0 for a in side] for side in (before, after))
        done.tokens = tuple(self.token_balances(side) for side in (before, after))
        self.txs[done.signature] = done
        self.log.append(done)
        for key in dict.fromkeys(keys):
            self.by_address.setdefault(key, []).append(done)

    def look(self, tx, keys):
        """The accounts as they stand; of programs that run only the lamports, as copying their code would take most of the time."""
        programs = {i.program_id_index for i in tx.message.instructions}
        return [self.svm.get_balance(k) or 0 if i in programs else self.svm.get_account(k) for i, k in enumerate(keys)]

    def advance_nonce(self, tx):
        """A failed durable-nonce transaction uses its nonce up; LiteSVM leaves it as it was."""
        if not tx.uses_durable_nonce() or self.in_window(tx.message.recent_blockhash):
            return
        key = tx.message.account_keys[bytes(tx.message.instructions[0].accounts)[0]]
        account = self.svm.get_account(key)
        data = bytearray(account.data)
        data[40:72] = hashlib.sha256(b"DURABLE_NONCE" + bytes(self.svm.latest_blockhash())).digest()
        self.svm.set_account(key, Account(account.lamports, bytes(data), account.owner, account.executable, account.rent_epoch))

    def token_balances(self, accounts):
        found = []
        for index, account in enumerate(accounts):
            token = parse_token(account)
            if token is not None:
                found.append({"accountIndex": index, "mint": str(token[0]), "owner": str(token[1]), "programId": str(account.owner),
                              "uiTokenAmount": ui_amount(token[2], self.decimals(token[0]))})
        return found

    def decimals(self, mint):
        account = self.svm.get_account(mint)
        return bytes(account.data)[44] if account is not None and len(account.data) >= 82 else 0

    def fork(self):
        """All that is not finalized vanishes, as if the other branch had won; the same bytes may land again."""
        keep = self.at("finalized", lag=0)
        gone = [x for x in self.log if x.slot > keep]
        for key, old in self.undo.items():
            for index, (slot, before) in enumerate(old):
                if slot > keep:
                    self.svm.set_account(key, before or Account(0, b"", SYSTEM, False, 0))
                    del old[index:]
                    break
        self.log = self.log[: len(self.log) - len(gone)]
        for lost in gone:
            del self.txs[lost.signature]
            for key in set(lost.keys):
                self.by_address[key].remove(lost)
        # Its list of what it has seen cannot be cut; ours refuses replays of what stayed.
        self.svm.with_transaction_history(0)
        self.svm.with_transaction_history(1_000_000)
        return len(gone)

    def airdrop(self, to, lamports):
        self.drops += 1  # so that two alike have two signatures
        ins = [set_compute_unit_price(self.drops), transfer(TransferParams(from_pubkey=self.faucet.pubkey(), to_pubkey=to, lamports=lamports))]
        tx = VersionedTransaction(Message.new_with_blockhash(ins, self.faucet.pubkey(), self.order[-1][1]), [self.faucet])
        self.preflight(tx)
        self.land(bytes(tx), tx)
        return str(tx.signatures[0])


def parse_token(account):
    """(mint, owner, amount) if this is a token account."""
    if account is None or isinstance(account, int) or account.owner not in (TOKEN, TOKEN_2022):
        return None
    data = bytes(account.data)
    if len(data) < 165 or (len(data) > 165 and data[165] != 2) or data[108] == 0:
        return None
    return Pubkey.from_bytes(data[:32]), Pubkey.from_bytes(data[32:64]), struct.unpack_from("<Q", data, 64)[0]
