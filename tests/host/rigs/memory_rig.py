"""Nodes of a `Net` whose heap is full at one call of a primitive; they do what the agent does."""

from collections.abc import Callable
from typing import Any

from node_rig import Net, code

from writ import cbor, crypto
from writ.errors import RateLimited
from writ.node.call import Answer
from writ.node.delegate import Delegate
from writ.wire import coap

# An AES-CCM tag, with which a ciphertext ends
TAG_BYTES = 8
# What needs heap: (module or class, name). Each is looked up when it is called.
PLACES: tuple[tuple[Any, str], ...] = (
    (crypto, "sha256"),
    (crypto, "hkdf_expand"),
    (crypto, "aes_ccm_encrypt"),
    (crypto, "aes_ccm_decrypt"),
    (crypto, "p256_ecdh"),
    (crypto, "ed25519_verify"),
    (crypto, "es256_sign"),
    (cbor, "encode"),
    (cbor, "decode"),
    (coap, "decode"),
    (coap.Message, "encode"),
)


class Full:
    """`with Full(place, at):` the heap is full at call number `at` of a primitive, once."""

    def __init__(self, place: tuple[Any, str], at: int) -> None:
        self._owner, self._name = place
        self._left = at

    @property
    def happened(self) -> bool:
        """Whether there were so many calls."""
        return self._left < 0

    def __enter__(self) -> "Full":
        plain = self._plain = getattr(self._owner, self._name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == -1:
                raise MemoryError
            return plain(*arguments, **options)

        setattr(self._owner, self._name, call)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self._owner, self._name, self._plain)


class Nonces:
    """`with Nonces(net):` no nonce is used for two datagrams of `net` that differ, under one key.

    What is sealed and then not sent, for the heap was full, has exposed nothing.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._sealed: dict[bytes, tuple[bytes, bytes]] = {}  # end of the ciphertext: (key, nonce)
        self._used: dict[tuple[bytes, bytes], bytes] = {}

    def __enter__(self) -> "Nonces":
        plain, send = crypto.aes_ccm_encrypt, self._net.send

        def encrypt(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
            sealed: bytes = plain(key, nonce, aad, plaintext)
            self._sealed[sealed[-TAG_BYTES:]] = bytes(key), bytes(nonce)
            return sealed

        def watched(source: str, datagrams: Any) -> None:
            for _, data in datagrams:
                end = bytes(data[-TAG_BYTES:])
                if end in self._sealed:
                    assert self._used.setdefault(self._sealed[end], end) == end, "a nonce again"
            send(source, datagrams)

        self._plain, crypto.aes_ccm_encrypt, self._net.send = plain, encrypt, watched
        return self

    def __exit__(self, *_: object) -> None:
        crypto.aes_ccm_encrypt = self._plain
        del self._net.send
        assert self._used, "nothing was sealed"


class ScarceNet(Net):
    """A net whose nodes treat a MemoryError as the agent does; their epochs never go back.

    delegates: by the address of the node that delegates.
    """

    def __init__(self, **nodes: Any) -> None:
        super().__init__(**nodes)
        self.delegates: dict[str, Any] = {}
        self.epochs = {address: node.authority.epoch for address, node in nodes.items()}
        for address, node in nodes.items():
            node.tick = lambda now_ms, address=address, plain=node.tick: self._tick(address, plain)

    def delegate(self, address: str, *governors: str) -> Any:
        """The delegate of the node at `address`, which knows these host peers."""
        node = self.nodes[address]
        node.config = {"governors": list(governors)}
        node.ask = None
        self.delegates[address] = Delegate(node)
        return self.delegates[address]

    def inject(self, source: str, target: str, data: bytes) -> Any:
        """As `Net.inject`; a datagram of a member is handled again if the heap is full."""
        node = self.nodes[target]
        for _ in range(2):
            try:
                return super().inject(source, target, data)
            except MemoryError as error:
                node.count(error)
            node.forget_strangers(coap.is_plain(data))
            if coap.is_plain(data):
                return []
        node.sessions.give_way()
        return []

    def _tick(self, address: str, plain: Any) -> Any:
        node = self.nodes[address]
        assert node.authority.epoch >= self.epochs[address], "an epoch went back"
        self.epochs[address] = node.authority.epoch
        out: list[Any] = []
        try:
            out += plain(self.now_ms)
            delegate = self.delegates.get(address)
            for call in delegate._asking.tick(self.now_ms) if delegate else ():
                try:
                    out += node.request(*call)
                except MemoryError as error:
                    node.make_room(error)
                    call[-1](Answer(0, rejection=RateLimited()))
        except MemoryError as error:
            node.make_room(error)
        return out

    def insist(self, source: str, target: str, path: str, *call: Any, **more: Any) -> list[str]:
        """Make a call until it succeeds, eight times at most; the results as text."""
        results: list[str] = []
        for _ in range(8):
            try:
                answers = self.call(source, target, path, *call, **more)
            except MemoryError as error:
                self.nodes[source].count(error)
                continue
            for _ in range(60):
                self.run(5000)
                if answers:
                    break
            assert len(answers) == 1, "a call that never ended, or ended twice"
            results.append(code(answers[0]))
            if answers[0].is_success():
                return results
        raise AssertionError(results)

    def run_for(self, seconds: int, until: Any = None) -> None:
        """Run second by second, until a condition holds if there is one."""
        for _ in range(seconds):
            self.run(1000)
            if until and until():
                return
        assert until is None, "it did not happen in time"


def at_each_failure(scenario: Callable[[Full], None]) -> int:
    """Run a scenario once for each call of a primitive in it, at which the heap is full; how often.

    scenario: begins from fresh nodes, and goes on `with` the `Full` that it gets.
    """
    count = 0
    for place in PLACES:
        at = 0
        while True:
            full = Full(place, at)
            scenario(full)
            if not full.happened:
                break
            count += 1
            # of hundreds of calls a part
            at += 1 + at // 16
    return count


class Hungry:
    """A function that finds the heap full at its first `times` calls; calls: how often it began."""

    def __init__(self, function: Callable[..., Any], times: int = 1) -> None:
        self._function = function
        self._times = times
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls <= self._times:
            raise MemoryError
        return self._function(*arguments, **options)
