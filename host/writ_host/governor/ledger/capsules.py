"""What was certified, as a governor keeps it: what is in force, and what those who lag need.

Kept, since a ledger on an SD card must not grow without end:
    charters, successions  all: a device of any age follows them from the first to the last
    policies               the newest few, and the last one before each succession, which brings
                           whoever slept through both to where the succession begins
    amendments, beacons    the newest few: for whoever is a step behind, and for copies under way
    members                of each key the newest: a renewal replaces what was there
    actions                until they expire

A payload is kept once in an *era*, the time between two successions: the same content signed again
by other governors is no news, or two governors would tell each other of it for ever. What the
old group key has signed counts for no device after a succession, so then it is news.
"""

import hashlib
from collections.abc import Sequence
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
    parse_claims,
)

from ...scope.validation import KnownMember
from .database import LedgerFile, TableFull

DIGEST_BYTES = 16
NODE_BYTES = 8
# What is certified is looked at by several in a row.
PARSED_KEPT = 64
# So many share a commit: the answer to a pull, or two batches of renewals.
BATCH_MAX = 64
# One founding and a succession a month for five years.
CHARTERS_MAX = 64
POLICIES_KEPT = 8
AMENDMENTS_KEPT = 8
BEACONS_KEPT = 4
# A command a second for a quarter of an hour.
ACTIONS_KEPT = 1024
# One for each short address there can be; above that the longest expired give way.
MEMBERS_MAX = 65534
# An address and a name for each.
PLEDGES_MAX = 2 * MEMBERS_MAX


@lru_cache(PARSED_KEPT)
def read_capsule(raw: bytes) -> Capsule:
    """`capsules.parse`, once for all who look at the same one; nobody changes it."""
    return capsules.parse(raw)


