"""What the parts of a replica share: its keys, its state, the time, and the effects so far."""

from collections.abc import Iterable

from . import messages
from .committee import Committee
from .effects import Accuse, Effect, Send, SetTimer, Write
from .hardstate import HardState
from .messages import Message, Offer, RoundProposal
from .roast import NoncePool
from .signer import Signer
from .state import PRECOMMIT, AcceptValue, Chain, HeightState, Timing
from .value import Value
from .verifier import Verifier


class ReplicaContext:
    """One replica's state. Parts change it, and append effects with the methods below.

    Raises `Malformed` for a `record` that is not a hard state.
    """

    def __init__(
        self,
        committee: Committee,
        signer: Signer,
        chain: Chain,
        accept: AcceptValue,
        record: bytes | None,
        timing: Timing,
    ) -> None:
        self.committee = committee
        self.signer = signer
        self.chain = chain
        self.accept = accept
        self.timing = timing
        self.me = signer.identifier
        self.hard_state = HardState() if record is None else HardState.from_bytes(record)
        self.state = HeightState(committee, chain.height)
        self.nonces = NoncePool(signer)
        self.verifier = Verifier(committee, signer)
        # False from a start until a quorum has answered (restart.py)
        self.is_joined = False
        # the last height in which this governor must not vote; -1 for none
        self.abstain_through = -1
        self.now_ms = 0
        # when the current step times out, None for never
        self.deadline_ms: int | None = None
        self.resend_at_ms = 0
        # the time of the last SetTimer, None once it has come
        self.timer_ms: int | None = None
        self.effects: list[Effect] = []
        self._accused: set[tuple[int, str]] = set()

    @property
    def is_active(self) -> bool:
        """False while this governor must not vote or sign: it may have forgotten what it sent."""
        return self.is_joined and self.state.height > self.abstain_through

    @property
    def is_locked_now(self) -> bool:
        """Whether this replica has locked a value in its current round, and may sign it."""
        state = self.state
        return state.step == PRECOMMIT and self.hard_state.locked_round == state.round

    def is_coordinator(self, round_: int) -> bool:
        """Whether this governor is the round's proposer, who also coordinates its signing."""
        return self.committee.proposer(self.state.height, round_) == self.me

    def accepts(self, value: Value) -> bool:
        """Whether this governor may vote for `value`: its own judgement, or a quorum's.

        Once a quorum has voted for a value, refusing it could only block: other governors may be
        locked on it and can vote for nothing else. In the first round with a quorum for it, at
        least t - f honest governors have accepted it by their own judgement.
        """
        valid = self.hard_state.valid
        return (valid is not None and valid.digest == value.digest) or self.accept(value) is None

    def arm(self, step: str) -> None:
        """Enter `step` of the current round and start its timeout."""
        self.state.step = step
        self.deadline_ms = self.now_ms + self.timing.of(step, self.state.round)

    def record_signed(self, message: Offer) -> None:
        """Keep the newest signed message of each governor.

        A message of our own with a higher counter than ours proves that our disk was restored from
        an old backup. What this governor signed since then binds it but is not known here, so it
        abstains until the height of that message is decided.
        """
        hard_state = self.hard_state
        if message.sender != self.me:
            known = hard_state.newest.get(message.sender)
            if known is None or known.counter < message.counter:
                hard_state.newest[message.sender] = message
        elif message.counter > hard_state.counter:
            self.abstain_through = max(self.abstain_through, message.height)
            hard_state.counter = message.counter
            self.nonces.discard()

    # --- effects ----------------------------------------------------------------------------------

    def send(self, message: Message, to: int | None = None) -> None:
        """Send to one governor, or to all others (None)."""
        self.effects.append(Send(to, messages.encode(message)))

    def send_each(self, numbers: Iterable[int], message: Message) -> None:
        """Send to each of these governors."""
        data = messages.encode(message)
        self.effects += [Send(number, data) for number in numbers]

    def send_to_proposer(self, message: Message, round_: int) -> None:
        """Send to the round's proposer, who collects votes and shares for all."""
        proposer = self.committee.proposer(self.state.height, round_)
        if proposer != self.me:
            self.send(message, proposer)

    def write(self) -> None:
        """Make the hard state durable before anything that is sent later."""
        self.hard_state.counter += 1
        self.effects.append(Write(self.hard_state.to_bytes()))

    def accuse(self, number: int, what: str, *proof: RoundProposal | Offer) -> None:
        """Report a governor's fault, once, with its own signed messages as proof."""
        if (number, what) not in self._accused:
            self._accused.add((number, what))
            self.effects.append(Accuse(number, what, tuple(map(messages.encode, proof))))

    def flush(self) -> list[Effect]:
        """All effects since the last call, with a new timer if it has changed."""
        due = self.resend_at_ms
        if self.deadline_ms is not None:
            due = min(due, self.deadline_ms)
        if self.state.unjoined_sessions:
            due = self.now_ms
        if due != self.timer_ms:
            self.timer_ms = due
            self.effects.append(SetTimer(due))
        effects, self.effects = self.effects, []
        return effects
