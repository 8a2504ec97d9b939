"""Each answer of the emulated RYLR998 by REYAX's AT command guide."""

import pytest
from radio.modems import Rylr998
from radio_rig import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def modem(bench: Bench) -> Rylr998:
    return bench.modem(Rylr998, "a")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AT", "+OK"),
        ("AT+MODE?", "+MODE=0"),
        ("AT+IPR=9600", "+IPR=9600"),
        ("AT+IPR=1234", "+ERR=4"),
        ("AT+IPR?", "+IPR=115200"),
        ("AT+BAND=868500000", "+OK"),
        ("AT+BAND=868500000,M", "+OK"),
        ("AT+BAND=433000000", "+ERR=4"),
        ("AT+BAND?", "+BAND=915000000"),
        ("AT+PARAMETER=7,9,4,15", "+OK"),
        ("AT+PARAMETER=9,7,1,12", "+OK"),
        # SF10 needs 250 kHz, SF11 500 kHz; the guide has no SF12
        ("AT+PARAMETER=10,7,1,12", "+ERR=4"),
        ("AT+PARAMETER=10,8,1,12", "+OK"),
        ("AT+PARAMETER=11,9,1,12", "+OK"),
        ("AT+PARAMETER=12,9,1,12", "+ERR=4"),
        ("AT+PARAMETER=7,6,1,12", "+ERR=4"),
        ("AT+PARAMETER=7,7,5,12", "+ERR=4"),
        ("AT+PARAMETER=7,7,1,3", "+ERR=18"),
        ("AT+PARAMETER=7,7,1,25", "+ERR=18"),
        ("AT+PARAMETER=7,7,1", "+ERR=4"),
        ("AT+PARAMETER?", "+PARAMETER=9,7,1,12"),
        ("AT+ADDRESS=65535", "+OK"),
        ("AT+ADDRESS=65536", "+ERR=4"),
        ("AT+ADDRESS?", "+ADDRESS=0"),
        ("AT+NETWORKID=15", "+OK"),
        ("AT+NETWORKID=2", "+ERR=4"),
        ("AT+NETWORKID=16", "+ERR=4"),
        ("AT+NETWORKID?", "+NETWORKID=18"),
        ("AT+CPIN=EEDCAA90", "+OK"),
        ("AT+CPIN=00000000", "+ERR=4"),
        ("AT+CPIN=EEDC", "+ERR=4"),
        ("AT+CPIN?", "+CPIN=No Password!"),
        ("AT+CRFOP=0", "+OK"),
        ("AT+CRFOP=23", "+ERR=4"),
        ("AT+CRFOP?", "+CRFOP=22"),
        ("AT+SEND=50,5,HELLO", "+OK"),
        ("AT+SEND=50,6,HELLO", "+ERR=5"),
        ("AT+SEND=65536,5,HELLO", "+ERR=4"),
        ("AT+SEND=0,241," + "x" * 241, "+ERR=13"),
        ("AT+SEND=0,240," + "x" * 240, "+OK"),
        ("AT+SEND=0,1,\t", "+ERR=4"),
        ("AT+VER?", "+VER=RYLR998_V1.2.2"),
        ("AT+FACTORY", "+FACTORY"),
        ("AT+NONSENSE", "+ERR=4"),
        ("AT+NONSENSE?", "+ERR=4"),
        ("AT+MODE=2,29,1000", "+ERR=20"),
        ("AT+MODE=3", "+ERR=4"),
        ("at", "+ERR=2"),
        ("", "+ERR=2"),
    ],
)
def test_answers(bench: Bench, modem: Rylr998, command: str, answer: str) -> None:
    assert bench.ask(modem, command.encode() + b"\r\n") == answer.encode() + b"\r\n"


def test_settings_are_answered_back(bench: Bench, modem: Rylr998) -> None:
    for name, value in (
        ("BAND", "868100000"),
        ("PARAMETER", "7,9,4,15"),
        ("ADDRESS", "120"),
        ("CRFOP", "10"),
        ("NETWORKID", "18"),
    ):
        assert bench.ask(modem, f"AT+{name}={value}\r\n".encode()) == b"+OK\r\n"
        answer = bench.ask(modem, f"AT+{name}?\r\n".encode())
        assert answer == f"+{name}={value}\r\n".encode()
    assert bench.ask(modem, b"AT+CPIN=EEDCAA90\r\n") == b"+OK\r\n"
    assert bench.ask(modem, b"AT+CPIN?\r\n") == b"+CPIN=eedcaa90\r\n"
    bench.ask(modem, b"AT+SEND=50,5,HELLO\r\n")
    assert bench.ask(modem, b"AT+SEND?\r\n") == b"+SEND=50,5,HELLO\r\n"
    assert len(bench.ask(modem, b"AT+UID?\r\n")) == len("+UID=104737333437353600170029\r\n")


