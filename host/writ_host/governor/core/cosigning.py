"""The schedule of cosigning: when this governor collects signatures, and for which payloads.

Members, beacons and actions have no order. Any governor may coordinate the signing of any of them;
to avoid duplicate work they take turns.

1. The proposer of a proposal coordinates it at once, together with others in one batch.
2. The next governor takes over once the proposer has asked for nothing for TAKE_OVER_MS, or has
   not completed the proposal within TAKE_OVER_MS_MAX. Those after it wait for the same time again.
3. A batch that a governor refuses is split: each of its proposals is tried alone. A governor that
   has not received a proposal gets it again first; one that refused a proposal has not kept it, and
   answers as if it had not received it.
4. Beacons rotate among the governors, BEACONS_A_LIFETIME of them in the time that one is fresh.
"""

from collections.abc import Callable, Sequence

from writ.authority import capsule as capsules
from writ.authority.capsule import BEACON

from ...consensus import effects
from ...consensus.committee import Committee
from ...consensus.cosign import ASK, JOBS_MAX, RESEND_MS, Cosigner
from ...consensus.effects import UNKNOWN_PROPOSAL, Effect, Objection, Received, Tick
from ...consensus.signer import Signer
from ...consensus.value import BATCH_MAX, body_of
from ...humanize import utc_minute
from ...scope.validation import beacon_objection, is_time_jump
from ..proposals.proposal import OPEN, UNKNOWN, Proposal
from .clockskew import ClockSkew
from .context import CoreContext
from .pool import ProposalPool
from .reservations import ReservationSync

# How long a refused proposal waits before it is tried again.
RETRY_MS = 3000
# How long each governor waits before it takes over from the one before.
TAKE_OVER_MS = 8000
TAKE_OVER_MS_MAX = 10 * TAKE_OVER_MS
BEACONS_A_LIFETIME = 4
# How long each governor waits for the beacon of the one before.
BEACON_TURN_MS = 4000
# Changes come in bursts: one beacon follows those of a second, and delays none of them.
SETTLE_MS = 1000


def _objection(text: str | None) -> Objection | None:
    return None if text is None else Objection(text)


