"""The driver of the E22 against a scripted end, by Ebyte's manual of the E22-xxxT22S."""

from harness import raises
from modem_rig import ScriptedPort, Time, channel

from writ.errors import UsageError
from writ.link.e22 import E22
from writ.link.serial import pack
from writ.mesh.airtime import time_on_air_us

E22_CHANNEL = {
    "modem": "e22",
    "frequency_khz": 868125,
    "spreading_factor": 11,
    "bandwidth_khz": 500,
    "power_dbm": 22,
}
# 9600 8N1 and 2.4k, 22 dBm and sub-packets of 240 bytes, channel 18, LBT and transparent
WANTED = b"\0\0\0\x62\0\x12\x13"
FACTORY = b"\0\0\0\x62\0\x12\x03"
FRAME = b"a\0frame\r\n" + bytes(9)


class Module(ScriptedPort):
    """The module's serial port and pins: registers in configuration mode, the air otherwise."""

    def __init__(self, registers=WANTED):
        super().__init__(None)
        self.registers = registers
        self.mode = (1, 1)
        self.is_silent = False
        self.is_busy = False
        self.writes = 0
        self.on_air = b""

    def set_mode(self, m0, m1):
        """As `e22.Pins`."""
        self.mode = (m0, m1)

    def is_free(self):
        """As `e22.Pins`."""
        return not self.is_busy

    def write(self, data):
        """Registers in configuration mode, else the air."""
        if self.handle is None:
            return False
        if self.mode == (0, 0):
            self.on_air += data
        elif self.mode == (0, 1) and not self.is_silent:
            if data == b"\xc1\x00\x07":
                self.incoming += data + self.registers
            elif data[:3] == b"\xc0\x00\x07" and len(data) == 10:
                self.registers = data[3:]
                self.writes += 1
                self.incoming += b"\xc1" + data[1:]
            else:
                self.incoming += b"\xff\xff\xff"
        return True


def entry(**other):
    """An entry of "links" for the module."""
    config = channel(**E22_CHANNEL)
    config.update(other)
    return config


def ready(registers=WANTED, **other):
    """(link, module, time) of a module that is set up by its pins."""
    module = Module(registers)
    link = E22(entry(**other), module, module)
    time = Time(link)
    time.run(500)
    return link, module, time


def silent():
    """(link, module, time) of a module as from the factory that does not answer."""
    module = Module(FACTORY)
    module.is_silent = True
    link = E22(entry(), module, module)
    return link, module, Time(link)


def without_pins():
    """(link, module, time) of a module whose pins are wired."""
    module = Module(FACTORY)
    module.mode = (0, 0)
    link = E22(entry(baud=115200), module)
    return link, module, Time(link)


def test_the_registers_are_written_where_they_differ():
    for registers, writes in ((WANTED, 0), (FACTORY, 1), (b"\x12\x34\0\x65\xc3\x05\xc3", 1)):
        link, module, _ = ready(registers)
        assert (module.registers, module.writes, module.mode) == (WANTED, writes, (0, 0))
        assert link.error is None and link.counters == {}


def test_the_registers_of_a_channel():
    for other, registers in (
        ({"spreading_factor": 12, "bandwidth_khz": 125}, b"\0\0\0\x60\0\x12\x13"),
        ({"spreading_factor": 7}, b"\0\0\0\x65\0\x12\x13"),
        ({"frequency_khz": 915125, "power_dbm": 10}, b"\0\0\0\x62\x03\x41\x13"),
        ({"frequency_khz": 434125, "power_dbm": 27}, b"\0\0\0\x62\x01\x18\x13"),
    ):
        assert ready(**other)[1].registers == registers


def test_what_the_module_cannot_do_is_refused():
    for other in (
        {"spreading_factor": 9},
        {"spreading_factor": 7, "bandwidth_khz": 125},
        {"coding_rate": 6},
        {"power_dbm": 14},
        {"frequency_khz": 868100},
        {"frequency_khz": 931125},
        {"frequency_khz": 849125},
        {"baud": 115200},
    ):
        module = Module()
        raises(UsageError, E22, entry(**other), module, module)
    # an interpreter without pins
    raises(UsageError, E22, entry(m0=2, m1=3), Module())


def test_without_pins_nothing_is_written_but_frames():
    link, module, time = without_pins()
    time.run(2000)
    assert module.on_air == b"" and link.error is None
    assert link.send(FRAME, time.now_ms) and module.on_air == pack(FRAME)


def test_frames_go_as_on_a_serial_line():
    link, module, time = ready()
    assert (link.kind, link.mtu) == (2, 235)
    assert link.send(FRAME, time.now_ms)
    assert module.on_air == pack(FRAME)
    # a byte of RSSI may follow, and noise
    module.incoming = pack(FRAME) + b"\xb0" + pack(b"x")
    assert time.run() == [(FRAME, None), (b"x", None)]
    assert link.counters == {"BadFrame": 1}


