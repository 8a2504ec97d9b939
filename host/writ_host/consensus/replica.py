"""One governor's replica: it agrees with the others on one value for each height (epoch).

A replica is a pure function of events and time: `step(event, now_ms)` returns effects. Sockets,
disks and clocks belong to the caller. This module takes events and messages apart and gives them
to the parts, all of which share one `ReplicaContext`:

    rules.py        proposes, votes, locks and decides
    precommit.py    signs
    fastpath.py     says what may happen earlier in the first round
    restart.py      asks after a start what this governor may have forgotten
    resend.py       repeats messages, and helps replicas that lag
"""

from collections import deque

from ..errors import Malformed
from . import messages
from .committee import Committee
from .context import ReplicaContext
from .effects import Effect, Event, Propose, Received, Reject, Tick
from .fastpath import FastPath
from .hardstate import HardState
from .messages import (
    NO_ROUND,
    Decided,
    HeightMessage,
    Hello,
    Message,
    Prevote,
    PrevoteQuorum,
    RoundProposal,
    Seen,
    Share,
    SigningSession,
    Status,
    Submit,
)
from .precommit import Precommit
from .resend import Resend
from .restart import Restart
from .rules import Rules
from .signer import Signer
from .state import STASH_MAX, AcceptValue, Chain, HeightState, Timing
from .value import Value
from .votes import ROUNDS_AHEAD_MAX