class CosigningScheduler:
    """The cosigning of one governor. apply_effects(effects): applies what the cosigner returns."""

    def __init__(
        self,
        context: CoreContext,
        pool: ProposalPool,
        committee: Committee,
        signer: Signer,
        apply_effects: Callable[[Sequence[Effect]], None],
    ) -> None:
        self._context = context
        self._pool = pool
        self._apply_effects = apply_effects
        self._cosigner = Cosigner(committee, signer, self._objection)
        self.reservations = ReservationSync(context)
        self.clock_skew = ClockSkew(context)
        self._due_ms: dict[bytes, int] = {}  # by proposal id: not before
        self._unbatched: set[bytes] = set()  # ids of proposals to be tried alone
        self._resent: set[bytes] = set()  # ids of proposals that others had not received
        self._last_ask_ms: dict[int, int] = {}  # by governor: when it last asked for signatures
        self._judged_time_s: int | None = None  # the time of the beacon that was judged last
        self._resend_due_ms = 0
        self.beacon_due_ms = 0  # when this governor's turn for a beacon comes
        self._new_epoch_beacon_ms = 0  # when the beacon of a new epoch is due, 0 for none
        self._has_reported_jump = False
        self._beacon_asked_ms = -SETTLE_MS  # when any governor last asked for a beacon

    # --- objections -------------------------------------------------------------------------------

    def _objection(self, payloads: Sequence[bytes]) -> Objection | None:
        """Why this governor does not sign these payloads, None if it does."""
        for payload in payloads:
            if body_of(payload)[0] == BEACON:
                objection = self._objection_to_beacon(payload)
            else:
                objection = self._objection_to_one(payload)
                objection = objection or _objection(self.reservations.objection(payload))
            if objection is not None:
                return objection
        # saved before a share is offered, so that no two nodes get one name or one short address
        return _objection(self._context.ledger.reservations.reserve(payloads))

    def _objection_to_one(self, payload: bytes) -> Objection | None:
        # several proposals may contain it, with other evidence or beside other payloads
        objection: Objection | None = UNKNOWN
        for proposal in self._pool.proposals.of_payload(payload):
            objection = _objection(self._pool.objection(proposal))
            if objection is None:
                break
        return objection

    def _objection_to_beacon(self, payload: bytes) -> Objection | None:
        context = self._context
        self._beacon_asked_ms = context.now_ms
        chain = context.chain
        time_s = int(capsules.parse_claims(payload)[capsules.IAT])
        self._judged_time_s = time_s
        if self.is_time_jump(time_s):
            # judged with the operators' answers
            return self._objection_to_one(payload)
        skew = chain.charter.clock_skew_max_s
        objection = beacon_objection(payload, context.clock_s(), skew, chain.epoch, chain.head)
        if objection is None and time_s <= context.newest_beacon()[0]:
            objection = "a newer beacon is certified already"
        return _objection(objection)

    def is_time_jump(self, time_s: int) -> bool:
        """Whether operators must approve this time, so far after the newest certified one."""
        return is_time_jump(time_s, self._context.view().certified_s)

    # --- messages and time ------------------------------------------------------------------------

    def receive(self, sender: int, type_: int, data: bytes) -> None:
        """Handle a message of another governor's cosigner."""
        if type_ == ASK:
            self._last_ask_ms[sender] = self._context.now_ms
        self._judged_time_s = None
        event = Received(sender, data)
        listed = self._cosigner.step(event, self._context.now_ms)
        if type_ == ASK and self._judged_time_s is not None:
            self.clock_skew.observe(sender, self._judged_time_s)
        self._apply_effects(listed)

    def next_ms(self) -> int:
        """When `tick` has something to do."""
        times = [self.beacon_due_ms]
        if self._cosigner.job_count < JOBS_MAX:
            times += self._due_ms.values()
        if self._cosigner.is_busy:
            times.append(self._resend_due_ms)
        return min(times)

    def tick(self) -> None:
        """Start the jobs that are due, and repeat requests to silent governors."""
        now_ms = self._context.now_ms
        if self._cosigner.is_busy and now_ms >= self._resend_due_ms:
            self._resend_due_ms = now_ms + RESEND_MS
            self._apply_effects(self._cosigner.step(Tick(), now_ms))
        if now_ms >= self.beacon_due_ms:
            self.beacon_due_ms = now_ms + self._context.count * BEACON_TURN_MS
            self._start_beacon()
        due = [id for id, at_ms in self._due_ms.items() if at_ms <= now_ms]
        while due and self._cosigner.job_count < JOBS_MAX:
            batch = self._take_batch(due)
            if batch:
                self._start(batch)

    # --- proposals --------------------------------------------------------------------------------

    def schedule(self, proposal: Proposal) -> None:
        """Schedule a proposal: now if this governor proposed it, else at this governor's turn."""
        rank = self._rank(proposal)
        due_ms = self._context.now_ms if not rank else proposal.since_ms + rank * TAKE_OVER_MS
        self._due_ms.setdefault(proposal.id, due_ms)

    def _rank(self, proposal: Proposal) -> int:
        """This governor's place in the order of coordinators, 0 for the proposer."""
        return (self._context.me - proposal.proposer) % self._context.count

    def _take_batch(self, due: list[bytes]) -> tuple[bytes, ...]:
        """Remove from `due` the ids of one batch, and return its payloads."""
        batch: list[bytes] = []
        while due:
            proposal = self._pool.proposals.get(due[0])
            if proposal is None or proposal.state != OPEN:
                self._unbatched.discard(due[0])
                self._resent.discard(due[0])
                self._due_ms.pop(due.pop(0), None)
                continue
            wait_ms = self._wait_for_turn_ms(proposal)
            if wait_ms > 0:
                self._due_ms[due.pop(0)] = self._context.now_ms + wait_ms
                continue
            is_alone = proposal.id in self._unbatched
            if batch and (is_alone or len(batch) + len(proposal.payloads) > BATCH_MAX):
                break
            batch += proposal.payloads
            self._due_ms[due.pop(0)] = self._context.now_ms + 4 * RETRY_MS
            if is_alone:
                break
        return tuple(batch)

    def _wait_for_turn_ms(self, proposal: Proposal) -> int:
        """How long until this governor takes over from the proposer; <= 0 for at once."""
        rank = self._rank(proposal)
        asked_ms = self._last_ask_ms.get(proposal.proposer, 0)
        silent_ms = asked_ms + rank * TAKE_OVER_MS
        latest_ms = proposal.since_ms + rank * TAKE_OVER_MS_MAX
        return min(silent_ms, latest_ms) - self._context.now_ms if rank else 0

    def _start(self, payloads: tuple[bytes, ...]) -> None:
        self._resend_due_ms = self._context.now_ms + RESEND_MS
        event = effects.Cosign(payloads)
        self._apply_effects(self._cosigner.step(event, self._context.now_ms))

    def on_refusal(self, effect: effects.CosigningFailed) -> None:
        """Reschedule the proposals of a job that too few governors would sign."""
        texts = [f"{self._context.name(number)}: {why.text}" for number, why in effect.objections]
        codes = {why.code for _, why in effect.objections}
        payloads = set(effect.payloads)
        found = {
            proposal.id: proposal
            for payload in effect.payloads
            for proposal in self._pool.proposals.of_payload(payload)
            if payloads.issuperset(proposal.payloads)
        }
        # a second time: a governor that refuses one of them does not keep it
        is_spoilt = len(found) > 1 and (
            bool(codes - {UNKNOWN_PROPOSAL}) or not self._resent.isdisjoint(found)
        )
        for proposal in found.values():
            # tried again, since approvals may be on their way; the judge closes what is invalid
            proposal.reason = "; ".join(texts) or "too few governors answered"
            wait_ms = RETRY_MS
            if is_spoilt:
                self._unbatched.add(proposal.id)
                proposal.reason, wait_ms = "", 0
            elif codes == {UNKNOWN_PROPOSAL}:
                wait_ms = RESEND_MS
            self._due_ms[proposal.id] = self._context.now_ms + wait_ms
        if UNKNOWN_PROPOSAL in codes:
            self._resent |= set(found)
            self._pool.send_proposals(list(found.values()))
        self._context.increment("Refused")

    # --- beacons ----------------------------------------------------------------------------------

    def plan_beacon(self) -> None:
        """Set this governor's turn: soon after a new epoch, else after a part of the lifetime."""
        context = self._context
        time_s, epoch = context.newest_beacon()
        interval_s = max(1, context.chain.charter.beacon_age_max_s // BEACONS_A_LIFETIME)
        if epoch == context.chain.epoch:
            self._new_epoch_beacon_ms = 0
            due_ms = context.now_ms + 1000 * max(0, time_s + interval_s - context.clock_s())
        else:
            # a burst of epochs does not postpone the beacon that is planned already
            self._new_epoch_beacon_ms = self._new_epoch_beacon_ms or context.now_ms + SETTLE_MS
            # after a try that the next epoch overtook, another one waits as long
            due_ms = max(self._new_epoch_beacon_ms, self._beacon_asked_ms + SETTLE_MS)
        rank = (context.me - 1 - context.chain.epoch - time_s // interval_s) % context.count
        self.beacon_due_ms = due_ms + rank * BEACON_TURN_MS

    def next_beacon(self) -> tuple[bytes, bool]:
        """The payload of a beacon with the present time, and whether operators must approve it."""
        context = self._context
        time_s = max(context.clock_s(), context.newest_beacon()[0] + 1)
        body = [context.chain.epoch, context.chain.head]
        return capsules.build(BEACON, body, iat=time_s), self.is_time_jump(time_s)

    def _start_beacon(self) -> None:
        context = self._context
        if context.chain.policy is None:
            return
        payload, needs_operators = self.next_beacon()
        if not needs_operators:
            self._start((payload,))
        elif not self._has_reported_jump:
            self._has_reported_jump = True
            since = utc_minute(context.view().certified_s)
            text = f"no time is certified since {since}: operators must approve the next beacon"
            context.record("time-jump", f"{text}, see writ scope beacon --help")