def test_lines_end_with_cr_lf(bench: Bench, modem: Rylr998) -> None:
    assert bench.ask(modem, b"AT") == b""
    assert bench.ask(modem, b"\r") == b""
    assert bench.ask(modem, b"\n") == b"+OK\r\n"
    assert bench.ask(modem, b"AT\n") == b"+ERR=1\r\n"
    assert bench.ask(modem, b"AT\r\nAT\r\n") == b"+OK\r\n+OK\r\n"
    assert bench.ask(modem, b"x" * 700) == b"+ERR=1\r\n"
    assert bench.ask(modem, b"AT\r\n") == b"+OK\r\n"


def test_other_networks_have_a_fixed_preamble(bench: Bench, modem: Rylr998) -> None:
    bench.ask(modem, b"AT+NETWORKID=6\r\n")
    assert bench.ask(modem, b"AT+PARAMETER=9,7,1,15\r\n") == b"+ERR=18\r\n"
    assert bench.ask(modem, b"AT+PARAMETER=9,7,1,12\r\n") == b"+OK\r\n"


def test_a_reset_keeps_what_is_memorized(bench: Bench, modem: Rylr998) -> None:
    for line in ("ADDRESS=7", "NETWORKID=6", "BAND=868100000", "CRFOP=3", "CPIN=EEDCAA90"):
        bench.ask(modem, f"AT+{line}\r\n".encode())
    assert bench.ask(modem, b"AT+RESET\r\n") == b"+RESET\r\n"
    bench.wait_ms(1000)
    assert bench.said["a"] == [b"+RESET\r\n", b"+READY\r\n"]
    for name, value in (
        ("ADDRESS", b"7"),
        ("NETWORKID", b"6"),
        ("BAND", b"915000000"),
        ("CRFOP", b"22"),
        ("CPIN", b"No Password!"),
    ):
        assert bench.ask(modem, f"AT+{name}?\r\n".encode()).strip().endswith(b"=" + value)
    bench.ask(modem, b"AT+BAND=868100000,M\r\n")
    bench.ask(modem, b"AT+RESET\r\n")
    bench.wait_ms(1000)
    assert bench.ask(modem, b"AT+BAND?\r\n") == b"+BAND=868100000\r\n"
    assert bench.ask(modem, b"AT+FACTORY\r\n") == b"+FACTORY\r\n"
    assert bench.ask(modem, b"AT+ADDRESS?\r\n") == b"+ADDRESS=0\r\n"
    modem.reset()
    bench.wait_ms(1000)
    assert bench.ask(modem, b"AT+ADDRESS?\r\n") == b"+ADDRESS=0\r\n"


