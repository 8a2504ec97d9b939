"""A bounded queue from paho's thread to the bridge's loop."""

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Received:
    """A message from the broker. retain: it was stored, or was published to be."""

    topic: str
    payload: bytes
    retain: bool
    response_topic: str = ""
    correlation: bytes = b""


class Inbox:
    """At most so many messages, and bytes of their payloads; the newest one is dropped.

    dropped: how many were, since the start.
    """

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self.dropped = 0
        self._messages_max, self._bytes_max = messages_max, bytes_max
        self._lock = threading.Lock()
        self._messages: deque[Received] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """The number of messages that wait."""
        return len(self._messages)

    def put(self, message: Received) -> None:
        """Add a message, if there is room."""
        with self._lock:
            size = self._bytes + len(message.payload)
            if len(self._messages) >= self._messages_max or size > self._bytes_max:
                self.dropped += 1
                return
            self._messages.append(message)
            self._bytes = size

    def take(self) -> Received | None:
        """The oldest message, or None."""
        with self._lock:
            if not self._messages:
                return None
            found = self._messages.popleft()
            self._bytes -= len(found.payload)
            return found
