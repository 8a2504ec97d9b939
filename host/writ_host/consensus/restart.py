"""Recovery: what a replica does after a start, before it may vote, and where it resumes.

1. After each start a replica asks all others for its own newest signed message (`Hello`). It
   neither votes nor signs until those that answered (`Seen`) and it are a quorum.
2. If an answer carries a higher counter than the hard state, the disk was restored from an old
   backup. The replica abstains until the others have decided that height
   (`ReplicaContext.record_signed`).
3. It resumes in the last round in which it voted, repeats its votes with fresh commitments, and
   keeps its lock.
"""

from .context import ReplicaContext
from .messages import Hello, PrevoteQuorum, Seen
from .rules import Rules
from .state import PRECOMMIT, PREVOTE


class Restart:
    """The recovery of one replica. token: 16 random bytes that its answers must repeat."""

    def __init__(self, context: ReplicaContext, rules: Rules, token: bytes) -> None:
        self._context = context
        self._rules = rules
        self._token = token
        self._answered: set[int] = set()

    def say_hello(self) -> None:
        """Ask all others for the newest message that they have from this governor."""
        self._context.send(Hello(self._token, self._context.state.height))

    def receive_hello(self, sender: int, hello: Hello) -> None:
        """Answer a governor that has started."""
        newest = self._context.hard_state.newest.get(sender)
        self._context.send(Seen(hello.token, newest), sender)

    def receive_seen(self, sender: int, seen: Seen) -> None:
        """Take an answer to our hello."""
        context, evidence = self._context, seen.evidence
        if context.is_joined or seen.token != self._token:
            return
        is_own = evidence is not None and evidence.sender == context.me
        if evidence is not None and is_own and context.verifier.check(evidence):
            context.record_signed(evidence)
        self._answered.add(sender)
        self.join()

    def join(self) -> None:
        """Take part, once the governors that have answered and this one are a quorum."""
        context = self._context
        if context.is_joined or len(self._answered) + 1 < context.committee.threshold:
            return
        context.is_joined = True
        if context.hard_state.prevotes:
            context.state.is_awake = True
        context.write()
        if context.state.is_awake and context.is_active:
            self.resume()

    def wake(self) -> None:
        """Begin the height: there is something to decide."""
        context = self._context
        if context.state.is_awake:
            return
        context.state.is_awake = True
        soon_ms = context.now_ms + context.timing.resend_ms
        context.resend_at_ms = min(context.resend_at_ms, soon_ms)
        if context.is_active:
            self.resume()

    def resume(self) -> None:
        """Begin the height, or go on where the hard state says that this replica was."""
        context, hard_state = self._context, self._context.hard_state
        if not hard_state.prevotes:
            self._rules.start_round(context.state.round)
            return
        self._rules.start_round(max(hard_state.prevotes))
        state, valid = context.state, hard_state.valid
        if valid is not None:
            round_ = hard_state.valid_round
            state.quorums[round_] = PrevoteQuorum(state.height, round_, valid, hard_state.proof)
        for round_, digest in hard_state.prevotes.items():
            # without the payloads there is nothing to sign, so the vote needs no commitments
            is_known = valid is not None and valid.digest == digest and round_ == state.round
            self._rules.cast(round_, digest, len(valid.payloads) if is_known and valid else 0)
        if hard_state.locked_round == state.round:
            context.arm(PRECOMMIT)
        else:
            state.step, context.deadline_ms = PREVOTE, None
