"""The driver of the RYLR998 against a scripted end, by REYAX's AT command guide."""

from harness import raises
from modem_rig import ScriptedPort, Time, channel
from rylr998_rig import FRAME, SET_UP, ok, ready, received

from writ.errors import UsageError
from writ.limits import MODEM_LINE_BYTES_MAX, MODEM_TRIES_MAX
from writ.link.rylr998 import Rylr998, decode, encode
from writ.mesh.airtime import time_on_air_us


def test_the_modem_is_set_up_one_command_at_a_time():
    port = ScriptedPort(lambda line: b"")
    link = Rylr998(channel(modem="rylr998"), port)
    time = Time(link)
    assert (link.kind, link.mtu, link.handle) == (2, 180, None)
    for count in range(1, len(SET_UP) + 1):
        time.run()
        assert port.lines == SET_UP[:count]
        assert not link.send(FRAME, time.now_ms) and link.error
        port.incoming += b"+OK\r\n"
    time.run()
    assert port.lines == SET_UP and link.error is None and link.counters == {}
    assert link.handle is port and link.next_ms(time.now_ms) == 60000


def test_the_parameters_of_the_channel():
    port = ready(
        frequency_khz=915000,
        spreading_factor=11,
        bandwidth_khz=500,
        coding_rate=8,
        power_dbm=22,
    )[1]
    assert port.lines[4:] == [b"AT+BAND=915000000", b"AT+PARAMETER=11,9,4,8", b"AT+CRFOP=22"]


def test_what_the_modem_cannot_do_is_refused():
    for other in (
        {"spreading_factor": 10},
        {"spreading_factor": 11, "bandwidth_khz": 250},
        {"spreading_factor": 12, "bandwidth_khz": 500},
        {"power_dbm": 23},
        {"power_dbm": -1},
        {"bandwidth_khz": 62},
        {"coding_rate": 4},
        {"frequency_khz": "868100"},
        {"frequency_khz": 868650},
        {"duty_cycle_permille": 1001},
    ):
        raises(UsageError, Rylr998, channel(modem="rylr998", **other), ScriptedPort(ok))


def test_a_frame_is_sent_in_base64_to_all():
    link, port, time = ready()
    assert link.send(FRAME, time.now_ms)
    text = encode(FRAME)
    assert port.lines[-1] == b"AT+SEND=0,%d,%s" % (len(text), text)
    assert b"\r" not in text and b"=" not in text and b"," not in text
    assert decode(text) == FRAME


def test_frames_of_all_sizes_cross_base64_and_no_other_text_does():
    for size in range(1, 181):
        frame = bytes([size * 7 & 255]) * size
        text = encode(frame)
        assert len(text) <= 240 and decode(text) == frame
        assert len(text) == (4 * size + 2) // 3
    for text in (
        b"A",
        b"AB=",
        b"AA==",
        b"AC",
        b"a,b",
        b"a\0bc",
        b"hello world",
        b"\xff\xff\xff\xff",
    ):
        raises(ValueError, decode, text)


def test_airtime_counts_the_encoding_and_the_modems_own_bytes():
    link = ready()[0]
    assert link.airtime_us(180) == time_on_air_us(248, 7)
    assert link.airtime_us(30) == time_on_air_us(48, 7)
    assert link.airtime_us(31) == time_on_air_us(50, 7)


def test_one_frame_at_a_time_for_its_airtime():
    # the answer may come before the frame is on air, or after it
    for late_ms in (0, 40, 500):
        link, port, time = ready(lambda line: b"")
        airtime_ms = link.airtime_us(len(FRAME)) // 1000
        assert not link.is_sending(time.now_ms) and link.send(FRAME, time.now_ms)
        begin_ms = time.now_ms
        time.run(late_ms)
        assert link.is_sending(time.now_ms) and not link.send(b"next", time.now_ms)
        port.incoming += b"+OK\r\n"
        time.run()
        while link.is_sending(time.now_ms):
            assert not link.send(b"next", time.now_ms)
            time.run(1)
        assert link.send(b"next", time.now_ms)
        took_ms = time.now_ms - begin_ms
        assert max(late_ms, airtime_ms) <= took_ms <= max(late_ms, airtime_ms) + 30
        assert link.counters == {}


