"""Times of the device core, on MicroPython and CPython; prints one line for each figure.

    micropython on_device.py FOLDER      # FOLDER: two provisioned nodes, gateway/ and soil/

A line is `name value`. Each figure is the smallest of several runs, since noise of a shared machine
only adds time. Figures that are compared with each other are pure computation: they count processor
time of this process, and run in turn, so that the noise is the same for all.
"""

import gc
import sys
import time

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.store import FileFlash, Store
from writ.node.node import Node
from writ.startup import load_key
from writ.wire import coap

_RUNS = 2

if hasattr(time, "ticks_us"):

    def now_us():
        return time.ticks_us()

    def since_us(start):
        return time.ticks_diff(time.ticks_us(), start)

    def computing_us():
        return time.clock() * 1000000
else:

    def now_us():
        return time.perf_counter_ns()

    def since_us(start):
        return (time.perf_counter_ns() - start) / 1000

    def computing_us():
        return time.process_time_ns() / 1000


def best_us(function, rounds):
    best = None
    for _ in range(rounds):
        gc.collect()
        start = now_us()
        function()
        took = since_us(start)
        if best is None or took < best:
            best = took
    return best


def best_in_turn(pairs, rounds):
    """The best processor time of each (function, its preparation), all run in turn."""
    best = [None] * len(pairs)
    for _ in range(rounds):
        for i, (function, before) in enumerate(pairs):
            took = 0
            # MicroPython's clock has a resolution of 1 ms, and several runs make it finer
            for _ in range(_RUNS):
                if before:
                    before()
                gc.collect()
                start = computing_us()
                function()
                took += computing_us() - start
            if best[i] is None or took < best[i]:
                best[i] = took
    return [took / _RUNS for took in best]


def forget_key():
    # the pure backend caches its computations for the last key: another key replaces them
    base = b"\x58" + b"\x66" * 31
    crypto.ed25519_verify(base, b"", base + bytes(32))


class Pair:
    """Two nodes that exchange datagrams by function calls."""

    def __init__(self, folder):
        self.nodes = {}
        for name in ("gateway", "soil"):
            store = Store(FileFlash(folder + "/" + name))
            self.nodes[name] = Node(store, load_key(store), name)
        self.nodes["soil"].resource("temp")(lambda request: b"21.5")
        self.now_ms = 1000

    def get(self):
        answers = []
        gateway = self.nodes["gateway"]
        gateway.now_ms = self.now_ms
        out = gateway.request(coap.GET, "temp", address="soil", on_answer=answers.append)
        queue = [("gateway", item) for item in out]
        while queue:
            source, (target, datagram) = queue.pop(0)
            self.now_ms += 4000
            out = self.nodes[target].receive(datagram, source, self.now_ms)
            queue += [(target, item) for item in out]
        assert answers[0].code == coap.CONTENT, answers[0].rejection

    def forget(self):
        for node in self.nodes.values():
            for session in list(node.sessions):
                node.sessions.drop(session)


def main(folder, rounds):
    pair = Pair(folder)
    member = pair.nodes["gateway"].authority.me
    group_key = pair.nodes["gateway"].authority.charter.group_key
    parsed = capsules.parse(member.raw)
    signed = parsed.signing_input()
    private = pair.nodes["gateway"].private

    def verify():
        assert crypto.ed25519_verify(group_key, signed, parsed.signature)

    def ecdh():
        crypto.p256_ecdh(private, member.x)

    def handshake():
        pair.forget()
        pair.get()

    verify()
    pairs = [(verify, None), (verify, forget_key)]
    if len(sys.argv) > 3:
        pairs.append((reticulum(sys.argv[3], signed), None))
    names = ("us.ed25519_verify", "us.ed25519_verify_new_key", "us.reticulum_verify")
    for i, best in enumerate(best_in_turn(pairs, 2 * rounds)):
        print(names[i], best)
    print("us.p256_ecdh", best_us(ecdh, rounds))
    pair.get()
    print("us.handshake", best_us(handshake, rounds) - best_us(pair.get, rounds))
    print("us.oscore_request", best_us(pair.get, 2 * rounds))
    authority = pair.nodes["soil"].authority
    peer = authority.peer(member.node_id)

    def decision():
        for _ in range(100):
            authority.authorise(peer, 1, "temp", pair.now_ms)

    print("us.policy_decision", best_us(decision, rounds) / 100)


def reticulum(folder, message):
    """Reticulum's own pure-Python verification, on this interpreter, of its own signature."""
    sys.path.insert(0, folder)
    import rns_eddsa

    seed = bytes(range(32))
    public = rns_eddsa.publickey(seed)
    signature = rns_eddsa.signature(message, seed, public)

    def verify():
        assert rns_eddsa.checkvalid(signature, message, public) is not False

    return verify


main(sys.argv[1], int(sys.argv[2]))
