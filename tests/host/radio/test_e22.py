"""The emulated E22 by Ebyte's manual: transparent data, registers, modes."""

import pytest
from radio.modems import E22
from radio.phy import Settings
from radio_rig import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def modem(bench: Bench) -> E22:
    return bench.modem(E22, "a")


def configure(bench: Bench, modem: E22, *commands: bytes) -> list[bytes]:
    """The answers to register commands in mode 2; afterwards the module is in mode 0."""
    modem.set_pins(m0=0, m1=1)
    answers = [bench.ask(modem, command) for command in commands]
    modem.set_pins(m0=0, m1=0)
    bench.said[modem.radio.name].clear()
    return answers


def test_data_goes_through(bench: Bench, modem: E22) -> None:
    other = bench.modem(E22, "b")
    modem.feed(b"\x00\xff any ")
    modem.feed(b"bytes\r\n")
    bench.wait_ms(3000)
    assert bench.said == {"a": [], "b": [b"\x00\xff any bytes\r\n"]}
    other.feed(b"back")
    bench.wait_ms(3000)
    assert bench.said["a"] == [b"back"]


def test_the_air_has_address_and_network_before_the_data(bench: Bench, modem: E22) -> None:
    sent: list[tuple[int, Settings]] = []
    bench.channel.watch = lambda event: sent.append((event.length, event.settings))
    modem.feed(b"12345")
    bench.wait_ms(10)
    # the defaults: channel 18, 2.4k, 22 dBm
    assert sent == [(8, Settings(868_125_000, 500_000, 11, power_dbm=22))]


def test_a_pause_of_three_bytes_ends_a_burst(bench: Bench, modem: E22) -> None:
    bench.modem(E22, "b")
    modem.feed(b"a")
    # 9600 baud: 3 bytes take 3.125 ms
    for byte in (b"b", b"c"):
        bench.wait_ms(3)
        modem.feed(byte)
    bench.wait_ms(4)
    modem.feed(b"d")
    bench.wait_ms(5000)
    assert bench.said["b"] == [b"abc", b"d"]


def test_long_bursts_are_sent_in_packets(bench: Bench, modem: E22) -> None:
    bench.modem(E22, "b")
    data = bytes(range(250)) * 5
    modem.feed(data)
    bench.wait_ms(60_000)
    assert [len(part) for part in bench.said["b"]] == [240, 240, 240, 240, 40]
    # the buffer has 1,000 bytes
    assert b"".join(bench.said["b"]) == data[:1000]
    bench.said["b"].clear()
    configure(bench, modem, bytes.fromhex("c0 04 01 c0"))
    modem.feed(data[:70])
    bench.wait_ms(60_000)
    assert [len(part) for part in bench.said["b"]] == [32, 32, 6]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        # the manual's examples: channel, then address, network and rate
        ("c0 05 01 09", "c1 05 01 09"),
        ("c1 05 01", "c1 05 01 12"),
        ("c0 00 04 12 34 00 61", "c1 00 04 12 34 00 61"),
        ("c1 00 04", "c1 00 04 00 00 00 62"),
        ("c2 05 01 09", "c1 05 01 09"),
        ("c1 00 09", "c1 00 09 00 00 00 62 00 12 03 00 00"),
        ("c1 80 07", "c1 80 07 00 00 00 00 00 00 00"),
        # wrong formats
        ("c1 00 0a", "ff ff ff"),
        ("c1 00 00", "ff ff ff"),
        ("c1 80 08", "ff ff ff"),
        ("c1 05", "ff ff ff"),
        ("c0 05 02 09", "ff ff ff"),
        ("c0 08 02 09 09", "ff ff ff"),
        ("c3 05 01 09", "ff ff ff"),
        ("cf cf c0 05 01 09", "ff ff ff"),
        ("c0 05 01 51", "ff ff ff"),
        # what is not emulated: fixed transmission, relay, WOR
        ("c0 06 01 43", "ff ff ff"),
        ("c0 06 01 23", "ff ff ff"),
        ("c0 06 01 0b", "ff ff ff"),
    ],
)
def test_register_commands(bench: Bench, modem: E22, command: str, answer: str) -> None:
    assert configure(bench, modem, bytes.fromhex(command)) == [bytes.fromhex(answer)]


def test_the_key_is_write_only(bench: Bench, modem: E22) -> None:
    write, read = bytes.fromhex("c0 07 02 ab cd"), bytes.fromhex("c1 07 02")
    answers = configure(bench, modem, write, read)
    assert answers == [bytes.fromhex("c1 07 02 ab cd"), bytes.fromhex("c1 07 02 00 00")]


def test_temporary_registers_end_with_a_reset(bench: Bench, modem: E22) -> None:
    read = bytes.fromhex("c1 02 04")
    configure(bench, modem, bytes.fromhex("c2 05 01 09"), bytes.fromhex("c0 02 01 07"))
    # a lasting write of one register stores all that are in force
    modem.reset()
    assert configure(bench, modem, read) == [bytes.fromhex("c1 02 04 07 62 00 09")]
    configure(bench, modem, bytes.fromhex("c2 05 01 20"))
    modem.reset()
    assert configure(bench, modem, read) == [bytes.fromhex("c1 02 04 07 62 00 09")]


