"""How a new governor learns what the others have reserved or signed, before it signs.

    ask-reservations = [38, after: tstr]       ; "" at first, then where the last answer ended
    reservations     = [39, after: tstr / null, [* row]]  ; null: no more rows
    row              = [key: tstr, node: bstr .size 8, until: uint, ? epoch: uint]
                       ; key: "n/" and a name, "a/" and a short address, or "m/" and the node id in
                       ; hex; until, epoch: the latest that were signed; no epoch: it is not known

Governors report reservations that are not certified as far as they know: a Byzantine governor may
hold back its share of a capsule that the others have signed, and complete it later. Certified
members reach a new governor as capsules.
"""

from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, TIME_MAX, Member

from ... import codec
from ...errors import Malformed
from ...scope.lifetime import latest_expiry
from ...scope.revocation import is_void
from ..ledger.capsules import NODE_BYTES
from ..ledger.reservations import Reservation
from ..proposals.messages import ASK_RESERVATIONS, ITEMS_MAX, RESERVATIONS
from .context import NEW_WAITED, CoreContext

# Rows kept of each governor, for 512 admissions that were not completed. This bounds how many names
# a Byzantine governor can block, over all restarts.
REPORTED_EACH_MAX = 1536
# A governor that has not answered by then is considered lost. Until then an admission may need all
# other governors. Only the time in which this governor runs counts: the clock of a Raspberry Pi
# jumps when its network comes up.
SYNC_TIMEOUT_S = 7 * 86400
# How much of that time a restart may lose: so rarely is it written.
WAITED_SAVE_S = 600
# An earlier version kept the Unix time at which the wait began.
CLOCK_TIME_S_MIN = 10**9
KEY_CHARS_MAX = 64
# Counter of reported reservations that last longer than any membership.
EXPIRY_TOO_LATE = "ExpiryTooLate"
UNSYNCED = "a new governor that does not have all reservations of names yet"
# Rows read for an answer, of which those of certified members are left out.
_SCANNED_MAX = 8 * ITEMS_MAX


