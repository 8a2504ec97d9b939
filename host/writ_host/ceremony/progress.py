"""The progress of a ceremony: what each step reports, and how a caller waits for the next."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The state of a ceremony: its `step`, and the governors that it is `waiting_for`."""

    step: str
    waiting_for: tuple[str, ...] = ()
    is_done: bool = False
    # Founding: eight groups of five digits to compare by voice.
    fingerprint: str = ""
    # Signing: the attempt, and the governors that sent wrong messages in earlier ones.
    attempt: int = 0
    cheaters: tuple[str, ...] = ()


Wait = Callable[[Progress], None]
