"""All ceremonies of one daemon: founding its scope, then handing the group key on.

    change = [ 51, proposal: bstr ]   ; an envelope (identity.py) of an old governor, with the old
                                      ; roster's id as ceremony, step "change", around a plan
                                      ; (resharing.py) or an invitation (invitation.py)

Sans-IO but for its files and its seat: messages and time come in, `COut`s come out, and what must
be durable is so before anything that follows from it is returned. A ceremony goes on after any
crash, and its files are told to whoever lacks them until all have all.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial

from writ.authority.capsule import Charter

from ... import codec
from ...ceremony.local import load_seat
from ...ceremony.plan import Plan
from ...ceremony.storage import SeatStore
from ...errors import CeremonyFailed, HostError, Malformed, Stalled
from ...keys.group import Random
from ...keys.identity import Identity, envelope, open_envelope
from ...keys.roster import Seat, committee_digest
from .founding import FoundingRun
from .gossip import CSend, Files, MemoryFiles, ceremony_of
from .handover import HandoverRun
from .invitation import INVITATION_BYTES_MAX, Invitation
from .plan import plan_change, plan_succession
from .record import Record
from .run import DONE, Run
from .secretstore import Slots
from .table import CeremonyTable
from .views import CeremonyView, CEvent, CInvite, CNext, COut, CSeat, Decision

__all__ = [
    "CEvent",
    "CInvite",
    "CNext",
    "COut",
    "CSeat",
    "CSend",
    "Ceremonies",
    "CeremonyView",
    "Files",
    "MemoryFiles",
]

CHANGE = 51
# Without a seat: one that is meant, and one more, so that a mistake or a forgery does not block.
INVITATIONS_MAX = 2
# With a seat: of each old governor one proposal, and so many in all.
CHANGES_MAX = 4
# A stranger's invitation costs a polynomial and a write.
INVITATION_PAUSE_S = 2
# Whoever takes part and has not been heard is told of the ceremony, ever more rarely.
CALL_MIN_MS = 1000
CALL_MAX_MS = 60000
# Who sends nonsense is mentioned so often: whatever is said is written to a log.
TELL_MS = 60000
# Around an invitation or a plan: an envelope.
RAW_BYTES_MAX = INVITATION_BYTES_MAX + 256


class NotAsked(HostError):
    """A decision that this governor's operator cannot make now."""

    advice = "See writ governor pending: an answer counts once the fingerprint is there."


class NoInvitation(HostError):
    """An invitation that this daemon does not take."""

    advice = "See writ governor pending at that governor; deny there what nobody wants."


class NoSuchSeat(HostError):
    """A committee of which this governor has no share."""

    advice = "Wait until the ceremony is done here too, or have a new share dealt."


