"""What this governor has signed for nodes: names, short addresses, expiries (table "pledges").

A governor reserves the name and the short address of a member before it offers a signature share
for it. Any two quorums share an honest governor, so no two nodes get the same name or address. A
reservation holds as long as the capsule would live, since a Byzantine governor may keep its own
share back and complete later what the others have signed. A revocation frees both.

For each node it also notes the latest expiry that it has signed. A revocation does not end that
note: until then the id of a revoked node stays in the policy's list (scope/revocation.py).

Rows that this governor made have the key "n/NAME", "a/ADDRESS" or "m/NODE". Rows that another
governor reported (core/reservations.py) also carry the node id, "n/NAME/NODE", since several
governors may have reserved one name for several nodes, and it is not known which of them gets
certified.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import IAT, MEMBER, Member, parse_claims

from .capsules import MEMBERS_MAX, CapsuleStore, read_capsule
from .database import Database

# An address, a name and an expiry for each member. At the limit expired rows are removed. An expiry
# stays until a policy was issued after it, since a policy of that time may leave out its node.
RESERVATIONS_MAX = 3 * MEMBERS_MAX

# (node id (8 B), short address or None for other rows, expiry in Unix seconds)
_Row = tuple[bytes, int | None, int]
# (node id, expiry)
_Kept = tuple[bytes, int] | None


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
        revoked = self._revoked()
        now = self.clock_s()
        rows: dict[str, _Row] = {}
        for member in wanted:
            node, until = bytes(member.node_id), int(member.expires)
            keys = {
                f"a/{member.address}": member.address,
                f"n/{member.name}": None,
                _expiry_key(node): None,
            }
            for key, address in keys.items():
                kept: _Kept = self._database.row(
                    "SELECT node, until FROM pledges WHERE key = ?", key
                )
                holder = rows[key][0] if key in rows else kept and kept[0]
                binds = key in rows or bool(kept and kept[1] > now and kept[0] not in revoked)
                what = f"the address {address}" if address else f"the name {member.name}"
                if binds and holder != node:
                    return f"{what} is reserved for another node"
                if self._is_reported(key, member, now, revoked):
                    return f"{what} may be reserved for another node, as other governors report"
                # a batch may hold several capsules of one node: the latest expiry counts
                end = max(until, rows[key][2]) if key in rows else until
                if kept is None or kept[0] != node or kept[1] < end:
                    rows[key] = node, address, end
        return self._insert(rows)

    def _is_reported(self, key: str, member: Any, now: int, revoked: frozenset[bytes]) -> bool:
        """Whether other governors reported that `key` is reserved for another node than `member`.

        A member keeps what its certified capsule gives it, whatever others report.
        """
        reported = self._database.rows(
            "SELECT node FROM pledges WHERE key > ? AND key < ? AND until > ?",
            *(key + "/", key + "0", now),
        )
        others = {node for (node,) in reported} - revoked - {bytes(member.node_id)}
        known: Any = self._capsules.member(bytes(member.node_id)) if others else None
        if known is None or known.expires <= now:
            return bool(others)
        has = known.name == member.name if key[0] == "n" else known.address == member.address
        return bool(others) and not has

    def _insert(self, rows: dict[str, _Row]) -> str | None:
        if not rows:
            return None
        database = self._database
        with database.together():
            if self.count() + len(rows) > RESERVATIONS_MAX:
                self._sweep()
                if self.count() + len(rows) > RESERVATIONS_MAX:
                    return "too many names and addresses are reserved already"
            for key, (node, address, until) in rows.items():
                database.write(
                    "INSERT OR REPLACE INTO pledges (key, node, address, until)"
                    " VALUES (?, ?, ?, ?)",
                    *(key, node, address, until),
                )
        return None

    def _sweep(self) -> None:
        # no later policy may be issued before the one in force, whatever this governor's clock says
        raw = self._capsules.policy()
        issued = int(capsules.parse(raw).claims[IAT]) if raw else 0
        now = self.clock_s()
        self._database.write(
            "DELETE FROM pledges WHERE until <= ? AND (until <= ? OR key < 'm/' OR key > 'm0')",
            *(now, issued),
        )

    def _revoked(self) -> frozenset[bytes]:
        raw = self._capsules.policy()
        return frozenset(capsules.parse(raw).body[5]) if raw else frozenset()

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

    def add_reported(self, rows: Iterable[tuple[str, bytes, int]]) -> None:
        """Keep another governor's reservations, each (key, node id (8 B), expiry); durable."""
        with self._database.together():
            for key, node, until in rows:
                self._database.write(
                    "INSERT INTO pledges (key, node, address, until) VALUES (?, ?, NULL, ?)"
                    " ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)",
                    *(f"{key}/{node.hex()}", node, until),
                )

    def after(self, key: str, now_s: int, most: int) -> list[tuple[str, bytes, int]]:
        """At most `most` rows after `key` that live at `now_s`: (key, node id (8 B), expiry)."""
        return list(
            self._database.rows(
                "SELECT key, node, until FROM pledges WHERE key > ? AND until > ?"
                " ORDER BY key LIMIT ?",
                *(key, now_s, most),
            )
        )


def _expiry_key(node_id: bytes) -> str:
    return f"m/{node_id.hex()}"


def _unsigned_member(payload: bytes) -> Any:
    if parse_claims(payload)[capsules.WRIT][0] != MEMBER:
        return None
    return Member(read_capsule(capsules.assemble(payload, bytes(64))))
