"""The ledger of a governor: all that must outlive its process, in one SQLite database.

The ledger itself keeps the hard state of consensus, the chain of decisions, the log for operators
and small values by key; its parts keep the rest: capsules, reservations, proposals and the files
of ceremonies. One process writes, in one thread. Each method that writes is durable on return,
with one fsync, unless it is called inside `together` or `at_once`.
"""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from writ.authority.capsule import POLICY, SUCCESSION, assemble, parse
from writ.errors import UsageError

from ... import codec
from ...consensus.effects import Decide
from ...consensus.hardstate import RECORD_BYTES_MAX
from ...consensus.value import PAYLOADS_MAX, Value, body_of
from ...errors import HostError, Malformed
from ...scope.folder import now_s
from .capsules import CapsuleStore
from .ceremonies import CeremonyFiles
from .database import Database
from .proposals import ProposalStore
from .reservations import ReservationStore
from .restorations import RestorationStore
from .schema import checksum

IDENT_BYTES = 8
# Of the newest committees: messages of a committee that was replaced long ago get no answer.
HARD_STATES_KEPT = 8
# About 5 MB, and a policy a day for eleven years: governors that were away fetch it from here. One
# that was away for longer continues with the newest policy and the successions.
CHAIN_KEPT = 4096
# One for each change of seats, and one for each format that changed.
META_KEYS_MAX = 256
META_BYTES_MAX = 4096
# The governors of all committees so far.
CURSORS_MAX = 256
# About 3 MB of text; the oldest entries are dropped LOG_SLACK at a time.
LOG_KEPT = 20000
LOG_SLACK = 256
TEXT_CHARS_MAX = 500
FACTS_CHARS_MAX = 2000