class Replica:
    """One governor. `record`: the last `Write`, None for none; `token`: 16 random bytes.

    The caller calls `start` once, then `step` for each event, and carries out the effects in
    order. Raises `Malformed` for a record that is not one.
    """

    def __init__(
        self,
        committee: Committee,
        signer: Signer,
        chain: Chain,
        accept: AcceptValue,
        record: bytes | None,
        token: bytes,
        timing: Timing | None = None,
    ) -> None:
        context = ReplicaContext(committee, signer, chain, accept, record, timing or Timing())
        self.committee = committee
        self.context = context
        fast_path = FastPath(context)
        self._precommit = Precommit(context, fast_path)
        self.rules = Rules(context, fast_path, self._precommit)
        self.restart = Restart(context, self.rules, token)
        self._resend = Resend(context, self._precommit, self.restart)
        # messages of the next height, by sender
        self._early: dict[int, deque[HeightMessage]] = {}

    @property
    def state(self) -> HeightState:
        """The height that is being decided."""
        return self.context.state

    @property
    def hard_state(self) -> HardState:
        """What survives a restart."""
        return self.context.hard_state

    @property
    def is_active(self) -> bool:
        """False while this governor must not vote or sign: it may have forgotten what it sent."""
        return self.context.is_active

    def start(self, now_ms: int) -> list[Effect]:
        """The first effects after a start or restart."""
        context = self.context
        context.now_ms = now_ms
        context.resend_at_ms = now_ms + context.timing.resend_ms
        if context.hard_state.height != context.state.height:
            context.hard_state.next_height(context.state.height)
        self.restart.say_hello()
        self.restart.join()
        self.rules.settle()
        return context.flush()

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """The effects of an event. No message raises anything, whatever it holds."""
        context = self.context
        context.now_ms = max(now_ms, context.now_ms)
        if context.chain.height > context.state.height:
            self.rules.enter_height(context.chain.height)
        self._precommit.join_opened()
        if isinstance(event, Received):
            self._receive(event)
        elif isinstance(event, Propose):
            self._submit(event.sender or context.me, event.value)
            if event.sender is None and context.state.candidates.get(context.me) is event.value:
                context.send(Submit(event.value))
        elif isinstance(event, Tick):
            context.timer_ms = None
            self._tick()
        self.rules.settle()
        if self._early and next(iter(self._early.values()))[0].height <= context.state.height:
            self._replay_early()
            self.rules.settle()
        return context.flush()

    def _tick(self) -> None:
        context = self.context
        if context.deadline_ms is not None and context.now_ms >= context.deadline_ms:
            context.deadline_ms = None
            self.rules.time_out()
        self._resend.repeat()

    # --- messages ---------------------------------------------------------------------------------

    def _receive(self, event: Received) -> None:
        if event.sender not in self.committee.numbers or event.sender == self.context.me:
            return
        try:
            message = messages.decode(event.data)
        except Malformed as error:
            self.context.effects.append(Reject(event.sender, type(error).__name__))
            return
        self._dispatch(event.sender, message)

    def _dispatch(self, sender: int, message: Message) -> None:
        height = self.context.state.height
        if isinstance(message, Hello):
            self.restart.receive_hello(sender, message)
        elif isinstance(message, Seen):
            self.restart.receive_seen(sender, message)
        elif isinstance(message, Decided):
            self._receive_decided(sender, message)
        elif message.height == height + 1:
            # some governors know the decision before others do, and go on
            self._early.setdefault(sender, deque(maxlen=STASH_MAX)).append(message)
        elif isinstance(message, Submit):
            self._submit(sender, message.value)
        elif message.height != height:
            if isinstance(message, Status) and message.height < height:
                self._resend.send_decision(sender, message.height)
        elif isinstance(message, Status):
            self._resend.receive_status(sender, message)
        else:
            self.context.state.see_round(sender, message.round)
            if isinstance(message, RoundProposal):
                self._receive_proposal(message)
            elif isinstance(message, Prevote):
                self._precommit.receive_prevote(message)
            elif isinstance(message, SigningSession):
                self._precommit.receive_session(sender, message)
            elif isinstance(message, Share):
                self._precommit.receive_share(sender, message)
            else:
                self._receive_quorum(message)

    def _replay_early(self) -> None:
        """Handle the messages that arrived for this height before it began."""
        early, self._early = self._early, {}
        for sender, kept in early.items():
            for message in kept:
                self._dispatch(sender, message)

    def _submit(self, sender: int, value: Value) -> None:
        state = self.context.state
        if value.epoch != state.height or self.context.accept(value) is not None:
            return
        state.candidates[sender] = value
        self.restart.wake()

    def _receive_proposal(self, proposal: RoundProposal) -> None:
        context, state = self.context, self.context.state
        round_ = proposal.round
        if not self._is_near(round_):
            return
        proposer = context.committee.proposer(state.height, round_)
        if proposal.sender != proposer or proposal.value.epoch != state.height:
            return
        if not context.verifier.check(proposal):
            return
        known = state.proposals.get(round_)
        if known is not None:
            same = known.value == proposal.value and known.valid_round == proposal.valid_round
            if not same:
                context.accuse(proposal.sender, "proposed twice in a round", known, proposal)
            return
        is_proven = proposal.valid_round != NO_ROUND
        if is_proven and not self._proves(proposal):
            return
        state.proposals[round_] = proposal
        self._learn(proposal.value, proposal.valid_round, proposal.proof)
        self._precommit.retry_stashed()
        if is_proven or context.accepts(proposal.value):
            self.restart.wake()

    def _is_near(self, round_: int) -> bool:
        current = self.context.state.round
        return current - 1 <= round_ <= current + ROUNDS_AHEAD_MAX

    def _proves(self, proposal: RoundProposal) -> bool:
        """Line 28: prevotes of a quorum, in an earlier round, for the same value."""
        place = proposal.height, proposal.valid_round, proposal.value.digest
        is_earlier = proposal.valid_round < proposal.round
        return is_earlier and self.context.verifier.is_quorum(proposal.proof, *place)

    def _receive_quorum(self, quorum: PrevoteQuorum) -> None:
        """Take a quorum's prevotes for a value, as if each had arrived alone (lines 36 to 43)."""
        context, state = self.context, self.context.state
        if quorum.value.epoch != state.height or quorum.round in state.quorums:
            return
        place = state.height, quorum.round, quorum.value.digest
        if not context.verifier.is_quorum(quorum.proof, *place):
            return
        for prevote in quorum.proof:
            state.see_round(prevote.sender, quorum.round)
            self._precommit.receive_prevote(prevote)
        if self._is_near(quorum.round):
            state.quorums[quorum.round] = quorum
            self._precommit.retry_stashed()
        self._learn(quorum.value, quorum.round, quorum.proof)
        self.restart.wake()

    def _learn(self, value: Value, round_: int, proof: tuple[Prevote, ...]) -> None:
        """Keep the newest value for which a quorum voted in an earlier round, to propose it.

        `Rules` looks for a quorum of the current round.
        """
        hard_state = self.context.hard_state
        if hard_state.valid_round < round_ < self.context.state.round:
            hard_state.valid, hard_state.valid_round, hard_state.proof = value, round_, proof

    def _receive_decided(self, sender: int, decided: Decided) -> None:
        context, value = self.context, decided.value
        if value.epoch != context.state.height or len(value.payloads) != len(decided.signatures):
            return
        pairs = zip(value.payloads, decided.signatures, strict=True)
        if all(context.signer.is_valid(payload, signature) for payload, signature in pairs):
            is_lagging = not context.state.is_awake
            self.rules.decide(value, decided.signatures)
            if is_lagging:
                # the status asks the sender for the next decision
                self._resend.send_status(sender)
