"""The state of a governor at one moment: its status for operators, and samples for Prometheus."""

from ..keys.dkg import fingerprint_digits
from ..scrape import Samples
from .control import LOG_MAX, Document
from .core.core import Core
from .governor import Governor

# Each governor sends a summary every five seconds. A governor that missed one is silent; it is
# offline when it has missed three.
SILENT_S = 7
OFFLINE_S = 15
_DECISIONS_MAX = 10


def status(governor: Governor) -> Document:
    """The answer to `status`; fields of the core are missing before there is one."""
    found: Document = {
        "name": governor.settings.name,
        "state": governor.state,
        "peers": governor.settings.peers,
        "listen": governor.settings.listen,
        "problem": governor.address_check.problem or None,
        "pending": 0,
        "ceremonies": len(governor.ceremonies.pending()),
        "decisions": _decisions(governor),
        "rejected": rejected(governor),
    }
    core = governor.core
    if core is None:
        return found
    committee = list_governors(governor)
    of_core = core.status()
    online = sum(1 for one in committee if one["online"] and not one["silent"])
    threshold = core.committee.threshold
    group_key = core.context.chain.group_key
    return {
        **of_core,
        **found,
        "pending": of_core["pending"] if core.is_seated else 0,
        "governors": committee,
        "group_key": group_key,
        "key_fingerprint": fingerprint_digits(group_key),
        "count": len(committee),
        "online_count": online,
        "tolerates_offline_now": max(0, online - threshold),
        "has_quorum": online >= threshold,
    }


def rejected(governor: Governor) -> dict[str, dict[str, float]]:
    """The refusals since the start, by name.

    peering: of governors; founding: of parties without a session; devices: at the scope node.
    """
    node = governor.node
    return {
        "peering": dict(governor.endpoint.transport.counters),
        "founding": dict(governor.endpoint.refused),
        "devices": dict(node.counters) if node else {},
    }


def _decisions(governor: Governor) -> list[Document]:
    entries = governor.ledger.log_entries(LOG_MAX)
    return [one for one in entries if one["event"] == "decided"][-_DECISIONS_MAX:]


def list_governors(governor: Governor) -> list[Document]:
    """All governors of the seat's roster, this one included. There must be a core."""
    core, seat = governor.require_core(), governor.seat
    assert seat is not None
    now_ms = governor.now_ms()
    clock_skews = core.cosigning.clock_skew.over_limit()
    listed = []
    for number, person in enumerate(seat.roster.governors, 1):
        is_me = number == seat.key.identifier
        last_seen = governor.endpoint.transport.last_seen
        address, at_ms = last_seen.get(person.node_key, ("", None))
        seen_s = None if at_ms is None else (now_ms - at_ms) / 1000
        listed.append(
            {
                "number": number,
                "name": person.name,
                "me": is_me,
                "address": governor.settings.peers if is_me else address,
                "last_seen_s": seen_s,
                "online": is_me or (seen_s is not None and seen_s < OFFLINE_S),
                "silent": not is_me and seen_s is not None and SILENT_S <= seen_s < OFFLINE_S,
                "accused": core.accusations.get(number, ""),
                "clock_off_s": clock_skews.get(number),
            }
        )
    return listed


def is_offline(one: Document) -> bool:
    """Whether a governor of the list was heard since the start, and is not any more."""
    return not one["online"] and one["last_seen_s"] is not None


def quorum(governor: Governor) -> Document | None:
    """The governors that are online, and how many certify; None without a seat in force."""
    core = governor.core
    if core is None or not core.is_seated:
        return None
    listed = list_governors(governor)
    online = sum(1 for one in listed if one["online"])
    return {"online": online, "count": len(listed), "threshold": core.committee.threshold}


def samples(governor: Governor) -> Samples:
    """All metrics of this moment."""
    transport, node, seat = governor.endpoint.transport, governor.node, governor.seat
    since_ms = governor.now_ms() - 1000 * OFFLINE_S
    online = [at_ms for _, at_ms in transport.last_seen.values() if at_ms > since_ms]
    names = {one.node_key: one.name for one in seat.roster.governors} if seat else {}
    stats = {names.get(key, key.hex()[:16]): one for key, one in transport.stats.items()}
    refused = rejected(governor)
    found = Samples(
        {"peers_heard": len(online)},
        {"defects": governor.defects.count + (node.defects.count if node else 0)},
        {
            ("peering", "name"): refused["peering"],
            ("founding", "name"): refused["founding"],
            ("rejections", "name"): refused["devices"],
            **{
                (metric, "governor"): {name: getattr(one, field) for name, one in stats.items()}
                for metric, field in _TRAFFIC.items()
            },
        },
    )
    if governor.core is not None:
        _add_core(found, governor.core)
        found.by_label["certified", "kind"] = dict(governor.news.certified)
    return found


_TRAFFIC = {
    "datagrams_sent": "datagrams_out",
    "datagrams_received": "datagrams_in",
    "datagrams_unread": "unread",
    "bytes_sent": "bytes_out",
    "bytes_received": "bytes_in",
}


def _add_core(found: Samples, core: Core) -> None:
    status, context = core.status(), core.context
    for key in ("epoch", "height", "round", "pending"):
        found.gauges[key] = float(str(status[key]))
    found.gauges["clocks_off"] = len(core.cosigning.clock_skew.over_limit())
    found.gauges["beacon_age_seconds"] = status["beacon_age_s"]  # type: ignore[assignment]
    found.counters["decisions"] = context.counters.get("Decided", 0)
    found.counters["refused"] = context.counters.get("Refused", 0)
    found.by_label["accused", "governor"] = {
        context.name(number): 1.0 for number in core.accusations
    }
