"""Members, actions and beacons: who coordinates their signatures, when, and in which batches."""

from collections.abc import Callable, Sequence

from writ.authority import capsule as capsules
from writ.authority.capsule import BEACON

from ...consensus import effects
from ...consensus.committee import Committee
from ...consensus.cosign import ASK, JOBS_MAX, RESEND_MS, Certifier
from ...consensus.effects import Effect, Received, Tick
from ...consensus.signer import Signer
from ...consensus.value import BATCH_MAX, body_of
from ...scope.validation import beacon_objection
from ..proposals import messages
from ..proposals.proposal import OPEN, UNKNOWN_PROPOSAL, Proposal
from .clockskew import ClockSkew
from .context import Context
from .pool import ProposalPool
from .reservations import Promised

# What came to nothing is asked again; others take over, in turns, from who has asked for nothing
# so long, and what somebody busy leaves undone for ten times as long.
RETRY_MS = 3000
TAKE_OVER_MS = 8000
TAKE_OVER_MS_MAX = 10 * TAKE_OVER_MS
# A beacon is certified four times in the time that it counts as fresh, by one governor at a time.
BEACONS_A_LIFETIME = 4
BEACON_TURN_MS = 4000
# Changes come in bursts: one beacon follows those of a second, and delays none of them.
SETTLE_MS = 1000


