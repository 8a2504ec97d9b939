"""The observers of each resource (RFC 7641): bookkeeping only, no I/O.

The caller judges each notification by the policy, and cancels the observer if it is refused.
"""

from ..compat import const
from ..limits import OBSERVE_CON_EVERY, OBSERVE_CON_MS, OBSERVERS_MAX

_SEQUENCE_MASK = const(0xFFFFFF)


class Observer:
    """One entry: `path` (str), `peer` (its identity, any value), `address`, `token`, `context` (the
    caller's, such as what binds notifications to the request)."""

    def __init__(self, path, peer):
        self.path = path
        self.peer = peer
        self.address = self.token = self.context = None
        self.confirmed_ms = 0  # of the registration, or the last confirmable notification
        self._sequence = 0

    def next(self, now_ms):
        """(Observe value, whether to send it as CON) of the next notification.

        The registering response takes the first.
        """
        self._sequence = (self._sequence + 1) & _SEQUENCE_MASK
        return self._sequence, self._sequence % OBSERVE_CON_EVERY == 0 or now_ms >= self.due_ms()

    def due_ms(self):
        """When the next notification must be confirmable, with a new value or not."""
        return self.confirmed_ms + OBSERVE_CON_MS


class Observers:
    """All observers of one server, at most OBSERVERS_MAX, in `entries`, oldest first."""

    def __init__(self):
        self.entries = []

    def register(self, path, peer, address, token, context=None):
        """The `Observer`, or None when the table is full; then the answer has no Observe option.

        A peer has one entry for a path: registering again moves it to the new address and token
        and keeps its sequence (RFC 7641, section 4.1).
        """
        entry = None
        for known in self.for_path(path):
            if known.peer == peer:
                entry = known
                self.entries.remove(known)
        # a client that uses a token again has forgotten the observation with that token
        self.cancel(address, token)
        if entry is None:
            if len(self.entries) >= OBSERVERS_MAX:
                return None
            entry = Observer(path, peer)
        self.entries.append(entry)
        entry.address = address
        entry.token = token
        entry.context = context
        return entry

    def cancel(self, address, token):
        """Forget the observer with this address and token: deregistered, reset or timed out."""
        return self._keep(lambda e: e.address != address or e.token != token)

    def _keep(self, wanted):
        # how many were forgotten
        before = len(self.entries)
        self.entries = [entry for entry in self.entries if wanted(entry)]
        return before - len(self.entries)

    def for_path(self, path):
        """The observers of a path, oldest first."""
        return [entry for entry in self.entries if entry.path == path]
