"""EDHOC joined with authority: credentials are member capsules, and the EAD carries the epoch.

Between Writ nodes CRED_x is the member capsule: by value (kcwt) on first contact, by kid after. A
stock peer sends no Writ EAD. It gets a CCS of this node's key, and is identified as the member
whose capsule names the peer's key. The code of EDHOC is loaded while a handshake is under way.
Sans-IO.
"""

from .. import cbor, crypto
from ..authority.capsule import TIME_MAX, Member, check, check_bytes, check_uint, parse
from ..authority.ratelimit import RateLimiter, TokenBucket
from ..compat import unload
from ..errors import (
    AlreadyKnown,
    EchoRequired,
    NoScope,
    NotMember,
    OutOfOrder,
    RateLimited,
    RolledBack,
    UnknownCredential,
    WrongScope,
)
from ..limits import (
    ECHO_LIFETIME_MS,
    HANDSHAKE_BURST,
    HANDSHAKE_ECHO_BELOW,
    HANDSHAKE_REFILL_MS,
    HANDSHAKE_TIMEOUT_MS,
    HANDSHAKES_MAX,
    HEAD_BYTES,
)

# EAD label of Writ: private use (RFC 9528, section 10.5)
EAD_LABEL = 65000
# EAD_1 has a prefix of the scope id: a wrong scope ends early, and the credentials decide later
_SCOPE_HINT_BYTES = 4
# In EAD_1 after the scope: the initiator lacks the responder's credential and wants it by value
_BY_VALUE = b"\x01"
# The label with which stock peers ask for the same (draft-ietf-ace-edhoc-oscore-profile-09, 4.14)
_STOCK_BY_VALUE = 15


def _epoch_ead(authority):
    # EAD_2 and EAD_3: epoch and head in force
    value = cbor.encode(authority.epoch) + (authority.head or authority.charter.head)
    return [(EAD_LABEL, False, value)]


def _find(ead, label):
    for item in ead:
        if item[0] == label:
            return item[2] or b""
    return None


def _read_epoch(ead):
    # the peer's epoch, or None from a stock peer
    value = _find(ead, EAD_LABEL)
    if value is None:
        return None
    epoch, end = cbor.decode_item(value)
    check_bytes(value[end:], HEAD_BYTES)
    return check_uint(epoch, TIME_MAX)


def _edhoc():
    # loaded for a handshake, after its rate limit; `Handshaker.tick` unloads it
    from ..wire import edhoc

    return edhoc


def _ccs():
    # loaded for the first stock peer: a device with Writ peers only saves its heap
    from . import ccs

    return ccs


