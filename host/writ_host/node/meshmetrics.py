"""The mesh of a node as metrics (scrape.py): airtime, mailboxes and frames.

Of each label the number of values is bounded: links by config.json, classes by the policy, members
by NAMED_MAX for each metric, those with most airtime; the others together are `others`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from writ.mesh.budget import used_us_of
from writ.mesh.routing import NO_RANK

from ..scrape import Samples
from .meshstatus import CLASSES, SOURCES

NAMED_MAX = 16
OTHERS = "others"
HELP = {
    "mesh_rank": "Hops to a gateway of the mesh, 0 for a gateway; absent without a way.",
    "mesh_neighbours": "Neighbours that take frames of this node.",
    "mesh_waiting": "Messages in the queue of the mesh.",
    "mesh_sleepers": "Children that sleep.",
    "mesh_mailbox_messages": "Messages that wait for children that sleep.",
    "mesh_mailbox_bytes": "Bytes of these messages.",
    "mesh_airtime_seconds": "Airtime of the last hour, by link.",
    "mesh_airtime_budget_seconds": "Airtime that the duty cycle allows in an hour, by link.",
    "mesh_class_airtime_seconds": "Airtime of the last hour, by link and route class.",
    "mesh_class_budget_seconds": "Airtime that the policy allows a class in an hour.",
    "mesh_neighbour_airtime_seconds": "Airtime of the last hour for a neighbour's frames.",
    "mesh_requester_airtime_seconds": "Airtime of the last hour for a member's requests from IP.",
    "mesh_frames_sent": "Frames that were handed to a link.",
    "mesh_frames_received": "Frames that a link has received, refused ones too.",
    "mesh_requests_passed": "Requests from IP that were passed on.",
}


class FrameCounts:
    """How many frames each link of a mesh has sent and received. mesh: the `Mesh` to watch."""

    def __init__(self, mesh: Any) -> None:
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self._receive, self._sent = mesh.receive, mesh.sent
        mesh.receive, mesh.sent = self._count_received, self._count_sent

    def _count_received(self, link: int, frame: bytes, snr: int | None, now_ms: int) -> Any:
        self.received[str(link)] += 1
        return self._receive(link, frame, snr, now_ms)

    def _count_sent(self, link: int, now_ms: int) -> None:
        self.sent[str(link)] += 1
        self._sent(link, now_ms)


def add(samples: Samples, node: Any) -> None:
    """Add the samples of the mesh of a host's node, if it has one.

    node: a `HostNode`.
    """
    if node.frames is None:
        return
    mesh, now_ms = node.frames.mesh, int(node.now_ms)
    routing, mailbox = mesh.routing, mesh.outbox.mailbox
    children = list(mailbox.children.values()) if mailbox else []
    waiting = [entry for child in children for entry in child.waiting]
    samples.gauges.update(
        {
            "mesh_rank": routing.rank if routing and routing.rank != NO_RANK else None,
            "mesh_neighbours": len({one.address for one in mesh.neighbours if one.is_mutual}),
            "mesh_waiting": len(mesh.outbox.transfers),
            "mesh_sleepers": len(children),
            "mesh_mailbox_messages": len(waiting),
            "mesh_mailbox_bytes": sum(len(entry[2]) for entry in waiting),
        }
    )
    _add_airtime(samples, node, now_ms)
    counts = node.frame_counts
    samples.by_label["mesh_frames_sent", "link"] = dict(counts.sent)
    samples.by_label["mesh_frames_received", "link"] = dict(counts.received)
    if node.proxy:
        samples.counters["mesh_requests_passed"] = node.proxy.passed
        spent = {(one,): us for one, us, _ in node.proxy.requesters.spent(now_ms)}
        samples.labelled["mesh_requester_airtime_seconds", ("requester",)] = _named(node, spent)


def _add_airtime(samples: Samples, node: Any, now_ms: int) -> None:
    used: dict[tuple[str, ...], float] = {}
    allowed: dict[tuple[str, ...], float] = {}
    by_class: dict[tuple[str, ...], float] = {}
    of_policy: dict[tuple[str, ...], float] = {}
    for_whom: dict[tuple[Any, ...], int] = {}
    mesh = node.frames.mesh
    for number, budget in enumerate(mesh.outbox.budgets):
        link = str(number)
        used[(link,)] = budget.used_us(now_ms) / 1e6
        if mesh.links[number].duty_cycle_permille < 1000:
            allowed[(link,)] = budget.limit_us / 1e6
        for route_class, window in budget.classes.items():
            name = CLASSES.get(route_class, str(route_class))
            by_class[link, name] = used_us_of(window, now_ms) / 1e6
            allowed_us = budget.allowed_us.get(route_class, 0)
            if allowed_us is not None:
                of_policy[link, name] = allowed_us / 1e6
        for address, window in budget.neighbours.items():
            for_whom[link, address] = used_us_of(window, now_ms)
    samples.labelled["mesh_airtime_seconds", ("link",)] = used
    samples.labelled["mesh_airtime_budget_seconds", ("link",)] = allowed
    samples.labelled["mesh_class_airtime_seconds", ("link", "class")] = by_class
    samples.labelled["mesh_class_budget_seconds", ("link", "class")] = of_policy
    neighbours = ("link", "neighbour")
    samples.labelled["mesh_neighbour_airtime_seconds", neighbours] = _named(node, for_whom)


def _named(node: Any, spent_us: dict[tuple[Any, ...], int]) -> dict[tuple[str, ...], float]:
    """Seconds by labels, the last of which is a short address: as the name of its member."""
    found: Counter[tuple[str, ...]] = Counter()
    kept = _most(spent_us)
    for labels, us in spent_us.items():
        if us:
            name = name_of(node, labels[-1]) if labels in kept else OTHERS
            found[(*map(str, labels[:-1]), name)] += us
    return {labels: us / 1e6 for labels, us in found.items()}


def _most(spent_us: dict[tuple[Any, ...], int]) -> set[tuple[Any, ...]]:
    most: Iterable[tuple[Any, ...]] = sorted(spent_us, key=lambda one: -spent_us[one])[:NAMED_MAX]
    return set(most)


def name_of(node: Any, address: int) -> str:
    """The name of the member with a short address, or of those that it stands for."""
    if address in SOURCES:
        return SOURCES[address]
    member = node.authority.peer_by(address=address)
    return str(member.name) if member else f"{address:04x}"
