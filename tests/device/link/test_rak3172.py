"""The driver of the RAK3172 against a scripted end, by RUI3's manual and its published firmware."""

from harness import raises
from modem_rig import ScriptedPort, Time, channel

from writ.errors import UsageError
from writ.limits import MODEM_TRIES_MAX
from writ.link.rak3172 import Rak3172
from writ.mesh.airtime import time_on_air_us

SET_UP = [
    b"AT",
    b"AT+NWM=?",
    b"AT+PRECV=0",
    b"AT+SYNCWORD=1424",
    b"AT+P2P=868100000:7:125:0:8:14",
    b"AT+CAD=1",
    b"AT+PRECV=65534",
]
OK = b"OK\r\n\r\n"
DONE = b"+EVT:TXP2P DONE\r\n"
FRAME = bytes([0, 13, 10, 255, 58]) + b"a frame"
BANNER = b"\r\nRAKwireless RAK3172-E\r\n---\r\nCurrent Work Mode: LoRa P2P.\r\n"


class Rui3:
    """The answers of the firmware: its state of reception, its mode, what it knows."""

    def __init__(self):
        self.mode = 0
        self.is_receiving = False
        self.is_old = False  # without these two commands
        self.busy = 0  # how often the channel is found busy
        self.has_event = True
        self.answers = True
        self.frames = []

    def __call__(self, line):
        if not self.answers:
            return b""
        if line == b"AT+NWM=?":
            return b"AT+NWM=%d\r\n" % self.mode + OK
        if line == b"AT+NWM=0":
            self.mode = 0
            # the module reboots in the middle of its answer
            return b"OK" + BANNER
        if self.mode:
            return b"AT_MODE_NO_SUPPORT\r\n" if line.startswith(b"AT+P") else OK
        if line == b"AT+PRECV=?":
            return (b"P2P_RX_ON" if self.is_receiving else b"P2P_RX_OFF") + b"\r\n" + OK
        if line == b"AT+PRECV=0":
            self.is_receiving = False
        elif line == b"AT+PRECV=65534":
            if self.is_receiving:
                return b"P2P_RX_ON already\r\nAT_BUSY_ERROR\r\n\r\n"
            self.is_receiving = True
        elif line.startswith(b"AT+P2P=") and self.is_receiving:
            return b"AT_BUSY_ERROR\r\n\r\n"
        elif line[:6] in (b"AT+CAD", b"AT+SYN") and self.is_old:
            return b"AT_COMMAND_NOT_FOUND\r\n\r\n"
        elif line.startswith(b"AT+PSEND="):
            if self.is_receiving or self.busy:
                self.busy -= not self.is_receiving
                return b"AT_BUSY_ERROR\r\n\r\n"
            self.frames.append(line[9:])
            return OK + (DONE if self.has_event else b"")
        return OK


def ready(**other):
    """(link, the firmware, port, time) of a modem that is set up."""
    firmware = Rui3()
    port = ScriptedPort(firmware)
    link = Rak3172(channel(modem="rak3172", **other), port)
    time = Time(link)
    time.run()
    assert link.error is None
    return link, firmware, port, time


def test_the_modem_is_set_up():
    link, firmware, port, _ = ready()
    assert port.lines == SET_UP and link.counters == {} and link.has_cad
    assert (link.kind, link.mtu) == (2, 239) and firmware.is_receiving
    assert link.airtime_us(239) == time_on_air_us(239, 7)


def test_the_parameters_of_the_channel():
    port = ready(
        frequency_khz=915000,
        spreading_factor=12,
        bandwidth_khz=500,
        coding_rate=8,
        power_dbm=22,
    )[2]
    assert port.lines[4] == b"AT+P2P=915000000:12:500:3:8:22"


def test_what_the_modem_cannot_do_is_refused():
    for power_dbm in (4, 23):
        config = channel(modem="rak3172", power_dbm=power_dbm)
        raises(UsageError, Rak3172, config, ScriptedPort(Rui3()))


