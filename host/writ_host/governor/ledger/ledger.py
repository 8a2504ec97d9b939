"""All that a governor promised, decided and certified: what must outlive its process.

One writer, one thread. Each method that writes is durable when it returns, with one fsync, unless
it is inside `together` or `at_once`. Below: database.py (the file), capsules.py (capsules and
pledges) and ceremonies.py.
"""

import json
import os
from typing import cast

from writ.authority.capsule import POLICY, SUCCESSION, assemble, parse
from writ.errors import UsageError

from ... import codec
from ...consensus.effects import Decide
from ...consensus.hardstate import RECORD_BYTES_MAX
from ...consensus.value import PAYLOADS_MAX, Value, body_of
from ...errors import HostError, Malformed
from ..proposals.approval import Approval
from ..proposals.proposal import OPEN, OPEN_MAX, Proposal
from .capsules import CapsuleStore
from .ceremonies import Files
from .database import TableFull, checksum

IDENT_BYTES = 8
# Of the newest committees; of those that are long replaced nobody asks any more.
PROMISES_KEPT = 8
# About 5 MB, and a policy a day for eleven years: others that were away fetch it from here.
# Whoever was away for longer goes on with the newest policy and the successions.
CHAIN_KEPT = 4096
# One for each change of seats or of the way something is kept.
META_KEYS_MAX = 256
META_BYTES_MAX = 4096
# Governors of all committees there were.
CURSORS_MAX = 256
# Proposals that are done with, for whoever looks back.
DONE_KEPT = 512
# About 3 MB of text; the oldest entries are dropped some at a time.
LOG_KEPT = 20000
LOG_SLACK = 256
TEXT_CHARS_MAX = 500
FACTS_CHARS_MAX = 2000


