"""Sessions: a member and the OSCORE context with it, and their records on flash.

A session's keys and its reserved sequence number are one record. After a loss of power a node
continues without a new handshake and without using a nonce twice. Owns no sockets. Records: "s0",
"s1"... of sessions by handshake; "p" and a digest of the keys for preshared ones.
"""

from .. import cbor, crypto
from ..authority import capsule as capsules
from ..authority.capsule import Member
from ..errors import StoreDamaged, StoreFailed, UnknownContext, WritError
from ..limits import PAUSE_MS, SEQUENCE_RESERVE, SESSIONS_A_PEER_MAX, SESSIONS_MAX
from ..wire.oscore import Context

# Ids that EDHOC carries in one byte: CBOR integers -24..23 (RFC 9528, section 3.3.2)
_ONE_BYTE_IDS = bytes(range(24)) + bytes(range(32, 56))


def _names():
    # the names of the records of sessions by handshake
    return ["s%d" % slot for slot in range(SESSIONS_MAX)]


class Session:
    """One peer and one OSCORE context.

    peer: verified `Member`; address: source of its last authentic message, or None;
    echo: the value that the peer must return to prove freshness, or None;
    seen_epoch: the newest epoch that the peer has claimed; tries: pulls of that epoch in a row that
    brought nothing new; is_proven: whether the peer has shown that it has the keys;
    is_writ: False for a stock peer, which authenticates by a CCS and knows no epochs;
    shown: the own `Member` that the peer has, or None where this is not known;
    show_ms, show_pause_ms: when the own capsule may be handed over again, and the pause after that;
    record: name of its record; is_preshared: the operator gave its keys, and it is never dropped.
    """

    # of the class, since few sessions need others
    show_ms = 0
    show_pause_ms = PAUSE_MS
    # whether the request that is served now came with the handshake
    is_new = False
    # whether its record is that of an earlier start, with no number reserved since
    is_restored = False

    def __init__(self, record, peer, context, address, is_writ):
        self.record = record
        self.is_preshared = record[0] == "p"
        self.peer = peer
        self.context = context
        self.address = address
        self.is_writ = is_writ
        self.echo = None
        self.seen_epoch = 0
        self.tries = 0
        self.is_proven = True
        self.keys = None
        self.shown = None