class CapsuleStore(LedgerFile):
    """The part of the ledger that holds capsules and pledges."""

    # asked for each capsule
    _era_now: int | None = None

    # --- the way in -------------------------------------------------------------------------------

    def add_capsules(self, raws: Sequence[bytes]) -> list[bytes]:
        """Keep certified capsules, durably, BATCH_MAX to a commit: those that were news.

        No signature is checked here. Raises the `Rejection` of what is no capsule.
        """
        parsed = [read_capsule(bytes(raw)) for raw in raws]
        found: list[bytes] = []
        for start in range(0, len(parsed), BATCH_MAX):
            with self.together():
                new = [one for one in parsed[start : start + BATCH_MAX] if self._add(one)]
                for kind in {int(one.kind) for one in new}:
                    self._trim(kind)
            found += [bytes(one.raw) for one in new]
        return found

    def _add(self, capsule: Capsule) -> bool:
        kind = int(capsule.kind)
        content = hashlib.sha256(capsule.payload).digest()[:DIGEST_BYTES]
        era = self._era()
        # a charter is nobody's era
        same = "SELECT 1 FROM capsules WHERE content = ? AND (era = ? OR kind = ?)"
        if self.row(same, content, era, CHARTER):
            return False
        epoch = capsule.body[1] if kind in (POLICY, AMENDMENT, SUCCESSION, BEACON) else None
        time = capsule.claims.get(EXP, capsule.claims.get(IAT))
        node, name, address = None, None, None
        if kind == MEMBER:
            member = Member(capsule)
            node, name, address = bytes(member.node_id), member.name, member.address
        if not self._is_news(kind, epoch, time, node, era):
            return False
        if kind == MEMBER:
            self.write("DELETE FROM capsules WHERE node = ?", node)
        self.write(
            "INSERT INTO capsules (digest, content, kind, epoch, time, node, name, address, era,"
            " raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(bytes(capsule.digest())[:DIGEST_BYTES], content, kind, epoch, time, node, name),
            *(address, era, bytes(capsule.raw)),
        )
        if kind == SUCCESSION:
            self._era_now = None
        return True

    def _era(self) -> int:
        if self._era_now is None:
            count = self.value("SELECT count(*) FROM capsules WHERE kind = ?", SUCCESSION)
            self._era_now = int(count)
        return self._era_now

    def _undo(self, statement: str) -> None:
        self._era_now = None
        super()._undo(statement)

    def _is_news(
        self, kind: int, epoch: int | None, time: int | None, node: bytes | None, era: int
    ) -> bool:
        if kind == MEMBER:
            known = self.row("SELECT time, era FROM capsules WHERE node = ?", node)
            # under a new group key the same content has a new signature
            return known is None or (era, time) > (known[1], known[0])
        if kind == BEACON:
            newest = self.value(
                "SELECT max(time) FROM capsules WHERE kind = ? AND era = ?", BEACON, era
            )
            return newest is None or time > newest
        if kind in (POLICY, AMENDMENT, SUCCESSION):
            newest = self.value("SELECT max(epoch) FROM capsules WHERE kind = ?", kind)
            return newest is None or epoch > newest
        if kind == ACTION:
            return time is not None and time > self.clock_s()
        if kind == CHARTER and len(self.charters()) >= CHARTERS_MAX:
            raise TableFull(f"{self.path} holds {CHARTERS_MAX} charters", "Found a new scope.")
        return kind == CHARTER

    def _trim(self, kind: int) -> None:
        if kind == MEMBER:
            self._drop_all_but("kind = ? ORDER BY time DESC LIMIT ?", MEMBER, MEMBERS_MAX)
        elif kind == BEACON:
            self._drop_all_but("kind = ? ORDER BY era DESC, time DESC LIMIT ?", kind, BEACONS_KEPT)
        elif kind == AMENDMENT:
            self._drop_all_but("kind = ? ORDER BY epoch DESC LIMIT ?", kind, AMENDMENTS_KEPT)
        elif kind == ACTION:
            self.write("DELETE FROM capsules WHERE kind = ? AND time <= ?", kind, self.clock_s())
            self._drop_all_but("kind = ? ORDER BY seq DESC LIMIT ?", kind, ACTIONS_KEPT)
        elif kind == POLICY:
            self.write(
                "DELETE FROM capsules WHERE kind = ?1 AND epoch NOT IN (SELECT max(epoch) FROM"
                " capsules WHERE kind = ?1 GROUP BY era) AND seq NOT IN (SELECT seq FROM capsules"
                " WHERE kind = ?1 ORDER BY epoch DESC LIMIT ?2)",
                POLICY,
                POLICIES_KEPT,
            )

    def _drop_all_but(self, which: str, kind: int, most: int) -> None:
        count = self.value("SELECT count(*) FROM capsules WHERE kind = ?", kind)
        if count > most:
            self.write(
                f"DELETE FROM capsules WHERE kind = ? AND seq NOT IN"
                f" (SELECT seq FROM capsules WHERE {which})",
                *(kind, kind, most),
            )

    # --- the way out ------------------------------------------------------------------------------

    @property
    def cursor(self) -> int:
        """The place of the newest capsule that ever was; 0 for none."""
        return int(self.value("SELECT seq FROM sqlite_sequence WHERE name = 'capsules'") or 0)

    def since(self, cursor: int, most: int, size_max: int) -> tuple[int, list[bytes]]:
        """(new cursor, capsules) after `cursor` in the order they came.

        At most `most` of them with `size_max` bytes in all; the first one comes in any case. A
        cursor from the future is one of another ledger's, or of before a restore: it ends here.
        """
        found: list[bytes] = []
        size = 0
        rows = self.rows(
            "SELECT seq, raw FROM capsules WHERE seq > ? ORDER BY seq LIMIT ?", cursor, most + 1
        )
        for place, (seq, raw) in enumerate(rows):
            size += len(raw)
            if place == most or (found and size > size_max):
                return cursor, found
            cursor = int(seq)
            found.append(raw)
        return self.cursor, found

    def capsule(self, digest: bytes) -> bytes | None:
        """The capsule whose SHA-256 begins with these 16 bytes."""
        return self.value("SELECT raw FROM capsules WHERE digest = ?", digest)

    def certified(self, payload: bytes) -> bytes | None:
        """The capsule that this payload became under the group key in force."""
        content = hashlib.sha256(payload).digest()[:DIGEST_BYTES]
        same = "SELECT raw FROM capsules WHERE content = ? AND era = ?"
        return self.value(same, content, self._era())

    def charters(self) -> list[bytes]:
        """All charters, oldest first: the founding, then one of each succession."""
        return self._all("SELECT raw FROM capsules WHERE kind = ? ORDER BY seq", CHARTER)

    def charter(self) -> bytes | None:
        """The founding charter: what gives the scope its id for ever."""
        return next(iter(self.charters()), None)

    def successions(self) -> list[bytes]:
        """All changes of the group key, oldest first."""
        return self._all("SELECT raw FROM capsules WHERE kind = ? ORDER BY epoch", SUCCESSION)

    def beacon(self) -> bytes | None:
        """The newest beacon that the group key in force has signed."""
        return self.value(
            "SELECT raw FROM capsules WHERE kind = ? AND era = ? ORDER BY time DESC LIMIT 1",
            *(BEACON, self._era()),
        )

    def policy_capsule(self) -> bytes | None:
        """The newest whole policy."""
        return self.value(
            "SELECT raw FROM capsules WHERE kind = ? ORDER BY epoch DESC LIMIT 1", POLICY
        )

    def amendment_to(self, epoch: int) -> bytes | None:
        """The amendment that leads to `epoch`, if there was one and it is still kept."""
        return self.value("SELECT raw FROM capsules WHERE kind = ? AND epoch = ?", AMENDMENT, epoch)

    def policy_after(self, epoch: int) -> bytes | None:
        """What takes a node on from `epoch`: an amendment, a whole policy, or a succession.

        Before a succession comes the last policy that the old key has signed: a node that jumped
        over it would go on under the rules of an older one.
        """
        following = self.row(
            "SELECT epoch, raw FROM capsules WHERE kind = ? AND epoch > ? ORDER BY epoch LIMIT 1",
            *(SUCCESSION, epoch),
        )
        policy = self.row(
            "SELECT epoch, raw FROM capsules WHERE kind = ? AND epoch > ? AND epoch < ?"
            " ORDER BY epoch DESC LIMIT 1",
            *(POLICY, epoch, following[0] if following else capsules.TIME_MAX + 1),
        )
        if policy is None:
            return following[1] if following else None
        amendment = self.amendment_to(epoch + 1) if policy[0] == epoch + 1 else None
        return amendment or policy[1]

    def _all(self, statement: str, *values: Any) -> list[bytes]:
        return [raw for (raw,) in self.rows(statement, *values)]

    # --- members ----------------------------------------------------------------------------------

    def known(self, node_id: bytes) -> KnownMember | None:
        """What is known of the member with this node id (8 B), expired and revoked ones too."""
        found = self.row("SELECT raw, era FROM capsules WHERE node = ?", node_id)
        return None if found is None else KnownMember(_member(found[0]), found[1] != self._era())

    def member(self, node_id: bytes) -> Member | None:
        """The newest capsule of the member with this node id (8 B)."""
        found = self.known(node_id)
        return None if found is None else found.member

    def members(self) -> list[Member]:
        """All, by address: of each key the newest capsule; expired and revoked ones too."""
        rows = "SELECT raw FROM capsules WHERE kind = ? ORDER BY address, time DESC"
        return [_member(raw) for raw in self._all(rows, MEMBER)]

    def outdated(self, most: int) -> list[bytes]:
        """Members' capsules that only an old group key has signed, at most `most`."""
        return self._all(
            "SELECT raw FROM capsules WHERE kind = ? AND era < ? AND time > ? LIMIT ?",
            *(MEMBER, self._era(), self.clock_s(), most),
        )

    def member_count(self) -> int:
        """How many members there are, expired and revoked ones too."""
        return int(self.value("SELECT count(*) FROM capsules WHERE kind = ?", MEMBER))

    def named(self, name: str) -> list[Member]:
        """Who is or was called so, the longest living first."""
        rows = "SELECT raw FROM capsules WHERE name = ? ORDER BY time DESC, seq DESC"
        return [_member(raw) for raw in self._all(rows, name)]

    def member_named(self, name: str) -> bytes | None:
        """The capsule of the member that has this name."""
        found = self.named(name)
        return bytes(found[0].raw) if found else None

    def addressed(self, address: int) -> list[Member]:
        """Who has or had this short address, the longest living first."""
        rows = "SELECT raw FROM capsules WHERE address = ? ORDER BY time DESC, seq DESC"
        return [_member(raw) for raw in self._all(rows, address)]

    def highest_address(self) -> int:
        """The highest short address that anybody has, had or was promised; 0 for none."""
        rows = "SELECT max(address) FROM capsules WHERE address IS NOT NULL"
        return max(self.value(rows) or 0, self.value("SELECT max(address) FROM pledges") or 0)

    # --- pledges ----------------------------------------------------------------------------------

    def pledge(self, payloads: Sequence[bytes]) -> str | None:
        """Bind this governor to these members before it offers a share: why it cannot, or None.

        Durable when it returns. One name and one short address go to one node, so that no two
        quorums, which share an honest governor, give them to two; for as long as the capsule would
        live, since a liar may keep its own share back and finish later what others have signed.
        Who revokes the node frees both. Other kinds bind nobody.
        """
        wanted = [member for payload in payloads if (member := _unsigned_member(payload))]
        if not wanted:
            return None
        gone = self._revoked()
        now = self.clock_s()
        rows: dict[str, tuple[bytes, int | None, int]] = {}
        for member in wanted:
            node, until = bytes(member.node_id), int(member.expires)
            keys = {
                f"a/{member.address}": (member.address, until),
                f"n/{member.name}": (None, until),
            }
            for key, (address, end) in keys.items():
                kept = self.row("SELECT node, until FROM pledges WHERE key = ?", key)
                holder = rows[key][0] if key in rows else kept and kept[0]
                binds = key in rows or bool(kept and kept[1] > now and kept[0] not in gone)
                what = f"the address {address}" if address else f"the name {member.name}"
                if binds and holder != node:
                    return f"{what} is promised to another node"
                if self._is_told(key, member, now, gone):
                    return f"{what} may be promised to another node, others say"
                if kept is None or kept[0] != node or kept[1] < end:
                    rows[key] = node, address, end
        return self._write_pledges(rows)

    def _is_told(self, key: str, member: Any, now: int, gone: frozenset[bytes]) -> bool:
        """Whether a pledge for another node that others told of (reservations.py) may bind."""
        told = self.rows(
            "SELECT node FROM pledges WHERE key > ? AND key < ? AND until > ?",
            *(key + "/", key + "0", now),
        )
        others = {node for (node,) in told} - gone - {bytes(member.node_id)}
        known: Any = self.member(bytes(member.node_id)) if others else None
        if known is None or known.expires <= now:
            return bool(others)
        # nothing can be certified against what is
        has = known.name == member.name if key[0] == "n" else known.address == member.address
        return bool(others) and not has

    def _write_pledges(self, rows: dict[str, tuple[bytes, int | None, int]]) -> str | None:
        if not rows:
            return None
        with self.together():
            if self.value("SELECT count(*) FROM pledges") + len(rows) > PLEDGES_MAX:
                self.write("DELETE FROM pledges WHERE until <= ?", self.clock_s())
                if self.value("SELECT count(*) FROM pledges") + len(rows) > PLEDGES_MAX:
                    return "too many names and addresses are promised already"
            for key, (node, address, until) in rows.items():
                self.write(
                    "INSERT OR REPLACE INTO pledges (key, node, address, until)"
                    " VALUES (?, ?, ?, ?)",
                    *(key, node, address, until),
                )
        return None

    def _revoked(self) -> frozenset[bytes]:
        raw = self.policy_capsule()
        return frozenset(capsules.parse(raw).body[5]) if raw else frozenset()


def _member(raw: bytes) -> Member:
    return Member(read_capsule(raw))


def _unsigned_member(payload: bytes) -> Any:
    if parse_claims(payload)[capsules.WRIT][0] != MEMBER:
        return None
    return _member(capsules.assemble(payload, bytes(64)))
