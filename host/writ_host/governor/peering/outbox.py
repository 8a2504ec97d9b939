"""The outbox of a governor: it decides when each message to another governor may leave.

A message belongs to one of three classes:

    EARLY          depends on no uncommitted write: it may leave before the commit
    AFTER_COMMIT   may depend on a write: it leaves after the commit
    DEFERRABLE     no governor waits for it: it leaves one turn of the loop after the others

Messages of one class keep their order. Sans-IO.
"""

import enum
from collections.abc import Callable

# Takes the node key of the receiver (33 B) and the message.
Send = Callable[[bytes, bytes], None]


class Urgency(enum.Enum):
    """The class of a message."""

    EARLY = enum.auto()
    AFTER_COMMIT = enum.auto()
    DEFERRABLE = enum.auto()


class Outbox:
    """The messages that may not leave yet. send: hands a message to the transport."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._after_commit: list[tuple[bytes, bytes]] = []
        self._deferred: list[tuple[bytes, bytes]] = []

    @property
    def has_deferred(self) -> bool:
        """Whether deferrable messages wait for the next turn."""
        return bool(self._deferred)

    def post(self, to: bytes, data: bytes, urgency: Urgency) -> None:
        """Take a message for the governor with node key `to`."""
        if urgency is Urgency.EARLY:
            self._send(to, data)
        elif urgency is Urgency.AFTER_COMMIT:
            self._after_commit.append((to, data))
        else:
            self._deferred.append((to, data))

    def release_deferred(self) -> None:
        """The next turn has begun: deferrable messages leave after the commit."""
        self._after_commit += self._deferred
        self._deferred = []

    def committed(self) -> None:
        """All writes are durable: hand over the messages that waited for that."""
        messages, self._after_commit = self._after_commit, []
        for to, data in messages:
            self._send(to, data)
