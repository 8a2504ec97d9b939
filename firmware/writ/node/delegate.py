"""What a device leaves to host peers: it states what it wants, they see to the quorum.

None of them is believed. An answer counts if it is certified and is what was asked for; a peer that
is silent, behind, or answers something else gives way to the next one for a growing time, and the
same statement goes there. With no peer in reach the node goes on as it is. Loaded while something
is to be decided; operation.py keeps what is under way. Sans-IO: `tick` is called with the time.
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
from ..wire import coap
from .client import Answer
from .context import PREFIX
from .operation import Errand, listener
from .statement import signed

# Operations of a statement (docs/wire.md)
RENEW = 16
REVOKE_ME = 17
ADMIT = 18
ASK_ACTION = 19
# What is asked for without one
_FETCH = const(1)
_NEWEST = const(2)

# What goes into a statement; with a request for membership it has 768 bytes at most
_REASON_BYTES_MAX = const(40)
_VOUCHER_BYTES_MAX = const(64)
_REQUEST_BYTES_MAX = const(256)
# Operations under way, one of a kind
_TASKS_MAX = const(4)
# How long the time is asked for where the node may be behind
_BEACON_S = const(30)
# Another peer is asked when one has not answered for so long: three transmissions (RFC 7252, 4.2)
_PATIENCE_MS = const(10000)
# The longest pause before who answers "pending" is asked again
_PAUSE_MS_MAX = const(64000)
# After so many times it is another one's turn: to say "pending" for ever is a way to withhold
_PENDING_MAX = const(4)
# A peer is set back by so long, doubled for each strike
_SET_BACK_MS = const(8000)
_STRIKES_MAX = const(8)
# For an answer that is not what it should be; silence is one
_STRIKES_LIE = const(3)


class Delegate:
    """Asks host peers on behalf of one node. node: an `agent.Node`, by its config.

    Each operation calls `on_done(answer)` once: an `Answer` with the verified capsule as payload,
    or one with `rejection` (nobody answered rightly in time) or of code 4.03 (refused by all who
    answered; their word only). One operation of a kind at a time, else `TableFull`.
    """

    def __init__(self, node, kept=None):
        self._node = node
        self._peers = node.config.get("governors") or node.config.get("gateways", [])
        # address -> (strikes, set back until); what is under way; what was answered. Kept by the
        # node: this module comes and goes, and an app may hold a `Delegate` of before
        self._standing, self._tasks, self._answers = kept or ({}, [], [])

    # --- operations -------------------------------------------------------------------------------

    def renew(self, on_done=None, timeout_s=600):
        """Ask for this node's own member capsule with a later expiry; applied when it comes."""
        self._state(RENEW, self._me(), [], on_done, timeout_s)

    def revoke_me(self, reason, on_done=None, timeout_s=600):
        """Ask to be revoked: "opened", "lost". reason: str of 40 bytes at most.

        A peer that has applied the revocation answers 4.03 `30 Revoked`, and no capsule.
        """
        if len(reason.encode()) > _REASON_BYTES_MAX:
            raise UsageError("a reason of 40 bytes at most")
        self._state(REVOKE_ME, self._me(), [reason], on_done, timeout_s)

    def admit(self, request, voucher=b"", on_done=None, timeout_s=600):
        """Ask to admit the neighbour who gave `request`; voucher: what speaks for it, 64 bytes.

        The capsule is for the caller to hand over, by `welcome`. Raises a `Rejection` for what is
        no request.
        """
        if len(voucher) > _VOUCHER_BYTES_MAX:
            raise UsageError("a voucher of 64 bytes at most")
        if len(request) > _REQUEST_BYTES_MAX:
            raise TooLarge()
        outer = cbor.decode(request)
        check(isinstance(outer, list) and len(outer) == 4 and isinstance(outer[2], bytes))
        claims = cbor.decode(outer[2])
        check(isinstance(claims, dict))
        want = (check_name(claims.get(SUB)), confirmation_key(claims.get(CNF)))
        self._state(ADMIT, want, [request, voucher], on_done, timeout_s)

    def meet(self, address, on_answer):
        """Ask who is at `address`, a neighbour and no member yet, for its request: `admit` has it.

        It is asked in plain, and nothing of the answer is verified.
        """
        from .onboard import meet

        meet(self._node, address, on_answer)
        unload("node.onboard")

    def welcome(self, address, raw, on_answer=None):
        """Hand the charter to who is no member yet, then `raw`, the capsule that admits it."""
        from .onboard import welcome

        welcome(self._node, address, raw, on_answer)
        unload("node.onboard")

    def ask_action(self, target, method, path, payload, on_done, timeout_s=600):
        """Ask for a certified command to one node, for a rule marked quorum.

        target: its node id, or its name. Raises `UsageError` for a name that is not known here.
        """
        if isinstance(target, str):
            member = self._node.authority.peer_by(name=target)
            if member is None:
                raise UsageError("no member of this name is known here: " + target)
            target = member.node_id
        want = (target, method, path, crypto.sha256(payload))
        self._state(ASK_ACTION, want, list(want), on_done, timeout_s)

    def fetch(self, digest, on_done, timeout_s=600):
        """Fetch the capsule whose SHA-256 is or begins with `digest` (16 to 32 bytes).

        It is applied; what it was refused for here is the answer's `rejection`.
        """
        self._begin(_FETCH, digest, "d=" + digest[:16].hex(), on_done, timeout_s)

    def beacon(self, on_done=None, timeout_s=600):
        """Get the newest beacon; `NotFresh` if nobody has one that is young enough."""
        self._begin(_NEWEST, None, None, on_done, timeout_s)

    def act(self, target, method, path, payload, action, on_answer=None):
        """Hand a certified `action` (bytes) to its target, then make the request it allows.

        target: "host:port" or a name; on_answer: gets the answer to the request, or the refusal of
        the action. Nobody but the action's target is spoken to. Raises a `Rejection` for no action.
        """
        from .invoke import act

        # a module of its own: a call may take long, and what is called at its end keeps the module
        act(self._node, target, method, path, payload, action, on_answer)
        unload("node.invoke")

    def _me(self):
        me = self._node.authority.me
        if me is None:
            raise NotMember()
        return me

    def _state(self, op, want, facts, on_done, timeout_s):
        self._me()
        wish = (op, want, facts, on_done, timeout_s)
        if self._node.authority.is_fresh(self._node.now_ms):
            self._sign(*wish)
        else:
            # governors refuse what seems to be old: first the time, if anybody can tell it
            self._begin(_NEWEST, None, None, None, _BEACON_S, wish)

    def _sign(self, op, want, facts, on_done, timeout_s):
        # once: whoever gets it gets the same
        node = self._node
        claims = {
            IAT: node.authority.now_s(node.now_ms),
            WRIT: [op, node.authority.me.node_id] + facts,
        }
        self._begin(op, want, signed(node.private, claims), on_done, timeout_s)

    def _begin(self, kind, want, payload, on_done, timeout_s, then=None):
        node = self._node
        task = Errand(kind, want, payload, on_done, node.now_ms + 1000 * timeout_s, then)
        if len(self._tasks) >= _TASKS_MAX or kind in [other.kind for other in self._tasks]:
            self._finish(task, Answer(0, rejection=TableFull()))
            return
        self._tasks.append(task)

    # --- whom to ask, and when --------------------------------------------------------------------

    def tick(self, now_ms):
        """What is due by now: [arguments of `Node.request`]."""
        calls = []
        while self._answers:
            self._arrived(*self._answers.pop(0))
        for task in list(self._tasks):
            if now_ms >= min(task.due_ms, task.end_ms):
                calls += self._go(task, now_ms)
        return calls

    def _go(self, task, now_ms):
        if task.peer and now_ms >= task.due_ms:
            # its answer counts however late it comes, but nobody waits for it any more
            self._set_back(task.peer, TimedOut(), 1)
            task.peer = None
        if now_ms >= task.end_ms:
            self._finish(task, Answer(task.code, task.text, rejection=TimedOut()))
            return []
        address = task.again or self._pick(task, now_ms)
        task.again = None
        if address is None:
            return []
        task.peer = address
        task.asked[address] = task.asked.get(address, 0) + 1
        task.waiting.append(address)
        task.due_ms = now_ms + _PATIENCE_MS
        method, path, payload, query = coap.GET, PREFIX + "/beacon", b"", ()
        if task.kind == _FETCH:
            path = PREFIX + "/capsule"
            query = (task.payload,)
        elif task.kind != _NEWEST:
            method, path, payload = coap.POST, PREFIX + "/propose", task.payload
        on_answer = listener(self._answers, task, address)
        return [(method, path, payload, address, None, query, None, on_answer)]

    def _pick(self, task, now_ms):
        # whom to ask now, or None: then the task waits, or is over
        best = None
        task.due_ms = task.end_ms
        for address in self._peers:
            if address in task.waiting or address in task.refused:
                continue
            strikes, until_ms = self._standing.get(address, (0, 0))
            asked = task.asked.get(address, 0)
            back_ms = max(0, until_ms - now_ms)
            if back_ms and asked:
                task.due_ms = min(task.due_ms, until_ms)
                continue
            # who is set back is asked once, after all others
            key = (back_ms, asked, strikes, self._node.sessions.by_address(address) is None)
            if best is None or key < best[0]:
                best = (key, address)
        if best:
            return best[1]
        if task.refused:
            # nobody is left who might say something else
            rejection = NotFresh() if task.kind == _NEWEST else None
            self._finish(task, Answer(task.code, task.text, rejection=rejection))
        return None

    def _set_back(self, address, rejection, strikes):
        node = self._node
        node.count(rejection)
        strikes = min(strikes + self._standing.get(address, (0, 0))[0], _STRIKES_MAX)
        self._standing[address] = (strikes, node.now_ms + (_SET_BACK_MS << strikes))

    def _finish(self, task, answer):
        if task in self._tasks:
            self._tasks.remove(task)
        if task.then:
            self._sign(*task.then)
        if task.on_done:
            try:
                task.on_done(answer)
            except Exception as error:  # noqa: BLE001
                # the boundary to the caller's code, as for a resource: the node goes on
                self._node.count(error)

    # --- answers ----------------------------------------------------------------------------------

    def _arrived(self, task, address, answer):
        node = self._node
        if task not in self._tasks:
            return
        task.waiting.remove(address)
        is_late = task.peer != address
        if not is_late:
            task.peer = None
            task.due_ms = 0
        rejection = answer.rejection
        if rejection is None:
            try:
                self._judge(task, address, answer, is_late)
            except Rejection as found:
                rejection = found
            except MemoryError as error:
                # no fault of the peer, who is asked again where there is more room
                node.count(error)
                node.sessions.give_way()
                self._pause(task)
                task.again = address
                return
        if isinstance(rejection, (TableFull, RateLimited, StoreFailed)):
            # no fault of the peer
            self._pause(task)
        elif isinstance(rejection, TimedOut):
            if not is_late:
                self._set_back(address, rejection, 1)
        elif rejection is not None:
            is_lie = answer.is_success() and not isinstance(rejection, StalePeer)
            self._set_back(address, rejection, _STRIKES_LIE if is_lie else 1)

    def _pause(self, task):
        task.due_ms = self._node.now_ms + task.pause_ms
        task.pause_ms = min(2 * task.pause_ms, _PAUSE_MS_MAX)

    def _judge(self, task, address, answer, is_late):
        # ends the task, or says how it goes on; raises what sets the peer back
        node = self._node
        code = answer.code
        if answer.is_success() and code != coap.VALID:
            return self._accept(task, address, answer, is_late)
        is_refusal = code == coap.FORBIDDEN or (code == coap.NOT_FOUND and task.kind < RENEW)
        if not (is_refusal or code == coap.VALID or code == coap.UNAVAILABLE):
            raise PeerFailed()
        session = node.sessions.by_peer(answer.peer.node_id)
        if session and session.seen_epoch < node.authority.epoch:
            # what it says follows from what is no longer in force
            raise StalePeer()
        task.code = code
        task.text = answer.payload
        if is_refusal:
            task.refused.append(address)
        elif not is_late:
            self._pause(task)
            task.pending += 1
            if code == coap.VALID and task.pending % _PENDING_MAX:
                task.again = address

    def _accept(self, task, address, answer, is_late):
        authority = self._node.authority
        now_ms = self._node.now_ms
        kind = task.kind
        found = capsules.parse(answer.payload)
        raw = found.raw
        rejection = None
        if not self._is_asked(task, found):
            raise WrongAnswer()
        try:
            if kind == ASK_ACTION:
                # for another node: nothing is applied here
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
                # just what was asked for, whatever it is good for
                rejection = error
            elif not isinstance(error, (RolledBack, EpochGap, WrongPrevious)):
                raise
        # where something newer is here already, that is what counts
        if kind == RENEW:
            raw = authority.me.raw
        elif kind == ADMIT:
            raw = authority.peer_by(x=task.want[1][0]).raw
        elif kind == REVOKE_ME and authority.me.node_id not in authority.policy.revoked:
            # nobody has verified it; if it is true, the node is behind and pulls what is between
            if not is_late:
                self._pause(task)
            return
        elif kind == _NEWEST and not authority.is_fresh(now_ms):
            # true, and too old; others may have a newer one
            task.refused.append(address)
            return
        self._standing.pop(address, None)
        self._finish(task, Answer(answer.code, raw, answer.peer, rejection=rejection))

    def _is_asked(self, task, found):
        # whether it says what was asked for; nothing of it is verified yet
        kind = task.kind
        want = task.want
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
        # a renewal: as before, with the same roles or fewer, and for longer; or just as it was,
        # certified anew after a succession
        facts = (member.x, member.y_is_odd, member.name, member.address)
        return (
            facts == (want.x, want.y_is_odd, want.name, want.address)
            and not member.roles & ~want.roles
            and (member.expires > want.expires or want.key_epoch != self._node.authority.key_epoch)
        )
