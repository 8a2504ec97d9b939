"""The agent: a node with its directory, a UDP socket and frame links. It joins node and links.

node = writ.Node.load("/node")      # config.json and the records of store.py are there
node.run()
"""

from . import crypto
from .authority.capsule import check_name, node_id
from .authority.store import FileFlash, Store
from .compat import Clock, tidy, unload
from .errors import NoRoute, RateLimited, Rejection, UsageError
from .limits import DATAGRAMS_A_STEP, SHARE_OF_STRANGERS
from .node.call import Answer
from .node.node import Node as Core
from .wire.coap import is_plain

# how often a gateway is asked for its beacon
_HELLO_MS = 30000
_HELLO_AGAIN_MS = 4000
# how often `run` looks for changes that it prints
_SHOW_MS = 10000
# how often the node asks for its renewal when its membership is about to expire
_RENEW_AGAIN_MS = 3600000


class Node(Core):
    """A node with a clock and a link. config: dict as in config.json (docs/wire.md)."""

    def __init__(self, store, config):
        from .startup import lan_parts, load_key, mend, resume

        scope = config.get("scope")
        Core.__init__(
            self,
            store,
            load_key(store),
            check_name(config.get("name", "node")),
            bytes.fromhex(scope) if scope else None,
        )
        mend(self)
        self.config = config
        self.clock = Clock()
        self.link = None
        self._listen = config.get("listen", "0.0.0.0:5683")
        entries = config.get("oscore")
        if entries:
            from .node.preshared import preshare_all

            preshare_all(self, entries)
        # of the mesh, from before a deep sleep, until `open`
        self.kept = resume(self)
        self._gateways = config.setdefault("gateways", [])
        self._hello_ms = 0  # when the gateways are greeted
        self._greeted = None  # the own `Member` when the gateways were greeted last
        self._delegate = None
        # the delegate's state: peers' standings, operations, answers that came
        self._delegate_state = ({}, [], [])
        # how long before its expiry the membership is renewed, if there is a peer to ask
        self._renew_s = 86400 * config.get("renew_days", 30)
        if not (config.get("governors") or self._gateways):
            self._renew_s = 0
        self._renew_ms = 0
        self._ended = self._ended_before()
        self._lan = lan_parts(self, self._gateways)
        self._is_flooded = False  # whether the last step has left datagrams waiting
        self._is_full = False  # whether the last step had no room for its own work
        self._running = False
        self._shown = ()  # what `show_changes` has printed last
        self._lock = None  # of the folder

    @classmethod
    def load(cls, directory="/node"):
        """The node whose config.json and records are in `directory`.

        Raises `UsageError`, also for a directory that another process uses (on CPython only), and
        `StoreDamaged`.
        """
        from .configfile import read_config

        config, lock = read_config(directory)
        # the code of a start is needed once
        unload("configfile")
        try:
            node = cls(Store(FileFlash(directory)), config)
        except BaseException:
            if lock:
                lock.close()
            raise
        node._lock = lock
        unload("startup")
        return node

    @property
    def delegate(self):
        """The `delegate.Delegate` for operations at host peers, made when it is used."""
        if self._delegate is None:
            from .node.delegate import Delegate

            self._delegate = Delegate(self, self._delegate_state)
        return self._delegate

    def open(self):
        """Bind the socket, and open the frame links, once."""
        if self.link is None:
            self.link = self.open_link()
            if self.config.get("links"):
                from .startup import start_frames

                # the UDP link and the frame links as one; the mesh takes part in each tick
                self.link = start_frames(self, self._lan)
                unload("startup")

    def open_link(self):
        """The UDP link of this node. Raises `OSError`."""
        from .startup import open_link

        unload("startup")
        return open_link(self.config, self._listen)

    def receive(self, datagram, source, now_ms):
        """As the core does; a request to a group of nodes, and its answer, are the agent's own."""
        for part in self._lan:
            taken = part.receive(datagram, source, self.link, now_ms)
            if taken:
                if taken is not True:
                    # a gateway was found
                    self._hello_ms = 0
                return []
        return Core.receive(self, datagram, source, now_ms)

    def tick(self, now_ms):
        """As the core does, with what is due on the local network."""
        out = Core.tick(self, now_ms)
        for part in self._lan:
            out += part.tick(now_ms)
        return out

    def next_ms(self, now_ms):
        """As the core does, with what is due on the local network."""
        due_ms = Core.next_ms(self, now_ms)
        for part in self._lan:
            part_ms = part.next_ms(now_ms)
            if due_ms is None or (part_ms is not None and part_ms < due_ms):
                due_ms = part_ms
        return due_ms

    def send(self, datagrams):
        """Hand [(address, datagram)] to the link."""
        for address, data in datagrams:
            self.link.send(address, data)

    def step(self, wait_ms=1000):
        """Wait at most `wait_ms` for a datagram, handle it, and do what is due."""
        due_ms = self.next_ms(self.clock.now_ms())
        if due_ms is not None:
            wait_ms = min(wait_ms, due_ms)
        if self._has_operation_due(self.clock.now_ms()):
            wait_ms = 0
        try:
            # a heap that is full does what is due first: time-outs free the memory that a datagram
            # needs. In a flood, several datagrams share the cost of a step
            is_flooded = self._is_flooded
            self._is_flooded = not self._is_full
            for number in range(0 if self._is_full else DATAGRAMS_A_STEP):
                found = self.link.receive(wait_ms)
                if not found:
                    self._is_flooded = False
                    break
                wait_ms = 0
                if is_flooded and number % SHARE_OF_STRANGERS and is_plain(found[0]):
                    self.count(RateLimited())
                else:
                    self._handle(found[0], found[1])
            self._is_full = False
            now_ms = self.clock.now_ms()
            self.send(self.tick(now_ms))
            for call in self._due_calls(now_ms):
                try:
                    self.send(self.request(*call))
                except MemoryError as error:
                    # nothing was sent: the operation asks again
                    self.make_room(error)
                    call[-1](Answer(0, rejection=RateLimited()))
            since = self._ended_before()
            if since != self._ended:
                # the last request was for a membership that is void now
                self._ended = since
                self._renew_ms = 0
            if self._renew_s and now_ms >= self._renew_ms and self._expires_soon(now_ms):
                self._renew_ms = now_ms + _RENEW_AGAIN_MS
                self.delegate.renew()
            self._greet()
        except MemoryError as error:
            # otherwise the node might never receive a message again
            self.make_room(error)
            self._is_full = True
        self._unload_rare()
        # collect now, while little is in use, rather than in the middle of a handshake
        tidy()

    def _unload_rare(self):
        # code of events that are rare, such as a succession: a handshake needs its room
        unload("node.statement")
        unload("node.renewal")
        unload("node.resolve")
        unload("node.ccs")
        unload("authority.lookup")
        unload("authority.succession")
        actions = self.authority.actions
        if actions and not actions.is_waiting(self.authority.now_s(self.now_ms)):
            # the nonces of executed actions are on flash
            self.authority.actions = None
            unload("authority.actions")

    def _handle(self, data, address):
        # handle a datagram and send the answer. If the heap is full, what strangers left here is
        # forgotten. A stranger must repeat its message, and that of a member is handled again.
        # If there is no room even then, the least recently used session ends
        for _ in range(2):
            try:
                return self.send(self.receive(data, address, self.clock.now_ms()))
            except MemoryError as error:
                self.count(error)
            # this may be the end of a handshake under way
            self.forget_strangers(is_plain(data))
            tidy()
            if is_plain(data):
                return None
        return self.sessions.give_way()

    def _greet(self):
        me = self.authority.me
        if me is not self._greeted:
            # admitted, renewed or renamed: others ask the gateways for name and address
            self._greeted = me
            self._hello_ms = 0
        if self._gateways and self.authority.charter and self.now_ms >= self._hello_ms:
            self._hello_ms = self.now_ms + _HELLO_MS
            is_refused = me is None or self.authority.is_past(me, self.now_ms)
            # any traffic carries the epoch; this also shows the gateways our address
            for address in self._gateways:
                session = self.sessions.by_address(address)
                if is_refused:
                    # lost by the flash, expired or void: a gateway may have a newer one
                    self.send(self.client.catch_up(address, [], None, self.now_ms))
                    if me is None or not session:
                        continue
                elif not session:
                    # a handshake may fail when many begin at once, as after a power cut
                    self._hello_ms = self.now_ms + _HELLO_AGAIN_MS
                elif session.is_writ and session.shown is not me:
                    from .node.renewal import show

                    self.send(show(self.client, None, session, self.now_ms))
                self.send(self.sync.ask_beacon(address))

    def _has_operation_due(self, now_ms):
        if not self._delegate_state[1]:
            return False
        from .node.operation import is_due

        return is_due(self._delegate_state, now_ms)

    def _due_calls(self, now_ms):
        # the calls to make. The code that decides is unloaded before they begin: it is large, and a
        # handshake needs the room. What apps call is unloaded before the decision
        calls = []
        if self._delegate or self._has_operation_due(now_ms):
            self._forget_delegate()
            from .node.asking import Asking

            calls = Asking(self, self._delegate_state).tick(now_ms)
            self._forget_delegate()
            unload("node.asking")
            if not self._delegate_state[1]:
                self._delegate_state[2].clear()
                unload("node.operation")
        return calls

    def _forget_delegate(self):
        self._delegate = None
        unload("node.delegate")

    def _ended_before(self):
        # the epoch of the last change that has ended memberships: a succession or a clean-up
        policy = self.authority.policy
        return max(self.authority.key_epoch, policy.void_before if policy else 0)

    def _expires_soon(self, now_ms):
        me = self.authority.me
        if me and me.key_epoch != self.authority.key_epoch:
            from .authority.succession import vouch

            # certified by the previous group key: other nodes refuse it
            return not vouch(self.authority, me)
        return me and (
            self.authority.is_outdated(me)
            or me.expires - self.authority.now_s(now_ms) < self._renew_s
        )

    def announce(self):
        """Print name, node id and address, which an operator compares before admitting a node.

        A port of 0 says nothing: a node of a mesh may need none.
        """
        own_id = node_id(crypto.p256_public(self.private)[0])
        # a renamed member keeps its old name in config.json
        name = (self.authority.me or self).name
        port = "" if self._listen[-2:] == ":0" else ", listens at " + self._listen
        print(name + ", node id " + own_id.hex() + port)

    def show_changes(self):
        """Print what has changed of membership and links (news.py)."""
        from .news import show

        unload("news")
        self._shown = show(self, self._shown)

    def run(self):
        """Announce this node, and serve until `stop` is called."""
        try:
            self.open()
        except (OSError, ValueError) as error:
            raise SystemExit(
                'cannot listen at %s ("listen" in config.json): %s' % (self._listen, error)
            ) from None
        self.announce()
        self._running = True
        show_ms = 0
        while self._running:
            self.step()
            if self.now_ms >= show_ms:
                # a modem needs some seconds at the start
                if show_ms:
                    try:
                        self.show_changes()
                    except MemoryError as error:
                        self.count(error)
                show_ms = self.now_ms + _SHOW_MS

    def sleep(self, seconds=None, deep=False):
        """Finish what is under way, tell the parent in the mesh, and sleep (sleep.py).

        seconds: config.json's "sleep_s" if absent, which it must not exceed. Raises `UsageError`.
        deep: the program ends, by `SystemExit` where the chip does not restart it, and
        `Node.load` goes on from what this node has written (sleeprecord.py).
        """
        from .sleep import sleep

        try:
            sleep(self, seconds, deep)
        finally:
            unload("sleep")

    def stop(self):
        """Let `run` return after its current step."""
        self._running = False

    def ask(self, name, method, path, payload=b"", on_answer=None):
        """Call `path` of the member called `name`; an unknown address is looked up.

        In a mesh without gateways on IP, the answer for an unknown name is `NoRoute`: this node
        has not joined yet, or has no session with that member.
        """
        self.open()
        member = self.authority.peer_by(name=name)
        address = self.address_of(member.node_id) if member else None
        try:
            if address and self._gateways:
                self.authority.check_member(member, self.now_ms, True)
        except Rejection:
            # the name may have a new holder
            address = None
        if self.config.get("links") and not self._gateways:
            if not member:
                rejection = NoRoute()
                self.count(rejection)
                if on_answer:
                    self.tell(on_answer, Answer(0, rejection=rejection))
                return
            address = address or "mesh:%04x" % member.address
        if address:
            self.send(
                self.request(method, path, payload, address, member.node_id, on_answer=on_answer)
            )
            return
        if not self._gateways:
            raise UsageError("no gateway to look up the address of " + name)
        from .node.resolve import ask

        self.send(ask(self, self._gateways, name, method, path, payload, on_answer))
