"""The demonstration's proofs: for each claim one row, with the evidence that was checked."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..errors import HostError, NotReachable

TITLES = (
    "Found the scope with four governors, and admit the devices",
    "Read, write, observe, and refuse unauthorized requests",
    "Change the policy by delivering it to one node",
    "Revoke a device",
    "Attack the devices, and cut the power of one",
    "Kill one governor of four",
    "Kill a second governor, and restart both",
    "Replace a governor",
    "Run an operation that needs two operators",
    "Tolerate a Byzantine governor",
    "Govern devices over LoRa and a serial line, two hops away",
    "Continue without the gateway and the governors",
)


class NotProved(HostError):
    """A claim of the demonstration failed."""

    advice = "The machine is overloaded, or this is a bug: run it again on a quieter machine."


@dataclass(frozen=True)
class Proof:
    """One row. step: from 1; held: False only in the last row of a failed demonstration."""

    step: int
    claim: str
    evidence: str
    held: bool = True


@dataclass(frozen=True)
class Failure:
    """Why the demonstration failed.

    step: from 1, 0 before the first; awaited: the activity or the claim that failed; message: what
    happened in its place; advice: what to do next.
    """

    step: int
    awaited: str
    message: str
    advice: str

    @property
    def title(self) -> str:
        """The step's title."""
        return TITLES[self.step - 1] if self.step else "Start"


@dataclass
class Report:
    """The proofs so far.

    failure: why the demonstration failed, None while it has not.

    on_change(report, what): called on each change; what: "step", "activity" or "proof". activity:
    a text that says what the step does now; took_s: the duration of each step that succeeded;
    wanted: how many steps are to run.
    """

    on_change: Callable[["Report", str], None] = lambda report, what: None
    proofs: list[Proof] = field(default_factory=list)
    activity: str = ""
    step: int = 0
    step_started: float = 0.0
    started: float = field(default_factory=time.monotonic)
    took_s: dict[int, float] = field(default_factory=dict)
    failure: Failure | None = None
    wanted: int = len(TITLES)

    @contextmanager
    def in_step(self, number: int) -> Iterator[None]:
        """A context for one step: the proofs within it are this step's."""
        self.step, self.activity = number, ""
        self.step_started = time.monotonic()
        self.on_change(self, "step")
        yield
        self.took_s[number] = time.monotonic() - self.step_started

    def announce(self, activity: str) -> None:
        """Show what the step does next."""
        self.activity = activity
        self.on_change(self, "activity")

    def prove(self, claim: str, held: object, evidence: str) -> None:
        """Record a claim with its evidence. Raises `NotProved` unless the claim held."""
        self.proofs.append(Proof(self.step, claim, evidence, bool(held)))
        self.on_change(self, "proof")
        if not held:
            raise NotProved(f"step {self.step}: {claim}: {evidence}")

    def fail(self, error: Exception, message: str) -> None:
        """Record the error that ended the demonstration, and `message`, its text.

        A claim that did not hold has its row in the report already.
        """
        if not self.proofs or self.proofs[-1].held:
            self.proofs.append(Proof(self.step, self.activity or "start", message, False))
            self.on_change(self, "proof")
        last = self.proofs[-1]
        self.failure = Failure(last.step, last.claim, last.evidence, _advice(error))

    @property
    def holds(self) -> bool:
        """Whether all wanted steps have run and every claim held."""
        return len(self.took_s) == self.wanted and all(proof.held for proof in self.proofs)


def _advice(error: Exception) -> str:
    # that of an unreachable node is for a real network
    own = []
    if isinstance(error, HostError) and not isinstance(error, NotReachable | NotProved):
        own = [error.advice]
    return " ".join([*own, NotProved.advice, "If it fails again, report it with the log."])
