"""Actions: certified commands, each executed at most once. Loaded for the first action.

A verified action waits in memory for its request. Before the request is executed, the action's
nonce is written to flash: a power failure may lose an action and never repeats one. Record: "acts",
[floor, [[nonce, expires], ...]].
"""

from .. import cbor
from ..compat import sha256
from ..errors import ActionSpent, AlreadyKnown, Expired, NeedsAction, TableFull, WrongTarget
from ..limits import ACTIONS_MAX, ACTIONS_SPENT_MAX
from .capsule import Action, same_payload


class Actions:
    """The actions of one node: the waiting ones, and the nonces of the executed ones."""

    def __init__(self, store):
        self._store = store
        record = store.load("acts")
        store.mend("acts")
        # an action that expires at `floor` or before is refused, since its nonce may be forgotten
        self._floor, self._spent = cbor.decode(record) if record else (0, [])
        self._waiting = []  # oldest first

    def check(self, capsule, node_id, now_s):
        """The `Action` in a capsule, if the node `node_id` may still execute it; unverified.

        Raises `BadShape`, `WrongTarget`, `Expired`, `ActionSpent` or `AlreadyKnown`.
        """
        action = Action(capsule)
        if action.target != node_id:
            raise WrongTarget()
        # a restart may have set the clock back to the newest beacon on flash
        if action.expires <= max(now_s, self._floor):
            raise Expired()
        for nonce, _ in self._spent:
            if nonce == action.nonce:
                raise ActionSpent()
        for other in self._waiting:
            if same_payload(other.raw, action.raw):
                raise AlreadyKnown()
        return action

    def add(self, action):
        """Let a verified action wait; the oldest one is dropped first (limits.ACTIONS_MAX)."""
        # one command may be certified twice, by different governors
        others = [other for other in self._waiting if other.nonce != action.nonce]
        self._waiting = others[1 - ACTIONS_MAX :] + [action]

    def forget(self):
        """Drop the waiting actions; executed ones stay recorded."""
        self._waiting = []

    def is_waiting(self, now_s):
        """Whether an action waits that has not expired."""
        return any([action.expires > now_s for action in self._waiting])

    def find(self, method, path, now_s, digest=None):
        """The waiting action for such a request, or None. digest: None for a partial payload."""
        for action in self._waiting:
            if (
                (action.method, action.path) == (method, path)
                and action.expires > now_s
                and digest in (None, action.digest)
            ):
                return action
        return None

    def spend(self, request, now_s):
        """Use up the action for this request. On return it is on flash: execute the request.

        Raises `NeedsAction` if no action fits, `TableFull` or `StoreFailed`; then none is used up.
        """
        action = self.find(request.method, request.path, now_s, sha256(request.payload))
        if action is None:
            raise NeedsAction()
        floor = self._floor
        spent = [[action.nonce, action.expires]]
        for item in self._spent:
            if item[1] > now_s:
                spent.append(item)
            else:
                floor = max(floor, item[1])
        if len(spent) > ACTIONS_SPENT_MAX:
            raise TableFull()
        self._store.save("acts", cbor.encode([floor, spent]))
        self._floor = floor
        self._spent = spent
        self._waiting.remove(action)
