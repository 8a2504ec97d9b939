"""What this governor has signed for nodes: names, short addresses, expiries (table "pledges").

A governor reserves the name and the short address of a member before it offers a signature share
for it. Any two quorums share an honest governor, so no two nodes get the same name or address. A
reservation holds as long as the capsule could be valid, since a Byzantine governor may keep its own
share back and complete later what the others have signed. It ends in one of three ways:

1. The capsule expires.
2. The policy revokes the node.
3. The policy voids the memberships of all epochs before a later one than the capsule names. No node
   accepts such a capsule again, so this lasts after the id has left the list of revoked nodes.

So a row notes the latest expiry and the newest epoch that were signed. A row from before epochs
were noted ends by 1 or 2 only.

For each node it also notes the latest expiry that it has signed. A revocation does not end that
note: until then the id of a revoked node stays in the policy's list (scope/revocation.py).

Rows that this governor made have the key "n/NAME", "a/ADDRESS" or "m/NODE". Rows that another
governor reported (core/reservations.py) also carry the node id, "n/NAME/NODE", since several
governors may have reserved one name for several nodes, and it is not known which of them gets
certified. They note the governor that reported them first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from writ.authority import capsule as capsules
from writ.authority.capsule import AMENDMENT, IAT, MEMBER, POLICY, SUCCESSION, Member, parse_claims
from writ.authority.policy import PARAM_VOID_BEFORE

from .capsules import MEMBERS_MAX, CapsuleStore, read_capsule
from .database import Database

# An address, a name and an expiry for each member. At the limit expired and void rows are removed.
# An expiry stays until a policy was issued after it, since a policy of that time may leave out its
# node.
RESERVATIONS_MAX = 3 * MEMBERS_MAX


class Reservation(NamedTuple):
    """One row.

    key: as above, or without its node id in a report; node: id, 8 B; until: the latest expiry,
    Unix seconds; epoch: the newest that was signed, None if unknown; address: None for other rows.
    """

    key: str
    node: bytes
    until: int
    epoch: int | None
    address: int | None = None


@dataclass(frozen=True)
class _InForce:
    """What ends memberships: the time (Unix s), the revoked ids, and the epoch of the clean-up."""

    now_s: int
    revoked: frozenset[bytes]
    void_before: int

    def allows(self, node: bytes, until: int, epoch: int | None) -> bool:
        """Whether a membership with these facts could be valid."""
        is_void = epoch is not None and epoch < self.void_before
        return until > self.now_s and node not in self.revoked and not is_void


class ReservationStore:
    """The reservations in the ledger's database. clock_s: Unix seconds."""

    def __init__(
        self, database: Database, capsules: CapsuleStore, clock_s: Callable[[], int]
    ) -> None:
        self.clock_s = clock_s
        self._database = database
        self._capsules = capsules

    def reserve(self, payloads: Sequence[bytes]) -> str | None:
        """Reserve the names and addresses of these members; returns the reason against it, or None.

        Durable on return; all of them or none. Payloads of other kinds reserve nothing.
        """
        wanted = [member for payload in payloads if (member := _unsigned_member(payload))]
        if not wanted:
            return None
        in_force = self._in_force()
        rows: dict[str, Reservation] = {}
        for member in wanted:
            for new in _rows_of(member):
                what = f"the address {new.address}" if new.address else f"the name {member.name}"
                known = rows.get(new.key) or self._own(new.key)
                if known is not None and known.node != new.node:
                    if new.key in rows or in_force.allows(known.node, known.until, known.epoch):
                        return f"{what} is reserved for another node"
                    known = None
                if self._is_reported(new.key, member, in_force):
                    return f"{what} may be reserved for another node, as other governors report"
                # what was signed for this node before is valid as well
                rows[new.key] = new if known is None else self._joined(known, new)
        return self._insert([row for row in rows.values() if row != self._own(row.key)])

    def _own(self, key: str) -> Reservation | None:
        columns = "key, node, until, epoch, address"
        found = self._database.row(f"SELECT {columns} FROM pledges WHERE key = ?", key)
        return Reservation(*found) if found else None

    def _joined(self, known: Reservation, new: Reservation) -> Reservation:
        # of an unknown epoch: at most the newest one here, since no later one is signed
        before = self._newest_epoch() if known.epoch is None else known.epoch
        return new._replace(until=max(known.until, new.until), epoch=max(before, new.epoch or 0))

    def _newest_epoch(self) -> int:
        newest = "SELECT max(epoch) FROM capsules WHERE kind IN (?, ?, ?)"
        return int(self._database.value(newest, POLICY, AMENDMENT, SUCCESSION) or 0)

    def _is_reported(self, key: str, member: Any, in_force: _InForce) -> bool:
        """Whether other governors reported that `key` is reserved for another node than `member`.

        A living member keeps what its certified capsule gives it, whatever others report.
        """
        reported = self._database.rows(
            "SELECT node, until, epoch FROM pledges WHERE key > ? AND key < ?",
            *(key + "/", key + "0"),
        )
        node = bytes(member.node_id)
        if not any(row[0] != node and in_force.allows(*row) for row in reported):
            return False
        known: Any = self._capsules.member(node)
        if known is None or not in_force.allows(node, known.expires, known.epoch):
            return True
        has = known.name == member.name if key[0] == "n" else known.address == member.address
        return not has

    def _insert(self, rows: Sequence[Reservation]) -> str | None:
        if not rows:
            return None
        database = self._database
        with database.together():
            if self.count() + len(rows) > RESERVATIONS_MAX:
                self._sweep()
                if self.count() + len(rows) > RESERVATIONS_MAX:
                    return "too many names and addresses are reserved already"
            for row in rows:
                database.write(
                    "INSERT OR REPLACE INTO pledges (key, node, until, epoch, address)"
                    " VALUES (?, ?, ?, ?, ?)",
                    *row,
                )
        return None

    def _sweep(self) -> None:
        # no later policy may be issued before the one in force, whatever this governor's clock says
        raw = self._capsules.policy()
        issued = int(capsules.parse(raw).claims[IAT]) if raw else 0
        in_force = self._in_force()
        self._database.write(
            "DELETE FROM pledges WHERE CASE WHEN key >= 'm/' AND key < 'm0'"
            " THEN until <= ?1 AND until <= ?2 ELSE until <= ?1 OR epoch < ?3 END",
            *(in_force.now_s, issued, in_force.void_before),
        )

    def _in_force(self) -> _InForce:
        raw, now_s = self._capsules.policy(), self.clock_s()
        if raw is None:
            return _InForce(now_s, frozenset(), 0)
        *_, revoked, params = capsules.parse(raw).body
        return _InForce(now_s, frozenset(revoked), int(params.get(PARAM_VOID_BEFORE, 0)))

    def signed_until(self, node_id: bytes) -> int:
        """The latest expiry (Unix s) that was signed for a node (8 B), here or as reported; or 0.

        A row may be gone once a policy was issued after it.
        """
        key = _expiry_key(node_id)
        found = self._database.value(
            "SELECT max(until) FROM pledges WHERE key >= ? AND key < ?", key, key + "0"
        )
        return int(found or 0)

    def count(self) -> int:
        """The number of rows: own reservations and reported ones."""
        return int(self._database.value("SELECT count(*) FROM pledges"))

    def highest_address(self) -> int:
        """The highest short address of a member or an own reservation; 0 for none."""
        reserved = self._database.value("SELECT max(address) FROM pledges") or 0
        return max(self._capsules.highest_address(), reserved)

    # --- between governors ------------------------------------------------------------------------

    def add_reported(self, reporter: bytes, rows: Sequence[Reservation], most: int) -> bool:
        """Keep another governor's reservations, durably; returns whether all of them are kept.

        reporter: its Ed25519 key, 32 B; most: how many new rows are kept of it, now and before.
        """
        is_whole = True
        with self._database.together():
            if (room := most - self._count_of(reporter)) < len(rows):
                self._sweep()
                room = most - self._count_of(reporter)
            for row in rows:
                key = f"{row.key}/{row.node.hex()}"
                if self._own(key) is None:
                    if room <= 0:
                        is_whole = False
                        continue
                    room -= 1
                # max is NULL where one of the two epochs is
                self._database.write(
                    "INSERT INTO pledges (key, node, until, epoch, reporter) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until),"
                    " epoch = max(epoch, excluded.epoch)",
                    *(key, row.node, row.until, row.epoch, reporter),
                )
        return is_whole

    def _count_of(self, reporter: bytes) -> int:
        count = "SELECT count(*) FROM pledges WHERE reporter = ?"
        return int(self._database.value(count, reporter))

    def after(self, key: str, now_s: int, most: int) -> list[Reservation]:
        """At most `most` rows after `key` that have not expired at `now_s`."""
        rows = self._database.rows(
            "SELECT key, node, until, epoch FROM pledges WHERE key > ? AND until > ?"
            " ORDER BY key LIMIT ?",
            *(key, now_s, most),
        )
        return [Reservation(*row) for row in rows]


def _rows_of(member: Any) -> list[Reservation]:
    facts = bytes(member.node_id), int(member.expires), int(member.epoch)
    return [
        Reservation(f"a/{member.address}", *facts, member.address),
        Reservation(f"n/{member.name}", *facts),
        Reservation(_expiry_key(facts[0]), *facts),
    ]


def _expiry_key(node_id: bytes) -> str:
    return f"m/{node_id.hex()}"


def _unsigned_member(payload: bytes) -> Any:
    if parse_claims(payload)[capsules.WRIT][0] != MEMBER:
        return None
    return Member(read_capsule(capsules.assemble(payload, bytes(64))))
