"""What a replica consists of, and how it says, promises and accuses: the ground of its rules.

A replica is one object whose parts are in four files: this one, fastpath.py (the first round when
all want the same), rules.py (the rules of the paper) and replica.py (messages, time, restarts).
"""

from collections import deque
from collections.abc import Iterable

from . import messages
from .committee import Committee
from .effects import Accuse, Effect, Send, SetTimer, Write
from .hardstate import Promise
from .messages import Message, Placed
from .roast import Purse
from .signer import Signer
from .state import Accept, Chain, HeightState, Timing
from .votes import Verifier


class Base:
    """One replica's state, and its voice."""

    def __init__(
        self,
        committee: Committee,
        signer: Signer,
        chain: Chain,
        accept: Accept,
        record: bytes | None,
        token: bytes,
        timing: Timing | None = None,
    ) -> None:
        self.committee = committee
        self.signer = signer
        self.chain = chain
        self.accept = accept
        self.timing = timing or Timing()
        self.me = signer.identifier
        self.promise = Promise() if record is None else Promise.from_bytes(record)
        self.state = HeightState(committee, chain.height)
        self._token = token
        self._answered: set[int] | None = set()
        self._abstain_through = -1
        # of the next height, by who sent it
        self._next: dict[int, deque[Placed]] = {}
        self._purse = Purse(signer)
        self._verifier = Verifier(committee, signer)
        self._accused: set[tuple[int, str]] = set()
        # who was asked to sign by us, and who has not when it was last
        self._asked: set[int] = set()
        self._late: set[int] = set()
        # whether all wanted the same in the height before, and had it in the first round
        self._is_calm = True
        self._effects: list[Effect] = []
        self._now_ms = 0
        self._deadline_ms: int | None = None
        self._resend_at_ms = 0
        self._timer_ms: int | None = None

    # --- effects ----------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """False while this governor must not promise anything: it may have forgotten promises."""
        return self._answered is None and self.state.height > self._abstain_through

    def _flush(self) -> list[Effect]:
        due = self._resend_at_ms
        if self._deadline_ms is not None:
            due = min(due, self._deadline_ms)
        if self.state.begun:
            due = self._now_ms
        if due != self._timer_ms:
            self._timer_ms = due
            self._effects.append(SetTimer(due))
        effects, self._effects = self._effects, []
        return effects

    def _send(self, message: Message, to: int | None = None) -> None:
        self._effects.append(Send(to, messages.encode(message)))

    def _send_each(self, numbers: Iterable[int], message: Message) -> None:
        data = messages.encode(message)
        self._effects += [Send(number, data) for number in numbers]

    def _send_to_proposer(self, message: Message, round_: int) -> None:
        """It puts these together for all; whoever lacks one says so in its next status."""
        proposer = self.committee.proposer(self.state.height, round_)
        if proposer != self.me:
            self._send(message, proposer)

    def _write(self) -> None:
        self.promise.counter += 1
        self._effects.append(Write(self.promise.to_bytes()))

    def _accuse(self, number: int, what: str, *proof: Message) -> None:
        if (number, what) not in self._accused:
            self._accused.add((number, what))
            self._effects.append(Accuse(number, what, tuple(map(messages.encode, proof))))

    def _coordinates(self, round_: int) -> bool:
        """Whether it is our turn, as proposer and as coordinator of the signing session."""
        return self.committee.proposer(self.state.height, round_) == self.me