def test_the_longest_frame_is_one_packet_of_the_module():
    link, module, time = ready()
    frame = bytes(range(1, 236))
    assert link.send(frame, time.now_ms) and len(module.on_air) == 240
    raises(UsageError, E22.send, ready()[0], bytes(236), time.now_ms)
    assert link.airtime_us(235) == time_on_air_us(243, 11, 500)


def test_the_next_frame_waits_for_line_and_air():
    link, _, time = ready()
    begin_ms = time.now_ms
    assert link.send(FRAME, begin_ms)
    while link.is_sending(time.now_ms):
        assert not link.send(FRAME, time.now_ms)
        time.run(1)
    assert link.send(FRAME, time.now_ms)
    # 23 bytes of ten bits at 9600 baud
    expected_ms = link.airtime_us(len(FRAME)) // 1000 + 23 * 10000 // 9600
    assert expected_ms <= time.now_ms - begin_ms <= expected_ms + 25


def test_a_busy_module_takes_no_frame():
    link, module, time = ready()
    module.is_busy = True
    assert not link.send(FRAME, time.now_ms)
    module.is_busy = False
    assert link.send(FRAME, time.now_ms)


def test_a_silent_module_is_asked_less_and_less_often():
    link, module, time = silent()
    time.run(300000)
    assert 10 <= link.counters["NoAnswer"] <= 15 and link.error
    assert not link.send(FRAME, time.now_ms)
    module.is_silent = False
    time.run(32000)
    assert link.error is None and module.registers == WANTED


def test_registers_that_do_not_take_are_refused():
    class Stubborn(Module):
        """Answers a write as its registers are."""

        def write(self, data):
            """See `Module`."""
            taken = super().write(data)
            if data[:1] == b"\xc0":
                self.registers = FACTORY
                self.incoming = self.wrong
            return taken

    for wrong in (b"\xff\xff\xff", b"\xc1\0\x07" + FACTORY):
        module = Stubborn(FACTORY)
        module.wrong = wrong
        link = E22(entry(), module, module)
        time = Time(link)
        time.run(900)
        assert link.counters == {"Refused": 1} and link.error, wrong
        assert not link.send(FRAME, time.now_ms)


def test_noise_before_an_answer_is_skipped():
    module = Module(FACTORY)
    module.incoming = b"noise \xc1\0\x07 and more noise"
    link = E22(entry(), module, module)
    time = Time(link)
    time.run(5000)
    assert link.error is None and module.registers == WANTED


def test_a_replugged_module_is_set_up_again():
    link, module, time = ready()
    module.unplug()
    time.run(100)
    assert link.error == "gone" and not link.send(FRAME, time.now_ms)
    module.registers = FACTORY
    module.plug_in()
    time.run(2000)
    assert link.error is None and module.registers == WANTED and module.mode == (0, 0)
    assert link.counters == {"Reopened": 1}


def test_a_module_sleeps_by_its_pins():
    link, module, time = ready()
    assert link.send(FRAME, time.now_ms) and not link.sleep(time.now_ms)
    time.run(2000)
    assert link.sleep(time.now_ms) and module.mode == (1, 1)
    assert not link.send(FRAME, time.now_ms) and link.error == "the modem sleeps"
    time.run(100000)
    assert link.sleep(time.now_ms) and module.mode == (1, 1)
    link.wake(time.now_ms)
    # it changes its mode
    assert module.mode == (0, 0) and not link.send(FRAME, time.now_ms)
    time.run(200)
    assert link.send(FRAME, time.now_ms) and link.counters == {}


def test_a_module_without_pins_goes_on():
    link, module, time = without_pins()
    time.run(10)
    assert link.sleep(time.now_ms) and link.error is None
    module.incoming = pack(b"x")
    assert time.run() == [(b"x", None)]


def test_a_late_answer_and_a_missing_one_begin_again():
    link, module, time = silent()
    time.run(1500)
    assert link.counters == {"NoAnswer": 1} and module.writes == 0
    # in the pause
    module.incoming = b"\xc1\0\x07" + FACTORY
    module.is_silent = False
    time.run(3000)
    assert link.error is None and module.registers == WANTED and link.counters == {"NoAnswer": 1}


def test_a_garbled_answer_is_none():
    link, module, time = silent()
    time.run(200)
    module.incoming = b"\xc1\0\x52" + FACTORY
    module.is_silent = False
    time.run(6000)
    assert link.error is None and module.registers == WANTED and link.counters == {"NoAnswer": 1}