class Sessions:
    """The open sessions, at most SESSIONS_MAX; the least recently used one is dropped first."""

    def __init__(self, store, authority):
        self._store = store
        self._authority = authority
        self._sessions = []  # least recently used first
        self._ids = {}  # record -> recipient id of its last session, which flash may bring back
        for record in _names():
            self._restore(record)

    def __iter__(self):
        return iter(self._sessions)

    def __len__(self):
        return len(self._sessions)

    def open(self, peer, keys, address, is_writ=True):
        """A new `Session` with `peer`, on flash before it is returned.

        keys: (master secret, master salt, sender id, recipient id, id context or None).
        """
        mine = self._replaceable(peer.node_id)
        if len(mine) >= SESSIONS_A_PEER_MAX:
            self.drop(mine[0])
        self._make_room()
        used = {s.record for s in self._sessions}
        record = [name for name in _names() if name not in used][0]
        session = self._make(record, peer, keys, address, is_writ, 0)
        session.shown = self._authority.me
        return self._begin(session)

    def _begin(self, session):
        # before the first answer, whose nonce may be that of a repeated request
        try:
            self._save(session, SEQUENCE_RESERVE)
        except (MemoryError, StoreDamaged, StoreFailed):
            # a session that is not on flash must not be used
            self._sessions.remove(session)
            raise
        session.context.limit = SEQUENCE_RESERVE
        return session

    def preshare(self, raw, keys):
        """The `Session` with the member of capsule `raw`, with keys set by operators on both sides.

        keys: as in `open`. Call it at each start: an existing record is continued, so that the same
        keys never count from 0 again. Raises `StoreDamaged` if the record is damaged (new keys
        help), `TableFull`, `UsageError` for an id that another preshared session has, or the
        capsule's rejection.

        One secret for two sessions is a `UsageError` too: each of the two peers could impersonate
        the other one, and both sessions might use one key with one nonce.
        """
        from .preshared import preshare

        return preshare(self, raw, keys)

    def _recall(self, peer):
        # the newest verified capsule of this member
        known = self._authority.peer(peer.node_id)
        if known and known.expires >= peer.expires:
            return known
        self._authority.remember(peer)
        return peer

    def _replaceable(self, node_id=None):
        # the sessions of one peer or of all that may be dropped, least recently used first
        found = [s for s in self._sessions if not s.is_preshared]
        return [s for s in found if node_id in (None, s.peer.node_id)]

    def _make_room(self):
        if len(self._sessions) >= SESSIONS_MAX:
            self.give_way()

    def give_way(self):
        """Drop the least recently used session, if there is one that is not preshared."""
        for session in self._replaceable()[:1]:
            self.drop(session)

    def _make(self, record, peer, keys, address, is_writ, sequence):
        secret, salt, sender_id, recipient_id, id_context = keys
        context = Context(secret, salt, sender_id, recipient_id, id_context, sequence)
        session = Session(record, peer, context, address, is_writ)
        session.keys = keys
        context.reserve = lambda limit: self._save(session, limit)
        self._ids[record] = recipient_id
        self._sessions.append(session)
        return session

    def _save(self, session, limit):
        if not self.is_open(session):
            # another session may have its record by now
            raise UnknownContext()
        saved = [session.peer.raw, list(session.keys), session.is_writ, limit]
        # a session that goes back by one save skips the numbers that it may have used
        raw = cbor.encode(saved)
        if session.is_restored and not session.is_preshared:
            # to both slots, as that of a preshared session: a start that lost this write would use
            # the numbers of this start again
            self._store.save(session.record, raw, False)
        session.is_restored = False
        self._store.save(session.record, raw, session.is_preshared)

    def _restore(self, record):
        try:
            saved = self._store.load(record)
            if not saved:
                return
            # unlike at any other start, since the record counts: for ephemeral keys
            crypto.stir(saved)
            raw, keys, is_writ, limit = cbor.decode(saved)
            peer = self._recall(Member(capsules.parse(raw)))
            self._distrust(self._make(record, peer, keys, None, is_writ, limit))
        # a lost session costs a handshake and no nonce, since its keys are lost with it
        except StoreDamaged:
            self._store.reset(record)
        except (WritError, TypeError, ValueError):
            # a record of another version: the next session overwrites it
            pass

    def _distrust(self, session):
        # numbers up to the limit may have been used, or up to the next limit if its write was lost
        # after it seemed done. A message of the peer may be a replay
        session.is_restored = True
        session.context.sequence += SEQUENCE_RESERVE
        session.context.limit = session.context.sequence
        session.context.window_valid = False
        session.echo = crypto.random_bytes(8)

    def is_open(self, session):
        """Whether this session is still in the table."""
        return session in self._sessions

    def touch(self, session):
        """Mark a session as most recently used."""
        self._sessions.remove(session)
        self._sessions.append(session)

    def drop(self, session):
        """Forget a session unless it is preshared; the next session overwrites its record."""
        if session in self._sessions and not session.is_preshared:
            self._sessions.remove(session)

    def by_kid(self, kid, id_context=None):
        """The session whose recipient id is `kid` (and id context, where it has one), or None."""
        for session in self._sessions:
            context = session.context
            if context.recipient_id == kid and id_context in (None, context.id_context):
                return session
        return None

    def by_peer(self, node_id):
        """The most recently used session with this member, or None."""
        for session in reversed(self._sessions):
            if session.peer.node_id == node_id:
                return session
        return None

    def by_address(self, address):
        """The most recently used session with the peer at this address, or None."""
        for session in reversed(self._sessions):
            if session.address == address:
                return session
        return None

    def new_id(self, taken):
        """A connection identifier, one byte, that no session uses and that is not in `taken`."""
        taken = taken + list(self._ids.values())
        start = crypto.random_bytes(1)[0]
        for i in range(len(_ONE_BYTE_IDS)):
            identity = bytes((_ONE_BYTE_IDS[(start + i) % len(_ONE_BYTE_IDS)],))
            if identity not in taken:
                return identity
        while True:
            # a host may have more sessions than that, and then sends longer identifiers
            identity = crypto.random_bytes(2)
            if identity not in taken:
                return identity
