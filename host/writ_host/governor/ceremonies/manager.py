"""All ceremonies of one daemon: the founding of its scope, and later changes of its governors.

    change = [ 51, proposal: bstr ]   ; an envelope (identity.py) of an old governor, with the old
                                      ; roster's id as ceremony, step "change", around a plan
                                      ; (ceremony/plan.py) or an invitation (invitation.py)

Sans-IO except for its files and its seat: messages and time go in, `CeremonyOutput`s come out, and
each write is durable before an output that depends on it is returned. A ceremony continues after
any crash. The daemons exchange its files until all participants have all of them.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial

from writ.authority.capsule import Charter

from ... import codec
from ...ceremony.plan import Plan
from ...ceremony.storage import SeatStore
from ...errors import CeremonyFailed, HostError, Malformed
from ...keys.group import Random
from ...keys.identity import Identity, envelope, open_envelope
from ...keys.roster import Seat, committee_digest
from ...refusals import REPORT_PAUSE_MS
from ..ledger.database import LEDGER_ERRORS
from .errors import HasSeat, InvitationDropped, InvitationRefused, NoDecisionDue, TooManyInvitations
from .founding import FoundingRun
from .gossip import CeremonySend, Files, ceremony_of
from .invitation import INVITATION_BYTES_MAX, Invitation
from .plan import plan_change, plan_succession
from .record import Record
from .resharing import ResharingRun
from .run import DONE, CeremonyRun
from .seats import NoSuchSeat, Seats
from .secretstore import SecretStore
from .table import CeremonyTable
from .views import (
    CeremonyEvent,
    CeremonyOutput,
    CeremonyView,
    Decision,
    ScopeFounded,
    SeatReady,
    SendInvitation,
)

CHANGE = 51
# Without a seat: the intended invitation, and one more, so that a mistake or a forgery does not
# block it.
INVITATIONS_MAX = 2
# With a seat: one proposal of each old governor, and this many in all.
CHANGES_MAX = 4
# A stranger's invitation costs a polynomial and a write.
INVITATION_PAUSE_S = 2
# A ceremony is announced to silent participants at growing intervals.
ANNOUNCE_MIN_MS = 1000
ANNOUNCE_MAX_MS = 60000
# An invitation or a plan, and the envelope around it.
RAW_BYTES_MAX = INVITATION_BYTES_MAX + 256


class Ceremonies:
    """The ceremonies of one daemon.

    seat_store: holds the seat, and beside it the seats that may replace it; files: durable files by
    ceremony; clock_s: Unix seconds. `now_ms` only grows.
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
        self._secrets = SecretStore(seat_store.beside("next"))
        self._table = CeremonyTable(files, self._secrets)
        self.seats = Seats(seat_store, self._secrets, self._table)
        self._runs, self._sources = self._table.runs, self._table.sources
        # by ceremony: when it is announced next, and the pause after that
        self._announcements: dict[bytes, tuple[int, int]] = {}
        # ended ceremonies whose result has been returned as an output
        self._reported: set[bytes] = set()
        self._last_invitation_s: int | None = None
        # events of ceremonies that could not be loaded, for the next `tick`
        self._load_events: list[CeremonyOutput] = []
        # by node key: when a malformed message was reported last
        self._report_ms: dict[bytes, int] = {}
        self._load()

    @property
    def seat(self) -> Seat | None:
        """This governor's seat in force."""
        return self.seats.seat

    @property
    def is_founding(self) -> bool:
        """Whether the seat in force is of a founding whose first signatures may not be done."""
        return any(
            isinstance(run, FoundingRun) and run.seat is not None and run.seat == self.seat
            for run in self._runs.values()
        )

    # --- input ------------------------------------------------------------------------------------

    def accept_invitation(self, raw: bytes, source: str) -> bytes:
        """Accept an invitation, or a change for a new governor, sent from `source` ("host:port").

        Returns a `CeremonyStatus` as bytes; the same invitation again is fine. Raises
        `InvitationRefused`, `Malformed`, or another `HostError` for an impossible invitation.
        """
        id, is_founding, body = _read(raw)
        if id not in self._runs:
            if self.seat is not None:
                scope = self.seat.roster.scope
                raise HasSeat(f"{self.identity.name} has a seat in {scope}")
            if id in self._secrets.dropped:
                raise InvitationDropped("this invitation was dropped before")
            self._check_pause()
            run = self._build(is_founding, body)
            host = source.rpartition(":")[0] or source or "?"
            self._make_room(host)
            self._table.add(run, raw, host)
        return self._runs[id].status().to_bytes()

    def receive(self, node_key: bytes, data: bytes, now_ms: int) -> list[CeremonyOutput]:
        """Handle a message (types 48 and up) from the governor with this node key (33 B)."""
        try:
            items = codec.a_list(codec.load(data), size_max=8)
            if items[:1] == [CHANGE]:
                self._receive_change(codec.some_bytes(codec.a_list(items, 2)[1]))
            else:
                return self._receive_gossip(node_key, items, now_ms)
        except LEDGER_ERRORS:
            raise
        except HostError as error:
            return self._report_malformed(node_key, error, now_ms)
        return self._advance(now_ms)

    def _report_malformed(
        self, node_key: bytes, error: HostError, now_ms: int
    ) -> list[CeremonyOutput]:
        last_ms = self._report_ms.get(node_key)
        if last_ms is not None and now_ms - last_ms < REPORT_PAUSE_MS:
            return []
        self._report_ms[node_key] = now_ms
        text = f"invalid message of a ceremony: {error}"
        return [CeremonyEvent("ceremony-message", text, {"peer": node_key.hex()[:16]})]

    def _receive_gossip(
        self, node_key: bytes, items: list[object], now_ms: int
    ) -> list[CeremonyOutput]:
        ceremony = ceremony_of(items)
        for run in self._runs.values():
            if ceremony in run.gossips and node_key in run.peers:
                return [*run.receive(node_key, items, now_ms), *self._advance(now_ms)]
        return []

    def tick(self, now_ms: int) -> list[CeremonyOutput]:
        """Do what is due. To be called at `next_ms`, and once at the start."""
        return self._advance(now_ms)

    def next_ms(self, now_ms: int) -> int | None:
        """In how many ms to call `tick`, None when no ceremony is under way."""
        times = [run.next_ms for run in self._runs.values()]
        times += [self._announcements.get(id, (0, 0))[0] for id in self._runs if self._silent(id)]
        known = [max(0, time - now_ms) for time in times if time is not None]
        return min(known, default=None)

    # --- for the operator -------------------------------------------------------------------------

    def views(self) -> list[CeremonyView]:
        """All known ceremonies, ended ones included."""
        return [run.view(self.clock_s()) for run in self._runs.values()]

    def pending(self) -> list[CeremonyView]:
        """The ceremonies under way; `needs_decision` where they wait for this operator."""
        return [run.view(self.clock_s()) for run in self._runs.values() if run.is_open]

    def title(self, id: bytes) -> str:
        """A short title of a ceremony."""
        return self._runs[id].title if id in self._runs else "refreshing shares"

    def approve_or_deny(
        self, id: bytes, yes: bool, reason: str, now_ms: int
    ) -> list[CeremonyOutput]:
        """Keep the operator's decision on a ceremony. An approval is of the fingerprint shown now.

        Denying an ended ceremony drops it, and its seat unless that is in force. Raises
        `NoDecisionDue`.
        """
        run = self._runs.get(id)
        if run is None or (yes and not run.is_open):
            raise NoDecisionDue("no such ceremony is under way")
        if yes and not run.needs_decision:
            raise NoDecisionDue(f"{run.title} does not wait for this governor's operator")
        if not yes and not run.is_open:
            if run.state == DONE and id not in self._secrets:
                raise NoDecisionDue(f"{run.title} is done")
            self._table.drop({id})
            return []
        text = codec.a_text(reason, 200) if reason else ""
        run.decide(Decision(yes, text, run.fingerprint, self.clock_s()))
        if not yes and isinstance(run, FoundingRun) and run.seat is not None:
            self.seats.withdraw(run)
        word = "approved" if yes else "denied"
        facts: dict[str, object] = {"ceremony": id.hex()[:16], "reason": text}
        summary = f"{self.identity.name}'s operator {word} {run.title}"
        event = CeremonyEvent(word, summary + (f": {text}" if text else ""), facts)
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
    ) -> tuple[CeremonyView, list[CeremonyOutput]]:
        """Begin a change of governors, or with `dry` only describe it.

        kind: "change" (records: new governors, and those with a new address; remove: names),
        "refresh", or "succeed" (records: all governors then; charter: the one in force). dealers:
        names of governors that are online; by default this governor and others that stay. The
        proposer of a re-sharing approves it by proposing. Raises `HostError`.
        """
        if self.seat is None:
            raise NoSuchSeat("this governor has no seat", "Ask a governor that has one.")
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
        self._replace_change(run, "")
        self._table.add(run, raw, "")
        if isinstance(run, ResharingRun):
            run.decide(Decision(True, "", run.fingerprint, self.clock_s()))
        return run.view(self.clock_s()), self._advance(now_ms)

    # --- for other parts of the daemon ------------------------------------------------------------

    def peers(self) -> dict[bytes, str]:
        """By node key (33 B): the address ("host:port") of each other participant."""
        found = self._table.addresses()
        found.pop(self.identity.public.node_key, None)
        return found

    def trusted(self) -> set[bytes]:
        """Node keys (33 B) of the participants in ended or approved ceremonies.

        Other participants were named by an invitation of unknown origin, and get no information.
        """
        return {
            key
            for run in self._runs.values()
            if run.state == DONE or (run.decision is not None and run.decision.yes)
            for key in run.peers
        }

    def partners(self, id: bytes) -> frozenset[bytes]:
        """Node keys (33 B) of the other participants in a ceremony; none if it is unknown."""
        return self._runs[id].peers if id in self._runs else frozenset()

    def status(self, id: bytes) -> bytes | None:
        """A `CeremonyStatus` as bytes, None for an unknown ceremony."""
        run = self._runs.get(id)
        return None if run is None else run.status().to_bytes()

    def result(self, id: bytes) -> list[bytes]:
        """The capsules that a ceremony certified: charter, policy, members; none before its end."""
        return list(self._runs[id].capsules) if id in self._runs else []

    # --- progress ---------------------------------------------------------------------------------

    def _advance(self, now_ms: int) -> list[CeremonyOutput]:
        outputs: list[CeremonyOutput] = list(self._load_events)
        self._load_events.clear()
        for id, run in list(self._runs.items()):
            if id not in self._runs:
                continue  # another one ended it
            outputs += run.advance(now_ms)
            if run.state == DONE and id not in self._reported:
                self._reported.add(id)
                outputs += self._result_of(run)
            outputs += self._announce(id, now_ms)
        return outputs

    def _result_of(self, run: CeremonyRun) -> list[CeremonyOutput]:
        if isinstance(run, FoundingRun) and run.invitation.predecessor is None:
            if self.seat is None or committee_digest(self.seat) != run.digest:
                return []
            return [ScopeFounded(self.seat, list(run.capsules), run.id)]
        seat = self.seats.next_seats().get(run.digest)
        if seat is None:
            return []
        return [SeatReady(run.digest, seat, list(run.capsules), run.id)]

    def _silent(self, id: bytes) -> frozenset[bytes]:
        """Participants in a change that have not sent anything, and may not know of it."""
        run = self._runs[id]
        is_change = not isinstance(run, FoundingRun) or run.invitation.predecessor is not None
        if not is_change or not run.is_open:
            return frozenset()
        return run.peers - run.gossips[id].seen

    def _announce(self, id: bytes, now_ms: int) -> list[CeremonyOutput]:
        """Send a change to the participants that may not know of it."""
        due, pause = self._announcements.get(id, (now_ms, ANNOUNCE_MIN_MS))
        if now_ms < due or not (silent := self._silent(id)):
            return []
        self._announcements[id] = now_ms + pause, min(2 * pause, ANNOUNCE_MAX_MS)
        raw = self._table.raw(id)
        message = codec.dump([CHANGE, raw])
        outputs: list[CeremonyOutput] = [CeremonySend(peer, message) for peer in sorted(silent)]
        if self._sources[id] == "":
            addresses = self._runs[id].addresses
            known = [addresses[peer] for peer in sorted(silent) if peer in addresses]
            outputs += [SendInvitation(address, raw) for address in known]
        return outputs

    # --- new ceremonies ---------------------------------------------------------------------------

    def _receive_change(self, raw: bytes) -> None:
        id, is_founding, body = _read(raw)
        if self.seat is None or id in self._runs or id in self._secrets.dropped:
            return
        roster = self.seat.roster
        proposer, _ = open_envelope(raw, roster.by_name, roster.id, None, "change")
        run = self._build(is_founding, body)
        if isinstance(run, ResharingRun) and run.plan.old != roster:
            raise Malformed("a change of other governors than those in force")
        self._replace_change(run, proposer)
        self._table.add(run, raw, proposer)

    def _replace_change(self, run: CeremonyRun, proposer: str) -> None:
        """Drop the proposer's earlier change if it is not binding. Raises `CeremonyFailed`."""
        earlier = [
            id for id, run in self._runs.items()
            if self._sources[id] == proposer and run.is_open and not self._table.is_binding(run)
        ]  # fmt: skip
        open_ones = [one for one in self._runs.values() if one.is_open]
        if earlier and proposer:
            self._table.drop(set(earlier))
        elif len(open_ones) >= CHANGES_MAX:
            raise CeremonyFailed("too many changes are under way", "Deny the unwanted ones.")

    def _check_pause(self) -> None:
        """Raises `TooManyInvitations` soon after another one, before anything is computed."""
        last = self._last_invitation_s
        if last is not None and 0 <= self.clock_s() - last < INVITATION_PAUSE_S:
            raise TooManyInvitations("too many invitations at one time")

    def _make_room(self, host: str) -> None:
        """Make room for one more invitation. Raises `InvitationRefused`."""
        self._table.drop(set(self._table.ended()))
        replaced = [
            id for id, run in self._runs.items()
            if not self._table.is_binding(run) and self._sources[id] == host
        ]  # fmt: skip
        if replaced:
            self._table.drop(set(replaced))
        elif len(self._runs) >= INVITATIONS_MAX:
            count, name = len(self._runs), self.identity.name
            raise InvitationRefused(f"{count} invitations are pending at {name}")
        self._last_invitation_s = self.clock_s()

    def _build(self, is_founding: bool, body: bytes) -> CeremonyRun:
        if is_founding:
            invitation = Invitation.from_bytes(body)
            is_first = invitation.predecessor is None
            if is_first and self.seat is not None and self.seat.roster != invitation.roster:
                raise HasSeat(f"{self.identity.name} has a seat already")
            return FoundingRun(
                invitation,
                self.identity,
                self._secrets.store_of(invitation.id),
                self.files,
                # a successor's seat stays where its ceremony saved it, until it is activated
                partial(self.seats.install, invitation.id) if is_first else lambda _: None,
                self.seat if is_first else None,
                self.random,
            )
        plan = Plan.from_bytes(body)
        store = self._secrets.store_of(plan.id)
        return ResharingRun(plan, self.identity, self.seat, store, self.files, self.random)

    # --- after a restart --------------------------------------------------------------------------

    def _load(self) -> None:
        for id, source, raw in self._table.load():
            if raw is not None and id not in self._secrets.dropped:
                self._load_run(id, source, raw)
        self.seats.forget_stale()

    def _load_run(self, id: bytes, source: str, raw: bytes) -> None:
        try:
            _, is_founding, body = _read(raw)
            run = self._build(is_founding, body)
        except LEDGER_ERRORS:
            raise
        except HostError as error:
            text = f"a ceremony cannot continue here: {error}"
            event = CeremonyEvent("ceremony-lost", text, {"ceremony": id.hex()[:16]})
            self._load_events.append(event)
            return
        if not self.seats.is_stale(run):
            self._runs[id], self._sources[id] = run, source


def _read(raw: bytes) -> tuple[bytes, bool, bytes]:
    """(ceremony's id, whether it is a founding, body) of an invitation or a proposed change."""
    items = codec.a_list(codec.load(raw, RAW_BYTES_MAX), size_max=8)
    body = raw
    if items[:1] == ["writ-envelope"]:
        body = codec.some_bytes(codec.a_list(items, 6)[4])
    tag = codec.a_list(codec.load(body), size_max=8)[:1]
    return hashlib.sha256(body).digest(), tag == ["writ-invitation"], body
