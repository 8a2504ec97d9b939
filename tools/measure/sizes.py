"""Sizes in bytes of each capsule kind, the handshake and a request, with reference sizes."""

from collections.abc import Callable

from writ import crypto
from writ.authority.store import Store
from writ.node.node import Node
from writ.wire import coap
from writ.wire.edhoc import Initiator, Responder

from . import peers
from .row import Row
from .scope import TestScope


class MemoryFlash:
    """Records in memory."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """The slot's bytes or None."""
        return self._files.get(name)

    def write(self, name: str, data: bytes) -> None:
        """Replace the slot."""
        self._files[name] = data


class Net:
    """Two nodes that exchange datagrams by function calls."""

    def __init__(self, scope: TestScope) -> None:
        self.nodes = {}
        for name, address, roles in (("gateway", 1, 2), ("soil-north", 17, 4)):
            store = Store(MemoryFlash())
            scope.provision(store, name, address, roles)
            self.nodes[name] = Node(store, store.load("key"), name, scope.id)
        self.nodes["soil-north"].resource("temp")(lambda request: b"21.5")
        self.now_ms = 1000

    def get(self, path: str = "temp") -> list[bytes]:
        """Have the gateway GET a resource of the sensor; returns all datagrams in order."""
        gateway = self.nodes["gateway"]
        gateway.now_ms = self.now_ms
        answers: list[object] = []
        queue = [
            ("gateway", *item)
            for item in gateway.request(
                coap.GET, path, address="soil-north", on_answer=answers.append
            )
        ]
        seen = []
        while queue:
            source, target, datagram = queue.pop(0)
            seen.append(datagram)
            self.now_ms += 5
            out = self.nodes[target].receive(datagram, source, self.now_ms)
            queue += [(target, *item) for item in out]
        assert answers and answers[0].code == coap.CONTENT, answers  # type: ignore[attr-defined]
        return seen


def _handshake_by_kid(ead: Callable[[str], list[tuple[int, bool, bytes]]]) -> list[int]:
    private = {role: crypto.p256_generate() for role in "ir"}
    x = {role: crypto.p256_public(key)[0] for role, key in private.items()}
    initiator = Initiator(private["i"], b"\x05", (65000,))
    message_1 = initiator.message_1(ead("1"))
    responder = Responder(private["r"], b"\x06", (65000,))
    responder.read_1(message_1)
    message_2 = responder.message_2(("kid", b"\x00\x11"), b"\xa0", ead("2"))
    initiator.read_2(message_2)
    initiator.verify_2(b"\xa0", x["r"])
    message_3 = initiator.message_3(("kid", b"\x00\x01"), b"\xa0", ead("3"))
    responder.read_3(message_3)
    responder.verify_3(b"\xa0", x["i"])
    return [len(message_1), len(message_2), len(message_3)]


def _edhoc_payload(datagram: bytes, is_combined: bool = False) -> int:
    # the EDHOC message in a datagram: without "true" in front, or in front of the OSCORE request
    payload = coap.decode(datagram).payload
    if is_combined:
        from writ import cbor

        return cbor.decode_item(payload)[1]
    return len(payload) - (payload[:1] == b"\xf5")


def measure() -> list[Row]:
    """All rows of sizes."""
    scope = TestScope()
    private = crypto.p256_generate()
    member = scope.member(private, "soil-north", 17, 4)
    reticulum = peers.reticulum_bytes()
    announce, link = reticulum if reticulum else (None, None)
    rows = [
        Row("bytes.charter", len(scope.charter), "B"),
        Row("bytes.member", len(member), "B", 150, "Nebula certificate v1", peers.nebula_bytes()),
        Row("bytes.member_x509", len(member), "B", 150, "X.509, DER", peers.x509_bytes()),
        Row("bytes.member_jwt", len(member), "B", 150, "JWT, EdDSA", peers.jwt_bytes()),
        Row("bytes.member_biscuit", len(member), "B", 150, "Biscuit", peers.biscuit_bytes()),
        Row("bytes.member_announce", len(member), "B", 150, "Reticulum announce", announce),
        Row("bytes.policy", len(scope.policy_1), "B", 400),
        Row("bytes.revoke_one", len(scope.revocation()), "B", 100),
        Row("bytes.beacon", len(scope.beacon()), "B", 96),
    ]
    net = Net(scope)
    first = net.get()
    again = net.get()
    messages = [
        _edhoc_payload(first[0]),
        _edhoc_payload(first[1]),
        _edhoc_payload(first[2], is_combined=True),
    ]
    plain = _handshake_by_kid(lambda number: [])
    news = b"\x18\x2a" + bytes(6)
    with_ead = _handshake_by_kid(
        lambda number: [(65000, False, bytes(4) if number == "1" else news)]
    )
    rows += [
        Row("bytes.edhoc_1", plain[0], "B", 37, "RFC 9529, trace 2 (kid of 1 byte)", 37),
        Row("bytes.edhoc_2", plain[1], "B", 47, "RFC 9529, trace 2 (kid of 1 byte)", 45),
        Row("bytes.edhoc_3", plain[2], "B", 21, "RFC 9529, trace 2 (kid of 1 byte)", 19),
        Row("bytes.edhoc_with_ead", sum(with_ead), "B", 140, "Reticulum link", link),
        Row("bytes.first_contact", sum(messages), "B", 440),
        Row("bytes.get_request", len(again[0]), "B", 28),
        Row("bytes.get_response", len(again[1]), "B"),
    ]
    return rows
