"""Whoever comes learns which names and addresses the others have promised, before it promises any.

    ask-pledges = [ 38, after: tstr ]                     ; "" at first, then where the answer ended
    pledges     = [ 39, after: tstr / null, [* [ key: tstr, node: bstr .size 8, until: uint ]] ]
                  ; null: that was all; key: "n/" and a name, or "a/" and a short address

Told are pledges for what is not certified, as far as the teller knows: a liar may hold back its
share of a capsule that the others have signed, and finish it later. What is certified all know.
"""

from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, TIME_MAX, Member

from ... import codec
from ...errors import Malformed
from ..ledger.capsules import NODE_BYTES, read_capsule
from ..proposals.messages import ASK_RESERVATIONS, ITEMS_MAX, RESERVATIONS
from .context import Context

# Under this in the ledger's small things: since when (Unix s, 8 B; empty: not in force yet) this
# governor, which came later, waits to be told.
NEW = "new-here"
# So many rows of a teller are kept: 512 admissions that came to nothing. A liar can bar no more.
TOLD_EACH_MAX = 1024
# Who has not told by then is gone. Until then admissions may need all the others.
SHARE_TIMEOUT_S = 7 * 86400
KEY_CHARS_MAX = 64
UNTOLD = "I am new here, and not told yet which names are promised"


class Promised:
    """One governor's part, as teller and as newcomer."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._after: dict[int, str] = {}  # by teller: how far it has told
        self._told: dict[int, int] = {}  # by teller: how many rows
        self._done: set[int] = set()

    @property
    def is_new(self) -> bool:
        """Whether it must not promise yet. Who made the group key has nothing to be told."""
        return self._since() is not None and self._context.chain.committee is not None

    def _since(self) -> bytes | None:
        return self._context.ledger.meta(NEW)

    def reason_against(self, payload: bytes) -> str | None:
        """Why a new governor does not sign this: what is a member already stays so."""
        if capsules.parse_claims(payload)[capsules.WRIT][0] != MEMBER or not self.is_new:
            return None
        member: Any = Member(capsules.parse(capsules.assemble(payload, bytes(64))))
        known: Any = self._context.ledger.member(bytes(member.node_id))
        is_same = known is not None and (known.name, known.address) == (member.name, member.address)
        return None if is_same and known.expires > self._context.clock_s() else UNTOLD

    # --- as newcomer ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Ask whoever has not told all yet; be done with it in the end."""
        if not self.is_new:
            return
        context = self._context
        since = self._since()
        if not since:
            context.ledger.set_meta(NEW, context.clock_s().to_bytes(8, "big"))
        elif context.clock_s() - int.from_bytes(since, "big") > SHARE_TIMEOUT_S:
            self._finish("not all governors have told which names are promised; on without them")
            return
        for number in range(1, context.count + 1):
            if number != context.me and number not in self._done:
                context.send(number, ASK_RESERVATIONS, self._after.get(number, ""))

    def take(self, sender: int, items: list[Any]) -> None:
        """An answer. Raises `Malformed`."""
        if not self.is_new or sender in self._done:
            return
        rows = [_read(row) for row in codec.a_list(items[2], size_max=ITEMS_MAX)]
        after = None if items[1] is None else codec.a_text(items[1], KEY_CHARS_MAX)
        self._told[sender] = self._told.get(sender, 0) + len(rows)
        self._keep(rows)
        if after is not None and after > self._after.get(sender, ""):
            self._after[sender] = after
        if after is None or self._told[sender] >= TOLD_EACH_MAX:
            self._done.add(sender)
        elif rows:
            self._context.send(sender, ASK_RESERVATIONS, after)
        if len(self._done) >= self._context.seat.public.threshold:
            self._finish("told which names are promised")

    def _keep(self, rows: list[tuple[str, bytes, int]]) -> None:
        ledger = self._context.ledger
        with ledger.together():
            for key, node, until in rows:
                # beside one's own promises: which of several was kept, nobody knows
                ledger.write(
                    "INSERT INTO pledges (key, node, address, until) VALUES (?, ?, NULL, ?)"
                    " ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)",
                    *(f"{key}/{node.hex()}", node, until),
                )

    def _finish(self, text: str) -> None:
        self._context.ledger.set_meta(NEW, None)
        self._context.record("promises", text)

    # --- as teller --------------------------------------------------------------------------------

    def tell(self, sender: int, item: object) -> None:
        """What is promised and not certified, from a key on. Raises `Malformed`."""
        after = "" if item == "" else codec.a_text(item, KEY_CHARS_MAX)
        if self.is_new:
            return
        ledger, now = self._context.ledger, self._context.clock_s()
        found = ledger.rows(
            "SELECT key, node, until FROM pledges WHERE key > ? AND until > ? ORDER BY key LIMIT ?",
            *(after, now, 8 * ITEMS_MAX),
        )
        rows: list[list[object]] = []
        end: str | None = None
        for key, node, until in found:
            kind, value, *_ = key.split("/")
            if not self._is_certified(kind, value, node, until):
                rows.append([f"{kind}/{value}", node, until])
            end = key
            if len(rows) == ITEMS_MAX:
                break
        if len(found) < 8 * ITEMS_MAX and len(rows) < ITEMS_MAX:
            end = None
        self._context.send(sender, RESERVATIONS, end, rows)

    def _is_certified(self, kind: str, value: str, node: bytes, until: int) -> bool:
        raw = self._context.ledger.value("SELECT raw FROM capsules WHERE node = ?", node)
        if raw is None:
            return False
        member: Any = Member(read_capsule(raw))
        has = member.name if kind == "n" else str(member.address)
        return bool(has == value and member.expires >= until)


def _read(row: object) -> tuple[str, bytes, int]:
    key, node, until = codec.a_list(row, 3)
    kind, _, value = codec.a_text(key, KEY_CHARS_MAX).partition("/")
    if kind not in ("a", "n") or not value or "/" in value:
        raise Malformed("a pledge is for a name or an address")
    found = codec.some_bytes(node, NODE_BYTES)
    return f"{kind}/{value}", found, codec.an_int(until, 0, TIME_MAX)