def test_a_frame_reaches_its_address_and_all_if_it_is_zero(bench: Bench, modem: Rylr998) -> None:
    bench.ask(modem, b"AT+ADDRESS=7\r\n")
    others = [bench.modem(Rylr998, name) for name in ("b", "c")]
    for address, other in zip((50, 51), others, strict=True):
        bench.ask(other, b"AT+ADDRESS=%d\r\n" % address)
        bench.said[other.radio.name].clear()
    bench.ask(modem, b"AT+SEND=50,5,A,B,C\r\n")
    bench.wait_ms(1000)
    # 22 dBm to the same place counts as one metre: no loss. The SNR register ends at 31.75 dB
    assert bench.said["b"] == [b"+RCV=7,5,A,B,C,22,32\r\n"]
    assert bench.said["c"] == []
    bench.ask(modem, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(1000)
    assert bench.said["b"][1:] == bench.said["c"] == [b"+RCV=7,2,hi,22,32\r\n"]


@pytest.mark.parametrize(
    "change", ["NETWORKID=6", "BAND=915500000", "PARAMETER=8,7,1,12", "CPIN=EEDCAA90"]
)
def test_modules_that_are_set_otherwise_receive_nothing(
    bench: Bench, modem: Rylr998, change: str
) -> None:
    other = bench.modem(Rylr998, "b")
    bench.ask(other, f"AT+{change}\r\n".encode())
    bench.said["b"].clear()
    bench.ask(modem, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(1000)
    assert bench.said["b"] == []
    bench.ask(modem, f"AT+{change}\r\n".encode())
    bench.ask(modem, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(1000)
    assert bench.said["b"] == [b"+RCV=0,2,hi,22,32\r\n"]


def test_the_air_has_eight_bytes_more_than_the_data(bench: Bench, modem: Rylr998) -> None:
    lengths: list[int] = []
    bench.channel.watch = lambda event: lengths.append(event.length)
    bench.ask(modem, b"AT+SEND=0,5,HELLO\r\n")
    assert lengths == [13]


def test_one_transmission_at_a_time(bench: Bench, modem: Rylr998) -> None:
    assert bench.ask(modem, b"AT+SEND=0,2,hi\r\n") == b"+OK\r\n"
    assert bench.ask(modem, b"AT+SEND=0,2,ho\r\n") == b"+ERR=17\r\n"
    bench.wait_ms(1000)
    assert bench.ask(modem, b"AT+SEND=0,2,ho\r\n") == b"+OK\r\n"


def test_the_answer_to_a_transmission_may_come_at_its_end(bench: Bench, modem: Rylr998) -> None:
    modem.is_ok_late = True
    assert bench.ask(modem, b"AT+SEND=0,2,hi\r\n") == b""
    assert bench.ask(modem, b"AT+SEND=0,2,ho\r\n") == b"+ERR=17\r\n"
    bench.wait_ms(1000)
    assert bench.said["a"] == [b"+ERR=17\r\n", b"+OK\r\n"]


def test_a_collision_is_a_crc_error(bench: Bench, modem: Rylr998) -> None:
    one, two = bench.modem(Rylr998, "b"), bench.modem(Rylr998, "c")
    bench.said["a"].clear()
    one.feed(b"AT+SEND=0,2,hi\r\n")
    two.feed(b"AT+SEND=0,2,ho\r\n")
    bench.wait_ms(1000)
    assert bench.said["a"] == [b"+ERR=12\r\n"] * 2


def test_a_sleeping_module_is_woken_by_any_input(bench: Bench, modem: Rylr998) -> None:
    other = bench.modem(Rylr998, "b")
    assert bench.ask(modem, b"AT+MODE=1\r\n") == b"+OK\r\n"
    bench.ask(other, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(1000)
    assert bench.said["a"] == [b"+OK\r\n"]
    assert bench.ask(modem, b"AT+ADDRESS?\r\n") == b"+MODE=0\r\n"
    assert bench.ask(modem, b"AT+ADDRESS?\r\n") == b"+ADDRESS=0\r\n"
    bench.ask(other, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(1000)
    assert bench.said["a"][1:] == [b"+RCV=0,2,hi,22,32\r\n"]


def test_smart_receiving_ends_with_a_frame(bench: Bench, modem: Rylr998) -> None:
    other = bench.modem(Rylr998, "b")
    # one second of reception, two of sleep
    assert bench.ask(modem, b"AT+MODE=2,1000,2000\r\n") == b"+OK\r\n"
    bench.wait_ms(1500)
    bench.ask(other, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(1000)
    assert bench.said["a"] == [b"+OK\r\n"]
    # 3.0 s have passed: it listens
    bench.wait_ms(600)
    bench.ask(other, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(5000)
    assert bench.said["a"][1:] == [b"+RCV=0,2,hi,22,32\r\n"]
    assert bench.ask(modem, b"AT+MODE?\r\n") == b"+MODE=0\r\n"


def test_faults(bench: Bench, modem: Rylr998) -> None:
    modem.break_next("garbled")
    assert bench.ask(modem, b"AT\r\n") == b"+O\x1e\r\n"
    assert bench.ask(modem, b"AT\r\n") == b"+OK\r\n"
    modem.break_next("missing", count=2)
    assert [bench.ask(modem, b"AT\r\n") for _ in range(3)] == [b"", b"", b"+OK\r\n"]
    modem.break_next("late", delay_us=50_000)
    assert bench.ask(modem, b"AT\r\n") == b""
    bench.wait_ms(50)
    assert bench.said["a"] == [b"+OK\r\n"]
    modem.break_next("replaced", match=b"+ADDRESS", replacement=b"+ERR=15\r\n")
    assert bench.ask(modem, b"AT\r\n") == b"+OK\r\n"
    assert bench.ask(modem, b"AT+ADDRESS?\r\n") == b"+ERR=15\r\n"
    with pytest.raises(ValueError, match="garbled"):
        modem.break_next("broken")


def test_without_power_nothing_is_said_or_heard(bench: Bench, modem: Rylr998) -> None:
    other = bench.modem(Rylr998, "b")
    bench.ask(modem, b"AT+ADDRESS=9\r\n")
    modem.break_next("late", delay_us=50_000)
    bench.ask(modem, b"AT\r\n")
    modem.power_off()
    assert bench.ask(modem, b"AT\r\n") == b""
    bench.ask(other, b"AT+SEND=0,2,hi\r\n")
    bench.wait_ms(1000)
    assert bench.said["a"] == []
    modem.power_on()
    bench.wait_ms(1000)
    assert bench.said["a"] == [b"+READY\r\n"]
    assert bench.ask(modem, b"AT+ADDRESS?\r\n") == b"+ADDRESS=9\r\n"
