"""EDHOC joined with authority: which credential is whose, and what the EAD says of governance.

CRED_x is the member capsule itself between Writ nodes: by value (kcwt) on first contact, by kid
after. A stock peer, which sends no Writ EAD, gets a CCS of this node's key, and is taken for the
member whose capsule names its key. Sans-IO.
"""

from .. import cbor
from ..authority.capsule import TIME_MAX, Member, check, check_bytes, check_uint, parse
from ..errors import (
    AlreadyKnown,
    NoScope,
    NotMember,
    OutOfOrder,
    RolledBack,
    UnknownCredential,
    WrongScope,
)
from ..limits import HANDSHAKE_TIMEOUT_MS, HANDSHAKES_MAX, HEAD_BYTES
from ..wire.edhoc import Initiator, Responder

# EAD label of Writ: private use (RFC 9528, section 10.5)
EAD_LABEL = 65000
# In EAD_1 a prefix of the scope id is enough: the credentials decide, this only tells early
_SCOPE_HINT_BYTES = 4
# In EAD_1 after the scope: "send me your credential by value, I have not got it"
_BY_VALUE = b"\x01"
# The label by which stock peers ask for the same (draft-ietf-ace-edhoc-oscore-profile-09, 4.14)
_STOCK_BY_VALUE = 15


class News:
    """What the peer's EAD told of its governance: epoch and head, or None from a stock peer."""

    def __init__(self, epoch, head):
        self.epoch = epoch
        self.head = head


def _news_ead(authority):
    value = cbor.encode(authority.epoch) + (authority.head or authority.charter.head)
    return [(EAD_LABEL, False, value)]


def _find(ead, label):
    for item in ead:
        if item[0] == label:
            return item[2] or b""
    return None


def _read_news(ead):
    value = _find(ead, EAD_LABEL)
    if value is None:
        return None
    epoch, end = cbor.decode_item(value)
    check_uint(epoch, TIME_MAX)
    return News(epoch, check_bytes(value[end:], HEAD_BYTES))


def _stock():
    # where all peers are Writ nodes it costs no heap
    from . import ccs

    return ccs


