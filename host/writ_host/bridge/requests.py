"""Requests from MQTT: each goes out as the bridge's own, and the called node judges it.

A request is a message at `writ/SCOPE/NODE/RESOURCE/METHOD`. Its answer goes to the response topic
of MQTT 5, with the correlation data: the payload of the node's answer, and user properties `code`
("2.05"), and for a refusal `refusal` (the rejection's name) and `refusal_code` (its number).

1. Any client of the broker may have sent a request: whatever the bridge may do, it may.
2. A retained message is refused, since it would be carried out at each connection.
3. An answer leaves only below one prefix: a response topic is chosen by the sender, who may have no
   right to publish there, and could write capsules, readings or commands in the bridge's name.
4. Rate limits apply to each topic and to all of them; the queue, and the calls under way, are
   bounded; a node that does not answer has one call under way.
"""

from collections.abc import Callable
from dataclasses import dataclass

from writ.authority.ratelimit import RateLimiter, TokenBucket
from writ.errors import RateLimited, Rejection, TableFull, TimedOut, TooLarge
from writ.limits import BODY_BYTES_MAX, REQUESTS_MAX
from writ.wire import coap

from ..node.behind import WAIT_S
from . import topics
from .inbox import Received
from .members import Members, Outcome
from .settings import RequestSettings

# A client that sends a few requests at once is not yet a flood.
BURST = 10
# Requests that wait for their turn, and calls under way.
QUEUE_MAX = 64
AT_ONCE = max(2, REQUESTS_MAX // 4)
# A request without an answer in this time has failed, for its sender; one that waits is dropped.
TIMEOUT_MS = 20_000
# The same for a node in a mesh, as for the commands of a host.
MESH_TIMEOUT_MS = int(1000 * WAIT_S)
# MQTT allows 64 kB: enough for a key of the sender's own table.
CORRELATION_BYTES_MAX = 128
# Refusals by the bridge itself that are answered: a flood is not answered message by message.
_ANSWERS, _ANSWER_MS = 20, 200


@dataclass(frozen=True)
class Reply:
    """An answer to a request. code: of CoAP as text, or "" where the node did not answer."""

    payload: bytes
    code: str = ""
    refusal: str = ""
    number: int = 0

    @property
    def properties(self) -> list[tuple[str, str]]:
        """The user properties of the message."""
        found = {"code": self.code, "refusal": self.refusal}
        found["refusal_code"] = str(self.number) if self.number else ""
        return [(key, value) for key, value in found.items() if value]


@dataclass
class _Request:
    """A request that waits or is under way, since `since_ms`. is_done: whether it was answered."""

    message: Received
    node: str
    resource: str
    method: int
    since_ms: int
    is_done: bool = False


# Publishes a reply at the response topic of a message.
Answer = Callable[[Received, Reply], None]
# Reports a request that was refused: the reason's name, the message's topic.
OnRefused = Callable[[str, str], None]
# Called with node and resource when a request has changed a resource.
OnChange = Callable[[str, str], None]


class Requests:
    """The requests of one bridge. Call `tick` often; now_ms only grows.

    answered: how many nodes have carried out; refused: {reason: count}, by nodes and by the bridge.
    """

    def __init__(
        self,
        settings: RequestSettings,
        scope: bytes,
        members: Members,
        answer: Answer,
        on_refused: OnRefused,
        on_change: OnChange,
    ) -> None:
        self.answered = 0
        self.refused: dict[str, float] = {}
        self._settings, self._scope, self._members = settings, scope, members
        self._answer, self._on_refused, self._on_change = answer, on_refused, on_change
        self._limiter = RateLimiter(BURST, 60_000 // settings.per_minute)
        self._answers = TokenBucket(_ANSWERS, _ANSWER_MS)
        self._waiting: list[_Request] = []
        self._under_way: list[_Request] = []
        self._busy: set[str] = set()  # nodes with a call that has not ended

    def receive(self, message: Received, now_ms: int) -> None:
        """Take a request, or refuse it."""
        parts = topics.parse_request(self._scope, message.topic)
        if parts is None or message.topic.rpartition("/")[2] not in self._settings.methods:
            self._refuse(message, "BadTopic", 0, now_ms)
        elif not self._limiter.take(message.topic, now_ms):
            self._refuse(message, *_of(RateLimited), now_ms)
        elif message.retain:
            self._refuse(message, "Retained", 0, now_ms)
        elif len(message.payload) > BODY_BYTES_MAX:
            self._refuse(message, *_of(TooLarge), now_ms)
        elif parts[2] == coap.GET and not message.response_topic:
            self._refuse(message, "NoResponseTopic", 0, now_ms)
        elif message.response_topic and not self._may_answer(message):
            self._refuse(message, "BadResponseTopic", 0, now_ms)
        elif len(self._waiting) >= QUEUE_MAX:
            self._refuse(message, *_of(TableFull), now_ms)
        else:
            self._waiting.append(_Request(message, *parts, now_ms))
            self.tick(now_ms)

    def _may_answer(self, message: Received) -> bool:
        return (
            topics.is_answer(message.response_topic, self._settings.response_prefix)
            and len(message.correlation) <= CORRELATION_BYTES_MAX
        )

    def tick(self, now_ms: int) -> None:
        """Begin the calls that may begin, and end those whose time is over."""
        for request in (*self._waiting, *self._under_way):
            # a node is known to be in a mesh once the call to it has begun
            is_in_mesh = self._members.is_in_mesh(request.node)
            if now_ms - request.since_ms >= (MESH_TIMEOUT_MS if is_in_mesh else TIMEOUT_MS):
                self._end(request, _own(*_of(TimedOut)))
        for request in list(self._waiting):
            if len(self._busy) >= AT_ONCE:
                return
            # one after the other, so that a node's requests keep their order
            if request.node not in self._busy:
                self._waiting.remove(request)
                self._under_way.append(request)
                self._busy.add(request.node)
                self._begin(request)

    def _begin(self, request: _Request) -> None:
        def ended(outcome: Outcome) -> None:
            self._busy.discard(request.node)
            self._end(request, _reply(outcome))

        payload = b"" if request.method == coap.GET else request.message.payload
        self._members.call(request.node, request.method, request.resource, payload, ended)

    def _end(self, request: _Request, reply: Reply) -> None:
        if request.is_done:
            # its time was over before the node answered
            return
        request.is_done = True
        for table in (self._waiting, self._under_way):
            if request in table:
                table.remove(request)
        if reply.refusal:
            self._count(reply.refusal, request.message.topic)
        else:
            self.answered += 1
            if request.method != coap.GET:
                self._on_change(request.node, request.resource)
        if request.message.response_topic:
            self._answer(request.message, reply)

    def _refuse(self, message: Received, name: str, number: int, now_ms: int) -> None:
        self._count(name, message.topic)
        if self._may_answer(message) and self._answers.take(now_ms):
            self._answer(message, _own(name, number))

    def _count(self, name: str, topic: str) -> None:
        self.refused[name] = self.refused.get(name, 0) + 1
        self._on_refused(name, topic)


def _of(kind: type[Rejection]) -> tuple[str, int]:
    return kind.__name__, int(kind.code)


def _own(name: str, number: int) -> Reply:
    """The refusal of a request that no node has answered, with a payload as nodes make it."""
    return Reply(f"{number} {name}".encode() if number else name.encode(), "", name, number)


def _reply(outcome: Outcome) -> Reply:
    if not outcome.is_reached:
        return _own(outcome.problem, outcome.number)
    code = coap.code_text(outcome.code)
    return Reply(outcome.payload, code, outcome.problem, outcome.number)
