"""What the daemon answers: to the operator's commands, to who founds a scope, and to Prometheus.

    status   pending   log {last}   find {id, words}   decide {id, yes, reason}
    propose {payloads, title, evidence}      capsules {cursor}      state      beacon      backup
    change {add, remove, threshold, dry}     refresh {dry}
    succeed {governors, threshold, dry}      force {names}

Ids may be given by their first digits. All bytes are in hex.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from writ.authority import capsule as capsules
from writ.wire import coap

from ..consensus.committee import UnsafeThreshold, check_threshold
from ..errors import HostError
from ..keys.dkg import spoken
from . import backup
from .activation import puts_in_force
from .ceremonies.record import Record
from .control import Document, field
from .ledger.capsules import read_capsule
from .metrics import Samples
from .proposals import messages
from .proposals.proposal import OPEN, ProposalView

if TYPE_CHECKING:
    from .daemon import Daemon

# What was said by nobody for so long is away.
AWAY_S = 15
LOG_MAX = 1000
ID_DIGITS_MIN = 4
# A page of capsules, as hex on the socket.
_PAGE_CAPSULES, _PAGE_BYTES = 512, 1 << 20


class Api:
    """Reads the daemon's parts; what changes something goes through the daemon."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._handlers = {
            "status": self._status,
            "pending": self._pending,
            "log": self._log,
            "find": lambda request: self._find(
                field(request, "id", str), field(request, "words", bool, True)
            ),
            "decide": self._decide,
            "propose": self._propose,
            "capsules": self._capsules,
            "state": self._state,
            "beacon": self._beacon,
            "change": self._change,
            "refresh": self._change,
            "succeed": self._change,
            "force": self._force,
            "backup": self._backup,
        }

    def answer(self, request: Document) -> Document:
        """The answer to one request. Raises `HostError`, `Rejection`."""
        handler = self._handlers.get(str(request.get("do")))
        if handler is None:
            raise HostError(f"the daemon does not know {request.get('do')!r}", "Update it.")
        return handler(request)

    # --- looking ----------------------------------------------------------------------------------

    def _status(self, _: Document) -> Document:
        daemon = self._daemon
        found: Document = {
            "name": daemon.settings.name,
            "state": daemon.state,
            "peers": daemon.settings.peers,
            "listen": daemon.settings.listen,
            "pending": 0,
            "ceremonies": len(self._ceremonies()),
            "decisions": self._entries(LOG_MAX, ("decided",))[-10:],
        }
        if daemon.core is None:
            return found
        governors = self._governors()
        core = daemon.core.status()
        online = sum(1 for one in governors if one["online"])
        threshold = daemon.core.committee.threshold
        return {
            **core,
            **found,
            "pending": core["pending"] if daemon.core.is_seated else 0,
            "governors": governors,
            "group_key": daemon.core.context.chain.group_key,
            "key_fingerprint": spoken(daemon.core.context.chain.group_key),
            "count": len(governors),
            "online_count": online,
            "tolerates_offline_now": max(0, online - threshold),
            "has_quorum": online >= threshold,
        }

    def _governors(self) -> list[Document]:
        daemon = self._daemon
        assert daemon.core is not None and daemon.seat is not None
        now_ms = daemon.now_ms()
        clocks = daemon.core.cosigning.clock_skew.over_limit()
        listed = []
        for number, governor in enumerate(daemon.seat.roster.governors, 1):
            is_me = number == daemon.seat.key.identifier
            address, at_ms = daemon.link.peering.heard.get(governor.node_key, ("", None))
            last_seen_s = None if at_ms is None else (now_ms - at_ms) / 1000
            listed.append(
                {
                    "number": number,
                    "name": governor.name,
                    "me": is_me,
                    "address": daemon.settings.peers if is_me else address,
                    "last_seen_s": last_seen_s,
                    "online": is_me or (last_seen_s is not None and last_seen_s < AWAY_S),
                    "accused": daemon.core.accusations.get(number, ""),
                    "clock_off_s": clocks.get(number),
                }
            )
        return listed

    def _pending(self, _: Document) -> Document:
        core = self._daemon.core
        # who governs no more decides nothing
        listed = core.pending() if core is not None and core.is_seated else []
        proposals = [_proposal(view) for view in listed]
        return {"proposals": proposals, "ceremonies": self._ceremonies()}

    def _ceremonies(self) -> list[Document]:
        return [_ceremony(view) for view in self._daemon.ceremonies.pending()]

    def _all_ceremonies(self) -> list[Document]:
        return [_ceremony(view) for view in self._daemon.ceremonies.views()]

    def _entries(self, last: int, events: Sequence[str] = ()) -> list[Document]:
        listed = self._daemon.ledger.log_entries(last)
        return [one for one in listed if not events or one["event"] in events]

    def _log(self, request: Document) -> Document:
        last = min(field(request, "last", int, 20), LOG_MAX)
        return {"entries": self._entries(last)}

    def _find(self, id: str, has_words: bool = True) -> Document:
        """The proposal or ceremony whose id begins so. Raises `HostError` for none or several."""
        if len(id) < ID_DIGITS_MIN:
            raise HostError(f"{id}: too short", f"Give {ID_DIGITS_MIN} digits of it, or more.")
        daemon = self._daemon
        found = [one for one in self._all_ceremonies() if one["id"].hex().startswith(id)]
        if daemon.core is not None:
            views = self._begins(id)
            found += [_proposal(view, has_words and view.state == OPEN) for view in views]
        if len(found) == 1:
            return found[0]
        if found:
            raise HostError(f"{id}: several begin so", "Give more digits.")
        raise HostError(f"nothing here has the id {id}", "See: writ governor pending.")

    def _begins(self, id: str) -> list[ProposalView]:
        core = self._daemon.the_core()
        if len(id) == 2 * messages.ID_BYTES:
            whole = _id(id)
            view = core.proposal(whole) if whole else None
            return [view] if view else []
        return [view for view in core.pending() if view.id.hex().startswith(id)]

    # --- deciding, proposing ----------------------------------------------------------------------

    def _decide(self, request: Document) -> Document:
        daemon = self._daemon
        found = self._find(field(request, "id", str))
        yes, reason = field(request, "yes", bool), field(request, "reason", str)
        now_ms = daemon.now_ms()
        if found["what"] == "ceremony":
            daemon.carry_ceremony(daemon.ceremonies.decide_on(found["id"], yes, reason, now_ms))
        else:
            outs = daemon.the_core().approve_or_deny(found["id"], yes, reason, now_ms)
            daemon.carry_out(outs)
        return self._find(found["id"].hex())

    def _propose(self, request: Document) -> Document:
        listed = field(request, "payloads", list)
        payloads = [field({"payload": one}, "payload", bytes) for one in listed]
        evidence = field(request, "evidence", bytes, b"")
        id = self._daemon.propose(payloads, field(request, "title", str), evidence)
        # the others have work to do with it
        self._daemon.link.flush()
        (view,) = self._begins(id.hex())
        return _proposal(view, has_words=False)

    def _capsules(self, request: Document) -> Document:
        cursor = field(request, "cursor", int)
        following, raws = self._daemon.ledger.capsules.since(cursor, _PAGE_CAPSULES, _PAGE_BYTES)
        return {"cursor": following, "capsules": raws}

    def _state(self, _: Document) -> Document:
        core = self._daemon.the_core()
        chain = core.context.chain
        return {
            "scope": chain.charter.name,
            "scope_id": bytes(chain.charter.scope),
            "group_key": chain.group_key,
            "epoch": core.epoch,
            "head": core.head,
            "beacon": self._daemon.ledger.capsules.beacon() or b"",
        }

    def _beacon(self, request: Document) -> Document:
        """Have a beacon certified now, by this governor's turn. The state of before."""
        found = self._state(request)
        # no proposal: each governor signs what its own clock and head agree with
        core, now_ms = self._daemon.the_core(), self._daemon.now_ms()
        core.cosigning.beacon_due_ms = now_ms
        self._daemon.carry_out(core.tick(now_ms))
        return found

    def _backup(self, _: Document) -> Document:
        """A backup as of now, in the daemon's own folder, for the command to fetch and remove."""
        daemon = self._daemon
        path = daemon.folder.path / backup.MADE
        found = backup.make(daemon.folder, daemon.settings.name, daemon.ledger, path)
        return {**dataclasses.asdict(found), "made": path.name}

    def _change(self, request: Document) -> Document:
        """A change of governors: what it would be (dry), or begun."""
        daemon = self._daemon
        kind = field(request, "do", str)
        texts = [*field(request, "add", list, []), *field(request, "governors", list, [])]
        records = [Record.from_toml(str(text)) for text in texts]
        remove = [str(name) for name in field(request, "remove", list, [])]
        if daemon.state == "retired":
            raise HostError("other governors are in force", "Give the command at one of them.")
        if kind == "change":
            self._check_new(records, remove)
        view, outs = daemon.ceremonies.propose_change(
            kind,
            records,
            remove,
            request.get("threshold"),
            field(request, "dry", bool),
            daemon.now_ms(),
            dealers=self._dealers([*remove, *(one.governor.name for one in records)]),
            charter=daemon.the_core().context.chain.charter if kind == "succeed" else None,
        )
        daemon.carry_ceremony(outs)
        return _ceremony(view)

    def _force(self, request: Document) -> Document:
        """Whether a ceremony's `names` is in force, and the open proposal that would put it so."""
        names = field(request, "names", bytes)
        core = self._daemon.the_core()
        chain = core.context.chain
        found = [one for one in core.pool.table if names and puts_in_force(one, names)]
        return {
            "in_force": bool(names) and names in (chain.committee, chain.group_key),
            "proposal": _proposal(core.pool.view(found[-1])) if found else None,
        }

    def _check_new(self, records: Sequence[Record], remove: Sequence[str]) -> None:
        self._daemon.the_core()
        seat = self._daemon.seat
        assert seat is not None
        names = seat.roster.names
        for name in remove:
            if name not in names:
                raise HostError(f"{name} does not govern", f"Who does: {', '.join(names)}.")
        comers = {record.governor.name for record in records}
        for name in comers:
            if name in names and name not in remove:
                raise HostError(
                    f"{name} governs already",
                    "Say who comes; writ governor refresh gives new shares to the same ones.",
                )
        threshold, count = seat.roster.threshold, len(set(names) - set(remove) | comers)
        try:
            check_threshold(count, threshold)
        except UnsafeThreshold:
            raise HostError(
                f"{threshold} must certify, and there would be {count} governors",
                f"With this threshold there are {threshold} to {2 * threshold - 1} of them."
                " Another one is a succession: writ governor succeed.",
            ) from None

    def _dealers(self, without: Sequence[str]) -> list[str] | None:
        """Who deals, this governor first: those who are up. None where too few are."""
        threshold = self._daemon.the_core().committee.threshold
        listed = sorted(self._governors(), key=lambda one: not one["me"])
        online = [str(one["name"]) for one in listed if one["online"]]
        found = [name for name in online if name not in without]
        return found[:threshold] if len(found) >= threshold else None

    # --- founding, for whoever invites ------------------------------------------------------------

    def serve_front(
        self, method: int, path: tuple[str, ...], body: bytes, source: str
    ) -> tuple[int, bytes]:
        """`founding` (peering/bootstrap.py): (CoAP code, body). Raises `HostError`, `Rejection`."""
        ceremonies = self._daemon.ceremonies
        if method == coap.POST:
            if path:
                return coap.METHOD_NOT_ALLOWED, b""
            answer = ceremonies.invitation(body, source)
            self._daemon.carry_ceremony(ceremonies.tick(self._daemon.now_ms()))
            return coap.CHANGED, answer
        found = None
        if path and (id := _id(path[0])) is not None:
            if len(path) == 1:
                found = ceremonies.status(id)
            elif len(path) == 2 and path[1].isascii() and path[1].isdecimal():
                found = next(iter(ceremonies.result(id)[int(path[1][:4]) :]), None)
        return (coap.NOT_FOUND, b"") if found is None else (coap.CONTENT, found)

    # --- metrics ----------------------------------------------------------------------------------

    def snapshot(self) -> Samples:
        """All figures of this moment."""
        daemon = self._daemon
        peering, node = daemon.link.peering, daemon.node
        now_ms = daemon.now_ms()
        heard = [at_ms for _, at_ms in peering.heard.values() if now_ms - at_ms < 1000 * AWAY_S]
        gauges: dict[str, float | None] = {"peers_heard": len(heard)}
        counters: dict[str, float] = {}
        by_label: dict[tuple[str, str], dict[str, float]] = {
            ("peering", "name"): dict(peering.counters),
            ("rejections", "name"): dict(node.counters) if node else {},
        }
        governors = daemon.seat.roster.governors if daemon.seat else ()
        names = {one.node_key: one.name for one in governors}
        for stat in ("datagrams_out", "datagrams_in", "bytes_out", "bytes_in"):
            by_label[stat.replace("out", "sent").replace("in", "received"), "governor"] = {
                names.get(key, key.hex()[:16]): getattr(stats, stat)
                for key, stats in peering.stats.items()
            }
        by_label["datagrams_unread", "governor"] = {
            names.get(key, key.hex()[:16]): stats.unread for key, stats in peering.stats.items()
        }
        if daemon.core is not None:
            status = daemon.core.status()
            for key in ("epoch", "height", "round", "pending"):
                gauges[key] = float(str(status[key]))
            gauges["clocks_off"] = len(daemon.core.cosigning.clock_skew.over_limit())
            gauges["beacon_age_seconds"] = status["beacon_age_s"]  # type: ignore[assignment]
            counts = daemon.core.context.counters
            counters["decisions"] = counts.get("Decided", 0)
            counters["refused"] = counts.get("Refused", 0)
            by_label["certified", "kind"] = dict(daemon.certified)
            by_label["accused", "governor"] = {
                daemon.core.context.name(number): 1.0 for number in daemon.core.accusations
            }
        return Samples(gauges, counters, by_label)


def _id(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _proposal(view: ProposalView, has_words: bool = True) -> Document:
    """has_words: what it means, for whoever is to decide; it takes a while."""
    found: Document = dict(vars(view))
    del found["verdict"]
    found["lines"] = view.lines if has_words else []
    found["what"] = "proposal"
    found["approvals"] = [
        {"governor": name, "yes": yes, "reason": reason, "time": time_s}
        for name, yes, reason, time_s in view.approvals
    ]
    return found


def _ceremony(view: Any) -> Document:
    return {**dataclasses.asdict(view), "what": "ceremony"}


def kind_of(raw: bytes) -> str:
    """A capsule's kind in a word."""
    return str(capsules.KIND_NAMES[read_capsule(raw).kind])
