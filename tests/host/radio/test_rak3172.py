"""Each answer of the emulated RAK3172 by the RUI3 AT command manual."""

import pytest
from radio.modems import Rak3172
from radio_rig import Bench

BANNER = b"RAKwireless RAK3172-E Example\r\n" + b"-" * 54 + b"\r\nCurrent Work Mode: %s.\r\n"
OK, PARAM, BUSY = b"\r\nOK\r\n", b"\r\nAT_PARAM_ERROR\r\n", b"\r\nAT_BUSY_ERROR\r\n"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def p2p(bench: Bench, name: str) -> Rak3172:
    modem = bench.modem(Rak3172, name)
    bench.ask(modem, b"AT+NWM=0\r\n")
    bench.wait_ms(1000)
    return modem


@pytest.fixture
def modem(bench: Bench) -> Rak3172:
    return p2p(bench, "a")


def test_the_factory_ships_it_for_lorawan(bench: Bench) -> None:
    modem = bench.modem(Rak3172, "a")
    assert bench.ask(modem, b"AT+NWM=?\r\n") == b"AT+NWM=1\r\n" + OK
    assert bench.ask(modem, b"AT+PSF=?\r\n") == b"\r\nAT_MODE_NO_SUPPORT\r\n"
    assert bench.ask(modem, b"AT+NWM=1\r\n") == OK
    # the change of mode has no status: the module restarts
    assert bench.ask(modem, b"AT+NWM=0\r\n") == b""
    assert bench.ask(modem, b"AT\r\n") == b""
    bench.wait_ms(1000)
    assert bench.said["a"] == [BANNER % b"LoRa P2P"]
    assert bench.ask(modem, b"AT+NWM=?\r\n") == b"AT+NWM=0\r\n" + OK


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AT", OK),
        ("AT+VER=?", b"AT+VER=RUI_4.2.1_RAK3172-E\r\n" + OK),
        ("AT+NWM=2", PARAM),
        ("AT+NWM?", None),
        ("AT+PFREQ?", b"AT+PFREQ: configure P2P Frequency\r\n" + OK),
        ("AT+PFREQ=?", b"AT+PFREQ=868000000\r\n" + OK),
        ("AT+PFREQ=868500000", OK),
        ("AT+PFREQ=149999999", PARAM),
        ("AT+PSF=?", b"AT+PSF=7\r\n" + OK),
        ("AT+PSF=5", OK),
        ("AT+PSF=13", PARAM),
        ("AT+PSF=seven", PARAM),
        ("AT+PBW=?", b"AT+PBW=125\r\n" + OK),
        ("AT+PBW=500", OK),
        ("AT+PBW=300", PARAM),
        ("AT+PCR=?", b"AT+PCR=0\r\n" + OK),
        ("AT+PCR=4", PARAM),
        ("AT+PPL=?", b"AT+PPL=8\r\n" + OK),
        ("AT+PPL=65535", OK),
        ("AT+PPL=4", PARAM),
        ("AT+PTP=?", b"AT+PTP=14\r\n" + OK),
        ("AT+PTP=22", OK),
        ("AT+PTP=4", PARAM),
        ("AT+P2P=?", b"AT+P2P=868000000:7:125:0:8:14\r\n" + OK),
        ("AT+P2P=868000000:12:125:3:200:14", OK),
        ("AT+P2P=868:12:300:3:200:14", PARAM),
        ("AT+P2P=868000000:12:125:3:200", PARAM),
        ("AT+SYNCWORD=1424", OK),
        ("AT+SYNCWORD=14", PARAM),
        ("AT+CAD=2", PARAM),
        ("AT+PSEND=112233", OK),
        ("AT+PSEND=aAbB", OK),
        ("AT+PSEND=11223", PARAM),
        ("AT+PSEND=11GG", PARAM),
        ("AT+PSEND=", PARAM),
        ("AT+PSEND=?", PARAM),
        ("AT+PSEND=" + "00" * 250, OK),
        ("AT+PSEND=" + "00" * 251, PARAM),
        ("AT+PRECV=0", OK),
        ("AT+PRECV=65536", PARAM),
        ("AT+ENCRY=1", b"\r\nAT_COMMAND_NOT_FOUND\r\n"),
        ("AT+JOIN", b"\r\nAT_COMMAND_NOT_FOUND\r\n"),
        ("hello", b"\r\nAT_COMMAND_NOT_FOUND\r\n"),
        ("x" * 700, b"\r\nAT_COMMAND_NOT_FOUND\r\n"),
    ],
)
def test_answers(bench: Bench, modem: Rak3172, command: str, answer: bytes | None) -> None:
    found = bench.ask(modem, command.encode() + b"\r\n")
    assert found == answer or (answer is None and found.endswith(OK))


def test_settings_are_answered_back_and_kept(bench: Bench, modem: Rak3172) -> None:
    assert bench.ask(modem, b"AT+P2P=869525000:9:250:1:12:20\r\n") == OK
    assert bench.ask(modem, b"ATZ\r\n") == b""
    bench.wait_ms(1000)
    assert bench.said["a"] == [BANNER % b"LoRa P2P"]
    assert bench.ask(modem, b"AT+P2P=?\r\n") == b"AT+P2P=869525000:9:250:1:12:20\r\n" + OK
    assert bench.ask(modem, b"ATR\r\n") == OK
    assert bench.ask(modem, b"AT+NWM=?\r\n") == b"AT+NWM=1\r\n" + OK


