"""The operators' API: the answers to requests on the control socket (control.py).

    status   pending   log {last}   find {id, lines}   decide {id, yes, reason}
    propose {payloads, title, evidence}      capsules {cursor}      state      beacon      backup
    change {add, remove, threshold, dry_run} refresh {dry_run}
    succeed {governors, threshold, dry_run}  in_force {seat_id}              heard

The first digits of an id are enough. Bytes are in hex.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

from writ.authority.capsule import BEACON, KIND_NAMES

from ..consensus.committee import UnsafeThreshold, check_threshold
from ..errors import HostError
from ..humanize import utc_minute
from ..scope.clock import ClockJump
from . import backup, snapshot
from .activation import names_seat
from .ceremonies.errors import ChangeRunning
from .ceremonies.record import Record
from .ceremonies.views import CeremonyView
from .control import LOG_MAX, Document, field
from .core.core import Core
from .governor import LEARNING, RETIRED, Governor
from .proposals import messages
from .proposals.proposal import OPEN, Proposal, ProposalView

ID_DIGITS_MIN = 4
# One page of capsules; its hex must fit a line of the socket.
_PAGE_CAPSULES, _PAGE_BYTES = 512, 1 << 20


class Api:
    """Answers requests from a governor's state; every change goes through the governor."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._handlers = {
            "status": lambda _: snapshot.status(governor),
            "pending": self._pending,
            "log": self._log,
            "find": lambda request: self._find(
                field(request, "id", str), field(request, "lines", bool, True)
            ),
            "decide": self._decide,
            "propose": self._propose,
            "capsules": self._capsules,
            "state": self._state,
            "beacon": self._beacon,
            "heard": self._heard,
            "change": self._change,
            "refresh": self._change,
            "succeed": self._change,
            "in_force": self._in_force,
            "backup": self._backup,
        }

    def answer(self, request: Document) -> Document:
        """The answer to one request. Raises `HostError`, `Rejection`."""
        handler = self._handlers.get(str(request.get("do")))
        if handler is None:
            raise HostError(
                f"the daemon does not know the request {request.get('do')!r}", "Update the daemon."
            )
        return handler(request)

    # --- queries ----------------------------------------------------------------------------------

    def _pending(self, _: Document) -> Document:
        core = self._governor.core
        # a retired governor decides nothing
        views = core.pending() if core is not None and core.is_seated else []
        return {
            "proposals": [_proposal(view) for view in views],
            "quorum": snapshot.quorum(self._governor),
            "ceremonies": [_ceremony(view) for view in self._governor.ceremonies.pending()],
        }

    def _log(self, request: Document) -> Document:
        last = min(field(request, "last", int, 20), LOG_MAX)
        return {"entries": self._governor.ledger.log_entries(last)}

    def _find(self, prefix: str, has_summary: bool = True) -> Document:
        """The proposal or ceremony whose id has this prefix. Raises `HostError` unless one does."""
        if len(prefix) < ID_DIGITS_MIN:
            raise HostError(
                f"{prefix}: too short for an id", f"Give at least {ID_DIGITS_MIN} digits."
            )
        views = self._governor.ceremonies.views()
        found = [_ceremony(view) for view in views if view.id.hex().startswith(prefix)]
        if self._governor.core is not None:
            found += [
                _proposal(view, has_summary and view.state == OPEN)
                for view in self._proposals_with(prefix)
            ]
        if len(found) == 1:
            return found[0]
        if found:
            raise HostError(f"{prefix}: several ids begin with this", "Give more digits.")
        raise HostError(f"nothing here has the id {prefix}", "See: writ governor pending.")

    def _proposals_with(self, prefix: str) -> list[ProposalView]:
        core = self._governor.require_core()
        if len(prefix) == 2 * messages.ID_BYTES:
            # by its whole id, also a proposal that is closed
            try:
                view = core.proposal(bytes.fromhex(prefix))
            except ValueError:
                view = None
            return [view] if view else []
        found = [view for view in core.pending() if view.id.hex().startswith(prefix)]
        if not found:
            # an operator may answer a proposal that was decided meanwhile
            closed = core.pool.proposals.closed
            found = [core.pool.view(one) for one in closed if one.id.hex().startswith(prefix)]
        return found

    def _capsules(self, request: Document) -> Document:
        cursor = field(request, "cursor", int)
        following, raws = self._governor.ledger.capsules.since(cursor, _PAGE_CAPSULES, _PAGE_BYTES)
        return {"cursor": following, "capsules": raws}

    def _heard(self, _: Document) -> Document:
        """What this governor's node has heard of members."""
        node = self._governor.node
        return {"members": node.heard() if node is not None else {}}

    def _state(self, _: Document) -> Document:
        core = self._governor.require_core()
        chain = core.context.chain
        return {
            "scope": chain.charter.name,
            "scope_id": bytes(chain.charter.scope),
            "group_key": chain.group_key,
            "epoch": core.epoch,
            "head": core.head,
            "beacon": self._governor.ledger.capsules.beacon() or b"",
        }

    # --- proposals --------------------------------------------------------------------------------

    def _decide(self, request: Document) -> Document:
        """Approve or deny a proposal or a ceremony."""
        governor = self._governor
        found = self._find(field(request, "id", str))
        yes, reason = field(request, "yes", bool), field(request, "reason", str)
        now_ms = governor.now_ms()
        if found["what"] == "ceremony":
            governor.handle_ceremony_outputs(
                governor.ceremonies.approve_or_deny(found["id"], yes, reason, now_ms)
            )
        else:
            outputs = governor.require_core().approve_or_deny(found["id"], yes, reason, now_ms)
            governor.handle_outputs(outputs)
        return self._find(found["id"].hex())

    def _propose(self, request: Document) -> Document:
        listed = field(request, "payloads", list)
        payloads = [field({"payload": one}, "payload", bytes) for one in listed]
        evidence = field(request, "evidence", bytes, b"")
        id = self._governor.propose(payloads, field(request, "title", str), evidence)
        # the other governors can start to work on it while this one answers
        self._governor.endpoint.flush()
        (view,) = self._proposals_with(id.hex())
        return _proposal(view, has_summary=False)

    def _beacon(self, request: Document) -> Document:
        """Have a beacon signed now, as if this governor's turn had come; returns the old state.

        `proposal`: where operators must approve the time, else null. Raises `ClockJump`.
        """
        found = self._state(request)
        core, now_ms = self._governor.require_core(), self._governor.now_ms()
        _check_clock(core)
        payload, needs_operators = core.cosigning.next_beacon()
        if needs_operators:
            return {**found, "proposal": self._propose_beacon(core, payload)}
        found["proposal"] = None
        # there is no proposal: each governor signs a beacon that its own clock and head confirm
        core.cosigning.beacon_due_ms = now_ms
        self._governor.handle_outputs(core.tick(now_ms))
        return found

    def _propose_beacon(self, core: Core, payload: bytes) -> Document:
        """Propose a beacon that operators must approve, unless such a proposal is open."""
        kind = KIND_NAMES[BEACON]
        found = [view for view in core.pending() if view.kind == kind and not view.verdict.reason]
        if not found:
            id = self._governor.propose([payload], "a beacon after a long time without one", b"")
            found = self._proposals_with(id.hex())
        return _proposal(found[0])

    def _backup(self, _: Document) -> Document:
        """Write a backup into the daemon's folder; the command fetches and removes it."""
        folder, ledger = self._governor.folder, self._governor.ledger
        path = folder.path / backup.ARCHIVE
        found = backup.make(folder, self._governor.settings.name, ledger, path)
        return {**dataclasses.asdict(found), "made": path.name}

    # --- changes of governors ---------------------------------------------------------------------

    def _change(self, request: Document) -> Document:
        """Begin a change of governors, or with `dry_run` only describe it."""
        governor = self._governor
        kind = field(request, "do", str)
        texts = [*field(request, "add", list, []), *field(request, "governors", list, [])]
        records = [Record.from_toml(str(text)) for text in texts]
        remove = [str(name) for name in field(request, "remove", list, [])]
        if governor.state == RETIRED:
            raise HostError("other governors are in force", "Run the command at one of them.")
        if governor.state == LEARNING:
            raise HostError(
                "this governor's key share is not in force yet", "Run the command at another one."
            )
        if kind == "change":
            self._check_change(records, remove)
        core = governor.require_core()
        propose = partial(
            governor.ceremonies.propose_change,
            kind,
            records,
            remove,
            request.get("threshold"),
            now_ms=governor.now_ms(),
            dealers=self._dealers(remove, [one.governor.name for one in records]),
            charter=core.context.chain.charter if kind == "succeed" else None,
        )
        view, _ = propose(dry=True)
        self._check_not_running(view.title)
        if not field(request, "dry_run", bool):
            view, outputs = propose()
            governor.handle_ceremony_outputs(outputs)
        return _ceremony(view)

    def _check_not_running(self, title: str) -> None:
        """Raises `ChangeRunning` while a change with this title is not in force yet."""
        for one in self._governor.ceremonies.views():
            if one.title != title:
                continue
            if one in self._governor.ceremonies.pending():
                id = one.id.hex()[:8]
                seen = f", ceremony fingerprint {one.fingerprint}" if one.fingerprint else ""
            elif found := self._proposals_for(one.seat_id):
                id, seen = found[-1].id.hex()[:8], ", which puts its new shares in force"
            else:
                continue
            raise ChangeRunning(
                f"{title}: one is running: {id}{seen}", ChangeRunning.advice.replace("ID", id)
            )

    def _proposals_for(self, seat_id: bytes) -> list[Proposal]:
        """The open proposals that put the seats of a ceremony in force."""
        pool = self._governor.require_core().pool
        return [one for one in pool.proposals if seat_id and names_seat(one, seat_id)]

    def _check_change(self, records: Sequence[Record], remove: Sequence[str]) -> None:
        self._governor.require_core()
        seat = self._governor.seat
        assert seat is not None
        names = seat.roster.names
        for name in remove:
            if name not in names:
                raise HostError(f"{name} is not a governor", f"Governors: {', '.join(names)}.")
        added = {record.governor.name for record in records}
        for name in added:
            if name in names and name not in remove:
                raise HostError(
                    f"{name} is a governor already",
                    "Name new governors only. To give all governors new shares, use writ governor"
                    " refresh.",
                )
        threshold, count = seat.roster.threshold, len(set(names) - set(remove) | added)
        try:
            check_threshold(count, threshold)
        except UnsafeThreshold:
            raise HostError(
                f"the threshold {threshold} is not safe with {count} governors",
                f"It allows {threshold} to {2 * threshold - 1} governors. To change the threshold,"
                " use a succession: writ governor succeed.",
            ) from None

    def _dealers(self, remove: Sequence[str], renewed: Sequence[str]) -> list[str] | None:
        """The dealers, in this order: this governor, those that are not silent, those that leave.

        remove, renewed: governors that leave, or come with new keys. None if one is needed that
        was not heard since the start. Raises `HostError` if too few are online.
        """
        threshold = self._governor.require_core().committee.threshold
        listed = snapshot.list_governors(self._governor)
        offline = [str(one["name"]) for one in listed if snapshot.is_offline(one)]
        if len(listed) - len(offline) < threshold:
            raise HostError(
                f"a re-sharing needs {threshold} governors of the present ones online;"
                f" offline: {', '.join(offline)}",
                "Start their daemons, or wait for them; then run the same command again.",
            )
        heard = [one for one in listed if one["me"] or one["online"]]
        heard.sort(key=lambda one: (not one["me"], one["silent"]))
        names = [str(one["name"]) for one in heard]
        found = [name for name in names if name not in (*remove, *renewed)]
        found += [name for name in names if name in remove and name not in renewed]
        return found[:threshold] if len(found) >= threshold else None

    def _in_force(self, request: Document) -> Document:
        """Whether a ceremony's `seat_id` is in force, and the open proposal that names it."""
        seat_id = field(request, "seat_id", bytes)
        core = self._governor.require_core()
        chain = core.context.chain
        found = self._proposals_for(seat_id)
        return {
            "in_force": bool(seat_id) and seat_id in (chain.committee, chain.group_key),
            "proposal": _proposal(core.pool.view(found[-1])) if found else None,
        }


def _proposal(view: ProposalView, has_summary: bool = True) -> Document:
    """has_summary: with the lines that explain it to operators, which take a while to make."""
    found: Document = dict(vars(view))
    del found["verdict"]
    found["lines"] = view.lines if has_summary else []
    found["what"] = "proposal"
    found["approvals"] = [
        {"governor": name, "yes": yes, "reason": reason, "time": time_s}
        for name, yes, reason, time_s in view.approvals
    ]
    return found


def _ceremony(view: CeremonyView) -> Document:
    return {**dataclasses.asdict(view), "what": "ceremony"}


def _check_clock(core: Core) -> None:
    """Raises `ClockJump` while a beacon of a later time is certified: no older one is signed."""
    newest_s, _ = core.context.newest_beacon()
    clock_s = core.context.clock_s()
    if newest_s > clock_s + core.context.chain.charter.clock_skew_max_s:
        raise ClockJump(
            f"the newest certified beacon is of {utc_minute(newest_s)}, and this governor's clock"
            f" says {utc_minute(clock_s)}: governors sign no older beacon",
            "Set the clock of this machine. If the beacon is of a wrong clock, a new group key"
            " takes it back: writ governor succeed. See docs/limits.md, A wrong clock.",
        )
