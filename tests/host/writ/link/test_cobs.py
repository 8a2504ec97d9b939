"""COBS and the CRC against other implementations: PyPI's cobs, and CPython's own CRC."""

import binascii
import subprocess
from random import Random

import build_mpy
import pytest
from cobs import cobs

from writ.link.cobs import crc16, decode, encode
from writ.link.serial import SerialLink, pack

COUNT = 100_000


def decoded(coded: bytes) -> bytes | None:
    buffer = bytearray(coded)
    length = decode(buffer, len(coded))
    return None if length < 0 else bytes(buffer[:length])


def oracle(coded: bytes) -> bytes | None:
    try:
        found: bytes = cobs.decode(coded)
    except cobs.DecodeError:
        return None
    return found


def texts(seed: int, count: int) -> list[bytes]:
    """Random strings, most of them short; some have many zeros, others long runs without."""
    random = Random(seed)
    found = []
    for number in range(count):
        size = random.randrange(706) if number % 20 == 0 else random.randrange(12)
        kind = random.randrange(3)
        if kind == 0:
            found.append(random.randbytes(size))
        else:
            few = b"\0\x01\x02\x03\xff" if kind == 1 else bytes(range(1, 256))
            found.append(bytes(random.choices(few, k=size)))
    return found


def test_100_000_strings_decode_as_the_oracle_decodes_them() -> None:
    good = 0
    for text in texts(1, COUNT):
        coded = text.replace(b"\0", b"\x01")
        assert decoded(coded) == oracle(coded), coded
        good += decoded(coded) is not None
    assert COUNT / 20 < good < COUNT * 19 / 20


def test_strings_are_encoded_as_the_oracle_encodes_them() -> None:
    for text in texts(2, COUNT // 4):
        coded = encode(text)
        assert coded == cobs.encode(text), text
        assert decoded(coded) == text


def test_the_crc_is_that_of_cpython() -> None:
    found = build_mpy.find_micropython()
    if found is None:
        pytest.skip("no micropython here")
    data = Random(3).randbytes(2000)
    # the sources, in Python; on CPython the same name is binascii's
    code = "from writ.link.cobs import crc16\n"
    code += f"data = memoryview(bytes.fromhex({data.hex()!r}))\n"
    code += "print([crc16(data[:n]) for n in range(0, 2000, 7)])"
    done = subprocess.run(
        [found, "-c", code],
        env={"MICROPYPATH": f"{build_mpy.FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
    )
    real = [binascii.crc_hqx(data[:n], 0xFFFF) for n in range(0, 2000, 7)]
    assert done.stdout.strip() == str(real)
    assert [crc16(data[:n]) for n in range(0, 2000, 7)] == real


class Given:
    """In the place of a port: one piece of a stream."""

    def __init__(self, data: bytes) -> None:
        self.counters: dict[str, int] = {}
        self._data = data

    def read(self, now_ms: int) -> bytes:
        data, self._data = self._data[:256], self._data[256:]
        return data


def arrived(line: bytes) -> tuple[list[bytes], dict[str, int]]:
    link = SerialLink({}, Given(line))
    frames = []
    # each call takes a quarter of what is left at least
    for _ in range(20):
        found = link.receive(0)
        if found:
            frames.append(found[0])
    return frames, link.counters


@pytest.mark.parametrize("seed", range(6))
def test_each_changed_byte_of_frames_of_all_kinds_is_refused(seed: int) -> None:
    # A changed byte of a frame's content is a burst of 8 bits, which the CRC finds in any case. A
    # changed code of COBS moves zeros; of those changes the CRC misses one in 65,536.
    frame = texts(seed, 2000)[20 * seed + 20 if seed < 4 else seed] or b"\0\0\0"
    line = pack(frame)
    assert arrived(line) == ([frame], {})
    for at in range(1, len(line) - 1):
        for value in range(256):
            if value != line[at]:
                frames, counters = arrived(line[:at] + bytes([value]) + line[at + 1 :])
                assert not frames and counters["BadFrame"], (at, value)
