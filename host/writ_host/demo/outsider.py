"""An outsider: a node without membership that tries to call the devices.

The outsider runs the project's own node code, with a real key and a real socket. It knows the
charter, which is public, and all that a member knows. It cannot make the group's signature.
"""

import time

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from writ import agent, crypto
from writ.authority import capsule
from writ.authority.capsule import MEMBER, Member
from writ.authority.policy import Policy
from writ.authority.store import Store
from writ.errors import Rejection
from writ.limits import HANDSHAKE_REFILL_MS
from writ.node.call import Answer
from writ.wire import coap, edhoc_codec

from ..node.plainclient import PlainClient
from .board import RATE_LIMITED
from .proofs import NotProved

_ANSWER_S = 30.0


class _Memory:
    """A flash in memory."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self._data.get(name)

    def write(self, name: str, data: bytes) -> None:
        self._data[name] = bytes(data)


class Outsider:
    """The outsider's node. Use `with`, which closes its socket."""

    def __init__(self, charter_raw: bytes) -> None:
        self._key = ECC.generate(curve="Ed25519")
        scope = capsule.scope_id(capsule.parse(charter_raw).payload)
        config = {"name": "outsider", "scope": scope.hex(), "listen": "127.0.0.1:0"}
        self._node = agent.Node(Store(_Memory()), config)
        self._node.authority.receive(charter_raw, 0)
        self._node.open()

    def __enter__(self) -> "Outsider":
        return self

    def __exit__(self, *_: object) -> None:
        if self._node.link:
            self._node.link.close()

    def forge(self, payload: bytes) -> bytes:
        """A capsule as the governors would make it, signed with the outsider's own key."""
        signature = eddsa.new(self._key, "rfc8032").sign(capsule.signing_input(payload))
        return bytes(capsule.assemble(payload, signature))

    def get(self, address: str, path: str) -> tuple[str, str]:
        """Send a GET without a session; returns (code, text) of the answer."""
        with PlainClient(address) as client:
            answer = client.get(path)
        return coap.code_text(answer.code), bytes(answer.payload).decode("utf-8", "replace")

    def call_as_member(self, address: str, path: str) -> str:
        """Call with a self-signed member capsule; returns the reason of the failed handshake."""
        node = self._node
        key = crypto.p256_public(node.private)
        payload = capsule.build(MEMBER, [1, 2], sub="gate", exp=capsule.TIME_MAX, key=key)
        node.authority.me = Member(capsule.parse(self.forge(payload)))
        said = RATE_LIMITED
        while said == RATE_LIMITED:
            answer = self._ask(address, path)
            if not answer or not answer.rejection:
                raise NotProved("an outsider's handshake was not refused")
            said = getattr(answer.rejection, "text", b"")
            if said == RATE_LIMITED:
                time.sleep(HANDSHAKE_REFILL_MS / 1000)
        return refused_because(said)

    def _ask(self, address: str, path: str) -> Answer | None:
        node = self._node
        answers: list[Answer] = []
        node.now_ms = node.clock.now_ms()
        node.send(node.request(coap.GET, path, address=address, on_answer=answers.append))
        until = time.monotonic() + _ANSWER_S
        while not answers and time.monotonic() < until:
            node.step(100)
        return answers[0] if answers else None


def refused_because(said: bytes) -> str:
    """The name of the rejection in an EDHOC error message."""
    try:
        return str(edhoc_codec.parse_error(said)[1])
    except Rejection:
        return said.decode("utf-8", "replace")


def allow_everything(policy: Policy) -> bytes:
    """The payload of a successor of this policy that allows everything to every member."""
    everything = [[1, 1, "*", 127]]
    body = [policy.epoch + 1, policy.head(), everything, [], [], {}]
    return bytes(capsule.build(capsule.POLICY, body, iat=policy.issued + 1))
