"""From the spool to the broker: readings in their order, a limited number at one time."""

from collections.abc import Callable

from .broker import IN_FLIGHT_MAX, Acknowledged, Broker
from .spool import Message, Spool

TOO_LONG = "it is longer than the broker accepts"
# Reports a message that the broker does not take: topic, reason.
OnRefused = Callable[[str, str], None]


class Publisher:
    """Publishes what a spool holds, and removes what the broker has acknowledged.

    published, refused: how many readings the broker has taken, and how many it has not.
    """

    def __init__(self, spool: Spool, broker: Broker, on_refused: OnRefused) -> None:
        self.published = 0
        self.refused = 0
        self._spool, self._broker, self._on_refused = spool, broker, on_refused
        self._under_way: dict[int, Message] = {}  # by paho's number
        self._last_id = 0  # of the newest message that was handed to paho

    @property
    def is_busy(self) -> bool:
        """Whether a message waits for its acknowledgement."""
        return bool(self._under_way)

    def restart(self) -> None:
        """Begin anew after the broker's client was made anew: nothing is under way."""
        self._under_way.clear()
        self._last_id = 0

    def pump(self) -> None:
        """Publish the next messages, if there is a connection."""
        room = IN_FLIGHT_MAX - len(self._under_way)
        if not self._broker.is_connected or room <= 0:
            return
        for message in self._spool.after(self._last_id, room):
            if not self._broker.fits(message.topic, message.payload):
                self._refuse(message, TOO_LONG)
            else:
                mid = self._broker.publish(message.topic, message.payload, message.retain)
                if mid is None:
                    return
                self._under_way[mid] = message
            self._last_id = message.id

    def acknowledged(self, event: Acknowledged) -> None:
        """Remove a message that is done; other clients' numbers are ignored."""
        message = self._under_way.pop(event.mid, None)
        if message is None:
            return
        if event.reason:
            self._refuse(message, event.reason)
        else:
            self.published += 1
            self._spool.remove(message.id)

    def _refuse(self, message: Message, reason: str) -> None:
        # the next attempt would end the same way, and the messages behind it would wait
        self.refused += 1
        self._spool.remove(message.id)
        self._on_refused(message.topic, reason)
