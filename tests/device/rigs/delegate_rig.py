"""A delegate with scripted host peers: functions that answer or time out."""

import signer
from fakeflash import MemoryFlash

from writ import cbor, compat, crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.node import operation
from writ.node.asking import Asking
from writ.node.call import Answer
from writ.node.context import NodeContext
from writ.node.delegate import Delegate
from writ.wire import coap

# as the agent does at its start
compat.save_heap()

PRIVATE = crypto.sha256(b"s")
KEY = crypto.p256_public(PRIVATE)
ME = capsule.node_id(KEY[0])
# members of the scope for 100 days, all but those that a test renews
SOON = signer.FOUNDED + 86400 * 100
LATER = SOON + 86400 * 365
PENDING = (coap.VALID, b"")
NO_QUORUM = (coap.UNAVAILABLE, b"")


def member_raw(x=KEY[0], name="s", address=2, roles=4, exp=LATER, nbf=None, seed=signer.GROUP_SEED):
    """A certified member capsule; unless told, this node's own, renewed."""
    odd = KEY[1] if x == KEY[0] else False
    return signer.certify(signer.member_payload(x, name, address, roles, exp, nbf, odd), seed)


class _Session:
    # the facts of a session that a delegate reads: the peer and its epoch
    def __init__(self, node_id):
        self.node_id = node_id
        self.seen_epoch = 1


class _Sessions:
    def __init__(self):
        self.all = {}

    def by_peer(self, node_id):
        if node_id not in self.all:
            self.all[node_id] = _Session(node_id)
        return self.all[node_id]

    def by_address(self, address):
        return self.all.get(address.encode())


class Rig:
    """A node with a real authority, and peers in the place of the network.

    peers: address -> function(call) that gives (code, payload), a `Rejection`, or None for silence;
    or a list of such answers, of which the last one stays. calls: all (address, method, path,
    payload, query) in order; silent: [on_answer] of those who wait.
    """

    def __init__(self, *addresses, **peers):
        self.config = {"governors": addresses or sorted(peers)}
        self.peers = peers
        self.now_ms = 1000
        self.counters = {}
        self.calls = []
        self.wanted = []  # for each call: the only node that may answer, or None
        self.silent = []
        self.names = []
        self.private = PRIVATE
        self.sessions = _Sessions()
        self.authority = Authority(Store(MemoryFlash()), KEY[0], signer.scope())
        self.take(signer.charter())
        self.take(member_raw(exp=SOON))
        rule = [1, 1, "t", 3]
        self.policy = signer.certify(signer.policy_payload(1, signer.charter_head(), [rule]))
        self.take(self.policy)
        self.take(signer.certify(signer.beacon_payload(1, self.authority.head, signer.FOUNDED)))
        self._later = []
        self.kept = ({}, [], [])
        self.delegate = Delegate(self, self.kept)

    def take(self, raw):
        """A capsule from the operator."""
        self.authority.receive(raw, self.now_ms)

    # --- what a delegate does with its node

    tell = NodeContext.tell

    def later(self, function, *args):
        self._later.append((function, args))

    def count(self, rejection):
        name = type(rejection).__name__
        self.counters[name] = self.counters.get(name, 0) + 1

    def make_room(self, error):
        self.count(error)

    def address_of(self, node_id):
        return "at " + node_id.hex()

    def ask(self, name, method, path, payload, on_answer):
        self.names.append(name)
        self.later(lambda now: self.request(method, path, payload, name, on_answer=on_answer))

    def request(
        self,
        method,
        path,
        payload=b"",
        address=None,
        wanted=None,
        query=(),
        observe=None,
        on_answer=None,
    ):
        call = (address, method, path, payload, query)
        self.calls.append(call)
        self.wanted.append(wanted)
        script = self.peers.get(address)
        if isinstance(script, list):
            script = script.pop(0) if len(script) > 1 else script[0]
        found = script(call) if callable(script) else script
        if found is None:
            self.silent.append(on_answer)
        else:
            self.later(self.answer, on_answer, address, found)
        return []

    # --- time

    def answer(self, on_answer, address, found, now_ms=None):
        """The answer reaches the delegate."""
        if isinstance(found, Exception):
            on_answer(Answer(0, rejection=found))
        else:
            peer = capsule.Member(capsule.parse(self.authority.me.raw))
            peer.node_id = address.encode()
            on_answer(Answer(found[0], found[1], peer))
        return []

    def run(self, seconds=0):
        """Do what is due now and in each of the next `seconds` seconds."""
        for second in range(seconds + 1):
            if second:
                self.now_ms += 1000
            self.turn()

    def turn(self):
        """What is due at this moment, and all that follows from it."""
        is_due = True
        while is_due:
            for call in Asking(self, self.kept).tick(self.now_ms):
                assert self.request(*call) == []
            later = self._later
            self._later = []
            for function, args in later:
                assert function(*args, self.now_ms) == []
            is_due = later or operation.is_due(self.kept, self.now_ms)

    def addresses(self):
        """The addresses that were asked, in order."""
        return [call[0] for call in self.calls]

    def claims(self, at=0):
        """What the statement of a call says, its signature checked."""
        outer = cbor.decode(self.calls[at][3])
        signed = capsule.signing_input(outer[2], capsule.ES256)
        assert outer[0] == b"\xa1\x01\x26" and outer[1] == {} and len(self.calls[at][3]) <= 768
        # deterministic (RFC 6979), and a device cannot verify it
        assert crypto.es256_sign(PRIVATE, signed) == outer[3]
        return cbor.decode(outer[2])


def given(raw):
    """The answer of an honest peer: the capsule."""
    return coap.CHANGED, raw