class Handshaker:
    """What both roles need: the own key and credential, and whom a credential belongs to."""

    def __init__(self, authority, sessions, private):
        self.authority = authority
        self.sessions = sessions
        self.private = private
        self._ccs = None  # (own member, its CCS), once a stock peer wanted it
        self.pending = {}  # own connection id -> (Responder, address, is_writ, started_ms)
        self._started = []  # own connection ids of handshakes that this node began

    def _own(self):
        if self.authority.me is None:
            raise NoScope()
        return self.authority.me

    def _credential(self, is_writ, by_value):
        # (id_cred, cred) of this node for such a peer
        me = self._own()
        if is_writ:
            return ("kcwt" if by_value else "kid", None if by_value else me.kid()), me.raw
        if self._ccs is None or self._ccs[0] is not me:
            self._ccs = me, _stock().ccs_of(me)
        return ("kccs" if by_value else "kid", None if by_value else me.kid()), self._ccs[1]

    def _resolve(self, id_cred, is_writ, now_ms):
        # (cred, member) of the peer; the member capsule is verified before anything follows from it
        form, value = id_cred
        authority = self.authority
        if form == "kcwt":
            x = Member(parse(value)).x
            try:
                authority.receive(value, now_ms)
            except (AlreadyKnown, RolledBack):
                # the key decides, and the newest capsule of it: others may have that before it
                pass
        if form == "kccs":
            x = _stock().ccs_key(value)
        if form != "kid":
            member = authority.peer_by(x=x)
            if member is None:
                # unknown; or our own capsule, a reflection of ourselves
                raise NotMember()
            return value, member
        member = None
        if len(value) == 2:
            member = authority.peer_by(address=int.from_bytes(value, "big"))
        if member is None:
            raise UnknownCredential()
        if is_writ:
            return member.raw, member
        return _stock().ccs_of(member), member

    # --- responder ------------------------------------------------------------------------------

    def answer_1(self, message_1, address, now_ms):
        """message_2 (bytes) for a message_1. Raises a `Rejection`."""
        self._own()
        self._expire(now_ms)
        responder = Responder(self.private, b"", (EAD_LABEL, _STOCK_BY_VALUE))
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
        ead = [] if hint is None else _news_ead(self.authority)
        message_2 = responder.message_2(id_cred, cred, ead)
        if len(self.pending) >= HANDSHAKES_MAX:
            # the oldest gives way: the ration lets the others have seconds for their answer
            _, oldest = min([(self.pending[c_r][3], c_r) for c_r in self.pending])
            del self.pending[oldest]
        self.pending[responder.c_r] = (responder, address, hint is not None, now_ms)
        return message_2

    def answer_3(self, c_r, message_3, address, now_ms):
        """(session, responder, news) for a message_3. Raises a `Rejection`; one try only."""
        entry = self.pending.get(c_r)
        # an id of one byte is soon guessed: from elsewhere nobody ends another one's handshake
        if entry is None or entry[1] != address:
            raise OutOfOrder()
        del self.pending[c_r]
        responder, _, is_writ, _ = entry
        id_cred = responder.read_3(message_3)
        cred, member = self._resolve(id_cred, is_writ, now_ms)
        self.authority.check_member(member, now_ms)
        responder.verify_3(cred, member.x)
        news = _read_news(responder.ead_3)
        secret, salt = responder.oscore()
        keys = (secret, salt, responder.c_i, c_r, None)
        session = self.sessions.open(member, keys, address, is_writ)
        return session, responder, news

    def _expire(self, now_ms):
        for c_r in list(self.pending):
            if now_ms - self.pending[c_r][3] > HANDSHAKE_TIMEOUT_MS:
                del self.pending[c_r]

    # --- initiator ------------------------------------------------------------------------------

    def _new_id(self, taken):
        # of no session and of no handshake under way, whoever began it
        return self.sessions.new_id(list(self.pending) + self._started + taken)

    def start(self, by_value, know_peer):
        """(initiator, message_1). by_value: introduce ourselves; know_peer: its kid will do.

        Its connection id stays taken until `end`.
        """
        self._own()
        c_i = self._new_id([])
        self._started.append(c_i)
        initiator = Initiator(self.private, c_i, (EAD_LABEL,))
        hint = self.authority.scope[:_SCOPE_HINT_BYTES]
        if not know_peer:
            hint += _BY_VALUE
        return initiator, initiator.message_1([(EAD_LABEL, False, hint)])

    def end(self, initiator):
        """Forget a handshake of `start`, whatever came of it."""
        if initiator.c_i in self._started:
            self._started.remove(initiator.c_i)

    def answer_2(self, initiator, message_2, by_value, address, now_ms, wanted=None):
        """(session, message_3, news) for a message_2. Raises a `Rejection`.

        by_value: introduce ourselves by the whole credential; wanted: the node id that must be at
        the other end, or None for any member.
        """
        id_cred = initiator.read_2(message_2)
        news = _read_news(initiator.ead_2)
        is_writ = news is not None
        cred, member = self._resolve(id_cred, is_writ, now_ms)
        if wanted is not None and member.node_id != wanted:
            raise NotMember()
        self.authority.check_member(member, now_ms)
        initiator.verify_2(cred, member.x)
        # a stock peer looks us up by what it was given before
        own_id, own_cred = self._credential(is_writ, by_value)
        ead = _news_ead(self.authority) if is_writ else []
        message_3 = initiator.message_3(own_id, own_cred, ead)
        secret, salt = initiator.oscore()
        keys = (secret, salt, initiator.c_r, initiator.c_i, None)
        return self.sessions.open(member, keys, address, is_writ), message_3, news
