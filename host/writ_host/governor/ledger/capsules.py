"""The certified capsules of a governor: what is in force, and what other nodes may still need.

The store is bounded, since a ledger on an SD card must not grow without end. It keeps:
    charters, successions  all: a device of any age follows them from the first to the last
    policies               the newest few, and the last one before each succession, which leads a
                           device that slept through both to the start of the succession
    amendments, beacons    the newest few, for nodes that are one step behind
    members                the newest of each key: a renewal replaces the capsule before it
    actions                until they expire

A payload is kept once in an *era*, the time between two successions. The same payload with other
signers' signature is not new: two governors would send it to each other without end. After a
succession it is new, since devices no longer accept the old group key's signature.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    CHARTER,
    EXP,
    IAT,
    MEMBER,
    POLICY,
    SUCCESSION,
    Capsule,
    Member,
)

from ...scope.validation import KnownMember
from .database import Database, LedgerFull

DIGEST_BYTES = 16
NODE_BYTES = 8
# Parsed capsules in the cache: several parts of a governor read the same new capsule in a row.
PARSED_KEPT = 64
# Capsules that share a commit: the answer to a pull, or two batches of renewals.
BATCH_MAX = 64
# One founding and a succession a month for five years.
CHARTERS_MAX = 64
POLICIES_KEPT = 8
AMENDMENTS_KEPT = 8
BEACONS_KEPT = 4
# A command a second for a quarter of an hour.
ACTIONS_KEPT = 1024
# One for each possible short address; beyond that the capsules that expired first are dropped.
MEMBERS_MAX = 65534


@lru_cache(PARSED_KEPT)
def read_capsule(raw: bytes) -> Capsule:
    """`capsules.parse` with a cache. Callers share the result and must not change it."""
    return capsules.parse(raw)


class CapsuleStore:
    """The capsules in the ledger's database. clock_s: Unix seconds."""

    def __init__(self, database: Database, clock_s: Callable[[], int]) -> None:
        self.clock_s = clock_s
        self._database = database
        self._era_cached: int | None = None  # None: not counted since a rollback or succession
        database.on_rollback.append(self._forget_era)

    # --- adding -----------------------------------------------------------------------------------

    def add(self, raws: Sequence[bytes]) -> list[bytes]:
        """Keep certified capsules, durably, BATCH_MAX to a commit; returns those that were new.

        Does not check signatures. Raises the `Rejection` of an input that is not a capsule.
        """
        parsed = [read_capsule(bytes(raw)) for raw in raws]
        added: list[bytes] = []
        for start in range(0, len(parsed), BATCH_MAX):
            with self._database.together():
                new = [one for one in parsed[start : start + BATCH_MAX] if self._add(one)]
                for kind in {int(one.kind) for one in new}:
                    self._trim(kind)
            added += [bytes(one.raw) for one in new]
        return added

    def _add(self, capsule: Capsule) -> bool:
        kind = int(capsule.kind)
        content = hashlib.sha256(capsule.payload).digest()[:DIGEST_BYTES]
        era = self._era()
        # a charter belongs to no era
        same = "SELECT 1 FROM capsules WHERE content = ? AND (era = ? OR kind = ?)"
        if self._database.row(same, content, era, CHARTER):
            return False
        epoch = capsule.body[1] if kind in (POLICY, AMENDMENT, SUCCESSION, BEACON) else None
        time = capsule.claims.get(EXP, capsule.claims.get(IAT))
        node, name, address = None, None, None
        if kind == MEMBER:
            member = Member(capsule)
            node, name, address = bytes(member.node_id), member.name, member.address
        if not self._is_new(kind, epoch, time, node, era):
            return False
        if kind == MEMBER:
            self._database.write("DELETE FROM capsules WHERE node = ?", node)
        self._database.write(
            "INSERT INTO capsules (digest, content, kind, epoch, time, node, name, address, era,"
            " raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(bytes(capsule.digest())[:DIGEST_BYTES], content, kind, epoch, time, node, name),
            *(address, era, bytes(capsule.raw)),
        )
        if kind == SUCCESSION:
            self._forget_era()
        return True

    def _era(self) -> int:
        if self._era_cached is None:
            count = self._database.value("SELECT count(*) FROM capsules WHERE kind = ?", SUCCESSION)
            self._era_cached = int(count)
        return self._era_cached

    def _forget_era(self) -> None:
        self._era_cached = None

    def _is_new(
        self, kind: int, epoch: int | None, time: int | None, node: bytes | None, era: int
    ) -> bool:
        if kind == MEMBER:
            known = self._database.row("SELECT time, era FROM capsules WHERE node = ?", node)
            # under a new group key the same payload has a new signature
            return known is None or (era, time) > (known[1], known[0])
        if kind == BEACON:
            newest = self._database.value(
                "SELECT max(time) FROM capsules WHERE kind = ? AND era = ?", BEACON, era
            )
            return newest is None or time > newest
        if kind in (POLICY, AMENDMENT, SUCCESSION):
            newest = self._database.value("SELECT max(epoch) FROM capsules WHERE kind = ?", kind)
            return newest is None or epoch > newest
        if kind == ACTION:
            return time is not None and time > self.clock_s()
        if kind == CHARTER and len(self.charters()) >= CHARTERS_MAX:
            path = self._database.path
            raise LedgerFull(f"{path} holds {CHARTERS_MAX} charters", "Found a new scope.")
        return kind == CHARTER

    def _trim(self, kind: int) -> None:
        if kind == MEMBER:
            self._drop_all_but("kind = ? ORDER BY time DESC LIMIT ?", MEMBER, MEMBERS_MAX)
        elif kind == BEACON:
            self._drop_all_but("kind = ? ORDER BY era DESC, time DESC LIMIT ?", kind, BEACONS_KEPT)
        elif kind == AMENDMENT:
            self._drop_all_but("kind = ? ORDER BY epoch DESC LIMIT ?", kind, AMENDMENTS_KEPT)
        elif kind == ACTION:
            self._database.write(
                "DELETE FROM capsules WHERE kind = ? AND time <= ?", kind, self.clock_s()
            )
            self._drop_all_but("kind = ? ORDER BY seq DESC LIMIT ?", kind, ACTIONS_KEPT)
        elif kind == POLICY:
            self._database.write(
                "DELETE FROM capsules WHERE kind = ?1 AND epoch NOT IN (SELECT max(epoch) FROM"
                " capsules WHERE kind = ?1 GROUP BY era) AND seq NOT IN (SELECT seq FROM capsules"
                " WHERE kind = ?1 ORDER BY epoch DESC LIMIT ?2)",
                POLICY,
                POLICIES_KEPT,
            )

    def _drop_all_but(self, which: str, kind: int, most: int) -> None:
        count = self._database.value("SELECT count(*) FROM capsules WHERE kind = ?", kind)
        if count > most:
            self._database.write(
                f"DELETE FROM capsules WHERE kind = ? AND seq NOT IN"
                f" (SELECT seq FROM capsules WHERE {which})",
                *(kind, kind, most),
            )

    # --- reading ------------------------------------------------------------------------------

    @property
    def cursor(self) -> int:
        """The position of the newest capsule ever added; 0 for none."""
        return int(
            self._database.value("SELECT seq FROM sqlite_sequence WHERE name = 'capsules'") or 0
        )

    def since(self, cursor: int, most: int, size_max: int) -> tuple[int, list[bytes]]:
        """(new cursor, capsules) after `cursor`, in the order in which they were added.

        At most `most` capsules of `size_max` bytes in all, but always one if there is one. A cursor
        beyond the newest capsule comes from another ledger, or from before a restore: the result is
        then empty, with this ledger's cursor.
        """
        found: list[bytes] = []
        size = 0
        rows = self._database.rows(
            "SELECT seq, raw FROM capsules WHERE seq > ? ORDER BY seq LIMIT ?", cursor, most + 1
        )
        for place, (seq, raw) in enumerate(rows):
            size += len(raw)
            if place == most or (found and size > size_max):
                return cursor, found
            cursor = int(seq)
            found.append(raw)
        return self.cursor, found

    def find(self, digest: bytes) -> bytes | None:
        """The capsule whose SHA-256 begins with these 16 bytes."""
        return self._database.value("SELECT raw FROM capsules WHERE digest = ?", digest)

    def certified(self, payload: bytes) -> bytes | None:
        """The capsule with this payload that the group key in force has signed."""
        content = hashlib.sha256(payload).digest()[:DIGEST_BYTES]
        same = "SELECT raw FROM capsules WHERE content = ? AND era = ?"
        return self._database.value(same, content, self._era())

    def charters(self) -> list[bytes]:
        """All charters, oldest first: of the founding, then of each succession."""
        return self._all("SELECT raw FROM capsules WHERE kind = ? ORDER BY seq", CHARTER)

    def charter(self) -> bytes | None:
        """The founding charter, which gives the scope its permanent id."""
        return next(iter(self.charters()), None)

    def beacon(self) -> bytes | None:
        """The newest beacon that the group key in force has signed."""
        return self._database.value(
            "SELECT raw FROM capsules WHERE kind = ? AND era = ? ORDER BY time DESC LIMIT 1",
            *(BEACON, self._era()),
        )

    def policy(self) -> bytes | None:
        """The newest policy capsule (a whole policy, no amendment)."""
        return self._database.value(
            "SELECT raw FROM capsules WHERE kind = ? ORDER BY epoch DESC LIMIT 1", POLICY
        )

    def amendment_to(self, epoch: int) -> bytes | None:
        """The amendment that leads to `epoch`, if it exists and is still kept."""
        return self._database.value(
            "SELECT raw FROM capsules WHERE kind = ? AND epoch = ?", AMENDMENT, epoch
        )

    def policy_after(self, epoch: int) -> bytes | None:
        """The next capsule for a node at `epoch`: an amendment, a whole policy, or a succession.

        Before a succession comes the last policy that the old key has signed: a node that skipped
        it would continue under the rules of an older policy.
        """
        following = self._database.row(
            "SELECT epoch, raw FROM capsules WHERE kind = ? AND epoch > ? ORDER BY epoch LIMIT 1",
            *(SUCCESSION, epoch),
        )
        policy = self._database.row(
            "SELECT epoch, raw FROM capsules WHERE kind = ? AND epoch > ? AND epoch < ?"
            " ORDER BY epoch DESC LIMIT 1",
            *(POLICY, epoch, following[0] if following else capsules.TIME_MAX + 1),
        )
        if policy is None:
            return following[1] if following else None
        amendment = self.amendment_to(epoch + 1) if policy[0] == epoch + 1 else None
        return amendment or policy[1]

    def _all(self, statement: str, *values: Any) -> list[bytes]:
        return [raw for (raw,) in self._database.rows(statement, *values)]

    # --- members ----------------------------------------------------------------------------------

    def known(self, node_id: bytes) -> KnownMember | None:
        """The member with this node id (8 B), even if it is expired or revoked."""
        found = self._database.row("SELECT raw, era FROM capsules WHERE node = ?", node_id)
        return None if found is None else KnownMember(_member(found[0]), found[1] != self._era())

    def member(self, node_id: bytes) -> Member | None:
        """The newest capsule of the member with this node id (8 B)."""
        found = self.known(node_id)
        return None if found is None else found.member

    def members(self) -> list[Member]:
        """The newest capsule of each member, by address; expired and revoked members too."""
        rows = "SELECT raw FROM capsules WHERE kind = ? ORDER BY address, time DESC"
        return [_member(raw) for raw in self._all(rows, MEMBER)]

    def outdated(self, cursor: int, most: int) -> list[tuple[int, bytes]]:
        """[(place, capsule)]: unexpired members that only an old group key has signed, in pages.

        At most `most` of those after the place `cursor`, 0 for the first page. Revoked and void
        members are among them.
        """
        rows = self._database.rows(
            "SELECT seq, raw FROM capsules WHERE kind = ? AND era < ? AND time > ? AND seq > ?"
            " ORDER BY seq LIMIT ?",
            *(MEMBER, self._era(), self.clock_s(), cursor, most),
        )
        return [(int(place), raw) for place, raw in rows]

    def member_count(self) -> int:
        """The number of members, expired and revoked ones included."""
        return int(self._database.value("SELECT count(*) FROM capsules WHERE kind = ?", MEMBER))

    def named(self, name: str) -> list[Member]:
        """The members that have or had this name, the latest to expire first."""
        rows = "SELECT raw FROM capsules WHERE name = ? ORDER BY time DESC, seq DESC"
        return [_member(raw) for raw in self._all(rows, name)]

    def addressed(self, address: int) -> list[Member]:
        """The members that have or had this short address, the latest to expire first."""
        rows = "SELECT raw FROM capsules WHERE address = ? ORDER BY time DESC, seq DESC"
        return [_member(raw) for raw in self._all(rows, address)]

    def highest_address(self) -> int:
        """The highest short address in any member capsule; 0 for none."""
        rows = "SELECT max(address) FROM capsules WHERE address IS NOT NULL"
        return self._database.value(rows) or 0


def _member(raw: bytes) -> Member:
    return Member(read_capsule(raw))
