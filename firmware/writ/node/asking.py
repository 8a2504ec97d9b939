"""Which host peer a delegate asks, and when; what happens with answers and time-outs.

A part of delegate.py, loaded while there is something to decide. Sans-IO: `tick` gets the time.
"""

from ..authority.capsule import IAT, WRIT
from ..compat import const, unload
from ..errors import (
    NotFresh,
    RateLimited,
    Rejection,
    StalePeer,
    StoreFailed,
    TableFull,
    TimedOut,
)
from ..limits import OPERATIONS_MAX, PAUSE_MS_MAX, STRIKES_MAX
from ..wire import coap
from .call import Answer
from .context import PREFIX
from .operation import FETCH, NEWEST, Operation, listener
from .statement import signed

# The next peer is asked after so long without an answer: three transmissions (RFC 7252, 4.2)
_PATIENCE_MS = const(10000)
# How long the device backs off from a peer, doubled for each strike
_SET_BACK_MS = const(8000)
# Strikes for a wrong answer; a time-out is one strike
_STRIKES_WRONG = const(3)


class Asking:
    """The operations of one node at its host peers. node: as in `Delegate`.

    kept: address -> (strikes, end of back-off); operations; (operation, address, answer).
    """

    def __init__(self, node, kept):
        self.node = node
        self._peers = node.config.get("governors") or node.config.get("gateways", [])
        self.standing, self._operations, self._answers = kept

    def sign(self, op, want, facts, on_done, timeout_s, before=None):
        """Sign a statement, once for all peers, and begin its operation.

        before: the operation that it replaces, or None.
        """
        node = self.node
        authority = node.authority
        claims = {
            IAT: authority.now_s(node.now_ms),
            WRIT: [op, authority.me.node_id, authority.scope, authority.epoch] + facts,
        }
        payload = signed(node.private, claims)
        if before in self._operations:
            # not earlier: a full heap leaves it, and it is tried again
            self._operations.remove(before)
        self.begin(op, want, payload, on_done, timeout_s)

    def begin(self, kind, want, payload, on_done, timeout_s, statement=None):
        """Begin an operation, or end it at once with `TableFull`. Arguments as in `Operation`."""
        node = self.node
        operation = Operation(
            kind, want, payload, on_done, node.now_ms + 1000 * timeout_s, statement
        )
        if len(self._operations) >= OPERATIONS_MAX or kind in [
            other.kind for other in self._operations
        ]:
            self.finish(operation, Answer(0, rejection=TableFull()))
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
        self.node.make_room(error)
        self.pause(operation)

    def _go(self, operation, now_ms):
        if operation.peer and now_ms >= operation.due_ms:
            # a late answer counts, but the operation goes on without it
            self._set_back(operation.peer, TimedOut(), 1)
            operation.peer = None
        if now_ms >= operation.end_ms:
            # "pending" is a success of the request, and none of the operation
            code = 0 if operation.code == coap.VALID else operation.code
            self.finish(operation, Answer(code, operation.text, rejection=TimedOut()))
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
        if operation.kind == FETCH:
            path = PREFIX + "/capsule"
            query = (operation.payload,)
        elif operation.kind != NEWEST:
            method, path, payload = coap.POST, PREFIX + "/propose", operation.payload
        return [(method, path, payload, address, None, query, None, on_answer)]

    def _pick(self, operation, now_ms):
        # the address to ask now, or None: then the operation waits or is over
        best = None
        if not self._peers:
            # no gateway is found yet (finder.py)
            self.pause(operation)
            return None
        operation.due_ms = operation.end_ms
        for address in self._peers:
            if address in operation.unanswered or address in operation.refusers:
                continue
            strikes, until_ms = self.standing.get(address, (0, 0))
            attempts = operation.attempts.get(address, 0)
            back_ms = max(0, until_ms - now_ms)
            if back_ms and attempts:
                operation.due_ms = min(operation.due_ms, until_ms)
                continue
            # a peer in back-off is asked once, after all others
            key = (back_ms, attempts, strikes, self.node.sessions.by_address(address) is None)
            if best is None or key < best[0]:
                best = (key, address)
        if best:
            return best[1]
        if operation.refusers:
            # every peer has refused, and no other answer can come
            rejection = NotFresh() if operation.kind == NEWEST else None
            self.finish(operation, Answer(operation.code, operation.text, rejection=rejection))
        return None

    def _set_back(self, address, rejection, strikes):
        node = self.node
        node.count(rejection)
        for known in list(self.standing):
            if known not in self._peers:
                # a gateway that was found and is gone
                del self.standing[known]
        strikes = min(strikes + self.standing.get(address, (0, 0))[0], STRIKES_MAX)
        self.standing[address] = (strikes, node.now_ms + (_SET_BACK_MS << strikes))

    def finish(self, operation, answer):
        """End an operation: its caller gets the `Answer`."""
        if operation.statement:
            self.sign(*operation.statement, operation)
        if operation in self._operations:
            self._operations.remove(operation)
        if operation.on_done:
            self.node.tell(operation.on_done, answer)

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
                from .verdict import judge

                unload("node.verdict")
                judge(self, operation, address, answer, is_late)
            except Rejection as found:
                rejection = found
            except MemoryError as error:
                # not the peer's fault: it is asked again, with more room
                self._make_room(operation, error)
                operation.next_peer = address
                return
        if isinstance(rejection, (TableFull, RateLimited, StoreFailed)):
            # not the peer's fault
            self.pause(operation)
        elif isinstance(rejection, TimedOut):
            if not is_late:
                self._set_back(address, rejection, 1)
        elif rejection is not None:
            is_wrong = answer.is_success() and not isinstance(rejection, StalePeer)
            self._set_back(address, rejection, _STRIKES_WRONG if is_wrong else 1)

    def pause(self, operation):
        """Ask for it again after a pause."""
        operation.due_ms = self.node.now_ms + operation.pause_ms
        operation.pause_ms = min(2 * operation.pause_ms, PAUSE_MS_MAX)