class Ledger:
    """The ledger of one governor. Made by `open`; it is a `consensus.state.Chain`.

    clock_s: Unix seconds.
    """

    def __init__(self, database: Database, clock_s: Callable[[], int]) -> None:
        self.database = database
        self.clock_s = clock_s
        self.capsules = CapsuleStore(database, clock_s)
        self.reservations = ReservationStore(database, self.capsules, clock_s)
        self.proposals = ProposalStore(database)
        self.restorations = RestorationStore(self.meta, self.set_meta, clock_s)
        self.files = CeremonyFiles(database)
        self._height: int | None = None  # None: not read since a rollback or a decision
        database.on_rollback.append(self._forget_height)

    @classmethod
    def open(cls, path: Path, clock_s: Callable[[], int] = now_s) -> "Ledger":
        """The ledger at `path`, created where there is none. Raises as `Database.open` does."""
        return cls(Database.open(path), clock_s)

    def close(self) -> None:
        """As `Database.close`."""
        self.database.close()

    def together(self) -> AbstractContextManager[None]:
        """As `Database.together`: all writes of the block, or none."""
        return self.database.together()

    def at_once(self) -> AbstractContextManager[None]:
        """As `Database.at_once`: one fsync for all writes of the block, when it ends."""
        return self.database.at_once()

    @property
    def is_dirty(self) -> bool:
        """Whether there are writes that are not durable yet."""
        return self.database.is_dirty

    @property
    def failure(self) -> HostError | None:
        """The newest error of the disk or the database, None while they work."""
        return self.database.failure

    # --- hard state: the hot path -----------------------------------------------------------------

    def hard_state(self, committee: bytes) -> bytes | None:
        """The record of this governor's hard state in a committee (its digest), None for none."""
        record = self.database.value("SELECT record FROM promises WHERE committee = ?", committee)
        return cast("bytes | None", record)

    def save_hard_state(self, committee: bytes, record: bytes) -> None:
        """Replace the record, durably: messages that depend on it may be sent on return."""
        if len(record) > RECORD_BYTES_MAX:
            raise UsageError("a record of the hard state is smaller")
        changed = self.database.write(
            "UPDATE promises SET record = ?, sum = ? WHERE committee = ?",
            *(record, checksum(record), committee),
        )
        if not changed:
            self._insert_hard_state(committee, record)

    def _insert_hard_state(self, committee: bytes, record: bytes) -> None:
        with self.database.together():
            self.database.write(
                "INSERT INTO promises (committee, record, sum) VALUES (?, ?, ?)",
                *(committee, record, checksum(record)),
            )
            self.database.write(
                "DELETE FROM promises WHERE rowid NOT IN"
                " (SELECT rowid FROM promises ORDER BY rowid DESC LIMIT ?)",
                HARD_STATES_KEPT,
            )

    # --- the chain --------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """The first epoch that is not decided; 1 for an empty ledger."""
        # cached, since each message needs it
        if self._height is None:
            newest = self.database.value("SELECT max(height) FROM chain")
            base = int.from_bytes(self.meta("base") or b"", "big")
            self._height = 1 + max(newest or 0, base)
        return self._height

    def _forget_height(self) -> None:
        self._height = None

    def decision(self, height: int) -> Decide | None:
        """The decision at `height`, if it is still kept."""
        found = self.database.value("SELECT decide FROM chain WHERE height = ?", height)
        return None if found is None else self._read_decide(height, found)

    def heights(self) -> list[int]:
        """The epochs whose decision is kept, lowest first: the newest, and all successions."""
        rows = self.database.rows("SELECT height FROM chain ORDER BY height")
        return [height for (height,) in rows]

    def decisions_in_force(self) -> list[Decide]:
        """The decisions that lead from the charter to the state in force, lowest height first.

        All successions, the policy before each succession, and the newest policy. A policy that
        was certified outside of this chain, or whose decision is no longer kept, comes from its
        capsule.
        """
        database = self.database
        policy = database.value("SELECT max(height) FROM chain WHERE kind != ?", SUCCESSION) or 0
        rows = database.rows(
            "SELECT height, decide FROM chain WHERE kind = ? OR height = ? ORDER BY height",
            *(SUCCESSION, policy),
        )
        found = {height: self._read_decide(height, data) for height, data in rows}
        raws = [
            database.value(
                "SELECT raw FROM capsules WHERE kind = ? AND epoch < ? ORDER BY epoch DESC LIMIT 1",
                *(POLICY, height),
            )
            for height in found
            if height != policy
        ]
        for raw in [*raws, self.capsules.policy()]:
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
            raise self.database.damaged(f"the decision of epoch {height}: {error}") from None

    def add_decision(self, decide: Decide) -> list[bytes]:
        """Keep a decision and its capsules, durably; returns those that were new.

        Raises `UsageError` for another height than `height`.
        """
        if decide.height != self.height:
            raise UsageError(f"epoch {decide.height} does not follow {self.height - 1}")
        pairs = zip(decide.value.payloads, decide.signatures, strict=True)
        raws = [assemble(payload, signature) for payload, signature in pairs]
        data = codec.dump([decide.value.to_item(), list(decide.signatures)])
        with self.database.together():
            self.database.write(
                "INSERT INTO chain (height, decide, sum, kind) VALUES (?, ?, ?, ?)",
                *(decide.height, data, checksum(data), body_of(decide.value.payloads[0])[0]),
            )
            self.database.write(
                "DELETE FROM chain WHERE height <= ? AND kind != ?",
                *(decide.height - CHAIN_KEPT, SUCCESSION),
            )
            self._forget_height()
            return self.capsules.add(raws)

    def skip_to(self, height: int) -> None:
        """Treat the epochs below `height` as decided, without their decisions; durable.

        For a scope whose first policies were certified in ceremonies, and for a new governor that
        was given the newest certified policy. Raises `UsageError` for a step back.
        """
        if height < self.height:
            raise UsageError(f"epoch {height - 1} is decided already")
        self.set_meta("base", (height - 1).to_bytes(4, "big"))
        self._forget_height()

    # --- the log for operators --------------------------------------------------------------------

    def log(self, event: str, text: str, **facts: object) -> None:
        """Add an entry. facts: JSON-able, never a secret. The newest LOG_KEPT entries are kept."""
        encoded = json.dumps(facts)
        if len(encoded) > FACTS_CHARS_MAX:
            encoded = "{}"
        with self.database.at_once():
            self.database.write(
                "INSERT INTO log (time, event, text, facts) VALUES (?, ?, ?, ?)",
                *(self.clock_s(), event, text[:TEXT_CHARS_MAX], encoded),
            )
            newest = self.database.value("SELECT max(seq) FROM log")
            if newest % LOG_SLACK == 0:
                self.database.write("DELETE FROM log WHERE seq <= ?", newest - LOG_KEPT)

    def log_entries(self, most: int, before: int | None = None) -> list[dict[str, object]]:
        """The newest entries of the log, oldest first: seq, time_s, event, text, facts.

        before: only entries with a smaller seq, to page backwards.
        """
        rows = self.database.rows(
            "SELECT seq, time, event, text, facts FROM log WHERE seq < ? ORDER BY seq DESC LIMIT ?",
            *(before if before is not None else 2**62, most),
        )
        keys = ("seq", "time_s", "event", "text")
        return [
            {**dict(zip(keys, row[:4], strict=True)), "facts": json.loads(row[4])}
            for row in reversed(rows)
        ]

    # --- small values -----------------------------------------------------------------------------

    def meta(self, key: str) -> bytes | None:
        """The value of this key."""
        return cast(
            "bytes | None", self.database.value("SELECT value FROM meta WHERE key = ?", key)
        )

    def set_meta(self, key: str, value: bytes | None) -> None:
        """Set a key to at most META_BYTES_MAX bytes; None deletes it."""
        if value is None:
            self.database.write("DELETE FROM meta WHERE key = ?", key)
            return
        count = self.database.value("SELECT count(*) FROM meta")
        if len(value) > META_BYTES_MAX or count > META_KEYS_MAX:
            raise UsageError("a value of the ledger is too large, or there are too many")
        self.database.write("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value)

    @property
    def ident(self) -> bytes:
        """The ledger's own id (8 B). A backup has another one, so that peers drop their cursor."""
        found = self.meta("ident")
        if found is None:
            found = os.urandom(IDENT_BYTES)
            self.set_meta("ident", found)
        return found

    def peer_cursor(self, peer: bytes) -> int:
        """How far this governor has read a peer's ledger (by its `ident` or key); 0 for not."""
        return int(self.database.value("SELECT value FROM cursors WHERE peer = ?", peer) or 0)

    def save_peer_cursor(self, peer: bytes, cursor: int) -> None:
        """Keep the cursor into a peer's ledger."""
        with self.database.together():
            self.database.write(
                "INSERT OR REPLACE INTO cursors (peer, value) VALUES (?, ?)", peer, cursor
            )
            self.database.write(
                "DELETE FROM cursors WHERE peer NOT IN"
                " (SELECT peer FROM cursors ORDER BY rowid DESC LIMIT ?)",
                CURSORS_MAX,
            )