class Ceremonies:
    """The ceremonies of one daemon.

    seat_store: where the seat is, and beside it what may follow; files: durable, by ceremony;
    clock_s: Unix seconds. `now_ms` only grows.
    """

    def __init__(
        self,
        identity: Identity,
        seat_store: SeatStore,
        files: Files,
        clock_s: Callable[[], int],
        random: Random = os.urandom,
    ) -> None:
        self.identity, self.files, self.clock_s, self.random = identity, files, clock_s, random
        self._store = seat_store
        self._slots = Slots(seat_store.beside("next"))
        self.seat = load_seat(seat_store)
        self._table = CeremonyTable(files, self._slots)
        self._runs, self._sources = self._table.runs, self._table.sources
        # by ceremony: when it is told of next, and the pause after that
        self._calls: dict[bytes, tuple[int, int]] = {}
        self._announced: set[bytes] = set()
        self._invited_s: int | None = None
        self._lost: list[COut] = []
        self._told: dict[bytes, int] = {}
        self._load()

    # --- what comes in ----------------------------------------------------------------------------

    def invitation(self, raw: bytes, source: str) -> bytes:
        """An invitation, or a change for a newcomer, from whoever is at `source` ("host:port").

        The answer is a `Status` as bytes; asking again is fine. Raises `NoInvitation`, `Malformed`,
        or what else makes it one that nobody could accept.
        """
        id, is_found, body = _read(raw)
        if id not in self._runs:
            if self.seat is not None:
                raise NoInvitation(f"{self.identity.name} has a seat in {self.seat.roster.scope}")
            if id in self._slots.dropped:
                raise NoInvitation("this invitation was dropped here before", "Make a new one.")
            run = self._build(is_found, body)
            host = source.rpartition(":")[0] or source or "?"
            self._make_room(host)
            self._table.add(run, raw, host)
        return self._runs[id].status().to_bytes()

    def receive(self, node_key: bytes, data: bytes, now_ms: int) -> list[COut]:
        """A message from the governor with this node key (33 B), types 48 and up."""
        try:
            items = codec.a_list(codec.load(data), size_max=8)
            if items[:1] == [CHANGE]:
                self._take_change(codec.some_bytes(codec.a_list(items, 2)[1]))
            else:
                return self._gossip(node_key, items, now_ms)
        except HostError as error:
            return self._complain(node_key, error, now_ms)
        return self._advance(now_ms)

    def _complain(self, node_key: bytes, error: HostError, now_ms: int) -> list[COut]:
        told_ms = self._told.get(node_key)
        if told_ms is not None and now_ms - told_ms < TELL_MS:
            return []
        self._told[node_key] = now_ms
        text = f"a message that makes no sense: {error}"
        return [CEvent("ceremony-message", text, {"peer": node_key.hex()[:16]})]

    def _gossip(self, node_key: bytes, items: list[object], now_ms: int) -> list[COut]:
        ceremony = ceremony_of(items)
        for run in self._runs.values():
            if ceremony in run.gossips and node_key in run.peers:
                return [*run.receive(node_key, items, now_ms), *self._advance(now_ms)]
        return []

    def tick(self, now_ms: int) -> list[COut]:
        """Whatever is due: call it at `next_ms`, and once at the start."""
        return self._advance(now_ms)

    def next_ms(self, now_ms: int) -> int | None:
        """In how many ms to call `tick`, None when nothing is under way."""
        times = [run.next_ms for run in self._runs.values()]
        times += [self._calls.get(id, (0, 0))[0] for id in self._runs if self._unheard(id)]
        known = [max(0, time - now_ms) for time in times if time is not None]
        return min(known, default=None)

    # --- what the operator sees and says ----------------------------------------------------------

    def views(self) -> list[CeremonyView]:
        """All ceremonies that are known, the ended ones too."""
        return [run.view(self.clock_s()) for run in self._runs.values()]

    def pending(self) -> list[CeremonyView]:
        """Those under way; `asks` is true where this governor's operator is awaited."""
        return [run.view(self.clock_s()) for run in self._runs.values() if run.is_open]

    def title(self, id: bytes) -> str:
        """What a ceremony is, in a few words."""
        return self._runs[id].title if id in self._runs else "new shares"

    def decide_on(self, id: bytes, yes: bool, reason: str, now_ms: int) -> list[COut]:
        """The operator's word on one ceremony. A yes is for the fingerprint that is shown now.

        A no to one that is over forgets it, and the seat that came of it and is not in force.
        Raises `NotAsked`.
        """
        run = self._runs.get(id)
        if run is None or (yes and not run.is_open):
            raise NotAsked("no such ceremony is under way")
        if yes and not run.asks:
            raise NotAsked(f"{run.title} does not wait for this governor's operator")
        if not yes and not run.is_open:
            if run.state == DONE and id not in self._slots:
                raise NotAsked(f"{run.title} is done")
            self._table.drop({id})
            return []
        text = codec.a_text(reason, 200) if reason else ""
        run.decide(Decision(yes, text, run.fingerprint, self.clock_s()))
        if not yes and isinstance(run, FoundingRun) and run.seat is not None:
            self._unseat(run)
        word = "approved" if yes else "denied"
        facts: dict[str, object] = {"ceremony": id.hex()[:16], "reason": text}
        said = f"{self.identity.name}'s operator {word} {run.title}"
        event = CEvent(word, said + (f": {text}" if text else ""), facts)
        return [event, *self._advance(now_ms)]

    def propose_change(
        self,
        kind: str,
        records: Sequence[Record] = (),
        remove: Sequence[str] = (),
        threshold: int | None = None,
        dry: bool = False,
        now_ms: int = 0,
        *,
        dealers: Sequence[str] | None = None,
        charter: Charter | None = None,
    ) -> tuple[CeremonyView, list[COut]]:
        """Begin a change of governors, or with `dry` only say what it would be.

        kind: "change" (records: who comes, or is elsewhere now; remove: names), "refresh", or
        "succeed" (records: all who govern then; charter: the one in force). dealers: names; this
        governor and others who stay otherwise, so name those who are up. Whoever proposes a
        resharing has agreed to it. Raises `HostError`.
        """
        if self.seat is None:
            raise NoSuchSeat("this governor has no seat", "Ask one that has.")
        if kind == "succeed":
            made: Plan | Invitation = plan_succession(
                self.seat, records, threshold, charter, self.clock_s(), self.random
            )
        else:
            made = plan_change(
                self.seat, records, remove, threshold, dealers, self._table.addresses(), self.random
            )
        if dry:
            lines = made.lines(self.clock_s()) if isinstance(made, Invitation) else made.lines()
            return CeremonyView(made.id, made.title, lines, "", "new", ()), []
        raw = envelope(self.identity, self.seat.roster.id, "change", made.to_bytes())
        run = self._build(isinstance(made, Invitation), made.to_bytes())
        self._check_changes(run, "")
        self._table.add(run, raw, "")
        if isinstance(run, HandoverRun):
            run.decide(Decision(True, "", run.fingerprint, self.clock_s()))
        return run.view(self.clock_s()), self._advance(now_ms)

    # --- what others of this process ask ----------------------------------------------------------

    def peers(self) -> dict[bytes, str]:
        """By node key (33 B): where other governors are, "host:port", of all that is under way."""
        found = self._table.addresses()
        found.pop(self.identity.public.node_key, None)
        return found

    def trusted(self) -> set[bytes]:
        """Node keys (33 B) of all in ceremonies that ended, or that our operator agreed to.

        The others are peers because somebody has sent an invitation, and are told nothing.
        """
        return {
            key
            for run in self._runs.values()
            if run.state == DONE or (run.decision is not None and run.decision.yes)
            for key in run.peers
        }

    def partners(self, id: bytes) -> frozenset[bytes]:
        """Node keys (33 B) of the others in a ceremony, old governors too; none if unknown."""
        return self._runs[id].peers if id in self._runs else frozenset()

    def status(self, id: bytes) -> bytes | None:
        """A `Status` as bytes, None for a ceremony that is not known here."""
        run = self._runs.get(id)
        return None if run is None else run.status().to_bytes()

    def result(self, id: bytes) -> list[bytes]:
        """The capsules that a ceremony certified: charter, policy, members; none before that."""
        return list(self._runs[id].capsules) if id in self._runs else []

    def next_seats(self) -> dict[bytes, Seat]:
        """By digest (8 B): the seats of ended ceremonies that could take the place of ours."""
        ended = {id for id, run in self._runs.items() if run.state == DONE}
        found = {
            committee_digest(seat): seat for id, seat in self._slots.seats().items() if id in ended
        }
        found.pop(self._digest, None)
        return found

    def committees(self) -> frozenset[bytes]:
        """What a policy or a succession may name: digests (8 B) and new group keys (32 B).

        Those of ended ceremonies that were followed here, even by one who leaves.
        """
        found = set()
        for run in self._runs.values():
            if run.state == DONE and run.digest != self._digest:
                found.add(run.digest)
                if self.seat is None or run.group_key != self.seat.public.group_key:
                    found.add(run.group_key)
        return frozenset(found)

    def activate(self, name: bytes) -> Seat:
        """Take the seat with this digest (8 B) or new group key (32 B): the old share is gone.

        To be called once a policy or a succession has put it in force, by a newcomer too. That is
        proof enough for a seat that we confirmed, if a liar kept the others' word from us. The
        same again gives the same. Raises `NoSuchSeat`: then others govern.
        """
        if self.seat is not None and name in (self._digest, self.seat.public.group_key):
            return self.seat
        for id, seat in self._candidates().items():
            if name in (committee_digest(seat), seat.public.group_key):
                self._store.save(seat.to_bytes())
                self.seat = seat
                run = self._runs[id]
                if isinstance(run, HandoverRun):
                    run.settle(seat)
                # Whatever else was under way hands on a share that is not ours any more.
                self._table.drop({other for other in self._runs if other != id})
                self._slots.forget(set(self._slots.ceremonies))
                return seat
        raise NoSuchSeat(f"no seat {name.hex()} here")

    def _candidates(self) -> dict[bytes, Seat]:
        found = {id: seat for id, seat in self._slots.seats().items() if id in self._runs}
        for id, run in self._runs.items():
            if isinstance(run, HandoverRun) and (seat := run.candidate()) is not None:
                found.setdefault(id, seat)
        return found

    def retire(self) -> None:
        """Forget the seat and all that could become one: others govern now."""
        self._store.save(codec.dump(["writ-retired"]))
        self.seat = None
        self._table.drop(set(self._runs))
        self._slots.forget(set(self._slots.ceremonies))

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _digest(self) -> bytes:
        return committee_digest(self.seat) if self.seat is not None else b""

    def _advance(self, now_ms: int) -> list[COut]:
        outs: list[COut] = list(self._lost)
        self._lost.clear()
        for id, run in list(self._runs.items()):
            if id not in self._runs:
                continue  # another one ended it
            outs += run.advance(now_ms)
            if run.state == DONE and id not in self._announced:
                self._announced.add(id)
                outs += self._announce(run)
            outs += self._call(id, now_ms)
        return outs

    def _announce(self, run: Run) -> list[COut]:
        if isinstance(run, FoundingRun) and run.invitation.succeeds is None:
            if self.seat is None or committee_digest(self.seat) != run.digest:
                return []
            return [CSeat(self.seat, list(run.capsules), run.id)]
        seat = self.next_seats().get(run.digest)
        if seat is None:
            return []
        return [CNext(run.digest, seat, list(run.capsules), run.id)]

    def _unheard(self, id: bytes) -> frozenset[bytes]:
        run = self._runs[id]
        is_change = not isinstance(run, FoundingRun) or run.invitation.succeeds is not None
        if not is_change or not run.is_open:
            return frozenset()
        return run.peers - run.gossips[id].heard

    def _call(self, id: bytes, now_ms: int) -> list[COut]:
        """Tell those of a change who may not know of it."""
        due, pause = self._calls.get(id, (now_ms, CALL_MIN_MS))
        if now_ms < due or not (unheard := self._unheard(id)):
            return []
        self._calls[id] = now_ms + pause, min(2 * pause, CALL_MAX_MS)
        raw = self._table.raw(id)
        outs: list[COut] = [CSend(peer, codec.dump([CHANGE, raw])) for peer in sorted(unheard)]
        if self._sources[id] == "":
            addresses = self._runs[id].addresses
            outs += [CInvite(addresses[peer], raw) for peer in sorted(unheard) if peer in addresses]
        return outs

    def _take_change(self, raw: bytes) -> None:
        id, is_found, body = _read(raw)
        if self.seat is None or id in self._runs or id in self._slots.dropped:
            return
        roster = self.seat.roster
        proposer, _ = open_envelope(raw, roster.by_name, roster.id, None, "change")
        run = self._build(is_found, body)
        if isinstance(run, HandoverRun) and run.plan.old != roster:
            raise Malformed("a change of other governors than those in force")
        self._check_changes(run, proposer)
        self._table.add(run, raw, proposer)

    def _check_changes(self, run: Run, proposer: str) -> None:
        mine = [
            id for id, run in self._runs.items()
            if self._sources[id] == proposer and run.is_open and not self._table.is_kept(run)
        ]  # fmt: skip
        open_ones = [one for one in self._runs.values() if one.is_open]
        if mine and proposer:
            self._table.drop(set(mine))
        elif len(open_ones) >= CHANGES_MAX:
            raise CeremonyFailed("too many changes under way", "Deny those that nobody wants.")

    def _make_room(self, host: str) -> None:
        """So that one more invitation finds a place. Raises `NoInvitation`."""
        now = self.clock_s()
        if self._invited_s is not None and 0 <= now - self._invited_s < INVITATION_PAUSE_S:
            raise NoInvitation("too many invitations at one time", "Try again in a moment.")
        self._table.drop(set(self._table.ended()))
        replaced = [
            id for id, run in self._runs.items()
            if not self._table.is_kept(run) and self._sources[id] == host
        ]  # fmt: skip
        if replaced:
            self._table.drop(set(replaced))
        elif len(self._runs) >= INVITATIONS_MAX:
            raise NoInvitation(f"{len(self._runs)} invitations wait at {self.identity.name}")
        self._invited_s = now

    def _build(self, is_found: bool, body: bytes) -> Run:
        if is_found:
            invitation = Invitation.from_bytes(body)
            is_first = invitation.succeeds is None
            if is_first and self.seat is not None and self.seat.roster != invitation.roster:
                raise NoInvitation(f"{self.identity.name} has a seat already")
            return FoundingRun(
                invitation,
                self.identity,
                self._slots.slot(invitation.id),
                self.files,
                # a successor's seat stays where its ceremony saved it, until it is activated
                partial(self._seated, invitation.id) if is_first else lambda _: None,
                self.seat if is_first else None,
                self.random,
            )
        plan = Plan.from_bytes(body)
        slot = self._slots.slot(plan.id)
        return HandoverRun(plan, self.identity, self.seat, slot, self.files, self.random)

    def _seated(self, id: bytes, seat: Seat) -> None:
        """The first seat: durable before anything is signed with it."""
        if self.seat is not None and self.seat.roster != seat.roster:
            raise Stalled("this governor has another seat already")
        self._store.save(seat.to_bytes())
        self.seat = seat
        self._slots.forget({id})
        self._table.drop({other for other in self._runs if other != id})

    def _unseat(self, run: FoundingRun) -> None:
        """A founding that the others never ended, denied by the operator."""
        if self.seat is not None and self.seat.roster == run.invitation.roster:
            self._store.save(codec.dump(["writ-retired"]))
            self.seat = None
        self._slots.forget({run.id})

    # --- durable ----------------------------------------------------------------------------------

    def _load(self) -> None:
        for id, source, raw in self._table.listed():
            if raw is not None and id not in self._slots.dropped:
                self._load_run(id, source, raw)
        # what a crash left between two writes
        waiting = self._slots.seats()
        stale = {id for id in self._slots.ceremonies if id not in self._runs and id not in waiting}
        stale |= {id for id, seat in waiting.items() if seat == self.seat}
        if stale:
            self._slots.forget(stale)

    def _load_run(self, id: bytes, source: str, raw: bytes) -> None:
        try:
            _, is_found, body = _read(raw)
            run = self._build(is_found, body)
        except HostError as error:
            text = f"a ceremony cannot go on here: {error}"
            self._lost.append(CEvent("ceremony-lost", text, {"ceremony": id.hex()[:16]}))
            return
        if not self._is_stale(run):
            self._runs[id], self._sources[id] = run, source

    def _is_stale(self, run: Run) -> bool:
        """Whether a seat was activated that has nothing to do with it."""
        if self.seat is None or not isinstance(run, HandoverRun):
            return False
        return self.seat.roster not in (run.plan.old, run.plan.new)


def _read(raw: bytes) -> tuple[bytes, bool, bytes]:
    """(ceremony's id, whether it is a founding, body) of an invitation or a proposal."""
    items = codec.a_list(codec.load(raw, RAW_BYTES_MAX), size_max=8)
    body = raw
    if items[:1] == ["writ-envelope"]:
        body = codec.some_bytes(codec.a_list(items, 6)[4])
    tag = codec.a_list(codec.load(body), size_max=8)[:1]
    return hashlib.sha256(body).digest(), tag == ["writ-invitation"], body
