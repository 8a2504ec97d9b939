"""The mesh of a node as text: from `mesh` of its answer to `writ/status` (docs/wire.md).

A status comes from another node and may have any content: what has another form is left out.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from writ.mesh.routing import NO_RANK
from writ.mesh.transfer import REQUESTERS, STRANGERS

from ..humanize import duration
from ..policy.text import LINKS

CLASSES = {0: "governance", 1: "requests", 15: "join"}
NEIGHBOUR_COLUMNS = ("neighbour", "link", "rank", "as", "delivered", "SNR", "heard")
CLASS_COLUMNS = ("link", "class", "airtime", "of the policy's")
SLEEPER_COLUMNS = ("node", "sleeps at most", "last heard", "expected", "messages kept")
# What stands for several senders in accounts of airtime
SOURCES = {STRANGERS: "strangers", REQUESTERS: "requests from IP"}
_LINK = ("kind", "spent_ms", "budget_ms", "classes", "noisiest", "counters", "error")
_CLASS = ("class", "spent_ms", "allowed_ms")
_NEIGHBOUR = ("address", "link", "rank", "mutual", "delivered", "snr_db", "heard_s")
_SLEEPER = ("address", "sleep_s", "heard_s", "waiting")
_REQUESTER = ("address", "spent_ms", "requests")
_BAR = 20
_HOUR_S = 3600
_LAST_HOUR = "in the last hour"
_Rows = list[tuple[str, ...]]


def describe_mesh(
    mesh: dict[str, Any], names: Mapping[int, str], uptime_s: object = None
) -> dict[str, object]:
    """{label: text}: the way to a gateway, and for each link its airtime against the budget.

    names: of members by their short address; uptime_s: of the node, None if unknown.
    """
    found: dict[str, object] = {"mesh": _way(mesh, names)}
    if sleep_s := longest_sleep(mesh):
        found["sleep"] = f"at most {duration(sleep_s)} at a time"
    if passed := _requesters(mesh, names):
        found["requests from IP"] = passed
    for number, row in enumerate(_rows(mesh, "links", len(_LINK))):
        kind, spent_ms, budget_ms, _, noisiest, counters, error = row
        label = f"link {number}"
        airtime = airtime_text(spent_ms, budget_ms, _period(mesh, uptime_s))
        found[label] = f"{_kind(kind)}: {airtime}"
        if isinstance(error, str):
            found[f"{label} problem"] = error
        if isinstance(noisiest, list) and (loud := _noisiest(noisiest, names)):
            found[f"{label} sent most for"] = loud
        if isinstance(counters, dict) and counters:
            listed = ", ".join(f"{name} {count}" for name, count in counters.items())
            found[f"{label} counters"] = listed
    return found


def _period(mesh: dict[str, Any], uptime_s: object) -> str:
    # of the account. A host keeps it over a restart, and says how much of the hour it knows
    known_s = mesh.get("airtime_s")
    if _is_count(known_s):
        return f"in the last {duration(known_s)}" if known_s < _HOUR_S else _LAST_HOUR
    if longest_sleep(mesh):
        # a deep sleep keeps it, and a loss of power does not
        return "in the last hour, as far as the node knows"
    if _is_count(uptime_s) and uptime_s < _HOUR_S:
        return f"since the start {duration(uptime_s)} ago"
    return _LAST_HOUR


def airtime_text(spent_ms: object, budget_ms: object, period: str = _LAST_HOUR) -> str:
    """Airtime of the last hour: "[###...] 12.3% of the budget: 4.4 s of 36.0 s in the last hour".

    budget_ms: None where no regulator limits the link; period: of the account, as text.
    """
    if not _is_count(spent_ms):
        return "unknown"
    spent = seconds(spent_ms)
    if not _is_count(budget_ms) or not budget_ms:
        return f"{spent} {period}, no duty cycle"
    share = spent_ms / budget_ms
    return f"{bar(share)} {share:.1%} of the budget: {spent} of {seconds(budget_ms)} {period}"


def document(mesh: dict[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """The status with named fields, for --json. delivered: the share of receipts, 0 to 256."""
    links = [dict(zip(_LINK, row, strict=True)) for row in _rows(mesh, "links", len(_LINK))]
    for link in links:
        link["kind"] = _kind(link["kind"])
        link["classes"] = [
            dict(zip(_CLASS, row, strict=True)) for row in _rows(link, "classes", len(_CLASS))
        ]
        link["noisiest"] = [
            {"address": row[0], "name": _known(row[0], names), "spent_ms": row[1]}
            for row in _rows(link, "noisiest", 2)
        ]
    neighbours = [
        {**dict(zip(_NEIGHBOUR, row, strict=True)), "name": _known(row[0], names)}
        for row in _rows(mesh, "neighbours", len(_NEIGHBOUR))
    ]
    sleepers = [
        {**dict(zip(_SLEEPER, row, strict=True)), "name": _known(row[0], names)}
        for row in _rows(mesh, "sleepers", len(_SLEEPER))
    ]
    requesters = [
        {**dict(zip(_REQUESTER, row, strict=True)), "name": _known(row[0], names)}
        for row in _rows(mesh, "requesters", len(_REQUESTER))
    ]
    more = {"sleepers": sleepers, "requesters": requesters}
    return {**mesh, "links": links, "neighbours": neighbours, **more}


def bar(share: float) -> str:
    """A share (0 to 1) as a bar of fixed width."""
    full = min(_BAR, max(0, round(share * _BAR)))
    # what was sent at all is seen
    full = max(full, share > 0)
    return "[" + "#" * full + "." * (_BAR - full) + "]"


def seconds(time_ms: int) -> str:
    """Milliseconds as seconds, to a tenth."""
    return f"{time_ms / 1000:.1f} s"


def class_rows(mesh: dict[str, Any]) -> _Rows:
    """Rows of CLASS_COLUMNS: what each route class has sent on each link."""
    found: _Rows = []
    for number, row in enumerate(_rows(mesh, "links", len(_LINK))):
        for one in row[3] if isinstance(row[3], list) else ():
            if not isinstance(one, list) or len(one) != 3 or not all(map(_is_count, one[:2])):
                continue
            route_class, spent_ms, allowed_ms = one
            name = f"{route_class} {CLASSES.get(route_class, '')}".rstrip()
            allowed = "all" if allowed_ms is None else "none"
            if _is_count(allowed_ms) and allowed_ms:
                allowed = f"{spent_ms / allowed_ms:.1%} of {seconds(allowed_ms)}"
            found.append((str(number), name, seconds(spent_ms), allowed))
    return found


def neighbour_rows(mesh: dict[str, Any], names: Mapping[int, str]) -> _Rows:
    """Rows of NEIGHBOUR_COLUMNS, the nearest to a gateway first."""
    parents = mesh.get("parents")
    parents = parents if isinstance(parents, list) else []
    found: list[tuple[int, tuple[str, ...]]] = []
    for address, link, rank, is_mutual, delivered, snr, heard_s in _rows(
        mesh, "neighbours", len(_NEIGHBOUR)
    ):
        if not all(map(_is_count, (address, rank, delivered, heard_s))):
            continue
        state = "neighbour" if is_mutual is True else "not greeted"
        if address in parents:
            state = f"parent {parents.index(address) + 1}"
        cells = (
            node_name(address, names),
            str(link),
            "none" if rank == NO_RANK else str(rank),
            state,
            f"{delivered / 256:.0%}",
            f"{snr} dB" if isinstance(snr, int) else "",
            f"{duration(heard_s)} ago",
        )
        found.append((rank, cells))
    return [cells for _, cells in sorted(found)]


def sleeper_rows(mesh: dict[str, Any], names: Mapping[int, str]) -> _Rows:
    """Rows of SLEEPER_COLUMNS: the children that sleep, and other nodes that have said so.

    A node is the mailbox of its children only: it does not know when it last heard the others.
    """
    found: _Rows = []
    for address, sleep_s, heard_s, waiting in _rows(mesh, "sleepers", len(_SLEEPER)):
        if not all(map(_is_count, (address, sleep_s))):
            continue
        cells = ["", "", ""]
        if _is_count(heard_s) and _is_count(waiting):
            cells = [f"{duration(heard_s)} ago", expected(sleep_s, heard_s), str(waiting)]
        found.append((node_name(address, names), duration(sleep_s), *cells))
    return found


def heard(mesh: dict[str, Any]) -> dict[int, int]:
    """{short address: seconds since this node has heard it}, of neighbours and children."""
    found: dict[int, int] = {}
    for key, length, place in (("neighbours", len(_NEIGHBOUR), 6), ("sleepers", len(_SLEEPER), 2)):
        for row in _rows(mesh, key, length):
            if _is_count(row[0]) and _is_count(row[place]):
                found[row[0]] = min(row[place], found.get(row[0], row[place]))
    return found


def sleeps(mesh: dict[str, Any]) -> list[tuple[int, int, int | None]]:
    """(short address, longest sleep in s, seconds since it was heard or None) of each sleeper."""
    return [
        (address, sleep_s, heard_s if _is_count(heard_s) else None)
        for address, sleep_s, heard_s, _ in _rows(mesh, "sleepers", len(_SLEEPER))
        if _is_count(address) and _is_count(sleep_s) and sleep_s
    ]


def longest_sleep(mesh: dict[str, Any]) -> int | None:
    """For how many seconds this node sleeps at most; None if it does not sleep."""
    sleep_s = mesh.get("sleep_s")
    return sleep_s if _is_count(sleep_s) and sleep_s else None


def busiest(mesh: dict[str, Any]) -> tuple[int, int | None] | None:
    """(ms spent, ms allowed or None for all) of the link that has used most of its budget."""
    found = [
        (row[1], row[2] if _is_count(row[2]) and row[2] else None)
        for row in _rows(mesh, "links", len(_LINK))
        if _is_count(row[1])
    ]
    return max(found, key=lambda two: two[0] / (two[1] or 3_600_000), default=None)


def expected(sleep_s: int, heard_s: int) -> str:
    """When a node is heard again that sleeps for at most `sleep_s` and was heard `heard_s` ago."""
    if heard_s > sleep_s:
        return f"overdue by {duration(heard_s - sleep_s)}"
    return f"within {duration(sleep_s - heard_s)}"


def node_name(address: object, names: Mapping[int, str]) -> str:
    """A short address with its member's name, if that is known."""
    if not _is_count(address):
        return "?"
    return f"{names[address]} ({address:04x})" if address in names else f"{address:04x}"