class CosigningScheduler:
    """One governor's part. carry_out(effects): what the certifier wants done."""

    def __init__(
        self,
        context: Context,
        proposing: ProposalPool,
        committee: Committee,
        signer: Signer,
        carry_out: Callable[[Sequence[Effect]], None],
    ) -> None:
        self._context = context
        self._proposing = proposing
        self._carry_out = carry_out
        self._certifier = Certifier(committee, signer, self._reason_against)
        self.reservations = Promised(context)
        self._ready: dict[bytes, int] = {}  # ids of proposals -> not before
        self._alone: set[bytes] = set()  # those that spoilt a batch, or may have
        self._asked_ms: dict[int, int] = {}  # when each governor asked us last
        self._tick_ms = 0
        self.clock_skew = ClockSkew(context)
        self._new_epoch_ms = 0  # when the beacon of a new epoch is due, 0 for none
        self._beacon_asked_ms = -SETTLE_MS  # when somebody last wanted one certified
        self.beacon_ms = 0

    # --- judging: what others ask us to sign, and what we ask -------------------------------------

    def _reason_against(self, payloads: Sequence[bytes]) -> str | None:
        for payload in payloads:
            if body_of(payload)[0] == BEACON:
                reason = self._reason_against_beacon(payload)
            else:
                reason = self._reason_against_one(payload)
                reason = reason or self.reservations.reason_against(payload)
            if reason is not None:
                return reason
        # durable before a share is offered: no two nodes with one name or one short address
        return self._context.ledger.pledge(payloads)

    def _reason_against_one(self, payload: bytes) -> str | None:
        # several proposals may want it signed, with other evidence or beside others
        reason: str | None = UNKNOWN_PROPOSAL
        for proposal in self._proposing.table.of_payload(payload):
            reason = self._proposing.reason_against(proposal)
            if reason is None:
                break
        return reason

    def _reason_against_beacon(self, payload: bytes) -> str | None:
        context = self._context
        self._beacon_asked_ms = context.now_ms
        chain = context.chain
        skew = chain.charter.clock_skew_max_s
        reason = beacon_objection(payload, context.clock_s(), skew, chain.epoch, chain.head)
        time_s = int(capsules.parse_claims(payload)[capsules.IAT])
        if reason is None and time_s <= context.newest_beacon()[0]:
            return "a newer beacon is certified already"
        return reason

    # --- time -------------------------------------------------------------------------------------

    def want(self, proposal: Proposal) -> None:
        """Certify it: now if we took it, else when its turn comes to us."""
        rank = (self._context.me - proposal.proposer) % self._context.count
        due_ms = self._context.now_ms if not rank else proposal.since_ms + rank * TAKE_OVER_MS
        self._ready.setdefault(proposal.id, due_ms)

    def next_ms(self) -> int:
        """When `tick` has something to do."""
        times = [self.beacon_ms]
        if self._certifier.job_count < JOBS_MAX:
            times += self._ready.values()
        if self._certifier.busy:
            times.append(self._tick_ms)
        return min(times)

    def tick(self) -> None:
        """Begin what is ready, ask again those who are silent."""
        now_ms = self._context.now_ms
        if self._certifier.busy and now_ms >= self._tick_ms:
            self._tick_ms = now_ms + RESEND_MS
            self._carry_out(self._certifier.step(Tick(), now_ms))
        if now_ms >= self.beacon_ms:
            self.beacon_ms = now_ms + self._context.count * BEACON_TURN_MS
            self._propose_beacon()
        due = [id for id, at_ms in self._ready.items() if at_ms <= now_ms]
        while due and self._certifier.job_count < JOBS_MAX:
            batch = self._take_batch(due)
            if batch:
                self._certify(batch)

    def _take_batch(self, due: list[bytes]) -> tuple[bytes, ...]:
        batch: list[bytes] = []
        while due:
            proposal = self._proposing.table.get(due[0])
            if proposal is None or proposal.state != OPEN:
                self._alone.discard(due[0])
                self._ready.pop(due.pop(0), None)
                continue
            wait_ms = self._others_turn_ms(proposal)
            if wait_ms > 0:
                self._ready[due.pop(0)] = self._context.now_ms + wait_ms
                continue
            is_alone = proposal.id in self._alone
            if batch and (is_alone or len(batch) + len(proposal.payloads) > BATCH_MAX):
                break
            batch += proposal.payloads
            self._ready[due.pop(0)] = self._context.now_ms + 4 * RETRY_MS
            if is_alone:
                break
        return tuple(batch)

    def _others_turn_ms(self, proposal: Proposal) -> int:
        """How long it is not ours yet: whoever took it is at work, if not at this one."""
        rank = (self._context.me - proposal.proposer) % self._context.count
        asked_ms = self._asked_ms.get(proposal.proposer, 0)
        silent_ms = asked_ms + rank * TAKE_OVER_MS
        latest_ms = proposal.since_ms + rank * TAKE_OVER_MS_MAX
        return min(silent_ms, latest_ms) - self._context.now_ms if rank else 0

    def _certify(self, payloads: tuple[bytes, ...]) -> None:
        self._tick_ms = self._context.now_ms + RESEND_MS
        asked = effects.Certify(payloads)
        self._carry_out(self._certifier.step(asked, self._context.now_ms))

    def receive(self, event: Received) -> None:
        """A message of the certifier."""
        if messages.type_of(event.data) == ASK:
            self._asked_ms[event.sender] = self._context.now_ms
            self.clock_skew.look(event.sender, event.data)
        self._carry_out(self._certifier.step(event, self._context.now_ms))

    def refused(self, effect: effects.Refused) -> None:
        """Too few would sign these; in a batch, perhaps because of another one."""
        said = [f"{self._context.name(number)}: {why}" for number, why in effect.reasons]
        reasons = {why for _, why in effect.reasons}
        asked = set(effect.payloads)
        found = {
            proposal.id: proposal
            for payload in effect.payloads
            for proposal in self._proposing.table.of_payload(payload)
            if asked.issuperset(proposal.payloads)
        }
        is_spoilt = len(found) > 1 and bool(reasons - {UNKNOWN_PROPOSAL})
        for proposal in found.values():
            # approvals may be on their way still; what is wrong for good each one's judge finds
            proposal.reason = "; ".join(said) or "too few governors answered"
            wait_ms = RETRY_MS
            if is_spoilt:
                self._alone.add(proposal.id)
                proposal.reason, wait_ms = "", 0
            elif reasons == {UNKNOWN_PROPOSAL}:
                wait_ms = RESEND_MS
            self._ready[proposal.id] = self._context.now_ms + wait_ms
        if UNKNOWN_PROPOSAL in reasons:
            self._proposing.tell_proposals(list(found.values()))
        self._context.increment("Refused")

    # --- beacons ----------------------------------------------------------------------------------

    def plan_beacon(self) -> None:
        """When it is our turn: soon for a new epoch, else when part of a lifetime is over."""
        context = self._context
        time_s, epoch = context.newest_beacon()
        interval_s = max(1, context.chain.charter.beacon_age_max_s // BEACONS_A_LIFETIME)
        if epoch == context.chain.epoch:
            self._new_epoch_ms = 0
            due_ms = context.now_ms + 1000 * max(0, time_s + interval_s - context.clock_s())
        else:
            # one that waits already is not put off by the next epoch of a burst
            self._new_epoch_ms = self._new_epoch_ms or context.now_ms + SETTLE_MS
            # and one that the next epoch has overtaken is not tried in each of them
            due_ms = max(self._new_epoch_ms, self._beacon_asked_ms + SETTLE_MS)
        rank = (context.me - 1 - context.chain.epoch - time_s // interval_s) % context.count
        self.beacon_ms = due_ms + rank * BEACON_TURN_MS

    def _propose_beacon(self) -> None:
        context = self._context
        if context.chain.policy is None:
            return
        time_s = max(context.clock_s(), context.newest_beacon()[0] + 1)
        body = [context.chain.epoch, context.chain.head]
        self._certify((capsules.build(BEACON, body, iat=time_s),))
