"""Nodes that lose power at each write: the newest epoch stays, and no nonce is used twice."""

from fakeflash import TAILS, MemoryFlash, PowerCut, TornFlash
from node_rig import GATEWAY, RULES, SENSOR, Net, code, make, policy, serve, start

from writ import crypto
from writ.limits import SEQUENCE_RESERVE
from writ.wire import coap

LAW_2 = policy(2, policy(), RULES)
LAW_3 = policy(3, LAW_2, RULES)


class Nonces:
    """While entered, asserts that no key ever encrypts two messages with one nonce."""

    def __enter__(self):
        self.used = {}
        self._saved = crypto.aes_ccm_encrypt
        crypto.aes_ccm_encrypt = self._encrypt
        return self

    def _encrypt(self, key, nonce, aad, plaintext):
        assert (key, nonce) not in self.used, "a nonce twice"
        self.used[key, nonce] = True
        return self._saved(key, nonce, aad, plaintext)

    def __exit__(self, *_):
        crypto.aes_ccm_encrypt = self._saved


def flash_of(name, number, roles):
    """The content of a provisioned node's flash."""
    flash = MemoryFlash()
    make(name, number, roles, flash=flash)
    return flash.files


def life(net, seen):
    """Handshake, requests and answers with numbers of their own, two new epochs, a new session.

    seen: gets the epochs that "soil" has shown.
    """
    net.ask("gw", "soil", "temp", ms=1000)
    observed = net.call("gw", "soil", "temp", observe=True)
    net.run()
    for _ in range(SEQUENCE_RESERVE + 3):
        net.send("soil", net.nodes["soil"].notify("temp", net.now_ms))
        net.run()
    assert len(observed) > SEQUENCE_RESERVE
    for law in (LAW_2, LAW_3):
        net.nodes["gw"].authority.receive(law, net.now_ms)
        net.ask("gw", "soil", "temp", ms=1000)
        seen.append(net.nodes["soil"].authority.epoch)
    for session in list(net.nodes["soil"].sessions):
        net.nodes["soil"].sessions.drop(session)
    net.ask("gw", "soil", "temp", ms=1000)


def boot(files, at=None, byte=None, tail=None):
    """A sensor on these files; it loses power at write number `at`, if given."""
    node = start("soil", MemoryFlash(files) if at is None else TornFlash(files, at, byte, tail))
    serve(node)
    return node


def test_power_may_fail_at_each_write_of_a_nodes_life():
    files = flash_of("soil", 2, SENSOR)
    soil = boot(dict(files))
    net = Net(gw=make("gw", 1, GATEWAY), soil=soil)
    life(net, [])
    writes = soil.store._flash.writes
    assert writes >= 5
    for at in range(writes):
        for number, byte in enumerate((0, 3, 90, None)):
            seen = []
            mine = dict(files)
            with Nonces() as nonces:
                net = Net(gw=make("gw", 1, GATEWAY), soil=boot(mine, at, byte, TAILS[number]))
                try:
                    life(net, seen)
                    raise AssertionError("no power cut")
                except PowerCut:
                    pass
                net.queue.clear()
                net.nodes["soil"] = soil = boot(mine)
                # an epoch that was shown is never forgotten
                assert soil.authority.epoch >= max(seen, default=1)
                answer = net.ask("gw", "soil", "temp", ms=200000)
                assert code(answer) == "2.05", (at, byte)
                assert soil.authority.epoch == net.nodes["gw"].authority.epoch
                net.nodes["soil"] = soil = boot(mine)
                assert soil.authority.epoch == net.nodes["gw"].authority.epoch
                assert code(net.ask("gw", "soil", "temp", ms=200000)) == "2.05"
                assert len(nonces.used) > 6


def test_power_may_fail_at_each_write_of_a_caller():
    files = flash_of("gw", 1, GATEWAY)
    for at in range(3):
        for byte in (0, 40, None):
            mine = dict(files)
            soil = make("soil", 2, SENSOR)
            serve(soil)
            with Nonces():
                net = Net(gw=start("gw", TornFlash(mine, at, byte)), soil=soil)
                try:
                    for _ in range(2 * SEQUENCE_RESERVE):
                        net.ask("gw", "soil", "hello")
                        net.log.clear()
                    assert at == 2
                except PowerCut:
                    pass
                net.queue.clear()
                net.nodes["gw"] = start("gw", MemoryFlash(mine))
                answer = net.ask("gw", "soil", "hello", ms=200000)
                assert code(answer) == "2.05"


def test_a_damaged_or_odd_session_record_costs_a_handshake_and_no_more():
    net = Net(gw=make("gw", 1, GATEWAY), soil=boot(flash_of("soil", 2, SENSOR)))
    net.ask("gw", "soil", "temp")
    files = net.nodes["soil"].store._flash.files
    store = net.nodes["soil"].store
    for record in (
        None,
        b"\x80",
        b"\x84\x01\x02\x03\x04",
        b"\xff",
        b"\x00",
        b"\x84\x40\x80\xf5\x00",
    ):
        if record is None:
            files["s0.a"] = files["s0.b"] = b"damaged"
        else:
            store.save("s0", record)
        net.nodes["soil"] = boot(files)
        store = net.nodes["soil"].store
        assert len(net.nodes["soil"].sessions) == 0
        net.now_ms += 60000
        assert code(net.ask("gw", "soil", "temp", coap.GET)) == "2.05"
        # and the record is whole again
        assert len(boot(files).sessions) == 1


def test_ids_of_sessions_that_may_come_back_are_not_given_again():
    net = Net(gw=make("gw", 1, GATEWAY), soil=boot(flash_of("soil", 2, SENSOR)))
    for number in range(10):
        name = f"gw{number}"
        net.nodes[name] = make(name, 20 + number, GATEWAY)
        net.now_ms += 30000
        assert code(net.ask(name, "soil", "temp")) == "2.05"
        soil = net.nodes["soil"]
        if number % 3 == 2:
            soil.sessions.drop(next(iter(soil.sessions)))
        back = boot(dict(soil.store._flash.files))
        ids = [session.context.recipient_id for session in back.sessions]
        assert len(ids) == len(set(ids))
