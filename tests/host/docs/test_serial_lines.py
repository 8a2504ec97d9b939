"""Compares "Serial lines" of docs/wire.md with the code."""

from docs_rig import PROSE, WIRE, groups, raw, rows
from serial_rig import link, received

from writ.link import port
from writ.link.cobs import crc16
from writ.link.serial import SerialLink, pack
from writ_host.policy.text import LINKS

TEXT = PROSE[PROSE.index("## Serial lines") : PROSE.index("## Flash")].replace("\n", " ")


def test_a_link_takes_the_example() -> None:
    one, memory = link()
    memory.chunks = [raw("serial")]
    frames = received(one)
    assert frames == [b"pump-1\0\x15\0"] and len(frames[0]) == 9
    assert "A frame of 9 bytes" in TEXT


def test_each_line_of_the_example_is_a_block() -> None:
    first, *blocks, last = groups("serial")
    assert first[0] == last[0] == b"\0"
    frame = b""
    for data, comment in blocks:
        assert data[0] == len(data) and comment.startswith(f"{data[0] - 1} byte")
        frame += data[1:] + (b"" if "no zero" in comment else b"\0")
    assert crc16(frame[:-2]) == int.from_bytes(frame[-2:], "big")


def test_numbers() -> None:
    assert f"0x{crc16(b'123456789'):04X}" in TEXT
    extra = {size: len(pack(b"\x01" * size)) - size for size in (1, 251, SerialLink.mtu)}
    assert extra == {1: 5, 251: 5, SerialLink.mtu: 7}
    assert "up to 251 bytes needs 5 bytes more on the line, the longest one 7." in TEXT
    pauses = (port._RETRY_MS // 1000, port._RETRY_LONGEST_MS // 1000)
    assert "after {} s, then after twice as long each time, {} s at most".format(*pauses) in TEXT


def test_settings() -> None:
    table = {
        row[0]: row[1] for row in rows(WIRE, "key of a serial link", "value") if row[0] == "`baud`"
    }
    assert f"{port._BAUD} if absent" in table["`baud`"]
    assert LINKS[SerialLink.kind] == "serial"
