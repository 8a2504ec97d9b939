"""Nodes that sleep deeply, in virtual time: what is in RAM is lost, as at a start."""

from airfield_rig import RELAY, AirField
from fakeflash import MemoryFlash

from writ import crypto, sleeprecord
from writ.limits import AWAKE_S_MAX
from writ.mesh import kept
from writ.mesh.linkkey import LinkKeys
from writ.sleeper import Sleeper
from writ.wire import coap
from writ.wire.oscore import Context

HOUR = 3600


class DeepField(AirField):
    """An `AirField` with a deep sleeper, "soil": beside the gateway, or behind relays."""

    def __init__(self, *relays, sleep_s=HOUR, step_ms=20, off_ms=1000):
        super().__init__()
        self.sleep_s = sleep_s
        self.step_ms, self.off_ms = step_ms, off_ms
        self.flash = MemoryFlash()
        self.awake_ms = 0
        for number, name in enumerate(("gate", *relays), 1):
            self.node(name, number, RELAY, is_gateway=name == "gate")
        self.node("soil", len(relays) + 2, flash=self.flash, sleep_s=sleep_s)
        if relays:
            self.cut |= {("gate", "soil"), ("soil", "gate")}
        self.levels = []
        gate = self.nodes["gate"]
        gate.resource("level", ("PUT",))(lambda request: self.levels.append(request.payload) or b"")
        # it joins, within the time that it may stay awake
        self.settle()
        self.run(None, 20)
        self.ask("soil", "gate", "temp")
        # and reports its neighbours
        self.pass_time(700)
        self.settle()

    @property
    def soil(self):
        return self.nodes["soil"]

    @property
    def mesh(self):
        return self.frames["soil"].mesh

    def run(self, until=None, seconds=120):
        end_ms = self.now_ms + 1000 * seconds
        while self.now_ms < end_ms and not (until and until()):
            self.step(self.step_ms)
        return until is None or until()

    def pass_time(self, seconds):
        """Let the time pass while the sleeping node is off."""
        self.asleep.add("soil")
        end_ms = self.now_ms + 1000 * seconds
        while self.now_ms < end_ms:
            self.step(min(self.off_ms, end_ms - self.now_ms))
        self.asleep.discard("soil")

    def settle(self):
        """Do what is due, up to the moment at which the node may sleep. ms."""
        frames = self.frames["soil"]
        frames.sleeper = Sleeper(frames, self.sleep_s, self.now_ms + 1000 * AWAKE_S_MAX)
        begin_ms = self.now_ms
        assert self.run(lambda: frames.sleeper.is_ready(self.now_ms), 600)
        frames.sleeper = None
        return self.now_ms - begin_ms

    def clock_s(self):
        """The clock of the chip, which goes on in a deep sleep."""
        return 1700000000 + self.now_ms // 1000

    def reading(self):
        """Send a reading of 4 bytes to the gateway, and settle: [(whether it is sent, bytes)]."""
        before = len(self.sent)
        answers = []
        soil = self.soil
        soil.now_ms = self.now_ms
        request = soil.request(coap.PUT, "level", b"21.5", "mesh:0001", on_answer=answers.append)
        self.send("soil", request)
        self.awake_ms = self.settle()
        assert [one.code for one in answers] == [coap.CHANGED]
        own = soil.authority.me.address.to_bytes(2, "big")
        frames = [(name == "soil", raw) for _, name, raw in self.sent[before:]]
        return [(mine, len(raw)) for mine, raw in frames if mine or raw[6:8] == own]

    def power_down(self, seconds=None):
        """Write the record, and switch off."""
        seconds = self.sleep_s if seconds is None else seconds
        self.soil.frames = self.frames["soil"]
        sleeprecord.write(self.soil, self.now_ms, 1000 * seconds, self.clock_s())
        # what is on its way to it is lost
        self._due = [entry for entry in self._due if entry[1] == "soil"]

    def power_up(self, files=None):
        """Start "soil" on its flash, or on these files. Whether it goes on where it was."""
        self.flash = MemoryFlash(self.flash.files if files is None else files)
        node = self.node("soil", 0, flash=self.flash, sleep_s=self.sleep_s, is_blank=True)
        node.authority.now_s(self.now_ms)
        found = sleeprecord.take(node, self.clock_s())
        if found:
            kept.load(self.frames["soil"], found[0], self.now_ms, found[1])
        return found is not None

    def deep_sleep(self, seconds=None):
        """One sleep: off for so long, and on again with the record."""
        seconds = self.sleep_s if seconds is None else seconds
        self.power_down(seconds)
        self.pass_time(seconds)
        assert self.power_up()


class Nonces:
    """Notes each key with each nonce, and each frame counter, of all nodes of this process."""

    def __init__(self, monkeypatch):
        self.sealed = set()
        self.counters = set()
        self.opened = set()
        self.twice = []
        self._watch_oscore(monkeypatch)
        self._watch_frames(monkeypatch)

    def _note(self, where, what):
        if what in where:
            self.twice.append(what)
        where.add(what)

    def _watch_oscore(self, monkeypatch):
        plain = crypto.aes_ccm_encrypt

        def seal(key, nonce, aad, data, *rest):
            self._note(self.sealed, (bytes(key), bytes(nonce)))
            return plain(key, nonce, aad, data, *rest)

        accept = Context.accept

        def accepted(context, number):
            self._note(self.opened, (context._recipient_key, number))
            accept(context, number)

        monkeypatch.setattr(crypto, "aes_ccm_encrypt", seal)
        monkeypatch.setattr(Context, "accept", accepted)

    def _watch_frames(self, monkeypatch):
        plain = LinkKeys.next_counter

        def counter(keys):
            number = plain(keys)
            # a restart has another object on the same flash
            self._note(self.counters, (id(keys._store._flash.files), number))
            return number

        monkeypatch.setattr(LinkKeys, "next_counter", counter)
