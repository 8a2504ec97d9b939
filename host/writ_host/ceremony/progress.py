"""What a step of a ceremony reports, and how a caller waits for the next."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a ceremony stands: its `step`, who is still `waiting_for`, and what is known by now."""

    step: str
    waiting_for: tuple[str, ...] = ()
    done: bool = False
    # Founding: eight groups of five digits to compare by voice.
    fingerprint: str = ""
    # Signing: which attempt, and who was caught in earlier ones.
    attempt: int = 0
    cheaters: tuple[str, ...] = ()


Wait = Callable[[Progress], None]