class Ledger(CapsuleStore):
    """The ledger of one governor. Made by `open`; it is a `consensus.state.Chain`."""

    # asked at each message
    _height: int | None = None

    @property
    def files(self) -> Files:
        """The files of ceremonies."""
        return Files(self)

    # --- promises: the hot path -------------------------------------------------------------------

    def promise(self, committee: bytes) -> bytes | None:
        """The promise record made in this committee (by its digest), None for none."""
        return cast(
            "bytes | None", self.value("SELECT record FROM promises WHERE committee = ?", committee)
        )

    def save_promise(self, committee: bytes, record: bytes) -> None:
        """Replace it, durably: whatever follows from it may be said when this returns."""
        if len(record) > RECORD_BYTES_MAX:
            raise UsageError("a promise record of that size is none")
        changed = self.write(
            "UPDATE promises SET record = ?, sum = ? WHERE committee = ?",
            *(record, checksum(record), committee),
        )
        if not changed:
            self._begin_promises(committee, record)

    def _begin_promises(self, committee: bytes, record: bytes) -> None:
        with self.together():
            self.write(
                "INSERT INTO promises (committee, record, sum) VALUES (?, ?, ?)",
                *(committee, record, checksum(record)),
            )
            self.write(
                "DELETE FROM promises WHERE rowid NOT IN"
                " (SELECT rowid FROM promises ORDER BY rowid DESC LIMIT ?)",
                PROMISES_KEPT,
            )

    # --- the chain --------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """The first epoch that is not decided; 1 for an empty ledger."""
        if self._height is None:
            newest = self.value("SELECT max(height) FROM chain")
            base = int.from_bytes(self.meta("base") or b"", "big")
            self._height = 1 + max(newest or 0, base)
        return self._height

    def _undo(self, statement: str) -> None:
        self._height = None
        super()._undo(statement)

    def decision(self, height: int) -> Decide | None:
        """What was decided at `height`, if it is still kept."""
        found = self.value("SELECT decide FROM chain WHERE height = ?", height)
        return None if found is None else self._read_decide(height, found)

    def heights(self) -> list[int]:
        """The epochs whose decision is kept, lowest first: the newest, and all successions."""
        return [height for (height,) in self.rows("SELECT height FROM chain ORDER BY height")]

    def decisions_that_matter(self) -> list[Decide]:
        """What leads from the charter to the state in force: all successions, the newest policy.

        Before each succession comes the policy that it found. A policy may have been certified
        elsewhere, or be forgotten as a decision, and then comes from its capsule.
        """
        policy = self.value("SELECT max(height) FROM chain WHERE kind != ?", SUCCESSION) or 0
        rows = self.rows(
            "SELECT height, decide FROM chain WHERE kind = ? OR height = ? ORDER BY height",
            *(SUCCESSION, policy),
        )
        found = {height: self._read_decide(height, data) for height, data in rows}
        raws = [
            self.value(
                "SELECT raw FROM capsules WHERE kind = ? AND epoch < ? ORDER BY epoch DESC LIMIT 1",
                *(POLICY, height),
            )
            for height in found
            if height != policy
        ]
        for raw in [*raws, self.policy_capsule()]:
            if raw is not None and (capsule := parse(raw)).body[1] not in found:
                value = Value((bytes(capsule.payload),))
                found[value.epoch] = Decide(value.epoch, value, (bytes(capsule.signature),))
        return [found[height] for height in sorted(found)]

    def _read_decide(self, height: int, data: bytes) -> Decide:
        try:
            value, signatures = codec.a_list(codec.load(data), 2)
            listed = codec.a_list(signatures, size_max=PAYLOADS_MAX)
            found = tuple(codec.some_bytes(one, 64) for one in listed)
            return Decide(height, Value.from_item(value), found)
        except Malformed as error:
            raise self._damaged(f"the decision of epoch {height}: {error}") from None

    def add_decision(self, decide: Decide) -> list[bytes]:
        """Keep a decision and the capsules that it makes: those, as `add_capsules` does.

        Durable when it returns. Raises `UsageError` for another height than `height`.
        """
        if decide.height != self.height:
            raise UsageError(f"epoch {decide.height} does not follow {self.height - 1}")
        pairs = zip(decide.value.payloads, decide.signatures, strict=True)
        raws = [assemble(payload, signature) for payload, signature in pairs]
        data = codec.dump([decide.value.to_item(), list(decide.signatures)])
        with self.together():
            self.write(
                "INSERT INTO chain (height, decide, sum, kind) VALUES (?, ?, ?, ?)",
                *(decide.height, data, checksum(data), body_of(decide.value.payloads[0])[0]),
            )
            self.write(
                "DELETE FROM chain WHERE height <= ? AND kind != ?",
                *(decide.height - CHAIN_KEPT, SUCCESSION),
            )
            self._height = None
            return self.add_capsules(raws)

    def skip_to(self, height: int) -> None:
        """Take the epochs below `height` for decided, whatever they were; durable.

        For a scope whose first policies were certified in ceremonies, and for a newcomer who was
        given the newest certified policy. Raises `UsageError` for a step back.
        """
        if height < self.height:
            raise UsageError(f"epoch {height - 1} is long decided")
        self.set_meta("base", (height - 1).to_bytes(4, "big"))
        self._height = None

    # --- proposals and approvals ------------------------------------------------------------------

    def save_proposal(self, proposal: Proposal) -> None:
        """Keep an open proposal; one that was done with is open again, without its approvals.

        Raises `TableFull`.
        """
        item = codec.dump(proposal.to_item())
        with self.together():
            known = self.value("SELECT state FROM proposals WHERE id = ?", proposal.id)
            if known == OPEN:
                # there may be better evidence
                self.write("UPDATE proposals SET item = ? WHERE id = ?", item, proposal.id)
                return
            if self.value("SELECT count(*) FROM proposals WHERE state = ?", OPEN) >= OPEN_MAX:
                raise TableFull(f"{OPEN_MAX} proposals are open")
            self.write("DELETE FROM proposals WHERE id = ?", proposal.id)
            self.write(
                "INSERT INTO proposals (id, item, proposer, state, reason) VALUES (?, ?, ?, ?, '')",
                *(proposal.id, item, proposal.proposer, OPEN),
            )

    def close_proposal(self, id: bytes, state: str, reason: str = "") -> None:
        """It is done with: DONE_KEPT of those are remembered. One that was never kept is fine."""
        with self.at_once():
            changed = self.write(
                "UPDATE proposals SET state = ?, reason = ? WHERE id = ?",
                *(state, reason[:TEXT_CHARS_MAX], id),
            )
            if changed:
                self._trim_done()

    def keep_done(self, proposal: Proposal, state: str, reason: str = "") -> None:
        """The same of one that was done with before it was ever kept."""
        with self.at_once():
            self.write(
                "INSERT OR REPLACE INTO proposals (id, item, proposer, state, reason)"
                " VALUES (?, ?, ?, ?, ?)",
                *(proposal.id, codec.dump(proposal.to_item()), proposal.proposer, state),
                reason[:TEXT_CHARS_MAX],
            )
            self._trim_done()

    def _trim_done(self) -> None:
        self.write(
            "DELETE FROM proposals WHERE state != ?1 AND seq <= (SELECT seq FROM proposals"
            " WHERE state != ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            *(OPEN, DONE_KEPT),
        )

    def open_proposals(self) -> list[Proposal]:
        """Those that are open, oldest first, with their approvals."""
        return self._proposals("state = ? ORDER BY seq", OPEN)

    def done_proposals(self, most: int) -> list[Proposal]:
        """The last that are done with, newest first, with their approvals."""
        return self._proposals("state != ? ORDER BY seq DESC LIMIT ?", OPEN, most)

    def _proposals(self, which: str, *values: object) -> list[Proposal]:
        rows = f"SELECT id, item, proposer, state, reason FROM proposals WHERE {which}"
        found = []
        for id, item, proposer, state, reason in self.rows(rows, *values):
            try:
                proposal = Proposal.from_item(codec.load(item), proposer)
                proposal.approvals = self.approvals(id)
            except HostError as error:
                raise self._damaged(f"proposal {id.hex()}: {error}") from None
            proposal.state, proposal.reason, proposal.is_saved = state, reason, True
            found.append(proposal)
        return found

    def save_approval(self, id: bytes, approval: Approval) -> None:
        """Keep what a governor's operator said of an open proposal; the first word counts."""
        self.write(
            "INSERT OR IGNORE INTO approvals (id, number, item) SELECT id, ?2, ?3 FROM proposals"
            " WHERE id = ?1",
            *(id, approval.number, codec.dump(approval.to_item(id))),
        )

    def approvals(self, id: bytes) -> dict[int, Approval]:
        """What was said of a proposal, by the governor's number. Raises `Malformed`."""
        rows = self.rows("SELECT number, item FROM approvals WHERE id = ? ORDER BY number", id)
        return {number: Approval.from_item(codec.load(item))[1] for number, item in rows}

    # --- what was done, for people ----------------------------------------------------------------

    def log(self, event: str, text: str, **facts: object) -> None:
        """One more line; facts: JSON-able, never a secret. The newest LOG_KEPT are kept."""
        listed = json.dumps(facts)
        if len(listed) > FACTS_CHARS_MAX:
            listed = "{}"
        with self.at_once():
            self.write(
                "INSERT INTO log (time, event, text, facts) VALUES (?, ?, ?, ?)",
                *(self.clock_s(), event, text[:TEXT_CHARS_MAX], listed),
            )
            newest = self.value("SELECT max(seq) FROM log")
            if newest % LOG_SLACK == 0:
                self.write("DELETE FROM log WHERE seq <= ?", newest - LOG_KEPT)

    def entries(self, most: int, before: int | None = None) -> list[dict[str, object]]:
        """The last lines of the log, oldest first: seq, time_s, event, text, facts.

        before: only those with a smaller seq, to go back further.
        """
        rows = self.rows(
            "SELECT seq, time, event, text, facts FROM log WHERE seq < ? ORDER BY seq DESC LIMIT ?",
            *(before if before is not None else 2**62, most),
        )
        keys = ("seq", "time_s", "event", "text")
        return [
            {**dict(zip(keys, row[:4], strict=True)), "facts": json.loads(row[4])}
            for row in reversed(rows)
        ]

    # --- small things -----------------------------------------------------------------------------

    def meta(self, key: str) -> bytes | None:
        """What was kept under this key."""
        return cast("bytes | None", self.value("SELECT value FROM meta WHERE key = ?", key))

    def set_meta(self, key: str, value: bytes | None) -> None:
        """Keep up to META_BYTES_MAX bytes under a key; None takes it away."""
        if value is None:
            self.write("DELETE FROM meta WHERE key = ?", key)
            return
        if len(value) > META_BYTES_MAX or self.value("SELECT count(*) FROM meta") > META_KEYS_MAX:
            raise UsageError("the ledger's small things are small and few")
        self.write("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value)

    @property
    def ident(self) -> bytes:
        """Which ledger this is (8 B): a cursor of another one, or of before a restore, is void."""
        found = self.meta("ident")
        if found is None:
            found = os.urandom(IDENT_BYTES)
            self.set_meta("ident", found)
        return found

    def peer_cursor(self, peer: bytes) -> int:
        """How far this governor has read in a peer's ledger (its `ident`, or its key); 0: not."""
        return int(self.value("SELECT value FROM cursors WHERE peer = ?", peer) or 0)

    def save_peer_cursor(self, peer: bytes, cursor: int) -> None:
        """Remember it."""
        with self.together():
            self.write("INSERT OR REPLACE INTO cursors (peer, value) VALUES (?, ?)", peer, cursor)
            self.write(
                "DELETE FROM cursors WHERE peer NOT IN"
                " (SELECT peer FROM cursors ORDER BY rowid DESC LIMIT ?)",
                CURSORS_MAX,
            )