def test_a_modem_in_lorawan_mode_is_rebooted_once():
    firmware = Rui3()
    firmware.mode = 1
    port = ScriptedPort(firmware)
    link = Rak3172(channel(modem="rak3172"), port)
    time = Time(link)
    time.run(10000)
    assert port.lines.count(b"AT+NWM=0") == 1
    assert port.lines[-len(SET_UP) :] == SET_UP and link.error is None


def test_a_reboot_without_a_banner_is_survived():
    class Silent(Rui3):
        """Says nothing after the reboot."""

        def __call__(self, line):
            return super().__call__(line).replace(BANNER, b"")

    firmware = Silent()
    firmware.mode = 1
    port = ScriptedPort(firmware)
    link = Rak3172(channel(modem="rak3172"), port)
    time = Time(link)
    time.run(10000)
    assert port.lines[-len(SET_UP) :] == SET_UP and link.error is None


def test_firmware_without_cad_is_used_without_it():
    firmware = Rui3()
    firmware.is_old = True
    port = ScriptedPort(firmware)
    link = Rak3172(channel(modem="rak3172"), port)
    time = Time(link)
    time.run()
    assert port.lines == SET_UP and not link.has_cad
    assert link.send(FRAME, time.now_ms) and link.error is None


def test_a_frame_is_sent_in_hex_while_reception_is_off():
    link, firmware, port, time = ready()
    assert link.send(FRAME, time.now_ms)
    time.run()
    assert port.lines[len(SET_UP) :] == [
        b"AT+PRECV=0",
        b"AT+PSEND=000d0aff3a61206672616d65",
        b"AT+PRECV=65534",
    ]
    assert firmware.is_receiving and link.send(FRAME, time.now_ms)
    assert link.counters == {}


def test_the_next_frame_waits_for_the_event():
    link, firmware, port, time = ready()
    firmware.has_event = False
    assert link.send(FRAME, time.now_ms)
    time.run(100)
    assert not link.send(FRAME, time.now_ms) and not firmware.is_receiving
    port.incoming += DONE
    time.run()
    assert firmware.is_receiving and link.send(FRAME, time.now_ms)


def test_a_lost_event_holds_the_link_up_for_a_second():
    link, firmware, _, time = ready()
    firmware.has_event = False
    assert link.send(FRAME, time.now_ms)
    time.run(990)
    assert not link.send(FRAME, time.now_ms)
    time.run(200)
    assert firmware.is_receiving and link.send(FRAME, time.now_ms)
    assert link.counters == {}


def test_a_busy_channel_gets_the_frame_later():
    link, firmware, port, time = ready()
    firmware.busy = 2
    assert link.send(FRAME, time.now_ms)
    time.run()
    # it listens while it waits
    assert firmware.is_receiving and not firmware.frames
    assert not link.send(b"next", time.now_ms)
    port.incoming += b"+EVT:RXP2P:-80:7:6869\r\n"
    assert time.run(2000) == [(b"hi", 7)]
    assert firmware.frames == [b"000d0aff3a61206672616d65"] and firmware.is_receiving
    assert link.counters == {}


def test_a_channel_that_stays_busy_costs_the_frame():
    link, firmware, port, time = ready()
    firmware.busy = 1000
    assert link.send(FRAME, time.now_ms)
    time.run(10000)
    assert firmware.busy == 1000 - MODEM_TRIES_MAX
    assert link.counters == {"ChannelBusy": 1} and firmware.is_receiving
    firmware.busy = 0
    assert link.send(b"next", time.now_ms)
    time.run()
    assert firmware.frames == [b"6e657874"] and port.lines[-1] == SET_UP[-1]


def test_a_frame_arrives_with_its_snr():
    _, _, port, time = ready()
    port.incoming = b"+EVT:RXP2P:-120:-7:000D0AFF\r\n+EVT:RXP2P:-30:11:61\r\n"
    assert time.run() == [(b"\0\r\n\xff", -7), (b"a", 11)]


def test_the_longest_frame_fits_a_line():
    link, firmware, port, time = ready()
    frame = bytes(range(1, 240))
    assert link.send(frame, time.now_ms)
    time.run()
    port.incoming = b"+EVT:RXP2P:-120:-20:" + firmware.frames[0] + b"\r\n"
    assert time.run() == [(frame, -20)]
    raises(UsageError, link.send, bytes(240), time.now_ms)