class ReservationSync:
    """A governor's part in the exchange of reservations: it asks while it is new, else answers."""

    def __init__(self, context: CoreContext) -> None:
        self._context = context
        self._cursors: dict[int, str] = {}  # by governor: the key where its last answer ended
        self._counts: dict[int, int] = {}  # by governor: the number of rows received now
        self._complete: set[int] = set()  # governors that have reported all their reservations
        self._saved_ms: int | None = None  # until when the time waited is in the ledger

    def objection(self, payload: bytes) -> str | None:
        """Why a new governor does not sign this payload. It does sign an unchanged renewal."""
        if capsules.parse_claims(payload)[capsules.WRIT][0] != MEMBER or not self._context.is_new:
            return None
        member: Any = Member(capsules.parse(capsules.assemble(payload, bytes(64))))
        known: Any = self._context.ledger.capsules.member(bytes(member.node_id))
        is_same = known is not None and (known.name, known.address) == (member.name, member.address)
        if not is_same or is_void(self._context.chain.policy, known):
            return UNSYNCED
        # the name of an expired or void member may be another's by now
        return None if known.expires > self._context.clock_s() else UNSYNCED

    # --- asking -----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Ask the governors whose reports are incomplete; stop when SYNC_TIMEOUT_S is over."""
        if not self._context.is_new:
            return
        context = self._context
        if self._waited_s() > SYNC_TIMEOUT_S:
            self._finish("continues without the reservations of governors that did not answer")
            return
        for number in range(1, context.count + 1):
            if number != context.me and number not in self._complete:
                context.send(number, ASK_RESERVATIONS, self._cursors.get(number, ""))

    def _waited_s(self) -> int:
        """How long this governor has asked, in this process and before; saved now and then."""
        ledger, now_ms = self._context.ledger, self._context.now_ms
        if self._saved_ms is None:
            self._saved_ms = now_ms
        saved = ledger.meta(NEW_WAITED)
        waited_s = int.from_bytes(saved or b"", "big")
        if waited_s > CLOCK_TIME_S_MIN:
            waited_s = 0
        more_s = (now_ms - self._saved_ms) // 1000
        if not saved or more_s >= WAITED_SAVE_S:
            ledger.set_meta(NEW_WAITED, (waited_s + more_s).to_bytes(8, "big"))
            self._saved_ms = now_ms
        return waited_s + more_s

    def receive(self, sender: int, items: list[Any]) -> None:
        """Keep the rows of an answer. Raises `Malformed`."""
        if not self._context.is_new or sender in self._complete:
            return
        rows = [_read(row) for row in codec.a_list(items[2], size_max=ITEMS_MAX)]
        after = None if items[1] is None else codec.a_text(items[1], KEY_CHARS_MAX)
        if any((row.epoch or 0) > self._context.chain.epoch for row in rows):
            # `tick` asks for this page again. Who names an epoch that never comes, for rows that no
            # clean-up ends, is never complete, as if it did not answer
            return
        rows = self._bounded(sender, rows)
        self._counts[sender] = self._counts.get(sender, 0) + len(rows)
        reporter = self._context.seat.roster.governors[sender - 1].verify_key
        is_whole = self._context.ledger.reservations.add_reported(reporter, rows, REPORTED_EACH_MAX)
        if after is not None and after > self._cursors.get(sender, ""):
            self._cursors[sender] = after
        if after is None or not is_whole or self._counts[sender] >= REPORTED_EACH_MAX:
            self._complete.add(sender)
        elif rows:
            self._context.send(sender, ASK_RESERVATIONS, after)
        if len(self._complete) >= self._context.seat.public.threshold:
            self._finish("received the other governors' reservations of names")

    def _bounded(self, sender: int, rows: list[Reservation]) -> list[Reservation]:
        """The rows, none of which lasts longer than a membership signed now; a liar is named.

        The time is at least the newest certified one: the clock of a new governor may be behind.
        """
        context = self._context
        issued_s = context.chain.policy.issued if context.chain.policy else 0
        time_s = max(context.clock_s(), issued_s, context.newest_beacon()[0])
        bounded = []
        for row in rows:
            latest = latest_expiry(time_s, context.ledger.capsules.member(row.node))
            latest += context.chain.charter.clock_skew_max_s
            if row.until > latest:
                context.report_rejection(sender, EXPIRY_TOO_LATE)
            bounded.append(row._replace(until=min(row.until, latest)))
        return bounded

    def _finish(self, text: str) -> None:
        self._context.ledger.set_meta(NEW_WAITED, None)
        self._context.record("reservations", text)

    # --- answering --------------------------------------------------------------------------------

    def answer(self, sender: int, item: object) -> None:
        """Send reservations that are not certified, from a key on. Raises `Malformed`."""
        after = "" if item == "" else codec.a_text(item, KEY_CHARS_MAX)
        if self._context.is_new:
            return
        ledger, now = self._context.ledger, self._context.clock_s()
        found = ledger.reservations.after(after, now, _SCANNED_MAX)
        rows: list[list[object]] = []
        end: str | None = None
        for row in found:
            kind, value, *_ = row.key.split("/")
            if not self._is_certified(kind, value, row):
                epoch = [] if row.epoch is None else [row.epoch]
                rows.append([f"{kind}/{value}", row.node, row.until, *epoch])
            end = row.key
            if len(rows) == ITEMS_MAX:
                break
        if len(found) < _SCANNED_MAX and len(rows) < ITEMS_MAX:
            end = None
        self._context.send(sender, RESERVATIONS, end, rows)

    def _is_certified(self, kind: str, value: str, row: Reservation) -> bool:
        member: Any = self._context.ledger.capsules.member(row.node)
        if member is None:
            return False
        has = {"n": member.name, "a": str(member.address), "m": row.node.hex()}
        is_latest = member.expires >= row.until and member.epoch >= (row.epoch or 0)
        return bool(has.get(kind) == value and is_latest)


def _read(row: object) -> Reservation:
    items = codec.a_list(row, size_max=4)
    key, node, until, *epochs = items if len(items) == 4 else codec.a_list(row, 3)
    kind, _, value = codec.a_text(key, KEY_CHARS_MAX).partition("/")
    found = codec.some_bytes(node, NODE_BYTES)
    if kind not in ("a", "m", "n") or not value or "/" in value:
        raise Malformed("a reservation is of a name, an address or an expiry")
    if kind == "m" and value != found.hex():
        raise Malformed("an expiry is reserved for the node that its key names")
    epoch = codec.an_int(epochs[0], 0, TIME_MAX) if epochs else None
    return Reservation(f"{kind}/{value}", found, codec.an_int(until, 0, TIME_MAX), epoch)
