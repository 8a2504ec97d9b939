"""What a device delegates to host peers: it states its request, and they arrange the quorum.

No peer is trusted. An answer counts if it is certified and is what was asked for. The device backs
off, for a growing time, from a peer that is offline, stale or wrong, and sends the same statement
to the next peer. With no peer in reach the node works on unchanged. This module is the interface
for apps; asking.py asks the peers, verdict.py judges their answers, and operation.py keeps what is
under way.
"""

from .. import cbor, crypto
from ..authority.capsule import CNF, SUB, check, check_name, confirmation_key
from ..compat import const, unload
from ..errors import NotMember, TooLarge, UsageError
from ..limits import (
    ACTION_PAYLOAD_BYTES_MAX,
    REASON_BYTES_MAX,
    REQUEST_BYTES_MAX,
    VOUCHER_BYTES_MAX,
)
from .asking import Asking
from .operation import ADMIT, ASK_ACTION, FETCH, NEWEST, RENEW, REVOKE_ME

# How long a node that may be behind asks for the time
_BEACON_S = const(30)


def _check_size(part, most):
    if len(part) > most:
        raise UsageError("longer than %d bytes" % most)


class Delegate:
    """Asks host peers on behalf of one node. node: an `agent.Node`, whose config names the peers.

    Each operation calls `on_done(answer)` once, with an `Answer`. Its payload is the verified
    capsule. Else it has a `rejection` (no right answer came in time) or the code 4.03 (all peers
    that answered refused, which is not authenticated by the group). One operation of each kind at a
    time, else `TableFull`.
    """

    def __init__(self, node, kept=None):
        self._node = node
        # the node keeps `kept`: this module is unloaded in between, and an app may hold an old
        # `Delegate`
        self._asking = Asking(node, kept or ({}, [], []))

    def renew(self, on_done=None, timeout_s=600):
        """Ask for this node's member capsule with a later expiry; it is applied on arrival."""
        self._state(RENEW, self._me(), [], on_done, timeout_s)

    def revoke_me(self, reason, on_done=None, timeout_s=600):
        """Ask for this node's own revocation. reason: "opened", "lost"..., 40 bytes at most.

        A peer that has already applied the revocation answers 4.03 `30 Revoked` without a capsule.
        """
        _check_size(reason.encode(), REASON_BYTES_MAX)
        self._state(REVOKE_ME, self._me(), [reason], on_done, timeout_s)

    def admit(self, request, voucher=b"", on_done=None, timeout_s=600):
        """Ask for the admission of the node that made `request`.

        voucher: the evidence for it, 64 bytes at most. The caller hands over the capsule, with
        `welcome`. Raises a `Rejection` for bytes that are no request.
        """
        _check_size(voucher, VOUCHER_BYTES_MAX)
        if len(request) > REQUEST_BYTES_MAX:
            raise TooLarge()
        outer = cbor.decode(request)
        check(isinstance(outer, list) and len(outer) == 4 and isinstance(outer[2], bytes))
        claims = cbor.decode(outer[2])
        check(isinstance(claims, dict))
        want = (check_name(claims.get(SUB)), confirmation_key(claims.get(CNF)))
        self._state(ADMIT, want, [request, voucher], on_done, timeout_s)

    def meet(self, address, on_answer):
        """Fetch the request for membership of the node at `address`, which is no member yet.

        The answer is for `admit`. It comes unprotected, and nothing of it is verified.
        """
        from .onboard import meet

        meet(self._node, address, on_answer)
        unload("node.onboard")

    def welcome(self, address, raw, on_answer=None):
        """Hand the charter to the node at `address`, then `raw`, the capsule that admits it."""
        from .onboard import welcome

        welcome(self._node, address, raw, on_answer)
        unload("node.onboard")

    def ask_action(self, target, method, path, payload, on_done, timeout_s=3600):
        """Ask for a certified command to one node, for a rule marked quorum.

        target: node id or name of that node; payload: 512 bytes at most, which operators see.
        Raises `UsageError` for a larger one, or for a name unknown to this node.
        """
        _check_size(payload, ACTION_PAYLOAD_BYTES_MAX)
        if isinstance(target, str):
            member = self._node.authority.peer_by(name=target)
            if member is None:
                raise UsageError("no member of this name is known here: " + target)
            target = member.node_id
        # random bytes: after a restart the clock may repeat a time, and a statement must not
        facts = [target, method, path, payload, crypto.random_bytes(8)]
        want = (target, method, path, crypto.sha256(payload))
        self._state(ASK_ACTION, want, facts, on_done, timeout_s)

    def fetch(self, digest, on_done, timeout_s=600):
        """Fetch the capsule whose SHA-256 is or begins with `digest` (16 to 32 bytes).

        The capsule is applied; if this node refuses it, the answer's `rejection` says why.
        """
        self._asking.begin(FETCH, digest, "d=" + digest[:16].hex(), on_done, timeout_s)

    def beacon(self, on_done=None, timeout_s=600):
        """Get the newest beacon; `NotFresh` if no peer has one that is young enough."""
        self._asking.begin(NEWEST, None, None, on_done, timeout_s)

    def act(self, target, method, path, payload, action, on_answer=None):
        """Hand a certified `action` (bytes) to its target, then make the request it allows.

        target: "host:port" or a name; on_answer: gets the answer to the request, or the refusal of
        the action. Only the action's target gets a message. Raises a `Rejection` for bytes that are
        no action.
        """
        from .invoke import act

        # a module of its own: its callbacks keep it loaded for as long as the calls take
        act(self._node, target, method, path, payload, action, on_answer)
        unload("node.invoke")

    def _me(self):
        me = self._node.authority.me
        if me is None:
            raise NotMember()
        return me

    def _state(self, op, want, facts, on_done, timeout_s):
        self._me()
        statement = (op, want, facts, on_done, timeout_s)
        if self._node.authority.is_fresh(self._node.now_ms):
            self._asking.sign(*statement)
        else:
            # governors refuse an old statement: ask for the time first
            self._asking.begin(NEWEST, None, None, None, _BEACON_S, statement)
