"""Group signatures for unordered kinds: members, beacons and actions. The asker coordinates.

    ask    = [ 16, job: bstr .size 16, [+ payload] ]                  ; coordinator to all
    offer  = [ 17, job, [+ commitment] ]                              ; one a payload
    refuse = [ 18, job, code: uint, text: tstr ]    ; code 1: the proposal is unknown here; 0: other
    pick   = [ 19, job, [+ [number, [+ commitment]]] ]                ; a signing session
    answer = [ 20, job, session: bstr .size 32, [+ signature-share], [+ commitment] ]

 1. The coordinator asks all governors, and opens signing sessions (roast.py) with those that
    offer commitments. Its own governor is one of those that it asks.
 2. A governor offers only for payloads that its caller's `accept` has no reason against, asks
    `accept` again before it signs, and never signs an ordered kind here.
 3. The coordinator repeats a message to a silent governor, at growing intervals.
 4. A job ends when it is signed, when so many have refused it that the others are no quorum, or
    after a time without success.

Nothing is durable, because signatures of unordered kinds cannot fork the scope.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from writ.errors import Rejection
from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import Malformed
from .committee import Committee
from .effects import (
    Accuse,
    Cosign,
    Cosigned,
    CosigningFailed,
    Effect,
    Event,
    Objection,
    Received,
    Reject,
    Send,
    Tick,
)
from .messages import COSIGN_TYPE_MIN, SESSION_BYTES, byte_strings, session_id
from .roast import Commitments, NoncePool, SigningSessions
from .signer import COMMITMENT_BYTES, SHARE_BYTES, Signer
from .value import BATCH_MAX, check_unordered

ASK, OFFER, REFUSE, PICK, ANSWER = range(COSIGN_TYPE_MIN, COSIGN_TYPE_MIN + 5)
_SIZES = {ASK: 3, OFFER: 3, REFUSE: 4, PICK: 3, ANSWER: 5}
JOB_BYTES = 16
REASON_BYTES_MAX = 120
# Codes of objections: one that this version does not know has its text.
CODE_MAX = 255
# 32 capsules of 1,280 bytes, or 32 commitments of 13 governors.
COSIGN_BYTES_MAX = 49152
# Of one coordinator at one time. At the limit the oldest job is given up.
JOBS_MAX = 8
RESEND_MS = 400
# Ticks after which a job makes room: one that a governor has refused, one without any refusal.
REFUSED_TICKS = 20
UNFINISHED_TICKS = 100

# accept(payloads) -> an objection to signing them, or None.
AcceptPayloads = Callable[[Sequence[bytes]], Objection | None]


@dataclass
class _Pick:
    """A session that the coordinator opened: its members but us, and the message that names it."""

    session: bytes
    members: set[int]
    message: list[object]


@dataclass
class _Job:
    """Payloads that this governor coordinates.

    offered, objections: who has offered and who has refused, and why; answered: (session, signer).
    """

    payloads: tuple[bytes, ...]
    sessions: SigningSessions[Commitments]
    picks: list[_Pick] = field(default_factory=list)
    offered: set[int] = field(default_factory=set)
    objections: dict[int, Objection] = field(default_factory=dict)
    answered: set[tuple[bytes, int]] = field(default_factory=set)
    ticks: int = 0

    def is_over(self) -> bool:
        """Whether too few answer: silent governors and those that refused are too many."""
        return self.ticks >= (REFUSED_TICKS if self.objections else UNFINISHED_TICKS)

    def is_due(self) -> bool:
        """Whether silent governors are asked again now: after 1, 2, 4 and each 8 ticks."""
        self.ticks += 1
        return self.ticks in (1, 2, 4) or self.ticks % 8 == 0


@dataclass
class _Request:
    """A job as one of its signers: another governor coordinates it, or this one.

    commitments: those of its offer; answers: sent already, by session.
    """

    payloads: tuple[bytes, ...]
    nonces: NoncePool
    commitments: Commitments
    sessions: SigningSessions[None]
    answers: dict[bytes, list[object]] = field(default_factory=dict)


class Cosigner:
    """One governor's cosigning. `accept(payloads)` returns an objection to signing, or None.

    The caller carries out the effects of each `step` in order. Raises `Malformed` for a `Cosign` of
    payloads that cannot be signed here. No message raises anything.
    """

    def __init__(self, committee: Committee, signer: Signer, accept: AcceptPayloads) -> None:
        self.committee = committee
        self.signer = signer
        self.accept = accept
        self.me = signer.identifier
        self._count = 0
        self._jobs: dict[bytes, _Job] = {}
        # by coordinator and job
        self._requests: dict[tuple[int, bytes], _Request] = {}
        self._accused: set[int] = set()
        self._effects: list[Effect] = []
        self._resend_at_ms = 0

    @property
    def is_busy(self) -> bool:
        """True while it needs a `Tick` every RESEND_MS."""
        return bool(self._jobs)

    @property
    def job_count(self) -> int:
        """How many jobs this governor coordinates; at JOBS_MAX the next one ends the oldest."""
        return len(self._jobs)

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """The effects of an event."""
        if isinstance(event, Cosign):
            self._begin(event.payloads)
        elif isinstance(event, Received):
            try:
                self._receive(event)
            except Malformed as error:
                self._effects.append(Reject(event.sender, type(error).__name__))
        elif isinstance(event, Tick) and now_ms >= self._resend_at_ms:
            self._resend_at_ms = now_ms + RESEND_MS
            self._repeat()
        effects, self._effects = self._effects, []
        return effects

    def _send(self, to: int | None, *items: object) -> None:
        self._effects.append(Send(to, codec.dump(list(items))))

    def _receive(self, event: Received) -> None:
        if event.sender not in self.committee.numbers or event.sender == self.me:
            return
        items = codec.a_list(codec.load(event.data, COSIGN_BYTES_MAX))
        if not items or _SIZES.get(codec.an_int(items[0], 0, 255)) != len(items):
            raise Malformed("unknown type of message")
        self._dispatch(event.sender, items)

    def _dispatch(self, sender: int, items: list[object]) -> None:
        job = codec.some_bytes(items[1], JOB_BYTES)
        if items[0] == ASK:
            listed = codec.a_list(items[2], size_max=BATCH_MAX)
            self._receive_ask(sender, job, tuple(codec.some_bytes(one) for one in listed))
        elif items[0] == PICK:
            self._receive_pick(sender, job, items[2])
        elif job not in self._jobs:
            pass
        elif items[0] == OFFER:
            offer = byte_strings(items[2], COMMITMENT_BYTES, BATCH_MAX)
            self._jobs[job].offered.add(sender)
            self._jobs[job].sessions.offer(sender, offer, offer)
            self._advance(job)
        elif items[0] == REFUSE:
            code = codec.an_int(items[2], 0, CODE_MAX)
            text = codec.a_text(items[3], REASON_BYTES_MAX)
            self._receive_refusal(sender, job, Objection(text, code))
        else:
            self._receive_answer(sender, job, items)

    # --- the coordinator's part -------------------------------------------------------------------

    def _begin(self, payloads: tuple[bytes, ...]) -> None:
        check_unordered(payloads)
        # a fresh commitment names the job: after a restart no old message fits a new job
        commitment, nonce = self.signer.commit()
        nonce.discard()
        self._count += 1
        parts = ["writ-certify", self.committee.scope, self.me, self._count, commitment]
        job = hashlib.sha256(codec.dump([*parts, list(payloads)])).digest()[:JOB_BYTES]
        while len(self._jobs) >= JOBS_MAX:
            oldest = next(iter(self._jobs))
            self._give_up(oldest)
        sessions: SigningSessions[Commitments] = SigningSessions(
            self.signer, self.committee.threshold, payloads
        )
        self._jobs[job] = _Job(payloads, sessions)
        self._send(None, ASK, job, list(payloads))
        self._receive_ask(self.me, job, payloads)

    def _give_up(self, job: bytes) -> None:
        found = self._jobs.pop(job)
        objections = tuple(
            (number, found.objections[number]) for number in sorted(found.objections)
        )
        self._effects.append(CosigningFailed(found.payloads, objections))

    def _receive_refusal(self, sender: int, job: bytes, objection: Objection) -> None:
        found = self._jobs[job]
        found.objections[sender] = objection
        if self.committee.count - len(found.objections) < self.committee.threshold:
            self._give_up(job)

    def _advance(self, job: bytes) -> None:
        """Open sessions with free signers, and end the job when one is complete."""
        found = self._jobs[job]
        sessions = found.sessions
        new = sessions.cheaters - self._accused
        self._accused |= new
        for number in sorted(new):
            self._effects.append(Accuse(number, "sent a wrong signature share", ()))
        while sessions.signatures is None:
            chosen = sessions.choose()
            if chosen is None:
                return
            self._open(job, {number: chosen[number] for number in sorted(chosen)})
            if job not in self._jobs:
                return
        if self._jobs.pop(job, None):
            self._effects.append(Cosigned(found.payloads, sessions.signatures))

    def _open(self, job: bytes, members: dict[int, Commitments]) -> None:
        found = self._jobs[job]
        name = session_id([job], members)
        found.sessions.add(name, members)
        listed = [[number, list(members[number])] for number in members]
        others = [number for number in members if number != self.me]
        message: list[object] = [PICK, job, listed]
        found.picks.append(_Pick(name, set(others), message))
        for number in others:
            self._send(number, *message)
        if self.me in members:
            self._receive_pick(self.me, job, listed)

    def _receive_answer(self, sender: int, job: bytes, items: list[object]) -> None:
        found = self._jobs[job]
        session = codec.some_bytes(items[2], SESSION_BYTES)
        shares = byte_strings(items[3], SHARE_BYTES, BATCH_MAX)
        commitments = byte_strings(items[4], COMMITMENT_BYTES, BATCH_MAX)
        if session in found.sessions and (session, sender) not in found.answered:
            found.answered.add((session, sender))
            found.sessions.offer_next(sender, session, commitments, commitments)
            found.sessions.add_shares(session, sender, shares)
            self._advance(job)

    def _repeat(self) -> None:
        """Repeat what silent governors did not answer, and look for unfinished sessions."""
        for job, found in list(self._jobs.items()):
            if found.is_over():
                self._give_up(job)
                continue
            if not found.is_due():
                continue
            found.sessions.check_unfinished()
            awaited = set(self.committee.numbers) - found.offered - {self.me}
            for pick in found.picks:
                silent = {one for one in pick.members if (pick.session, one) not in found.answered}
                for number in sorted(silent):
                    # it may have restarted, and know neither session nor job
                    self._send(number, ASK, job, list(found.payloads))
                    self._send(number, *pick.message)
                awaited -= silent
            for number in sorted(awaited):
                self._send(number, ASK, job, list(found.payloads))
            self._advance(job)

    # --- the signer's part ------------------------------------------------------------------------

    def _reply(self, sender: int, job: bytes, *items: object) -> None:
        message = [items[0], job, *items[1:]]
        if sender != self.me:
            self._send(sender, *message)
        elif job in self._jobs:
            self._dispatch(self.me, message)

    def _receive_ask(self, sender: int, job: bytes, payloads: tuple[bytes, ...]) -> None:
        key = sender, job
        request = self._requests.get(key)
        if request is None:
            objection = self._objection(payloads)
            if objection is not None:
                self._reply(sender, job, REFUSE, objection.code, objection.text)
                return
            nonces = NoncePool(self.signer)
            sessions: SigningSessions[None] = SigningSessions(
                self.signer, self.committee.threshold, payloads
            )
            request = _Request(payloads, nonces, nonces.commit(len(payloads)), sessions)
            known = [one for one in self._requests if one[0] == sender]
            if len(known) >= JOBS_MAX:
                self._requests.pop(known[0]).nonces.discard()
            self._requests[key] = request
        self._reply(sender, job, OFFER, list(request.commitments))

    def _objection(self, payloads: tuple[bytes, ...]) -> Objection | None:
        """The objection to signing, its text cut to fit a message."""
        try:
            check_unordered(payloads)
            found = self.accept(payloads)
        except (Malformed, Rejection) as error:
            # of the payloads; an error of the caller's disk is no refusal
            found = Objection(str(error) or type(error).__name__)
        if found is None:
            return None
        text = found.text.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        return Objection(text, found.code)

    def _receive_pick(self, sender: int, job: bytes, item: object) -> None:
        request = self._requests.get((sender, job))
        if request is None:
            return
        members: dict[int, Commitments] = {}
        for pair in codec.a_list(item, size_max=GOVERNORS_MAX):
            number, listed = codec.a_list(pair, 2)
            checked = codec.an_int(number, 1, self.committee.count)
            members[checked] = byte_strings(listed, COMMITMENT_BYTES, BATCH_MAX)
        name = session_id([job], members)
        if name in request.answers:
            self._reply(sender, job, ANSWER, *request.answers[name])
            return
        mine = members.get(self.me)
        if mine is None or mine not in request.nonces:
            return
        objection = self._objection(request.payloads)
        if objection is not None:
            self._reply(sender, job, REFUSE, objection.code, objection.text)
            return
        if request.sessions.add(name, members):
            shares = request.sessions.sign(name, request.nonces.take(mine))
            commitments = request.nonces.commit(len(shares))
            request.answers[name] = [name, list(shares), list(commitments)]
            self._reply(sender, job, ANSWER, *request.answers[name])
