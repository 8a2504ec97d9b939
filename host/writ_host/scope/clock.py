"""The clock of this machine against the newest time that the scope has certified.

Nodes never set their time back. One beacon, policy or membership with the time of a wrong clock
would stay with every node that receives it.
"""

from ..errors import HostError
from ..humanize import duration, utc_minute
from .folder import ScopeFolder, now_s
from .validation import CLOCK_JUMP_S_MAX


class ClockJump(HostError):
    """This machine's clock is far from the newest certified time."""

    advice = (
        "Set this machine's clock. If it is right, certify a beacon first:"
        " writ scope beacon --time-jump"
    )


def certified_time(folder: ScopeFolder) -> tuple[int, str]:
    """The newest certified time (Unix seconds), and what certified it."""
    found = [(int(folder.charter.founded), "charter")]
    if folder.policy is not None:
        found.append((int(folder.policy.issued), "policy"))
    if folder.beacon is not None:
        found.append((int(folder.beacon.time), "beacon"))
    return max(found)


def check_clock(folder: ScopeFolder) -> None:
    """Raises `ClockJump` if this clock is more than `CLOCK_JUMP_S_MAX` from the certified time."""
    newest, source = certified_time(folder)
    now = now_s()
    apart = abs(now - newest)
    if apart <= CLOCK_JUMP_S_MAX:
        return
    where = "after" if now > newest else "before"
    raise ClockJump(
        f"this machine's clock says {utc_minute(now)}: {duration(apart)} {where} the newest"
        f" certified time, {utc_minute(newest)}, from the {source}"
    )