def test_a_frame_arrives_with_its_snr():
    _, port, time = ready()
    port.incoming = received(FRAME, -120, -7) + received(b"x", -30, 11)
    assert time.run() == [(FRAME, -7), (b"x", 11)]


def test_frames_arrive_in_any_pieces_while_another_is_sent():
    for size in (1, 2, 7, 30):
        link, port, time = ready(lambda line: b"")
        port.chunk_bytes = size
        assert link.send(b"mine", time.now_ms)
        port.incoming = received(FRAME) + b"+OK\r\n" + received(b"x")
        assert time.run() == [(FRAME, 9), (b"x", 9)]
        time.run(1000)
        assert link.send(b"again", time.now_ms) and link.counters == {}


def test_a_damaged_frame_is_counted_and_costs_no_other():
    good = received(b"good")
    bad = (
        b"+RCV=0,4,Zm9v,-99,9",
        b"+RCV=0,5,Zm9vYg,-99,9\r\n",
        b"+RCV=0,7,Zm9vYg,-99,9\r\n",
        b"+RCV=0,,Zm9v,-99,9\r\n",
        b"+RCV=0,x,Zm9v,-99,9\r\n",
        b"+RCV=0\r\n",
        b"+RCV=0,4,Zm9v,-99\r\n",
        b"+RCV=0,4,Zm9v,-99,x\r\n",
        b"+RCV=0,5,hello,-99,9\r\n",
        b"+RCV=0,0,,-99,9\r\n",
        b"+ERR=12\r\n",
        b"+ERR=19\r\n",
        b"+RCV=0,%d,%s,-99,9\r\n" % (len(encode(bytes(181))), encode(bytes(181))),
    )
    for line in bad[1:]:
        link, port, time = ready()
        port.incoming = line + good
        assert time.run() == [(b"good", 9)], line
        assert link.counters == {"BadFrame": 1}, line
    # the end of a line is missing: two frames are lost
    link, port, time = ready()
    port.incoming = bad[0] + good + good
    assert time.run() == [(b"good", 9)] and link.counters == {"BadFrame": 1}


def test_noise_costs_no_frame():
    link, port, time = ready()
    port.incoming = (
        b"\xff\0\r\n" + bytes(MODEM_LINE_BYTES_MAX + 1) + b"\r\n\r\n+\r\nOK\r\n" + received(b"x")
    )
    assert time.run() == [(b"x", 9)]
    assert link.counters == {"BadLine": 1}


def test_a_busy_modem_gets_the_frame_again():
    busy = [b"+ERR=17\r\n", b"+ERR=17\r\n", b"+OK\r\n"]
    link, port, time = ready(lambda line: busy.pop(0))
    assert link.send(b"mine", time.now_ms)
    time.run()
    assert not link.send(b"next", time.now_ms)
    time.run(2000)
    assert busy == [] and port.lines[len(SET_UP) :] == [b"AT+SEND=0,6,bWluZQ"] * 3
    assert link.counters == {}


def test_a_modem_that_stays_busy_costs_the_frame():
    link, port, time = ready(lambda line: b"+ERR=17\r\n")
    assert link.send(b"mine", time.now_ms)
    time.run(10000)
    assert len(port.lines) == len(SET_UP) + MODEM_TRIES_MAX
    assert link.counters == {"ChannelBusy": 1}
    port.answer = ok
    assert link.send(b"next", time.now_ms)


def test_a_refused_frame_is_dropped():
    link, _, time = ready(lambda line: b"+ERR=15\r\n")
    assert link.send(b"mine", time.now_ms)
    time.run()
    assert link.counters == {"Refused": 1} and link.send(b"next", time.now_ms)


def test_a_missing_answer_brings_no_second_transmission():
    link, port, time = ready(lambda line: b"" if line.startswith(b"AT+SEND") else b"+OK\r\n")
    assert link.send(b"mine", time.now_ms)
    time.run(5000)
    assert port.lines[len(SET_UP) :] == [b"AT+SEND=0,6,bWluZQ"] + SET_UP
    assert link.counters == {"NoAnswer": 1, "FrameLost": 1}
    assert link.send(b"next", time.now_ms)