@pytest.mark.parametrize(
    "change",
    [
        "c0 00 02 00 01",  # address
        "c0 02 01 07",  # network
        "c0 03 01 63",  # air data rate
        "c0 05 01 13",  # channel
    ],
)
def test_modules_that_are_set_otherwise_receive_nothing(
    bench: Bench, modem: E22, change: str
) -> None:
    other = bench.modem(E22, "b")
    configure(bench, other, bytes.fromhex(change))
    modem.feed(b"one")
    bench.wait_ms(3000)
    configure(bench, modem, bytes.fromhex(change))
    modem.feed(b"two")
    bench.wait_ms(3000)
    assert bench.said["b"] == [b"two"]


def test_the_address_ffff_listens_to_all(bench: Bench, modem: E22) -> None:
    configure(bench, bench.modem(E22, "b"), bytes.fromhex("c0 00 02 ff ff"))
    modem.feed(b"one")
    bench.wait_ms(3000)
    assert bench.said["b"] == [b"one"]


def test_a_level_follows_the_data(bench: Bench, modem: E22) -> None:
    other = bench.modem(E22, "b", x_m=10_100.0)
    configure(bench, other, bytes.fromhex("c0 06 01 83"))
    modem.feed(b"one")
    bench.wait_ms(3000)
    # 22 dBm less 80 dB: -58 dBm is 256 - 58
    assert bench.said["b"] == [b"one" + bytes([198])]


def test_levels_can_be_read_if_enabled(bench: Bench, modem: E22) -> None:
    other = bench.modem(E22, "b", x_m=10_100.0)
    read = bytes.fromhex("c0 c1 c2 c3 00 02")
    assert configure(bench, other, bytes.fromhex("c0 04 01 20")) == [bytes.fromhex("c1 04 01 20")]
    modem.feed(b"one")
    bench.wait_ms(3000)
    # noise at 500 kHz: -111.0 dBm
    assert bench.ask(other, read) == bytes([0xC1, 0, 2, 145, 198])
    assert bench.ask(other, bytes.fromhex("c0 c1 c2 c3 01 02")) == b"\xff\xff\xff"
    # else these bytes are data
    bench.said["b"].clear()
    modem.feed(read)
    bench.wait_ms(3000)
    assert bench.said["b"] == [read]


def test_the_mode_can_be_switched_on_the_port_if_enabled(bench: Bench, modem: E22) -> None:
    switch = bytes.fromhex("c0 c1 c2 c3 02 02")
    configure(bench, modem, bytes.fromhex("c0 04 01 10"))
    assert bench.ask(modem, switch) == bytes.fromhex("c1 c2 c3 02 02")
    assert bench.ask(modem, bytes.fromhex("c1 05 01")) == bytes.fromhex("c1 05 01 12")
    assert bench.ask(modem, bytes.fromhex("c0 c1 c2 c3 02 01")) == b"\xff\xff\xff"
    assert bench.ask(modem, bytes.fromhex("c0 c1 c2 c3 02 03")) == bytes.fromhex("c1 c2 c3 02 03")
    assert bench.ask(modem, bytes.fromhex("c1 05 01")) == b""
    assert bench.ask(modem, bytes.fromhex("c0 c1 c2 c3 02 00")) == bytes.fromhex("c1 c2 c3 02 00")


def test_no_data_in_other_modes(bench: Bench, modem: E22) -> None:
    other = bench.modem(E22, "b")
    for m0, m1 in ((0, 1), (1, 1)):
        other.set_pins(m0, m1)
        modem.feed(b"one")
        bench.wait_ms(3000)
        assert bench.said["b"] == []
    assert bench.ask(other, bytes.fromhex("c1 05 01")) == b""
    with pytest.raises(ValueError, match="WOR"):
        other.set_pins(1, 0)


def test_listen_before_talk_waits_for_two_seconds(bench: Bench, modem: E22) -> None:
    other, third = bench.modem(E22, "b"), bench.modem(E22, "c")
    # 0.3k: a packet of 240 bytes takes 9.8 s
    for one in (modem, other, third):
        configure(bench, one, bytes.fromhex("c0 03 01 60"))
    configure(bench, other, bytes.fromhex("c0 06 01 13"))
    starts: list[tuple[str, int]] = []
    bench.channel.watch = lambda event: (
        starts.append((event.sender, event.time_us // 1_000_000)) if event.what == "sent" else None
    )
    begin_s = bench.timeline.now_us // 1_000_000
    modem.feed(bytes(240))
    bench.wait_ms(500)
    other.feed(b"hello")
    bench.wait_ms(1500)
    assert [name for name, _ in starts] == ["a"]
    bench.wait_ms(1000)
    assert [name for name, _ in starts] == ["a", "b"]
    assert starts[1][1] - begin_s in (2, 3)
    bench.wait_ms(20_000)
    other.feed(b"hello")
    bench.wait_ms(10)
    assert [name for name, _ in starts] == ["a", "b", "b"]


def test_power_loss_loses_what_waits(bench: Bench, modem: E22) -> None:
    bench.modem(E22, "b")
    modem.feed(bytes(500))
    bench.wait_ms(10)
    modem.power_off()
    modem.power_on()
    bench.wait_ms(30_000)
    # the packet on air is whole
    assert [len(part) for part in bench.said["b"]] == [240]
    modem.feed(b"half of a bur")
    modem.power_off()
    modem.power_on()
    bench.wait_ms(5000)
    assert len(bench.said["b"]) == 1
