"""Signatures without an order: members, beacons, actions. Whoever wants one coordinates it.

    ask    = [ 16, job: bstr .size 16, [+ payload] ]                  ; coordinator to all
    offer  = [ 17, job, [+ commitment] ]                              ; one a payload
    refuse = [ 18, job, reason: tstr ]
    pick   = [ 19, job, [+ [number, [+ commitment]]] ]                ; a signing session
    answer = [ 20, job, session: bstr .size 32, [+ share], [+ commitment] ]

A governor offers only what its caller's `accept` has no reason against, asks it again before it
signs, and never signs an ordered kind here. Nothing is durable: nothing here can fork.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import HostError, Malformed
from .committee import Committee
from .effects import Accuse, Certified, Certify, Effect, Event, Received, Refused, Send, Tick
from .messages import CERTIFY_TYPE_MIN, byte_strings, session_id
from .roast import Commitments, Purse, Sessions
from .signer import COMMITMENT_BYTES, SHARE_BYTES, Signer
from .value import BATCH_MAX, check_unordered

ASK, OFFER, REFUSE, PICK, ANSWER = range(CERTIFY_TYPE_MIN, CERTIFY_TYPE_MIN + 5)
_SIZES = {ASK: 3, OFFER: 3, REFUSE: 3, PICK: 3, ANSWER: 5}
JOB_BYTES = 16
REASON_BYTES_MAX = 120
# 32 capsules of 1,280 bytes, or 32 commitments of 13 governors.
CERTIFY_BYTES_MAX = 49152
# Of one coordinator, at one time; the oldest gives way.
JOBS_MAX = 8
RESEND_MS = 400
# Ticks after which a job that somebody refused, or that nobody finished, makes room for others.
REFUSED_TICKS = 20
UNFINISHED_TICKS = 100

Accept = Callable[[Sequence[bytes]], str | None]


@dataclass
class _Job:
    """What we coordinate."""

    payloads: tuple[bytes, ...]
    sessions: Sessions[Commitments]
    # sessions with their members, and what these are told
    picks: list[tuple[bytes, set[int], list[object]]] = field(default_factory=list)
    offered: set[int] = field(default_factory=set)
    reasons: dict[int, str] = field(default_factory=dict)
    heard: set[tuple[bytes, int]] = field(default_factory=set)
    ticks: int = 0

    def is_over(self) -> bool:
        """Whether too few answer: with who refused, those who are silent keep it from ending."""
        return self.ticks >= (REFUSED_TICKS if self.reasons else UNFINISHED_TICKS)

    def is_due(self) -> bool:
        """Whether who is silent is asked again: after 1, 2, 4 and all 8 ticks."""
        self.ticks += 1
        return self.ticks in (1, 2, 4) or self.ticks % 8 == 0


@dataclass
class _Asked:
    """What another one coordinates, or we as one of the signers."""

    payloads: tuple[bytes, ...]
    purse: Purse
    offer: Commitments
    sessions: Sessions[None]
    answers: dict[bytes, list[object]] = field(default_factory=dict)


class Certifier:
    """One governor. `accept(payloads)` returns a reason against signing them, or None.

    The caller carries out the effects of each `step` in order. Raises `Malformed` for `Certify` of
    what can not be certified; no message raises anything.
    """

    def __init__(self, committee: Committee, signer: Signer, accept: Accept) -> None:
        self.committee = committee
        self.signer = signer
        self.accept = accept
        self.me = signer.identifier
        self._count = 0
        self._jobs: dict[bytes, _Job] = {}
        self._asked: dict[tuple[int, bytes], _Asked] = {}
        self._accused: set[int] = set()
        self._effects: list[Effect] = []
        self._resend_at_ms = 0

    @property
    def busy(self) -> bool:
        """True while it wants a `Tick` every RESEND_MS."""
        return bool(self._jobs)

    @property
    def job_count(self) -> int:
        """How many certifications are under way; with JOBS_MAX the next one ends the oldest."""
        return len(self._jobs)

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """What follows from an event."""
        if isinstance(event, Certify):
            self._begin(event.payloads)
        elif isinstance(event, Received):
            with suppress(HostError):
                self._receive(event)
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
        items = codec.a_list(codec.load(event.data, CERTIFY_BYTES_MAX))
        if not items or _SIZES.get(codec.an_int(items[0], 0, 255)) != len(items):
            raise Malformed("not a message that we know")
        self._take(event.sender, items)

    def _take(self, sender: int, items: list[object]) -> None:
        job = codec.some_bytes(items[1], JOB_BYTES)
        if items[0] == ASK:
            listed = codec.a_list(items[2], size_max=BATCH_MAX)
            self._take_ask(sender, job, tuple(codec.some_bytes(one) for one in listed))
        elif items[0] == PICK:
            self._take_pick(sender, job, items[2])
        elif job not in self._jobs:
            pass
        elif items[0] == OFFER:
            offer = byte_strings(items[2], COMMITMENT_BYTES, BATCH_MAX)
            self._jobs[job].offered.add(sender)
            self._jobs[job].sessions.offer(sender, offer, offer)
            self._advance(job)
        elif items[0] == REFUSE:
            self._take_refusal(sender, job, codec.a_text(items[2], REASON_BYTES_MAX))
        else:
            self._take_answer(sender, job, items)

    # --- the coordinator's part -------------------------------------------------------------------

    def _begin(self, payloads: tuple[bytes, ...]) -> None:
        check_unordered(payloads)
        # one's own nonces name the job: after a restart no old message fits a new job
        commitment, nonce = self.signer.commit()
        nonce.discard()
        self._count += 1
        parts = ["writ-certify", self.committee.scope, self.me, self._count, commitment]
        job = hashlib.sha256(codec.dump([*parts, list(payloads)])).digest()[:JOB_BYTES]
        while len(self._jobs) >= JOBS_MAX:
            oldest = next(iter(self._jobs))
            self._give_up(oldest)
        sessions: Sessions[Commitments] = Sessions(self.signer, self.committee.threshold, payloads)
        self._jobs[job] = _Job(payloads, sessions)
        self._send(None, ASK, job, list(payloads))
        self._take_ask(self.me, job, payloads)

    def _give_up(self, job: bytes) -> None:
        found = self._jobs.pop(job)
        reasons = tuple(sorted(found.reasons.items()))
        self._effects.append(Refused(found.payloads, reasons))

    def _take_refusal(self, sender: int, job: bytes, reason: str) -> None:
        found = self._jobs[job]
        found.reasons[sender] = reason
        if self.committee.count - len(found.reasons) < self.committee.threshold:
            self._give_up(job)

    def _advance(self, job: bytes) -> None:
        """Open what can be opened, end what is complete."""
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
            members = {number: chosen[number] for number in sorted(chosen)}
            name = session_id([job], members)
            sessions.add(name, members)
            listed = [[number, list(members[number])] for number in members]
            found.picks.append((name, set(members) - {self.me}, [PICK, job, listed]))
            for number in members:
                if number != self.me:
                    self._send(number, PICK, job, listed)
            if self.me in members:
                self._take_pick(self.me, job, listed)
                if job not in self._jobs:
                    return
        if self._jobs.pop(job, None):
            self._effects.append(Certified(found.payloads, sessions.signatures))

    def _take_answer(self, sender: int, job: bytes, items: list[object]) -> None:
        found = self._jobs[job]
        session = codec.some_bytes(items[2], 32)
        shares = byte_strings(items[3], SHARE_BYTES, BATCH_MAX)
        following = byte_strings(items[4], COMMITMENT_BYTES, BATCH_MAX)
        if session in found.sessions and (session, sender) not in found.heard:
            found.heard.add((session, sender))
            found.sessions.promise_next(sender, session, following, following)
            found.sessions.put(session, sender, shares)
            self._advance(job)

    def _repeat(self) -> None:
        """Ask again whoever said nothing, and look who keeps others waiting."""
        for job, found in list(self._jobs.items()):
            if found.is_over():
                self._give_up(job)
                continue
            if not found.is_due():
                continue
            found.sessions.check_unfinished()
            awaited = set(self.committee.numbers) - found.offered - {self.me}
            for name, members, pick in found.picks:
                silent = {number for number in members if (name, number) not in found.heard}
                for number in sorted(silent):
                    # it may have restarted, and know neither session nor job
                    self._send(number, ASK, job, list(found.payloads))
                    self._send(number, *pick)
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
            self._take(self.me, message)

    def _take_ask(self, sender: int, job: bytes, payloads: tuple[bytes, ...]) -> None:
        key = sender, job
        asked = self._asked.get(key)
        if asked is None:
            reason = self._reason(payloads)
            if reason is not None:
                self._reply(sender, job, REFUSE, reason)
                return
            purse = Purse(self.signer)
            sessions: Sessions[None] = Sessions(self.signer, self.committee.threshold, payloads)
            asked = _Asked(payloads, purse, purse.fresh(len(payloads)), sessions)
            mine = [known for known in self._asked if known[0] == sender]
            if len(mine) >= JOBS_MAX:
                self._asked.pop(mine[0]).purse.discard()
            self._asked[key] = asked
        self._reply(sender, job, OFFER, list(asked.offer))

    def _reason(self, payloads: tuple[bytes, ...]) -> str | None:
        try:
            check_unordered(payloads)
            reason = self.accept(payloads)
        except HostError as error:
            reason = str(error)
        if reason is None:
            return None
        return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")

    def _take_pick(self, sender: int, job: bytes, item: object) -> None:
        asked = self._asked.get((sender, job))
        if asked is None:
            return
        members: dict[int, Commitments] = {}
        for pair in codec.a_list(item, size_max=GOVERNORS_MAX):
            number, listed = codec.a_list(pair, 2)
            checked = codec.an_int(number, 1, self.committee.count)
            members[checked] = byte_strings(listed, COMMITMENT_BYTES, BATCH_MAX)
        name = session_id([job], members)
        if name in asked.answers:
            self._reply(sender, job, ANSWER, *asked.answers[name])
            return
        mine = members.get(self.me)
        if mine is None or mine not in asked.purse:
            return
        reason = self._reason(asked.payloads)
        if reason is not None:
            self._reply(sender, job, REFUSE, reason)
            return
        if asked.sessions.add(name, members):
            shares = asked.sessions.sign(name, asked.purse.take(mine))
            following = asked.purse.fresh(len(shares))
            asked.answers[name] = [name, list(shares), list(following)]
            self._reply(sender, job, ANSWER, *asked.answers[name])


__all__ = ["Certifier", "check_unordered"]
