"""The connection to the broker: MQTT 5 over TCP or TLS, in a thread of paho-mqtt's own.

The thread connects, again and again with growing pauses, and subscribes. It hands everything that
arrives to the bridge's loop through bounded queues, and decides nothing.

1. The session ends with the connection, so the broker keeps no request for a bridge that is away.
2. A message with QoS 1 that was under way is sent again after a new connection, by paho. The answer
   to the subscription comes after that, and only then is there a connection for the bridge: else a
   new reading could overtake an older one.
3. The broker may be hostile: what it sends is bounded before it is queued. A broken rule of MQTT
   costs the connection, which the thread makes anew, and an exception in the thread likewise.
"""

import contextlib
import ssl
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from .. import files
from ..errors import HostError
from .inbox import Inbox, Received
from .settings import BrokerSettings

# The longest packet from the broker: a request has a body of BODY_BYTES_MAX (writ.limits), a topic
# and its properties. And to the broker: the discovery of a node with READINGS_MAX resources.
PACKET_BYTES_MAX = 8192
SENT_BYTES_MAX = 1 << 20
TOPIC_BYTES_MAX = 512
# Messages that wait for the bridge's loop. Capsules have a queue of their own, for all of a scope
# after a subscription, so that a flood of one kind leaves the other its room.
INBOX_MAX, INBOX_BYTES_MAX = 256, 1 << 19
CAPSULES_MAX, CAPSULES_BYTES_MAX = 2048, 1 << 20
# Published messages that wait for the broker's acknowledgement, and those behind them: a broker
# that acknowledges nothing must not fill the memory.
IN_FLIGHT_MAX = 32
QUEUED_MAX = 4096
# Packets that wait to be written to a broker, which may not read. Each stored capsule is
# acknowledged by one, and paho's thread writes between reads.
UNWRITTEN_MAX = 8192
# A packet's own fields, about.
_HEAD_BYTES = 64
# Pauses before another attempt to connect: the first, doubled up to the longest.
_RETRY_S, _RETRY_S_MAX = 1, 60


@dataclass(frozen=True)
class Connected:
    """A connection is made, and the broker has answered the subscription."""


@dataclass(frozen=True)
class Disconnected:
    """There is no connection (any more). reason: the broker's or the system's, as text."""

    reason: str


@dataclass(frozen=True)
class Acknowledged:
    """A published message is done. reason: "" if the broker took it, else why it did not."""

    mid: int
    reason: str


@dataclass(frozen=True)
class Unsubscribed:
    """The broker has refused a subscription. reason: the broker's, as text."""

    reason: str


Event = Connected | Disconnected | Acknowledged | Unsubscribed


@dataclass(frozen=True)
class Subscription:
    """A subscription, for QoS 1 and without messages of this connection.

    stored: whether the broker sends what it has stored, too.
    """

    topic: str
    stored: bool = True


def open_tls(settings: BrokerSettings) -> ssl.SSLContext:
    """The TLS context of a broker: its certificate is verified. Raises `HostError`."""
    with files.naming(settings.ca) if settings.ca else contextlib.nullcontext():
        try:
            return ssl.create_default_context(cafile=settings.ca)
        except ssl.SSLError as error:
            message = f"{settings.ca} has no certificates: {error.reason or error}"
            raise HostError(message, "Give the PEM file of the broker's authority.") from None


class _Client(paho.Client):
    """A client that remembers why it could not connect, and ends a connection that breaks a rule.

    failure: as text. paho-mqtt 2.1 has no public setting for these bounds.
    """

    failure = ""

    def _sock_recv(self, bufsize: int) -> bytes:
        # called with the length of the rest of a packet, before any of it is kept
        if bufsize > PACKET_BYTES_MAX:
            raise ConnectionAbortedError(f"a packet of more than {PACKET_BYTES_MAX} bytes")
        if len(self._out_packet) > UNWRITTEN_MAX:
            raise ConnectionAbortedError("the broker does not read")
        return super()._sock_recv(bufsize)

    def _handle_publish(self) -> MQTTErrorCode:
        # QoS 2 was not subscribed to (MQTT 5, 3.8.4), and paho keeps such a message until the
        # broker releases it
        if self._in_packet["command"] & 0x04:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._handle_publish()

    def reconnect(self) -> MQTTErrorCode:
        try:
            return super().reconnect()
        except OSError as error:
            self.failure = error.strerror or str(error)
            raise


