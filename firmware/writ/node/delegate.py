"""What a device delegates to host peers: it states its request, and they arrange the quorum.

No peer is trusted. An answer counts if it is certified and is what was asked for. The device backs
off, for a growing time, from a peer that is offline, stale or wrong, and sends the same statement
to the next peer. With no peer in reach the node works on unchanged. This module
is loaded while there is something to decide; operation.py keeps the operations under way. Sans-IO:
`tick` gets the time.
"""

from .. import cbor, crypto
from ..authority import capsule as capsules
from ..authority.capsule import (
    AMENDMENT,
    BEACON,
    CNF,
    IAT,
    SUB,
    WRIT,
    Member,
    check,
    check_name,
    confirmation_key,
)
from ..authority.policy import Policy
from ..compat import const, unload
from ..errors import (
    AlreadyKnown,
    BadSignature,
    EpochGap,
    NotFresh,
    NotMember,
    PeerFailed,
    RateLimited,
    Rejection,
    RolledBack,
    StalePeer,
    StoreFailed,
    TableFull,
    TimedOut,
    TooLarge,
    UsageError,
    WrongAnswer,
    WrongPrevious,
)
from ..limits import (
    ACTION_PAYLOAD_BYTES_MAX,
    OPERATIONS_MAX,
    PAUSE_MS_MAX,
    PENDING_MAX,
    REASON_BYTES_MAX,
    REQUEST_BYTES_MAX,
    STRIKES_MAX,
    VOUCHER_BYTES_MAX,
)
from ..wire import coap
from .call import Answer
from .context import PREFIX
from .operation import Operation, listener
from .statement import signed

# Operations of a statement (docs/wire.md)
RENEW = 16
REVOKE_ME = 17
ADMIT = 18
ASK_ACTION = 19
# What is asked for without a statement
_FETCH = const(1)
_NEWEST = const(2)