def test_a_silent_modem_is_asked_less_and_less_often():
    port = ScriptedPort(lambda line: b"")
    time = Time(Rylr998(channel(modem="rylr998"), port))
    time.run(60000)
    first = len(port.lines)
    time.run(600000)
    # at the end each half minute, and a second and a half for the answer
    assert 5 <= first <= 10 and 17 <= len(port.lines) - first <= 20
    assert set(port.lines) == {b"AT"}
    port.answer = ok
    time.run(32000)
    assert port.lines[-7:] == SET_UP and time.link.error is None


def test_a_long_frame_may_be_answered_at_its_end():
    link, port, time = ready(lambda line: b"", spreading_factor=9, coding_rate=8)
    airtime_ms = link.airtime_us(180) // 1000
    assert airtime_ms > 1500
    assert link.send(bytes(180), time.now_ms)
    time.run(airtime_ms + 100)
    port.incoming = b"+OK\r\n"
    time.run()
    assert link.counters == {} and link.send(b"next", time.now_ms)


def test_an_answer_that_is_read_late_behind_a_frame_is_an_answer():
    link, port, time = ready(lambda line: b"")
    assert link.send(b"mine", time.now_ms)
    # the node was busy with a signature, or asleep
    time.now_ms += 10000
    port.incoming = received(b"x") + b"+OK\r\n"
    assert time.run() == [(b"x", 9)]
    assert link.counters == {} and link.send(b"next", time.now_ms)


def test_a_modem_that_worked_is_asked_again_soon():
    port = ScriptedPort(lambda line: b"")
    link = Rylr998(channel(modem="rylr998"), port)
    time = Time(link)
    time.run(200000)
    port.answer = ok
    time.run(32000)
    assert link.error is None
    port.answer = lambda line: b""
    assert link.send(b"mine", time.now_ms)
    time.run(1700)
    port.answer = ok
    time.run(300)
    assert link.error is None


def test_a_late_answer_is_no_answer_to_the_next_command():
    port = ScriptedPort(lambda line: b"")
    link = Rylr998(channel(modem="rylr998"), port)
    time = Time(link)
    time.run(1500)
    assert link.counters == {"NoAnswer": 1}
    port.incoming = b"+OK\r\n"
    time.run(100)
    assert port.lines == [b"AT"]
    port.answer = ok
    time.run(1000)
    assert port.lines == [b"AT"] + SET_UP


def test_a_refused_parameter_is_named():
    port = ScriptedPort(lambda line: b"+ERR=4\r\n" if b"BAND" in line else b"+OK\r\n")
    link = Rylr998(channel(modem="rylr998"), port)
    time = Time(link)
    time.run(100)
    assert link.error == "the modem refuses AT+BAND=868100000"
    assert not link.send(b"mine", time.now_ms)
    port.answer = ok
    time.run(40000)
    assert link.error is None
    port.answer = lambda line: b""
    port.incoming = b"+READY\r\n"
    time.run()
    assert link.error == "the modem is being set up"


def test_an_error_without_a_command_changes_nothing():
    link, port, time = ready()
    count = len(port.lines)
    port.incoming = b"+ERR=4\r\n+OK\r\n+ERR=17\r\n"
    time.run(5000)
    assert len(port.lines) == count and link.counters == {} and link.error is None


def test_a_reset_of_the_modem_sets_it_up_again():
    for is_sending in (False, True):
        link, port, time = ready(lambda line: b"" if b"SEND" in line else b"+OK\r\n")
        if is_sending:
            assert link.send(b"mine", time.now_ms)
        port.incoming += b"\0\xff+\r\n+READY\r\n"
        time.run()
        assert port.lines[-7:] == SET_UP
        expected = {"Reset": 1, "FrameLost": 1} if is_sending else {"Reset": 1}
        assert link.counters == expected
        assert link.send(b"next", time.now_ms)


