"""What a node tells of its mesh at writ/status, loaded when it is asked for."""

from ..compat import const
from .budget import used_us_of

# The neighbours that have cost most airtime: a list of all would be long on the air
_NOISIEST = const(3)
# Neighbours and sleepers of a host, which may have hundreds: all of a device's are fewer
_NEIGHBOURS = const(32)
_SLEEPERS = const(24)


def report(mesh, now_ms, sleep_s=0, sleepers=None):
    """The value of "mesh" in writ/status: a dict that CBOR can hold (docs/wire.md, `mesh-status`).

    mesh: a `Mesh`; sleep_s: the longest sleep of this node, 0 for none; sleepers: {short address:
    longest sleep in s} of nodes that have said so to this gateway. Airtimes are in ms and rounded
    up; times are seconds.
    """
    routing = mesh.routing
    found = {
        "rank": routing.rank if routing else None,
        "gateway": routing.gateway if routing else 0,
        "parents": [one.address for one in routing.parents] if routing else [],
        "waiting": len(mesh.outbox.transfers),
        "links": [
            _link(mesh.links[number], mesh.outbox.budgets[number], now_ms)
            for number in range(len(mesh.links))
        ],
        "neighbours": [
            [
                one.address,
                one.link,
                one.rank,
                one.is_mutual,
                one.delivered,
                one.snr,
                (now_ms - one.heard_ms) // 1000,
            ]
            for one in sorted(mesh.neighbours, key=lambda one: -one.heard_ms)[:_NEIGHBOURS]
        ],
    }
    if sleep_s:
        found["sleep_s"] = sleep_s
    rows = _sleepers(mesh.outbox.mailbox, sleepers or {}, now_ms)
    if rows:
        found["sleepers"] = rows
    return found


def _sleepers(mailbox, sleepers, now_ms):
    children = mailbox.children if mailbox else {}
    found = [
        [address, one.sleep_ms // 1000, (now_ms - one.heard_ms) // 1000, len(one.waiting)]
        for address, one in children.items()
    ]
    found.sort(key=lambda row: -row[3])
    found += [[one, sleepers[one], None, None] for one in sleepers if one not in children]
    return found[:_SLEEPERS]


def _link(link, budget, now_ms):
    classes = []
    for number in sorted(budget.classes):
        spent_us = used_us_of(budget.classes[number], now_ms)
        allowed_us = budget.allowed_us.get(number, 0)
        classes.append([number, _ms(spent_us), allowed_us and _ms(allowed_us)])
    costs = []
    for address in budget.neighbours:
        spent_us = used_us_of(budget.neighbours[address], now_ms)
        if spent_us:
            costs.append((spent_us, address))
    costs.sort(reverse=True)
    return [
        link.kind,
        _ms(budget.used_us(now_ms)),
        _ms(budget.limit_us) if link.duty_cycle_permille < 1000 else None,
        classes,
        [[address, _ms(spent_us)] for spent_us, address in costs[:_NOISIEST]],
        getattr(link, "counters", {}),
        getattr(link, "error", None),
    ]


def _ms(airtime_us):
    return (airtime_us + 999) // 1000
