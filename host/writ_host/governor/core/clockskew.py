"""Clock skew: how far the clocks of other governors differ from this governor's clock.

Each governor puts its own time into the beacons that it asks others to sign. A governor whose clock
is wrong counts as absent for beacons and otherwise looks healthy, so operators must be warned. One
difference does not show whose clock is wrong. If most others differ by the same, it is this one's.
"""

from ... import humanize
from .context import CoreContext

# The shortest interval between two warnings about one governor.
WARN_MS = 600000


class ClockSkew:
    """The clock skew of the other governors.

    skew_s: by governor, how far its clock was ahead of ours at its newest request.
    """

    def __init__(self, context: CoreContext) -> None:
        self._context = context
        self._newest_s: dict[int, int] = {}  # by governor: the time in its newest request
        self._warned_ms: dict[int, int] = {}  # by governor: when operators were warned
        self.skew_s: dict[int, int] = {}

    def over_limit(self) -> dict[int, int]:
        """The entries of `skew_s` that exceed the charter's limit."""
        most = self._context.chain.charter.clock_skew_max_s
        return {number: skew for number, skew in self.skew_s.items() if abs(skew) > most}

    def observe(self, sender: int, time_s: int) -> None:
        """Note the time (Unix s) of a beacon that a governor asks this one to sign."""
        if self._newest_s.get(sender) == time_s:
            return  # a repeated request has the time of the first one
        self._newest_s[sender] = time_s
        self.skew_s[sender] = time_s - self._context.clock_s()
        if sender in self.over_limit():
            self._warn(sender)

    def _warn(self, sender: int) -> None:
        context = self._context
        warned_ms = self._warned_ms.get(sender)
        if warned_ms is not None and context.now_ms - warned_ms < WARN_MS:
            return
        self._warned_ms[sender] = context.now_ms
        name, skew_s = context.name(sender), self.skew_s[sender]
        text = f"the clock of {name} is {describe(skew_s)}: both cannot sign the same beacon"
        context.record("clock", text, governor=name, off_s=skew_s)


def describe(skew_s: int) -> str:
    """The skew of a clock as text: "20 min ahead of ours"."""
    return f"{humanize.duration(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'} ours"
