"""The link of SPI radios, with a radio in the place of that of micropython-lib's package `lora`.

tests/host/writ/link/test_lora_package.py runs the package itself where it is.
"""

from harness import raises
from modem_rig import Time, channel

from writ.errors import UsageError
from writ.link.radio import SpiLink, radio_settings
from writ.mesh.airtime import time_on_air_us


class Packet(bytearray):
    """As `lora.RxPacket`: the payload with its SNR in quarters of a dB."""

    snr = 0


class Radio:
    """The low-level API of the package's modems (its README.md)."""

    def __init__(self):
        self.packets = []
        self.sent = []
        self.calls = []
        self.is_sending = False
        self.is_receiving = False
        self.is_broken = False
        self.crc_errors = 0

    def _work(self, name):
        if self.is_broken:
            raise RuntimeError("BUSY timeout")
        self.calls.append(name)

    def start_recv(self, timeout_ms=None, continuous=False, rx_length=0xFF):
        """Receive from now on."""
        self._work("start_recv")
        self.is_receiving = continuous

    def poll_recv(self, rx_packet=None):
        """A packet; True: receiving; False: not."""
        self._work("poll_recv")
        if not self.is_receiving:
            return False
        if self.packets and not self.is_sending:
            return self.packets.pop(0)
        return True

    def prepare_send(self, packet):
        """What has arrived and was not read is lost, as in the radio."""
        self._work("prepare_send")
        self.packets = []
        self.sent.append(bytes(packet))

    def start_send(self):
        """Send what was prepared."""
        self._work("start_send")
        self.is_sending = True

    def poll_send(self):
        """True while it sends, then once the time of the end."""
        self._work("poll_send")
        return True if self.is_sending else 12345

    def standby(self):
        """Stop."""
        self._work("standby")
        self.is_sending = self.is_receiving = False

    def sleep(self):
        """Stop, with less current."""
        self._work("sleep")

    def irq_triggered(self):
        """Whether there is something to poll."""
        return bool(self.packets)


def packet(data, snr):
    """A received packet; snr in quarters of a dB."""
    made = Packet(data)
    made.snr = snr
    return made


def entry(**other):
    """An entry of "links"."""
    return channel(modem="sx1262", spi=1, cs=5, busy=6, **other)


def ready():
    """(link, radio, time)."""
    radio = Radio()
    link = SpiLink(entry(), lambda config, settings: radio)
    time = Time(link)
    assert link.receive(time.now_ms) is None
    assert radio.is_receiving
    return link, radio, time


def test_the_interface_of_a_frame_link():
    link, radio, time = ready()
    assert (link.kind, link.mtu, link.handle, link.duty_cycle_permille) == (2, 255, None, 10)
    assert link.airtime_us(51) == time_on_air_us(51, 7)
    assert 0 < link.next_ms(time.now_ms) <= 15
    link.close()
    assert radio.calls[-1] == "sleep" and not link.send(b"late", time.now_ms)
    assert link.next_ms(time.now_ms) is None and link.receive(time.now_ms) is None


def test_what_the_radio_cannot_do_is_refused():
    for other in (
        {"power_dbm": 23},
        {"power_dbm": 1},
        {"modem": "sx1276", "power_dbm": 21},
        {"spi": None},
        {"cs": "5"},
        {"busy": None},
        {"spreading_factor": 6},
    ):
        config = entry()
        config.update(other)
        raises(UsageError, SpiLink, config)
    config = channel(modem="sx1276", spi=1, cs=5, power_dbm=20)
    assert SpiLink(config).error is None


def test_frames_arrive_with_their_snr_in_db():
    link, radio, time = ready()
    radio.packets = [packet(b"a", 38), packet(b"b", -30), packet(b"c", 0)]
    assert time.run(100) == [(b"a", 10), (b"b", -7), (b"c", 0)]
    assert type(link.counters) is dict and link.counters == {}