# How long a node that may be behind asks for the time
_BEACON_S = const(30)
# The next peer is asked after so long without an answer: three transmissions (RFC 7252, 4.2)
_PATIENCE_MS = const(10000)
# How long the device backs off from a peer, doubled for each strike
_SET_BACK_MS = const(8000)
# Strikes for a wrong answer; a time-out is one strike
_STRIKES_WRONG = const(3)


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
        self._peers = node.config.get("governors") or node.config.get("gateways", [])
        # address -> (strikes, end of back-off); operations; (operation, address, answer). The node
        # keeps them: this module is unloaded in between, and an app may hold an old `Delegate`
        self._standing, self._operations, self._answers = kept or ({}, [], [])

    # --- operations -------------------------------------------------------------------------------

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
        self._begin(_FETCH, digest, "d=" + digest[:16].hex(), on_done, timeout_s)

    def beacon(self, on_done=None, timeout_s=600):
        """Get the newest beacon; `NotFresh` if no peer has one that is young enough."""
        self._begin(_NEWEST, None, None, on_done, timeout_s)

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
            self._sign(*statement)
        else:
            # governors refuse an old statement: ask for the time first
            self._begin(_NEWEST, None, None, None, _BEACON_S, statement)

    def _sign(self, op, want, facts, on_done, timeout_s, before=None):
        # signed once: every peer gets the same statement. before: the operation that it replaces
        node = self._node
        authority = node.authority
        claims = {
            IAT: authority.now_s(node.now_ms),
            WRIT: [op, authority.me.node_id, authority.scope, authority.epoch] + facts,
        }
        payload = signed(node.private, claims)
        if before in self._operations:
            # not earlier: a full heap leaves it, and it is tried again
            self._operations.remove(before)
        self._begin(op, want, payload, on_done, timeout_s)

    def _begin(self, kind, want, payload, on_done, timeout_s, statement=None):
        node = self._node
        operation = Operation(
            kind, want, payload, on_done, node.now_ms + 1000 * timeout_s, statement
        )
        if len(self._operations) >= OPERATIONS_MAX or kind in [
            other.kind for other in self._operations
        ]:
            self._finish(operation, Answer(0, rejection=TableFull()))
            return
        self._operations.append(operation)

    # --- peers to ask, and times ------------------------------------------------------------------

    def tick(self, now_ms):
        """What is due by now: [arguments of `Node.request`]."""
        calls = []
        while self._answers:
            self._arrived(*self._answers.pop(0))
        for operation in list(self._operations):
            if now_ms >= min(operation.due_ms, operation.end_ms):
                try:
                    calls += self._go(operation, now_ms)
                except MemoryError as error:
                    self._make_room(operation, error)
        return calls

    def _make_room(self, operation, error):
        # the operation goes on with more room
        self._node.make_room(error)
        self._pause(operation)

    def _go(self, operation, now_ms):
        if operation.peer and now_ms >= operation.due_ms:
            # a late answer counts, but the operation goes on without it
            self._set_back(operation.peer, TimedOut(), 1)
            operation.peer = None
        if now_ms >= operation.end_ms:
            # "pending" is a success of the request, and none of the operation
            code = 0 if operation.code == coap.VALID else operation.code
            self._finish(operation, Answer(code, operation.text, rejection=TimedOut()))
            return []
        address = operation.next_peer or self._pick(operation, now_ms)
        operation.next_peer = None
        if address is None:
            return []
        # first what needs memory
        on_answer = listener(self._answers, operation, address)
        operation.peer = address
        operation.attempts[address] = operation.attempts.get(address, 0) + 1
        operation.unanswered.append(address)
        operation.due_ms = now_ms + _PATIENCE_MS
        method, path, payload, query = coap.GET, PREFIX + "/beacon", b"", ()
        if operation.kind == _FETCH:
            path = PREFIX + "/capsule"
            query = (operation.payload,)
        elif operation.kind != _NEWEST:
            method, path, payload = coap.POST, PREFIX + "/propose", operation.payload
        return [(method, path, payload, address, None, query, None, on_answer)]

    def _pick(self, operation, now_ms):
        # the address to ask now, or None: then the operation waits or is over
        best = None
        operation.due_ms = operation.end_ms
        for address in self._peers:
            if address in operation.unanswered or address in operation.refusers:
                continue
            strikes, until_ms = self._standing.get(address, (0, 0))
            attempts = operation.attempts.get(address, 0)
            back_ms = max(0, until_ms - now_ms)
            if back_ms and attempts:
                operation.due_ms = min(operation.due_ms, until_ms)
                continue
            # a peer in back-off is asked once, after all others
            key = (back_ms, attempts, strikes, self._node.sessions.by_address(address) is None)
            if best is None or key < best[0]:
                best = (key, address)
        if best:
            return best[1]
        if operation.refusers:
            # every peer has refused, and no other answer can come
            rejection = NotFresh() if operation.kind == _NEWEST else None
            self._finish(operation, Answer(operation.code, operation.text, rejection=rejection))
        return None

    def _set_back(self, address, rejection, strikes):
        node = self._node
        node.count(rejection)
        strikes = min(strikes + self._standing.get(address, (0, 0))[0], STRIKES_MAX)
        self._standing[address] = (strikes, node.now_ms + (_SET_BACK_MS << strikes))

    def _finish(self, operation, answer):
        if operation.statement:
            self._sign(*operation.statement, operation)
        if operation in self._operations:
            self._operations.remove(operation)
        if operation.on_done:
            self._node.tell(operation.on_done, answer)

    # --- answers ----------------------------------------------------------------------------------

    def _arrived(self, operation, address, answer):
        if operation not in self._operations:
            return
        operation.unanswered.remove(address)
        is_late = operation.peer != address
        if not is_late:
            operation.peer = None
            operation.due_ms = 0
        rejection = answer.rejection
        if rejection is None:
            try:
                self._judge(operation, address, answer, is_late)
            except Rejection as found:
                rejection = found
            except MemoryError as error:
                # not the peer's fault: it is asked again, with more room
                self._make_room(operation, error)
                operation.next_peer = address
                return
        if isinstance(rejection, (TableFull, RateLimited, StoreFailed)):
            # not the peer's fault
            self._pause(operation)
        elif isinstance(rejection, TimedOut):
            if not is_late:
                self._set_back(address, rejection, 1)
        elif rejection is not None:
            is_wrong = answer.is_success() and not isinstance(rejection, StalePeer)
            self._set_back(address, rejection, _STRIKES_WRONG if is_wrong else 1)

    def _pause(self, operation):
        operation.due_ms = self._node.now_ms + operation.pause_ms
        operation.pause_ms = min(2 * operation.pause_ms, PAUSE_MS_MAX)

    def _judge(self, operation, address, answer, is_late):
        # end the operation or continue it; raises the rejection that makes it back off
        node = self._node
        code = answer.code
        if answer.is_success() and code != coap.VALID:
            return self._accept(operation, address, answer, is_late)
        is_refusal = code == coap.FORBIDDEN or (code == coap.NOT_FOUND and operation.kind < RENEW)
        if not (is_refusal or code == coap.VALID or code == coap.UNAVAILABLE):
            raise PeerFailed()
        session = node.sessions.by_peer(answer.peer.node_id)
        if session and session.seen_epoch < node.authority.epoch:
            # its refusal follows from a policy that is no longer in force
            raise StalePeer()
        operation.code = code
        operation.text = answer.payload
        if is_refusal:
            operation.refusers.append(address)
        elif not is_late:
            self._pause(operation)
            operation.pending_count += 1
            if code == coap.VALID and operation.pending_count % PENDING_MAX:
                operation.next_peer = address

    def _accept(self, operation, address, answer, is_late):
        authority = self._node.authority
        now_ms = self._node.now_ms
        kind = operation.kind
        found = capsules.parse(answer.payload)
        raw = found.raw
        rejection = None
        if not self._is_asked(operation, found):
            raise WrongAnswer()
        try:
            if kind == ASK_ACTION:
                # it is for another node, and not applied here
                if not crypto.ed25519_verify(
                    authority.group_key, found.signing_input(), found.signature
                ):
                    raise BadSignature()
            else:
                authority.receive(raw, now_ms, answer.peer.node_id)
        except AlreadyKnown:
            pass
        except Rejection as error:
            if kind == _NEWEST and isinstance(error, RolledBack):
                raise StalePeer() from None
            if kind == _FETCH:
                # it is the requested capsule, even if it is refused here
                rejection = error
            elif not isinstance(error, (RolledBack, EpochGap, WrongPrevious)):
                raise
        # a newer capsule may be here already, and counts
        if kind == RENEW:
            raw = authority.me.raw
        elif kind == ADMIT:
            raw = authority.peer_by(x=operation.want[1][0]).raw
        elif kind == REVOKE_ME and authority.me.node_id not in authority.policy.revoked:
            # not verified yet: a valid one shows that this node is behind, and it pulls the rest
            if not is_late:
                self._pause(operation)
            return
        elif kind == _NEWEST and not authority.is_fresh(now_ms):
            # valid and too old; another peer may have a newer one
            operation.refusers.append(address)
            return
        self._standing.pop(address, None)
        self._finish(operation, Answer(answer.code, raw, answer.peer, rejection=rejection))

    def _is_asked(self, operation, found):
        # whether the capsule says what was asked for; nothing of it is verified yet
        kind = operation.kind
        want = operation.want
        me = self._node.authority.me
        if kind == _NEWEST:
            return found.kind == BEACON
        if kind == _FETCH:
            return found.digest().startswith(want)
        if kind == ASK_ACTION:
            action = capsules.Action(found)
            facts = (action.target, action.method, action.path, action.digest)
            return facts == want and action.expires > self._node.authority.now_s(self._node.now_ms)
        if kind == REVOKE_ME:
            if found.kind == AMENDMENT:
                return me.node_id in found.body[3:]
            return me.node_id in Policy(found.claims).revoked
        member = Member(found)
        if kind == ADMIT:
            return (member.name, (member.x, member.y_is_odd)) == want
        # a renewal: the same facts, the same roles or fewer, and a later expiry; after a succession
        # the same capsule content with a new signature
        facts = (member.x, member.y_is_odd, member.name, member.address)
        return (
            facts == (want.x, want.y_is_odd, want.name, want.address)
            and not member.roles & ~want.roles
            and (member.expires > want.expires or want.key_epoch != self._node.authority.key_epoch)
        )