def test_a_damaged_frame_is_counted_and_costs_no_other():
    for line in (
        b"+EVT:RXP2P:-80:7:6\r\n",
        b"+EVT:RXP2P:-80:7:6x\r\n",
        b"+EVT:RXP2P:-80:7:\r\n",
        b"+EVT:RXP2P:-80:x:61\r\n",
        b"+EVT:RXP2P:-80:61\r\n",
        b"+EVT:RXP2P:-80:7:61:62\r\n",
        b"+EVT:RXP2P RECEIVE ERROR\r\n",
        b"+EVT:RXP2P:-80:7:" + b"61" * 240 + b"\r\n",
    ):
        link, _, port, time = ready()
        port.incoming = line + b"+EVT:RXP2P:-80:7:61\r\n"
        assert time.run() == [(b"a", 7)], line
        assert link.counters == {"BadFrame": 1}, line


def test_an_echo_and_other_lines_are_no_answers():
    link, firmware, port, time = ready()

    def echo(line):
        return line + b"\n\r" + firmware(line)

    port.answer = echo
    assert link.send(FRAME, time.now_ms)
    port.incoming += b"P2P_RX_ON\r\n+EVT:JOINED\r\n"
    time.run()
    assert link.counters == {} and firmware.is_receiving
    port.incoming += BANNER
    time.run()
    assert link.counters == {"Reset": 1} and link.error is None


def test_a_reset_sets_the_modem_up_again():
    link, firmware, port, time = ready()
    firmware.has_event = False
    assert link.send(FRAME, time.now_ms)
    time.run()
    firmware.is_receiving = False
    port.incoming += BANNER
    time.run()
    assert port.lines[-len(SET_UP) :] == SET_UP and firmware.is_receiving
    assert link.counters == {"Reset": 1, "FrameLost": 1}


def test_a_quiet_modem_is_asked_whether_it_receives():
    link, firmware, port, time = ready()
    time.run(61000)
    assert port.lines[len(SET_UP) :] == [b"AT+PRECV=?"] and link.counters == {}
    # a reset of which nothing was heard
    firmware.is_receiving = False
    time.run(61000)
    assert port.lines[-len(SET_UP) :] == SET_UP and firmware.is_receiving
    assert link.counters == {"Reset": 1} and link.error is None


def test_a_missing_answer_sets_the_modem_up_again_without_the_frame():
    link, firmware, port, time = ready()
    firmware.answers = False
    assert link.send(FRAME, time.now_ms)
    time.run(1600)
    firmware.answers = True
    time.run(5000)
    assert port.lines[-len(SET_UP) :] == SET_UP and firmware.frames == []
    assert link.counters == {"NoAnswer": 1, "FrameLost": 1}
    assert link.send(b"next", time.now_ms)


def test_a_modem_that_receives_already_is_no_failure():
    link, firmware, port, time = ready()
    firmware.has_event = False
    assert link.send(FRAME, time.now_ms)
    time.run()
    firmware.is_receiving = True
    port.incoming += DONE
    time.run()
    assert link.counters == {} and link.error is None and link.send(b"next", time.now_ms)


def test_a_modem_that_sleeps_does_not_receive():
    link, firmware, port, time = ready()
    assert not link.sleep(time.now_ms)
    time.run(200000)
    assert link.sleep(time.now_ms) and not firmware.is_receiving
    assert port.lines[len(SET_UP) :] == [b"AT+PRECV=0"]
    link.wake(time.now_ms)
    time.run()
    assert firmware.is_receiving and link.error is None and link.counters == {}


def test_a_modem_that_does_not_wake_is_set_up():
    link, firmware, port, time = ready()
    while not link.sleep(time.now_ms):
        time.run(10)
    firmware.answers = False
    link.wake(time.now_ms)
    time.run(1600)
    firmware.answers = True
    time.run(5000)
    assert port.lines[-len(SET_UP) :] == SET_UP and firmware.is_receiving
    assert link.counters == {"NoAnswer": 1}