def test_one_frame_at_a_time_and_reception_goes_on():
    link, radio, time = ready()
    assert link.send(b"first", time.now_ms) and not link.send(b"second", time.now_ms)
    assert link.is_sending(time.now_ms)
    time.run(100)
    assert not link.send(b"second", time.now_ms)
    radio.is_sending = False
    radio.packets = [packet(b"a", 4)]
    assert time.run(20) == [(b"a", 1)] and not link.is_sending(time.now_ms)
    assert link.send(b"second", time.now_ms) and radio.sent == [b"first", b"second"]
    assert link.counters == {}


def test_what_has_arrived_is_read_before_a_frame_is_sent():
    link, radio, time = ready()
    radio.packets = [packet(b"a", 4)]
    assert link.send(b"mine", time.now_ms) and radio.sent == [b"mine"]
    assert link.next_ms(time.now_ms) == 0
    assert link.receive(time.now_ms) == (b"a", 1)


def test_a_radio_sleeps_and_wakes():
    link, radio, time = ready()
    assert link.send(b"mine", time.now_ms) and not link.sleep(time.now_ms)
    radio.is_sending = False
    time.run(20)
    assert link.sleep(time.now_ms) and link.sleep(time.now_ms)
    assert radio.calls[-1] == "sleep" and radio.calls.count("sleep") == 1
    # each command would wake it
    assert time.run(100000) == [] and link.next_ms(time.now_ms) is None
    assert not link.send(b"no", time.now_ms) and radio.calls[-1] == "sleep"
    radio.packets = [packet(b"a", 4)]
    link.wake(time.now_ms)
    assert time.run(20) == [(b"a", 1)] and link.send(b"next", time.now_ms)
    assert link.counters == {}


def test_a_radio_that_does_not_wake_is_opened_again():
    link, radio, time = ready()
    assert link.sleep(time.now_ms)
    radio.is_broken = True
    link.wake(time.now_ms)
    assert link.error == "BUSY timeout" and not link.send(b"mine", time.now_ms)
    radio.is_broken = False
    time.run(2000)
    assert link.error is None and link.counters == {"Reopened": 1}


def test_a_frame_that_never_leaves_is_given_up():
    link, radio, time = ready()
    assert link.send(b"mine", time.now_ms)
    time.run(1000)
    assert "standby" in radio.calls and radio.is_receiving
    assert link.counters == {"NoAnswer": 1} and link.send(b"next", time.now_ms)


def test_a_radio_that_stopped_receiving_is_started_again():
    _, radio, time = ready()
    radio.is_receiving = False
    time.run(20)
    assert radio.is_receiving


def test_damaged_frames_are_counted():
    link, radio, time = ready()
    radio.crc_errors = 1
    time.run(20)
    radio.crc_errors = 2
    time.run(20)
    assert link.counters == {"BadFrame": 2}


def test_a_radio_that_does_not_answer_is_opened_again():
    link, radio, time = ready()
    radio.is_broken = True
    assert not link.send(b"mine", time.now_ms) and link.error == "BUSY timeout"
    assert link.next_ms(time.now_ms) == 1000
    time.run(5000)
    assert not link.send(b"mine", time.now_ms)
    radio.is_broken = False
    time.run(5000)
    assert link.error is None and link.counters == {"Reopened": 1}
    assert link.send(b"mine", time.now_ms)


def test_a_missing_radio_is_tried_less_and_less_often():
    tries = []

    def missing(config, settings):
        tries.append(config["cs"])
        raise RuntimeError("Unexpected silicon version 0")

    link = SpiLink(entry(), missing)
    time = Time(link)
    time.run(600000)
    assert 20 <= len(tries) <= 26 and link.error == "Unexpected silicon version 0"


def test_frames_of_a_wrong_size_are_the_callers_fault():
    link, _, time = ready()
    raises(UsageError, link.send, b"", time.now_ms)
    raises(UsageError, link.send, bytes(256), time.now_ms)
    assert link.send(bytes(255), time.now_ms)


def test_the_channel_that_the_radio_is_given():
    for config, name, value in (
        (entry(), "bw", "125"),
        (entry(), "crc_en", True),
        (entry(), "syncword", 0x12),
        (channel(modem="sx1276", spi=1, cs=5), "tx_ant", "PA_BOOST"),
    ):
        assert radio_settings(config, SpiLink(config).settings)[name] == value
    assert "tx_ant" not in radio_settings(entry(), SpiLink(entry()).settings)