class Handshaker:
    """Runs this node's handshakes in both roles, with its key and its credential."""

    def __init__(self, authority, sessions, private):
        self.authority = authority
        self.sessions = sessions
        self.private = private
        self._own_ccs = None  # (own member, its CCS), after the first stock peer
        # own connection id -> (Responder, address, the own Member that a Writ peer has got, start)
        self.pending = {}
        self._started = []  # own connection ids of handshakes that this node began
        self._limit = TokenBucket(HANDSHAKE_BURST, HANDSHAKE_REFILL_MS)
        # one source gets a quarter of what all get, so that a flood from it leaves room for others
        self._limit_each = RateLimiter(HANDSHAKE_BURST, 4 * HANDSHAKE_REFILL_MS)
        self._echo_key = crypto.random_bytes(16)

    def _own(self):
        if self.authority.me is None:
            raise NoScope()
        return self.authority.me

    def _credential(self, is_writ, by_value):
        # (id_cred, cred) of this node for such a peer
        me = self._own()
        if is_writ:
            return ("kcwt" if by_value else "kid", None if by_value else me.kid()), me.raw
        if self._own_ccs is None or self._own_ccs[0] is not me:
            self._own_ccs = me, _ccs().ccs_of(me)
        return ("kccs" if by_value else "kid", None if by_value else me.kid()), self._own_ccs[1]

    def _resolve(self, id_cred, is_writ, now_ms):
        # (cred, member) of the peer; its member capsule is verified here
        form, value = id_cred
        authority = self.authority
        if form == "kcwt":
            x = Member(parse(value)).x
            try:
                authority.receive(value, now_ms)
            except (AlreadyKnown, RolledBack):
                # the newest capsule of this key counts, which is here already
                pass
        if form == "kccs":
            x = _ccs().ccs_key(value)
        if form != "kid":
            member = authority.peer_by(x=x)
            if member is None:
                # unknown; or our own capsule, when a message of ours is reflected
                raise NotMember()
            return value, member
        member = None
        if len(value) == 2:
            member = authority.peer_by(address=int.from_bytes(value, "big"))
        if member is None:
            raise UnknownCredential()
        if is_writ:
            return member.raw, member
        return _ccs().ccs_of(member), member

    # --- responder ------------------------------------------------------------------------------

    def limit(self, source, echo, now_ms):
        """Count a message_1 from `source`, before anything is computed for it.

        echo: its Echo option, or None. Raises `EchoRequired` when busy, and `RateLimited`.
        """
        self._limit.refill(now_ms)
        if self._limit.tokens < HANDSHAKE_ECHO_BELOW:
            period = now_ms // ECHO_LIFETIME_MS
            if echo and echo[0] == period - 1 & 255:
                period -= 1
            # one HMAC, whatever a stranger sends: in a flood this is all that is computed
            wanted = self._echo(source, period)
            if echo != wanted:
                rejection = EchoRequired()
                rejection.echo = wanted
                raise rejection
        # while the common bucket is empty, no source loses a token of its own
        if not (self._limit.tokens and self._limit_each.take(source, now_ms)):
            raise RateLimited()
        self._limit.take(now_ms)

    def _echo(self, source, period):
        # the time's last byte, which says what to compare with, and 7 bytes of the HMAC
        text = "%s %d" % (source, period)
        return bytes((period & 255,)) + crypto.hmac_sha256(self._echo_key, text.encode())[:7]

    def answer_1(self, message_1, address, now_ms):
        """message_2 (bytes) for a message_1. Raises a `Rejection`."""
        self._own()
        self._expire(now_ms)
        responder = _edhoc().Responder(self.private, b"", (EAD_LABEL, _STOCK_BY_VALUE))
        responder.read_1(message_1)
        hint = _find(responder.ead_1, EAD_LABEL)
        if hint is None:
            by_value = _find(responder.ead_1, _STOCK_BY_VALUE) is not None
        else:
            by_value = hint[_SCOPE_HINT_BYTES:] == _BY_VALUE
            check(len(hint) == _SCOPE_HINT_BYTES + by_value)
            if not self.authority.scope.startswith(hint[:_SCOPE_HINT_BYTES]):
                raise WrongScope()
        responder.c_r = self._new_id([responder.c_i])
        id_cred, cred = self._credential(hint is not None, by_value)
        ead = [] if hint is None else _epoch_ead(self.authority)
        message_2 = responder.message_2(id_cred, cred, ead)
        if len(self.pending) >= HANDSHAKES_MAX:
            # the oldest is dropped: the rate limit leaves the others seconds for their answer
            _, oldest = min([(self.pending[c_r][3], c_r) for c_r in self.pending])
            del self.pending[oldest]
        shown = None if hint is None else self.authority.me
        self.pending[responder.c_r] = (responder, address, shown, now_ms)
        return message_2

    def answer_3(self, c_r, message_3, address, now_ms):
        """(session, responder, epoch) for a message_3. Raises a `Rejection`; one try only.

        epoch: the peer's, or None for a stock peer.
        """
        self._expire(now_ms)
        entry = self.pending.get(c_r)
        # an id of one byte is easily guessed: a message from another address ends no handshake
        if entry is None or entry[1] != address:
            raise OutOfOrder()
        del self.pending[c_r]
        # now, since the next datagram may bring a policy before `tick`
        self._unload()
        responder, _, shown, _ = entry
        is_writ = shown is not None
        id_cred = responder.read_3(message_3)
        cred, member = self._resolve(id_cred, is_writ, now_ms)
        self.authority.check_member(member, now_ms)
        responder.verify_3(cred, member.x)
        epoch = _read_epoch(responder.ead_3)
        secret, salt = responder.oscore()
        keys = (secret, salt, responder.c_i, c_r, None)
        session = self.sessions.open(member, keys, address, is_writ)
        # this node may be renewed since message_2
        session.shown = shown
        return session, responder, epoch

    def tick(self, now_ms):
        """Forget handshakes that have timed out, and the code when none is under way."""
        self._expire(now_ms)
        self._unload()

    def _unload(self):
        if not (self.pending or self._started):
            unload("wire.edhoc")
            unload("node.connecting")

    def _expire(self, now_ms):
        for c_r in list(self.pending):
            if now_ms - self.pending[c_r][3] > HANDSHAKE_TIMEOUT_MS:
                del self.pending[c_r]

    # --- initiator ------------------------------------------------------------------------------

    def _new_id(self, taken):
        # not used by a session or by a handshake under way in either role
        return self.sessions.new_id(list(self.pending) + self._started + taken)

    def start(self, know_peer):
        """(initiator, message_1). know_peer: whether the peer may identify itself by its kid.

        The initiator's connection id stays in use until `end`.
        """
        self._own()
        initiator = _edhoc().Initiator(self.private, self._new_id([]), (EAD_LABEL,))
        hint = self.authority.scope[:_SCOPE_HINT_BYTES]
        if not know_peer:
            hint += _BY_VALUE
        message_1 = initiator.message_1([(EAD_LABEL, False, hint)])
        self._started.append(initiator.c_i)
        return initiator, message_1

    def end(self, initiator):
        """End a handshake of `start`, complete or not: its connection id is free again."""
        if initiator.c_i in self._started:
            self._started.remove(initiator.c_i)
        self._unload()

    def answer_2(self, initiator, message_2, by_value, address, now_ms, wanted=None):
        """(session, message_3, epoch) for a message_2. Raises a `Rejection`.

        by_value: send the own credential by value; wanted: the node id of the only peer that is
        accepted, or None for any member; epoch: the peer's, or None for a stock peer.
        """
        id_cred = initiator.read_2(message_2)
        epoch = _read_epoch(initiator.ead_2)
        is_writ = epoch is not None
        cred, member = self._resolve(id_cred, is_writ, now_ms)
        if wanted is not None and member.node_id != wanted:
            raise NotMember()
        self.authority.check_member(member, now_ms)
        initiator.verify_2(cred, member.x)
        # a stock peer looks up the credential that its operator gave it
        own_id, own_cred = self._credential(is_writ, by_value)
        ead = _epoch_ead(self.authority) if is_writ else []
        message_3 = initiator.message_3(own_id, own_cred, ead)
        secret, salt = initiator.oscore()
        keys = (secret, salt, initiator.c_r, initiator.c_i, None)
        return self.sessions.open(member, keys, address, is_writ), message_3, epoch
