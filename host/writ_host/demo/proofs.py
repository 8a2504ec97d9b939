"""What the demonstration proves: one row a claim, with the evidence that was looked at."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..errors import HostError

TITLES = (
    "Found the scope among four governors, and admit the devices",
    "Read, observe, and refuse who may not",
    "Change the policy by telling one node",
    "Revoke a device",
    "Attack, and cut the power",
    "Kill one governor of four",
    "Kill another one, and wait for both",
    "Replace a governor",
    "Do what takes two people",
    "Let a governor lie",
    "Go on without the gateway, and without governors",
)


class NotProved(HostError):
    """Something that should hold did not."""

    advice = (
        "This is a bug, or a machine under heavy load: run it again, with --plain for all of it."
    )


@dataclass(frozen=True)
class Proof:
    """One row. step: from 1; held: False in the last row of a demonstration that failed."""

    step: int
    claim: str
    evidence: str
    held: bool = True


@dataclass
class Ledger:
    """The proofs so far. on_change(ledger, what): called for each step, word and proof."""

    on_change: Callable[["Ledger", str], None] = lambda ledger, what: None
    proofs: list[Proof] = field(default_factory=list)
    words: str = ""
    step: int = 0
    step_started: float = 0.0
    started: float = field(default_factory=time.monotonic)
    took_s: dict[int, float] = field(default_factory=dict)

    @contextmanager
    def in_step(self, number: int) -> Iterator[None]:
        """A step of the demonstration; what is proved within belongs to it."""
        self.step, self.words = number, ""
        self.step_started = time.monotonic()
        self.on_change(self, "step")
        yield
        self.took_s[number] = time.monotonic() - self.step_started

    def say(self, words: str) -> None:
        """What is being done now."""
        self.words = words
        self.on_change(self, "words")

    def prove(self, claim: str, held: object, evidence: str) -> None:
        """Note a claim and its evidence. Raises `NotProved` unless it held."""
        self.proofs.append(Proof(self.step, claim, evidence, bool(held)))
        self.on_change(self, "proof")
        if not held:
            raise NotProved(f"step {self.step}: {claim}: {evidence}")

    def fail(self, error: Exception) -> None:
        """Note what ended the demonstration, unless a row says so already."""
        if not self.proofs or self.proofs[-1].held:
            what = f"{type(error).__name__}: {error}"
            self.proofs.append(Proof(self.step, self.words or "to begin", what, False))
            self.on_change(self, "proof")

    @property
    def holds(self) -> bool:
        """Whether all steps were gone through and every row held."""
        return len(self.took_s) == len(TITLES) and all(proof.held for proof in self.proofs)
