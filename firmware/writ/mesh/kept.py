"""What the mesh of a node keeps over a deep sleep, as a list that CBOR can hold, and back.

A part of sleeprecord.py, loaded before and after a deep sleep. Times are kept as ages in ms. All of
it is this node's own: sleeprecord.py has checked that nothing was changed.
"""

from ..authority.capsule import Member, parse
from ..compat import const
from ..errors import DutyCycle
from .neighbour import Neighbour

# The neighbours that are kept, parents among them: a record has room for those of a device
_NEIGHBOURS_KEPT = const(16)
# Beyond the last frame counter
_COUNTER_LAST = const(0xFFFFFFFF)
# Words of a window of airtime
_WORD_BYTES = const(2)
_WORD_LAST = const(65535)
# One bucket of the duty cycle, as in budget.py
_BUCKET_MS = const(60000)


# --- airtime --------------------------------------------------------------------------------------


def _unit_ms(window):
    # of its words: one holds all that a bucket may hold
    return -(-window._bucket_ms // _BUCKET_MS)


def _dump_window(window, now_ms):
    # how long the newest bucket is under way, and the airtime of each from that one on, rounded up
    window.advance(now_ms)
    unit_ms = _unit_ms(window)
    buckets = window._buckets
    phase_ms = now_ms + window._shift_ms - window._newest * window._bucket_ms
    words = [min(max(phase_ms, 0) // unit_ms, _WORD_LAST)]
    for i in range(len(buckets)):
        used_us = buckets[(window._newest - i) % len(buckets)]
        words.append(min(-(-used_us // (1000 * unit_ms)), _WORD_LAST))
    return b"".join([word.to_bytes(_WORD_BYTES, "big") for word in words])


def _load_window(window, kept, now_ms, slept_ms):
    count = len(window._buckets)
    if len(kept) != _WORD_BYTES * (1 + count):
        raise DutyCycle()
    unit_ms = _unit_ms(window)
    words = [int.from_bytes(kept[i : i + 2], "big") for i in range(0, len(kept), _WORD_BYTES)]
    window._newest = count
    window._shift_ms = count * window._bucket_ms + unit_ms * words[0] + slept_ms - now_ms
    window.used_us = 0
    for i in range(count):
        used_us = 1000 * unit_ms * words[1 + i]
        window._buckets[(count - i) % count] = used_us
        window.used_us += used_us
    window.advance(now_ms)


def dump_budget(budget, now_ms):
    """The airtime of a `Budget`: [of the duty cycle, [(class, that of the class)]], each bytes.

    The accounts of neighbours begin anew.
    """
    classes = [(one, _dump_window(budget.classes[one], now_ms)) for one in sorted(budget.classes)]
    return [_dump_window(budget._all, now_ms), classes]


def load_budget(budget, kept, now_ms, slept_ms):
    """Take what `dump_budget` gave, after a sleep of `slept_ms`. `now_ms` may have begun anew.

    Damaged bytes count as an hour that is spent.
    """
    try:
        for route_class, window in kept[1]:
            # the account is made by a charge, whose airtime goes
            budget.charge(now_ms, 1, route_class, None)
            _load_window(budget.classes[route_class], window, now_ms, slept_ms)
        _load_window(budget._all, kept[0], now_ms, slept_ms)
    except DutyCycle:
        budget._all.add(now_ms, budget.limit_us)


# --- neighbours -----------------------------------------------------------------------------------


def _dump_neighbours(mesh, now_ms):
    # [fields of a `Neighbour`]: those whose frames are fresh
    parents = mesh.routing.parents
    # parents last: they are kept in any case
    kept = [one for one in mesh.neighbours if one.proofs and one not in parents] + parents
    found = []
    for one in kept[-_NEIGHBOURS_KEPT:]:
        snr = None if one.snr is None else int(one.snr)
        fields = [one.link, one.address, one.counter, one._window, one.proofs, one.is_mutual]
        fields += [one.last_data, one.receipts, snr, one.delivered, now_ms - one.heard_ms]
        fields += [one.epoch, one.rank, one.cost, one.gateway, one.parent]
        found.append(fields)
    return found


def _load_neighbours(mesh, kept, now_ms):
    # [Neighbour], in the order in which they were kept; now_ms: of the end of the sleep
    found = []
    for fields in kept:
        one = Neighbour(fields[0], fields[1])
        one.counter, one._window, one.proofs, one.is_mutual = fields[2:6]
        one.last_data, one.receipts, one.snr, one.delivered, age_ms = fields[6:11]
        one.epoch, one.rank, one.cost, one.gateway, one.parent = fields[11:]
        one.heard_ms = now_ms - age_ms
        if mesh.authority.peer_by(address=one.address) is None:
            # greeted and asked for its capsule if it is to be a parent
            one.is_mutual = False
        found.append(one)
    mesh.neighbours._all = sorted(found, key=lambda one: one.heard_ms)
    return found


def _dump_capsules(frames):
    # of the parents without a session, whose record has that of its peer
    found = []
    for one in frames.mesh.routing.parents:
        member = frames.node.authority.peer_by(address=one.address)
        if member and frames.node.sessions.by_peer(member.node_id) is None:
            found.append(member.raw)
    return found


def _dump_routing(frames, now_ms):
    routing = frames.mesh.routing
    if routing is None:
        return None
    return [
        routing.rank,
        routing.cost,
        routing.gateway,
        len(routing.parents),
        _dump_neighbours(frames.mesh, now_ms),
        _dump_capsules(frames),
    ]


def _load_routing(mesh, kept, now_ms):
    # capsules that were verified before the sleep
    for raw in kept[5]:
        mesh.authority.remember(Member(parse(raw)))
    routing = mesh.routing
    found = _load_neighbours(mesh, kept[4], now_ms)
    routing.rank, routing.cost, routing.gateway = kept[:3]
    routing.parents = found[len(found) - kept[3] :]


# --- the whole ------------------------------------------------------------------------------------


def dump(frames, now_ms):
    """What `load` takes: a list. frames: the `FrameLinks` of the node."""
    keys, mesh = frames.keys, frames.mesh
    age_ms = None if keys._since_ms is None else now_ms - keys._since_ms
    reports = list(frames._reports)
    reports[0] -= now_ms
    reports[1] -= now_ms
    return [
        [keys._counter, keys._limit, keys._copies, age_ms],
        [dump_budget(budget, now_ms) for budget in mesh.outbox.budgets],
        _dump_routing(frames, now_ms),
        reports,
        frames.shown,
        mesh.outbox.transfers._number,
        [link.kind for link in mesh.links],
    ]


def load(frames, kept, now_ms, slept_ms):
    """Go on where `dump` was called. slept_ms: how long ago that was, at least."""
    keys, mesh = frames.keys, frames.mesh
    then_ms = now_ms - slept_ms
    keys._counter, keys._limit, keys._copies, age_ms = kept[0]
    keys._since_ms = None if age_ms is None else then_ms - age_ms
    if kept[6] != [link.kind for link in mesh.links]:
        # the operator has changed the links: their neighbours are other ones
        return
    for budget, one in zip(mesh.outbox.budgets, kept[1]):
        load_budget(budget, one, now_ms, slept_ms)
    if kept[2] and mesh.routing:
        _load_routing(mesh, kept[2], then_ms)
    reports = kept[3]
    frames._reports = [then_ms + reports[0], then_ms + reports[1]] + reports[2:]
    frames.shown = kept[4] and tuple(kept[4])
    mesh.outbox.transfers._number = kept[5]


def spend(keys):
    """Use no counter of these `LinkKeys` any more: they are those of the next start."""
    keys._counter = keys._limit = _COUNTER_LAST