def test_lines_and_echo(bench: Bench, modem: Rak3172) -> None:
    assert bench.ask(modem, b"\r\n") == b""
    assert bench.ask(modem, b"A") + bench.ask(modem, b"T\r\n") == OK
    assert bench.ask(modem, b"ATE\r\n") == OK
    assert bench.ask(modem, b"AT\r\n") == b"AT\r\n" + OK
    assert bench.ask(modem, b"ATE\r\n") == b"ATE\r\n" + OK
    assert bench.ask(modem, b"AT\r\n") == OK
    assert bench.ask(modem, b"y" * 641) == b"\r\nAT_TEST_PARAM_OVERFLOW\r\n"


def test_a_frame_is_sent_and_received(bench: Bench, modem: Rak3172) -> None:
    other = p2p(bench, "b")
    assert bench.ask(other, b"AT+PRECV=65535\r\n") == OK
    bench.said["b"].clear()
    assert bench.ask(modem, b"AT+PSEND=48656c6C6F\r\n") == OK
    assert bench.ask(modem, b"AT+PSEND=00\r\n") == BUSY
    bench.wait_ms(1000)
    assert bench.said["a"][1:] == [b"+EVT:TXP2P DONE\r\n"]
    # 14 dBm to the same place; the SNR register ends at 31.75 dB
    assert bench.said["b"] == [b"+EVT:RXP2P:14:32:48656C6C6F\r\n"]
    # 65535 ends with one frame
    bench.ask(modem, b"AT+PSEND=00\r\n")
    bench.wait_ms(1000)
    assert len(bench.said["b"]) == 1


def test_reception_for_a_time_ends(bench: Bench, modem: Rak3172) -> None:
    assert bench.ask(modem, b"AT+PRECV=3000\r\n") == OK
    bench.wait_ms(2980)
    assert bench.said["a"] == [OK]
    bench.wait_ms(20)
    assert bench.said["a"] == [OK, b"+EVT:RXP2P RECEIVE TIMEOUT\r\n"]
    assert bench.ask(modem, b"AT+PRECV=3000\r\n") == OK
    assert bench.ask(modem, b"AT+PRECV=0\r\n") == OK
    bench.wait_ms(5000)
    assert bench.said["a"] == [OK]


def test_continuous_reception_allows_no_other_command(bench: Bench, modem: Rak3172) -> None:
    other = p2p(bench, "b")
    assert bench.ask(modem, b"AT+PRECV=65534\r\n") == OK
    for command in (
        b"AT+PRECV=1000",
        b"AT+PSF=9",
        b"AT+PSEND=00",
        b"AT+P2P=868000000:7:125:0:8:14",
    ):
        assert bench.ask(modem, command + b"\r\n") == BUSY
    assert bench.ask(modem, b"AT+PSF=?\r\n") == b"AT+PSF=7\r\n" + OK
    bench.said["a"].clear()
    for _ in range(2):
        bench.ask(other, b"AT+PSEND=00\r\n")
        bench.wait_ms(1000)
    assert bench.said["a"] == [b"+EVT:RXP2P:14:32:00\r\n"] * 2
    assert bench.ask(modem, b"AT+PRECV=0\r\n") == OK
    assert bench.ask(modem, b"AT+PSF=9\r\n") == OK


def test_reception_with_transmission(bench: Bench, modem: Rak3172) -> None:
    other = p2p(bench, "b")
    for one in (modem, other):
        assert bench.ask(one, b"AT+PRECV=65533\r\n") == OK
    bench.said["a"].clear()
    assert bench.ask(other, b"AT+PSEND=01\r\n") == OK
    bench.wait_ms(1000)
    assert bench.ask(modem, b"AT+PSEND=02\r\n") == OK
    bench.wait_ms(1000)
    assert bench.said["b"][1:] == [b"+EVT:TXP2P DONE\r\n", b"+EVT:RXP2P:14:32:02\r\n"]
    # it listens again
    bench.ask(other, b"AT+PSEND=03\r\n")
    bench.wait_ms(1000)
    assert bench.said["a"][-1] == b"+EVT:RXP2P:14:32:03\r\n"


def test_a_busy_channel_is_detected_with_cad(bench: Bench, modem: Rak3172) -> None:
    other = p2p(bench, "b")
    assert bench.ask(modem, b"AT+CAD=1\r\n") == OK
    bench.ask(modem, b"AT+PRECV=65533\r\n")
    assert bench.ask(other, b"AT+PSEND=" + b"00" * 50 + b"\r\n") == OK
    assert bench.ask(modem, b"AT+PSEND=00\r\n") == BUSY
    bench.wait_ms(1000)
    assert bench.ask(modem, b"AT+PSEND=00\r\n") == OK


def test_modules_with_other_settings_receive_nothing(bench: Bench, modem: Rak3172) -> None:
    other = p2p(bench, "b")
    bench.ask(other, b"AT+SYNCWORD=1424\r\n")
    bench.ask(other, b"AT+PRECV=65534\r\n")
    bench.said["b"].clear()
    bench.ask(modem, b"AT+PSEND=00\r\n")
    bench.wait_ms(1000)
    assert bench.said["b"] == []
    bench.ask(modem, b"AT+SYNCWORD=1424\r\n")
    bench.ask(modem, b"AT+PSEND=00\r\n")
    bench.wait_ms(1000)
    assert bench.said["b"] == [b"+EVT:RXP2P:14:32:00\r\n"]


def test_a_reset_ends_reception_and_transmission(bench: Bench, modem: Rak3172) -> None:
    bench.ask(modem, b"AT+PRECV=65533\r\n")
    bench.ask(modem, b"AT+PSEND=" + b"00" * 100 + b"\r\n")
    modem.reset()
    bench.wait_ms(1000)
    assert bench.said["a"] == [OK, BANNER % b"LoRa P2P"]
    assert modem.radio.state == "sleeping"
