"""What a gateway knows of a node that sleeps, as it says so after a request without an answer.

The text of its `TimedOut` is "900 120" (docs/wire.md): the longest sleep of the node in seconds,
and how long ago its parent heard it, if the gateway is that parent.
"""

import re
from dataclasses import dataclass
from typing import Any

from ..humanize import duration
from .meshstatus import expected

_TEXT = re.compile(r"(\d{1,5})(?: (\d{1,10}))?", re.ASCII)


@dataclass(frozen=True)
class Sleep:
    """sleep_s: the longest sleep of a node; heard_s: when it was heard, None where unknown."""

    sleep_s: int
    heard_s: int | None

    @property
    def text(self) -> str:
        """The form in a refusal."""
        return str(self.sleep_s) if self.heard_s is None else f"{self.sleep_s} {self.heard_s}"

    @property
    def expected_s(self) -> int | None:
        """In how many seconds it is heard again at the latest; below 0 if it is overdue."""
        return None if self.heard_s is None else self.sleep_s - self.heard_s

    def describe(self) -> str:
        """For people: "sleeps for at most 15 min, last heard 2 min ago, expected within 13 min"."""
        found = f"sleeps for at most {duration(self.sleep_s)}"
        if self.heard_s is not None:
            when = expected(self.sleep_s, self.heard_s)
            when = when if self.heard_s > self.sleep_s else f"expected {when}"
            found += f", last heard {duration(self.heard_s)} ago, {when}"
        return found


def parse(text: str) -> Sleep | None:
    """What the text of a `TimedOut` says; None if it says nothing of sleep."""
    found = _TEXT.fullmatch(text)
    if not found:
        return None
    return Sleep(int(found[1]), None if found[2] is None else int(found[2]))


def known(node: Any, mesh: Any, address: int, now_ms: int) -> Sleep | None:
    """What a gateway knows of the node with this short address; None if it does not sleep.

    A child says it to its parent, any other node in its report. node: the gateway's; mesh: its
    `Mesh`.
    """
    mailbox = mesh.outbox.mailbox
    child = mailbox.children.get(address) if mailbox else None
    if child:
        return Sleep(child.sleep_ms // 1000, (now_ms - child.heard_ms) // 1000)
    sleep_s = node.sleepers.get(address)
    return Sleep(sleep_s, None) if sleep_s else None