def test_a_quiet_modem_is_asked_for_its_settings():
    values = [line[3:] for line in SET_UP[4:]]

    def tell(line):
        for value in values:
            if line == b"AT+" + value.split(b"=")[0] + b"?":
                return b"+" + value + b"\r\n"
        return b"+OK\r\n"

    link, port, time = ready(tell)
    time.run(59000)
    port.incoming = received(b"x")
    assert time.run(50000) == [(b"x", 9)]
    # it was heard
    assert port.lines == SET_UP
    time.run(20000)
    assert port.lines[len(SET_UP) :] == [
        b"AT+BAND?",
        b"AT+PARAMETER?",
        b"AT+CRFOP?",
    ]
    assert link.counters == {} and link.send(b"mine", time.now_ms)
    time.run(1000)
    # a reset of which nothing was heard
    values[0] = b"BAND=915000000"
    time.run(61000)
    assert port.lines[-7:] == SET_UP and link.counters == {"Reset": 1}


def test_a_modem_that_vanished_silently_is_noticed_within_a_minute():
    link, _, time = ready(lambda line: b"")
    time.run(62000)
    assert link.error and link.counters["NoAnswer"] and not link.send(b"mine", time.now_ms)


def test_a_replugged_modem_is_set_up_again():
    link, port, time = ready()
    assert link.send(b"mine", time.now_ms)
    port.unplug()
    time.run()
    assert not link.send(b"next", time.now_ms) and link.error == "gone" and link.handle is None
    assert link.next_ms(time.now_ms) == 1000
    time.run(3000)
    port.plug_in()
    time.run(1000)
    assert port.lines[-7:] == SET_UP and link.error is None
    assert link.counters == {"Reopened": 1, "FrameLost": 1}


def test_a_port_that_came_back_between_two_calls_is_set_up_again():
    _, port, time = ready()
    port.unplug()
    port.plug_in()
    count = len(port.lines)
    time.run()
    assert port.lines[count:] == SET_UP


def test_frames_of_a_wrong_size_are_the_callers_fault():
    link, _, time = ready()
    raises(UsageError, link.send, b"", time.now_ms)
    raises(UsageError, link.send, bytes(181), time.now_ms)
    assert link.send(bytes(180), time.now_ms)


def test_a_closed_link_sends_and_receives_nothing():
    link, port, time = ready()
    link.close()
    assert port.is_closed and not link.send(b"mine", time.now_ms)
    assert link.receive(time.now_ms) is None


def test_a_modem_that_sleeps_takes_no_frame_and_is_woken_by_any_input():
    link, port, time = ready()
    assert not link.sleep(time.now_ms) and port.lines[-1] == b"AT+MODE=1"
    time.run()
    assert link.sleep(time.now_ms) and link.error == "the modem sleeps"
    assert not link.send(FRAME, time.now_ms) and link.next_ms(time.now_ms) is None
    # not asked for its settings, which would wake it
    time.run(200000)
    assert len(port.lines) == len(SET_UP) + 1
    port.answer = lambda line: b"+MODE=0\r\n"
    link.wake(time.now_ms)
    time.run()
    assert port.lines[-1] == b"AT" and link.error is None and link.counters == {}
    assert link.send(FRAME, time.now_ms)


def test_a_frame_under_way_leaves_before_the_modem_sleeps():
    link, port, time = ready()
    assert link.send(FRAME, time.now_ms) and not link.sleep(time.now_ms)
    time.run(1000)
    assert not link.sleep(time.now_ms)
    time.run()
    assert link.sleep(time.now_ms) and port.lines[-1] == b"AT+MODE=1" and link.counters == {}


def test_what_arrives_while_a_modem_goes_to_sleep_is_received():
    link, _, time = ready(lambda line: received(b"last") + b"+OK\r\n")
    assert not link.sleep(time.now_ms)
    assert time.run() == [(b"last", 9)] and link.sleep(time.now_ms)


def test_a_modem_without_a_port_need_not_sleep():
    link, port, time = ready()
    port.unplug()
    time.run(10)
    assert link.sleep(time.now_ms)
    # it comes back: it is set up, as ever
    port.plug_in()
    link.wake(time.now_ms)
    time.run(2000)
    assert link.error is None and port.lines[-7:] == SET_UP
