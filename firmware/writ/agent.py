"""The agent: a node with its directory and a UDP socket. The one place that joins core and link.

node = writ.Node.load("/writ")      # config.json and the records of store.py are there
node.run()
"""

import json

from . import crypto
from .capsule import check_name
from .client import Answer
from .compat import Clock, tidy
from .errors import NotMember, Rejection, UsageError
from .link.udp import UdpLink
from .node import Node as Core
from .store import FileFlash, Store

# how often a gateway is asked for news when there is no other traffic
_HELLO_MS = 30000
_HELLO_AGAIN_MS = 4000


def load_key(store):
    """The node's P-256 private key (32 bytes) from its store; made on the first start."""
    private = store.load("key")
    if not private:
        private = crypto.p256_generate()
        store.save("key", private)
    return private


class Node(Core):
    """A node that runs. config: dict as in config.json (docs/wire.md)."""

    def __init__(self, store, config):
        scope = config.get("scope")
        Core.__init__(
            self,
            store,
            load_key(store),
            check_name(config.get("name", "node")),
            bytes.fromhex(scope) if scope else None,
        )
        self.config = config
        self.clock = Clock()
        self.link = None
        for entry in config.get("oscore", []):
            self._preshare(entry)
        self._gateways = list(config.get("gateways", []))
        self._hello_ms = 0
        self._running = False

    @classmethod
    def load(cls, directory="/writ"):
        """The node whose config.json and records are in `directory`. Raises `UsageError`."""
        try:
            with open(directory + "/config.json") as handle:
                config = json.load(handle)
        except OSError:
            raise UsageError("no config.json in " + directory) from None
        except ValueError:
            raise UsageError("no JSON: config.json in " + directory) from None
        return cls(Store(FileFlash(directory)), config)

    def _preshare(self, entry):
        # {"member": capsule, "secret":, "salt":, "id": ours, "peer_id":, "context": or absent}, hex
        try:
            secret, salt, own_id, peer_id, raw = [
                bytes.fromhex(entry.get(key, ""))
                for key in ("secret", "salt", "id", "peer_id", "member")
            ]
            context = entry.get("context")
            context = None if context is None else bytes.fromhex(context)
        except (AttributeError, TypeError, ValueError):
            raise UsageError('config.json: an entry of "oscore" is not in hex') from None
        if len(secret) < 16:
            raise UsageError("config.json: an OSCORE secret has 16 bytes or more")
        try:
            self.sessions.preshare(raw, (secret, salt, own_id, peer_id, context))
        except Rejection as rejection:
            # not admitted (yet): no reason to leave all others unserved
            self.count(rejection)

    def open(self):
        """Bind the socket, once."""
        if self.link is None:
            self.link = UdpLink(self.config.get("listen", "0.0.0.0:5683"))

    def send(self, datagrams):
        """Hand [(address, datagram)] to the link."""
        for address, data in datagrams:
            self.link.send(address, data)

    def step(self, wait_ms=1000):
        """Wait at most `wait_ms` for a datagram, handle it, and do what is due."""
        due_ms = self.next_ms(self.clock.now_ms())
        if due_ms is not None:
            wait_ms = min(wait_ms, due_ms)
        found = None
        try:
            found = self.link.receive(wait_ms)
            now_ms = self.clock.now_ms()
            if found:
                self.send(self.receive(found[0], found[1], now_ms))
            self.send(self.tick(now_ms))
        except MemoryError as error:
            # a message lost, which its sender repeats, and not a device that has stopped
            self.count(error)
            if found:
                self.exchanges.forget()
        # now, while next to nothing is held, rather than in the middle of a handshake
        tidy()
        if self._gateways and self.authority.me and self.now_ms >= self._hello_ms:
            self._hello_ms = self.now_ms + _HELLO_MS
            # any traffic carries the epoch; this also tells the gateways where we are
            for address in self._gateways:
                if not self.sessions.by_address(address):
                    # a handshake may fail where many begin at once, as after a power cut
                    self._hello_ms = self.now_ms + _HELLO_AGAIN_MS
                self.send(self.governance.ask_beacon(address))

    def run(self):
        """Serve until `stop` is called."""
        self.open()
        self._running = True
        while self._running:
            self.step()

    def stop(self):
        """Let `run` return after its current step."""
        self._running = False

    def ask(self, name, method, path, payload=b"", on_answer=None):
        """Call `path` of the member called `name`; its address is looked up where it is unknown."""
        member = self.authority.peer_by(name=name)
        address = self.where(member.node_id) if member else None
        if address:
            self.send(
                self.request(method, path, payload, address, member.node_id, on_answer=on_answer)
            )
            return
        if not self._gateways:
            raise UsageError("nobody to ask where " + name + " is")
        via = list(self._gateways)

        def found(member, address):
            if member and address:
                self.later(
                    lambda now_ms: self.request(
                        method, path, payload, address, member.node_id, on_answer=on_answer
                    )
                )
            elif via:
                self.later(lambda now_ms: self.governance.resolve(name, via.pop(0), found))
            elif on_answer:
                on_answer(Answer(0, rejection=NotMember()))

        self.send(self.governance.resolve(name, via.pop(0), found))