class Broker:
    """One client of a broker. client_id: 23 bytes at most; will: topic and payload of its will.

    subscriptions: one at least; bulk: prefix of the topics that have a queue of their own. Made by
    `start`; `events`, `inbox` and `bulk_inbox` are read by one other thread.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        will: tuple[str, bytes] | None,
        subscriptions: Iterable[Subscription],
        bulk: str | None = None,
    ) -> None:
        self.events: deque[Event] = deque()
        self.inbox = Inbox(INBOX_MAX, INBOX_BYTES_MAX)
        self.bulk_inbox = Inbox(CAPSULES_MAX, CAPSULES_BYTES_MAX)
        self.is_connected = False
        # a packet above it would end the connection, and be sent again after the next one
        self.packet_bytes_max = SENT_BYTES_MAX
        self._settings, self._client_id, self._will = settings, client_id, will
        self._subscriptions = tuple(subscriptions)
        self._bulk = bulk
        self._unreadable = 0
        self._has_retain = True
        self._is_refused = False  # whether the broker has answered the connection with a refusal
        # one entry for each subscription without an answer: two threads change it
        self._unanswered: deque[None] = deque()
        self._client: _Client | None = None

    # --- for the loop -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect. Raises `HostError` for a wrong password file or certificate."""
        settings = self._settings
        client = _Client(
            CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=paho.MQTTv5
        )
        if credentials := settings.credentials():
            client.username_pw_set(*credentials)
        if settings.tls:
            client.tls_set_context(open_tls(settings))
        if self._will:
            client.will_set(*self._will, qos=1, retain=True)
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.max_queued_messages_set(QUEUED_MAX)
        client.reconnect_delay_set(_RETRY_S, _RETRY_S_MAX)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        properties = Properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        # no topic aliases in either direction: the maximum of the broker's is 0 unless it is set
        client.connect_async(
            settings.host, settings.port, settings.keep_alive_s, properties=properties
        )
        self._client = client
        client.loop_start()

    @property
    def is_running(self) -> bool:
        """Whether the thread runs: an exception in it would end it."""
        thread = self._client and self._client._thread
        return bool(thread and thread.is_alive())

    def stop(self, timeout_s: float = 2.0) -> None:
        """Disconnect in order (then the broker sends no will), and end the thread."""
        client, self._client = self._client, None
        if client is None:
            return
        client.disconnect()
        thread = client._thread
        if thread is not None:
            # a thread that hangs in the system, such as in a look-up, ends with the process
            thread.join(timeout_s)
        self.is_connected = False

    def publish(self, topic: str, payload: bytes, retain: bool, **properties: Any) -> int | None:
        """Publish with QoS 1; the number that `Acknowledged` will have, None if that cannot be now.

        properties: of MQTT 5, by paho's names.
        """
        if self._client is None or not self.fits(topic, payload, **properties):
            return None
        more = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(more, name, value)
        sent = self._client.publish(topic, payload, 1, retain and self._has_retain, more)
        return None if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else sent.mid

    def fits(self, topic: str, payload: bytes, **properties: Any) -> bool:
        """Whether the broker accepts a message of this length."""
        size = (
            len(topic.encode()) + len(payload) + sum(len(str(one)) for one in properties.values())
        )
        return size + _HEAD_BYTES <= self.packet_bytes_max

    def subscribe(self, subscriptions: Iterable[Subscription]) -> None:
        """Subscribe (again): the broker sends what it has stored once more."""
        if self._client is not None and self.is_connected:
            self._unanswered.append(None)
            self._client.subscribe([(one.topic, _options(one)) for one in subscriptions])

    @property
    def dropped(self) -> int:
        """Messages that were too long or malformed, or found no place."""
        return self.inbox.dropped + self.bulk_inbox.dropped + self._unreadable

    # --- in paho's thread -------------------------------------------------------------------------

    def _on_connect(self, client: paho.Client, _: Any, __: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._is_refused = True
            self.events.append(Disconnected(f"the broker refused the connection: {code}"))
            return
        limit = getattr(properties, "MaximumPacketSize", SENT_BYTES_MAX)
        self.packet_bytes_max = min(limit, SENT_BYTES_MAX)
        self._has_retain = getattr(properties, "RetainAvailable", 1) == 1
        wanted = [(one.topic, _options(one)) for one in self._subscriptions]
        self._unanswered.clear()
        self._unanswered.append(None)
        client.subscribe(wanted)

    def _on_connect_fail(self, client: Any, _: Any) -> None:
        where = f"{self._settings.host}:{self._settings.port}"
        self.events.append(Disconnected(f"no connection to {where}: {client.failure}"))

    def _on_disconnect(
        self, client: paho.Client, _: Any, __: Any, code: Any, properties: Any
    ) -> None:
        self.is_connected = False
        if code.is_failure and not self._is_refused:
            self.events.append(Disconnected(f"the connection ended: {code}"))
        self._is_refused = False

    def _on_subscribe(self, _: Any, __: Any, ___: int, codes: Any, ____: Any) -> None:
        try:
            self._unanswered.pop()
        except IndexError:
            # the answer to no subscription
            return
        if not self.is_connected:
            self.is_connected = True
            self.events.append(Connected())
        refused = [str(code) for code in codes if code.is_failure]
        if refused:
            self.events.append(Unsubscribed(f"the broker refused a subscription: {refused[0]}"))

    def _on_publish(self, _: Any, __: Any, mid: int, code: Any, ___: Any) -> None:
        self.events.append(Acknowledged(mid, str(code) if code.is_failure else ""))

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties
        try:
            received = Received(
                message.topic,
                bytes(message.payload),
                bool(message.retain),
                getattr(properties, "ResponseTopic", ""),
                getattr(properties, "CorrelationData", b""),
            )
        except UnicodeDecodeError:
            self._unreadable += 1
            return
        if not _is_regular(received):
            self._unreadable += 1
        elif self._bulk and received.topic.startswith(self._bulk):
            self.bulk_inbox.put(received)
        else:
            self.inbox.put(received)


def _is_regular(message: Received) -> bool:
    # a topic with control characters is malformed (MQTT 5, 1.5.4), and would reach a log
    topics = message.topic, message.response_topic
    return len(message.payload) <= PACKET_BYTES_MAX and all(
        len(one) <= TOPIC_BYTES_MAX and one.isprintable() for one in topics
    )


def _options(subscription: Subscription) -> SubscribeOptions:
    return SubscribeOptions(
        qos=1,
        noLocal=True,
        # else a message that is stored arrives at those connected as if it were not
        retainAsPublished=True,
        retainHandling=0 if subscription.stored else 2,
    )
