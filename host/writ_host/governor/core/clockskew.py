"""How far the other governors' clocks are off ours, by the beacons that they ask us to sign.

A governor whose clock is off counts as absent for beacons, and looks well otherwise: somebody has
to be told. One word from a liar says nothing; that most others differ by the same says whose it is.
"""

from writ.authority.capsule import BEACON, IAT, WRIT, parse_claims
from writ.errors import Rejection

from ... import codec, humanize
from ...consensus.cosign import ASK
from ...errors import Malformed
from .context import Context

# A job with one beacon; whatever is longer is not looked at.
ASK_BYTES_MAX = 128
# What goes back and forth is told so often.
TELL_MS = 600000


class ClockSkew:
    """skew_s: by a governor's number, how far its clock was ahead of ours when it asked last."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: dict[int, bytes] = {}
        self._told_ms: dict[int, int] = {}
        self.skew_s: dict[int, int] = {}

    def over_limit(self) -> dict[int, int]:
        """`skew_s` of those that differ by more than the charter allows."""
        most = self._context.chain.charter.clock_skew_max_s
        return {number: off for number, off in self.skew_s.items() if abs(off) > most}

    def look(self, sender: int, data: bytes) -> None:
        """A message of the certifier: of interest if it asks for a beacon."""
        if len(data) > ASK_BYTES_MAX or (time_s := _beacon_time(data)) is None:
            return
        if self._seen.get(sender) == data:
            return  # what is asked again has the time of when it was asked first
        self._seen[sender] = data
        self.skew_s[sender] = time_s - self._context.clock_s()
        if sender in self.over_limit():
            self._tell(sender)

    def _tell(self, sender: int) -> None:
        context = self._context
        told_ms = self._told_ms.get(sender)
        if told_ms is not None and context.now_ms - told_ms < TELL_MS:
            return
        self._told_ms[sender] = context.now_ms
        name = context.name(sender)
        text = f"the clock of {name} is {describe(self.skew_s[sender])}: no beacon with both of us"
        context.record("clock", text, governor=name, off_s=self.skew_s[sender])


def describe(skew_s: int) -> str:
    """Of a clock that is so many seconds ahead of ours."""
    return f"{humanize.duration(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'} ours"


def _beacon_time(data: bytes) -> int | None:
    try:
        items = codec.a_list(codec.load(data), size_max=3)
        if items[:1] != [ASK] or len(items) != 3:
            return None
        (payload,) = codec.a_list(items[2], 1)
        claims = parse_claims(codec.some_bytes(payload))
    except (Malformed, Rejection, ValueError):
        return None
    return int(claims[IAT]) if claims[WRIT][0] == BEACON else None
