"""The link of SPI radios, with a radio in the place of that of micropython-lib's package `lora`.

tests/host/writ/link/test_lora_package.py runs the package itself where it is.
"""

from harness import raises
from modem_rig import Time, channel
from spi_rig import Sx1262Radio, Sx1276Radio, entry, packet, ready

from writ.errors import UsageError
from writ.limits import MODEM_TRIES_MAX
from writ.link.radio import SpiLink, radio_settings
from writ.mesh.airtime import time_on_air_us

RADIOS = (("sx1262", Sx1262Radio), ("sx1276", Sx1276Radio))


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
    # this radio has no way in to the chip
    assert link.counters == {"NotListening": 2}


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
    assert link.counters == {"NotListening": 2}


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
    # it is stopped at once, and set up again
    assert "standby" in radio.calls and link.error and not link.is_sending(time.now_ms)
    time.run(1000)
    assert radio.is_receiving and link.error is None
    counters = {"NotListening": 1, "NoAnswer": 1, "FrameLost": 1, "Reopened": 1}
    assert link.counters == counters and link.send(b"next", time.now_ms)


def test_an_interrupt_does_not_keep_the_link_awake():
    link, radio, time = ready()
    # as the package's SX1276 until the next frame is sent
    radio.irq_triggered = lambda: True
    assert time.run(100) == [] and link.next_ms(time.now_ms) > 0


def test_a_radio_that_fails_can_be_closed():
    link, radio, time = ready()
    radio.is_broken = True
    link.close()
    assert link.next_ms(time.now_ms) is None and link.receive(time.now_ms) is None


def test_a_frame_is_sent_when_the_channel_is_free():
    for modem, kind in RADIOS:
        link, radio, time = ready(kind(), modem=modem)
        assert link.send(b"mine", time.now_ms) and radio.chip.is_detecting()
        assert link.is_sending(time.now_ms) and not link.send(b"no", time.now_ms)
        assert not link.sleep(time.now_ms) and time.run(10) == [] and radio.sent == []
        radio.chip.detect(False)
        assert time.run(2) == [] and radio.sent == [b"mine"]
        radio.is_sending = False
        time.run(20)
        assert not link.is_sending(time.now_ms) and radio.is_receiving and link.counters == {}


def test_a_package_with_another_way_in_works_without_listening():
    class OtherRadio(Sx1262Radio):
        """One whose command reads nothing."""

        def _cmd(self, layout, *values):
            return b""

    link, radio, time = ready(OtherRadio())
    assert link.send(b"mine", time.now_ms) and radio.sent == [b"mine"]
    assert link.counters == {"NotListening": 1}


def test_a_busy_channel_is_left_alone_and_listened_to():
    for modem, kind in RADIOS:
        link, radio, time = ready(kind(), modem=modem)
        assert link.send(b"mine", time.now_ms)
        for tries in range(1, MODEM_TRIES_MAX):
            begin_ms = time.now_ms
            radio.chip.detect(True)
            radio.packets = [packet(b"theirs", 4)]
            assert time.run(20) == [(b"theirs", 1)] and radio.is_receiving
            while not radio.chip.is_detecting():
                time.run(10)
            # a quarter to the whole of the longest airtime, 400 ms
            assert 90 <= time.now_ms - begin_ms <= 450, tries
        radio.chip.detect(True)
        time.run(500)
        assert link.counters == {"ChannelBusy": 1} and not link.is_sending(time.now_ms)
        assert radio.sent == [] and radio.is_receiving and not radio.chip.is_detecting()
        # the next frame has its own tries
        assert link.send(b"next", time.now_ms)
        radio.chip.detect(True)
        time.run(500)
        assert link.is_sending(time.now_ms) and radio.chip.is_detecting()


def test_a_frame_that_arrives_is_not_interrupted():
    for modem, kind in RADIOS:
        link, radio, time = ready(kind(), modem=modem)
        radio.chip.begin_frame()
        assert link.send(b"mine", time.now_ms) and link.is_sending(time.now_ms)
        assert radio.chip.is_receiving() and radio.sent == []
        # a flag that stays is not waited for without an end
        time.run(5000)
        assert link.counters == {"ChannelBusy": 1} and radio.chip.is_receiving()


def test_a_detection_without_an_end_is_given_up():
    for modem, kind in RADIOS:
        link, radio, time = ready(kind(), modem=modem)
        assert link.send(b"mine", time.now_ms)
        time.run(5000)
        assert link.counters == {"NoAnswer": 1, "FrameLost": 1, "Reopened": 1}
        assert radio.sent == [] and radio.chip.is_receiving() and link.error is None


def test_an_earlier_detection_is_not_taken_for_this_one():
    for modem, kind in RADIOS:
        link, radio, time = ready(kind(), modem=modem)
        for is_active in (True, False):
            assert link.send(b"mine", time.now_ms)
            radio.chip.detect(is_active)
            time.run(2)
            while is_active and not radio.chip.is_detecting():
                time.run(10)
            if is_active:
                assert time.run(20) == [] and radio.sent == []
                radio.chip.detect(False)
                time.run(2)
            radio.is_sending = False
            time.run(20)
        assert radio.sent == [b"mine", b"mine"]


def test_a_chip_that_lost_its_settings_sends_nothing():
    for modem, kind in RADIOS:
        for begin in ("send", "wait", "sleep"):
            link, radio, time = ready(kind(), modem=modem)
            radio.chip.reset()
            if begin == "send":
                assert not link.send(b"mine", time.now_ms)
            elif begin == "wait":
                time.run(10500)
            else:
                assert link.sleep(time.now_ms)
                link.wake(time.now_ms)
            assert link.counters == {"Reset": 1} and link.error and radio.sent == []
            radio.__init__()
            time.run(2000)
            assert link.counters == {"Reset": 1, "Reopened": 1} and link.error is None


def test_a_broken_line_is_no_radio():
    for modem, kind in RADIOS:
        for level in (0, 255):
            link, radio, time = ready(kind(), modem=modem)
            radio.chip.line = level
            assert not link.send(b"mine", time.now_ms) and link.error and radio.sent == []


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