def name_of(address: object, names: Mapping[int, str]) -> str | None:
    """The name of the member with a short address, the address where it is unknown, or None."""
    return names.get(address, f"{address:04x}") if _is_count(address) and address else None


def _way(mesh: dict[str, Any], names: Mapping[int, str]) -> str:
    rank = mesh.get("rank")
    if rank == 0:
        return "gateway"
    if not _is_count(rank) or rank == NO_RANK:
        return "no way to a gateway"
    gateway = node_name(mesh.get("gateway"), names)
    if rank == 1:
        return f"1 hop to the gateway {gateway}"
    parents = mesh.get("parents")
    by = node_name(parents[0], names) if isinstance(parents, list) and parents else "?"
    return f"{rank} hops to the gateway {gateway}, by {by}"


def _known(address: object, names: Mapping[int, str]) -> str | None:
    return names.get(address) if _is_count(address) else None


def _noisiest(listed: list[Any], names: Mapping[int, str]) -> str:
    found = []
    for one in listed:
        if isinstance(one, list) and len(one) == 2 and all(map(_is_count, one)):
            name = SOURCES.get(one[0]) or node_name(one[0], names)
            found.append(f"{name} {seconds(one[1])}")
    return ", ".join(found)


def _requesters(mesh: dict[str, Any], names: Mapping[int, str]) -> str:
    """For whom a gateway has passed requests on in the last hour, with their airtime."""
    return ", ".join(
        f"{node_name(address, names)} {seconds(spent_ms)} for {count}"
        for address, spent_ms, count in _rows(mesh, "requesters", len(_REQUESTER))
        if all(map(_is_count, (address, spent_ms, count)))
    )


def _rows(mesh: dict[str, Any], key: str, length: int) -> list[list[Any]]:
    listed = mesh.get(key)
    if not isinstance(listed, list):
        return []
    return [row for row in listed if isinstance(row, list) and len(row) == length]


def _kind(kind: object) -> str:
    if isinstance(kind, int) and 0 <= kind < len(LINKS):
        return LINKS[kind]
    return "link"


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
