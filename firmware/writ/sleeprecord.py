"""The record of a deep sleep: what a node goes on with when it starts again after it.

A part of agent.py that is loaded before a deep sleep and after it.

1. The record has all that a restart would lose, or ask for over the air: frame counter and sequence
   numbers up to which nothing was used, replay windows, neighbours, airtime, time.
2. It is written once and used once. The node that writes it uses no number any more (`_spend`); the
   start that reads it makes it invalid first. So no nonce comes twice, wherever the power fails:
   without a valid record a start is an ordinary one, which skips all numbers that are reserved.
3. On ESP32 it is in the memory of the RTC, which a loss of power empties; it is emptied before use.
   Where there is no such memory, or too little, it is the record "sleep" on flash. Then "wake"
   makes it invalid: 8 bytes that are never the same again, and that are replaced before use.
4. It begins with 8 bytes of a digest over the rest and over the records on flash that it speaks of:
   key, link key, counters, sessions and "wake". So a record is refused that is torn, that is older
   than the last wake, that is of another node, or since which anything was reserved.
"""

from . import cbor, crypto
from .compat import MICROPYTHON, const, sha256
from .errors import Rejection, StoreDamaged, UsageError
from .limits import SEQUENCE_MAX
from .mesh import kept as mesh_kept

RECORD = "sleep"
MARK = "wake"
_DIGEST_BYTES = const(8)
# The largest partial IV of a peer (RFC 8613, section 6.1)
_NUMBER_LAST = const(0xFFFFFFFFFF)
_DEPTH = const(6)
# The sessions that are kept: a record has room for those of a device
_SESSIONS_KEPT = const(6)


def _rtc():
    # the memory that lives through a deep sleep, of ESP32 only
    if MICROPYTHON:
        import machine

        rtc = machine.RTC() if hasattr(machine, "RTC") else None
        if hasattr(rtc, "memory"):
            return rtc
    return None


def _digest(store, body, names):
    # a record that is damaged raises StoreDamaged: then there is no digest
    digest = sha256(body)
    for name in names:
        digest = sha256(digest + (store.load(name) or b""))
    return digest[:_DIGEST_BYTES]


def _names(sessions):
    # the records that the digest covers. sessions: as in `_dump_session`
    return [MARK, "key", "link", "frames"] + [fields[0] for fields in sessions]


def _renew(store):
    # make a record on flash invalid, also where a random generator repeats itself
    try:
        before = store.load(MARK) or b""
    except StoreDamaged:
        before = b""
        store.reset(MARK)
    mark = sha256(before + (store.load("frames") or b"") + crypto.random_bytes(16))
    store.save(MARK, mark[:_DIGEST_BYTES])


def _is_marked(store):
    try:
        return store.load(MARK)
    except StoreDamaged:
        return False


# --- sessions -------------------------------------------------------------------------------------


def _dump_session(session, me):
    context = session.context
    flags = [context.window_valid, session.is_proven, session.is_restored, session.shown is me]
    return [
        session.record,
        context.sequence,
        context.limit,
        context.window,
        flags,
        session.echo,
        # the handle of a node that joins is not kept
        None if (session.address or "")[:5] == "join:" else session.address,
        session.seen_epoch,
        session.tries,
    ]


def _load_session(node, fields):
    for session in list(node.sessions):
        if session.record == fields[0]:
            break
    else:
        return
    context = session.context
    context.sequence, context.limit, window, flags, session.echo, session.address = fields[1:7]
    context.window = tuple(window)
    context.window_valid, session.is_proven, session.is_restored, is_shown = flags
    session.seen_epoch, session.tries = fields[7:]
    if is_shown:
        session.shown = node.authority.me
        node.introduced[session.peer.node_id] = session.shown
    if session.address:
        node.addresses[session.peer.node_id] = session.address
    # the order of their last use
    node.sessions.touch(session)


# --- the record -----------------------------------------------------------------------------------


def write(node, now_ms, sleep_ms, clock_s):
    """Write the record of `node`, which uses no number any more from then on.

    sleep_ms: for how long it will sleep; clock_s: the time of the chip's clock, for `take`. What
    the flash refuses is counted: then the next start is an ordinary one.
    """
    store = node.store
    authority = node.authority
    frames = getattr(node, "frames", None)
    exchanges = node.exchanges
    recent = list(node.sessions)[-_SESSIONS_KEPT:]
    sessions = [_dump_session(session, authority.me) for session in recent]
    body = cbor.encode(
        [
            sleep_ms,
            clock_s,
            authority.now_s(now_ms),
            authority._time_from,
            exchanges._mid,
            exchanges._token,
            sessions,
            frames and mesh_kept.dump(frames, now_ms),
        ]
    )
    # before the record may be valid
    _spend(node, frames)
    try:
        if not _is_marked(store):
            _renew(store)
        raw = _digest(store, body, _names(sessions)) + body
        if not _write_rtc(raw):
            store.save(RECORD, raw, False)
    except (MemoryError, Rejection, UsageError) as error:
        # the last one for a record that is too long
        node.count(error)


def _write_rtc(raw):
    rtc = _rtc()
    if rtc is None:
        return False
    try:
        rtc.memory(raw)
    except ValueError:
        # too long for it
        rtc.memory(b"")
        return False
    return True


def _spend(node, frames):
    # the program may catch what ends it: then nothing is sent or answered
    for session in node.sessions:
        session.context.sequence = SEQUENCE_MAX
        session.context.restart_window(_NUMBER_LAST)
    if frames:
        mesh_kept.spend(frames.keys)


def take(node, clock_s):
    """Put sessions and time of the record in force, which is invalid from then on.

    Call it before `node` is used. clock_s: the time of the chip's clock. None without a valid
    record; else (what mesh/kept.py has dumped, None without a mesh; ms of sleep at least).
    """
    store = node.store
    rtc = _rtc()
    raw = rtc and rtc.memory()
    if raw:
        rtc.memory(b"")
    is_on_flash = not raw
    try:
        raw = raw or store.load(RECORD) or b""
        found = _read(store, raw)
        if found and is_on_flash:
            _renew(store)
    except StoreDamaged:
        store.reset(RECORD)
        found = None
    except Rejection as error:
        # the flash takes no write
        node.count(error)
        found = None
    if found is None:
        return None
    sleep_ms, before_s, time_s, source, node.exchanges._mid, node.exchanges._token = found[:6]
    slept_ms = passed_ms(sleep_ms, before_s, clock_s)
    # for ephemeral keys: the records of the sessions are as they were at the last start
    crypto.stir(raw)
    for fields in found[6]:
        _load_session(node, fields)
    node.authority._time(time_s + slept_ms // 1000, source)
    return found[7], slept_ms


def _read(store, raw):
    # the fields of the record, or None for one that does not count
    try:
        fields = cbor.decode(raw[_DIGEST_BYTES:], _DEPTH)
        if _digest(store, raw[_DIGEST_BYTES:], _names(fields[6])) == raw[:_DIGEST_BYTES]:
            return fields
    except StoreDamaged:
        return None
    except (Rejection, IndexError, TypeError, ValueError):
        pass
    return None


def passed_ms(sleep_ms, before_s, clock_s):
    """How long a sleep of `sleep_ms` was at least, by the clock before it and after it (seconds).

    A clock that has gone back was not kept: then the sleep was as long as planned. One that has
    gone on for longer may have been set meanwhile.
    """
    if clock_s < before_s:
        return sleep_ms
    # both seconds have begun
    return min(sleep_ms, max(0, 1000 * (clock_s - before_s - 1)))
