"""The serial link over a port in memory: frames from any cut of the stream, noise and floods."""

import gc

from harness import raises
from serial_rig import Bytes, link, received

from writ.compat import MICROPYTHON
from writ.errors import UsageError
from writ.limits import DATAGRAM_BYTES_MAX, SERIAL_CHUNK_BYTES, SERIAL_CHUNKS
from writ.link.serial import SerialLink, pack

FRAMES = (b"\x01", b"\0", bytes(40), b"a frame\0with a zero", bytes(range(256)))


def cut(data, size):
    """`data` in pieces of that size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_the_interface_of_a_frame_link():
    one, memory = link()
    # a datagram with the header and the source route of a frame fits
    assert (one.kind, one.handle, one.airtime_us(100)) == (1, None, 0)
    assert one.mtu >= DATAGRAM_BYTES_MAX + 16 + 2 * 15
    assert one.duty_cycle_permille == 1000
    assert one.receive(0) is None and one.next_ms(0) is None
    one.close()
    assert not one.send(b"late", 0) and memory.sent == b""


def test_frames_of_all_sizes_arrive():
    one, memory = link()
    random = Bytes(1)
    frames = list(FRAMES) + [random.take(size) for size in (1, 2, 251, 252, 253, 300, one.mtu)]
    frames += [bytes(one.mtu), b"\xff" * one.mtu]
    for frame in frames:
        assert one.send(frame, 0)
    memory.chunks = cut(memory.sent, SERIAL_CHUNK_BYTES)
    assert received(one) == frames and one.counters == {}


def test_the_stream_may_be_cut_anywhere():
    stream = b"".join([pack(frame) for frame in FRAMES])
    for size in (1, 2, 3, 7, 50, len(stream)):
        one, memory = link()
        memory.chunks = cut(stream, size)
        assert received(one) == list(FRAMES) and one.counters == {}, size


def test_frames_that_are_read_already_need_no_readable_port():
    one, memory = link()
    memory.chunks = [pack(b"first") + pack(b"second")]
    assert one.receive(0) == (b"first", None)
    assert one.next_ms(0) == 0
    assert one.receive(0) == (b"second", None)
    assert one.receive(0) is None and one.next_ms(0) is None


def test_a_frame_too_long_or_empty_is_not_sent():
    one, memory = link()
    raises(UsageError, one.send, bytes(one.mtu + 1), 0)
    raises(UsageError, one.send, b"", 0)
    assert memory.sent == b""


def test_noise_between_frames_costs_no_frame():
    one, memory = link()
    memory.chunks = [b"noise" + pack(b"first") + b"\x05more noise" + pack(b"second")]
    assert received(one) == [b"first", b"second"]
    assert one.counters == {"BadFrame": 2}


def test_a_frame_of_which_a_part_is_missing_costs_no_other():
    whole = pack(bytes(range(60)))
    for missing in range(len(whole)):
        one, memory = link()
        memory.chunks = [whole[:missing], pack(b"next"), whole[missing:], pack(b"last")]
        frames = received(one)
        assert frames[-1] == b"last" and b"next" in frames
        for frame in frames:
            assert frame in (b"next", b"last", bytes(range(60)))


def test_each_changed_byte_of_a_frame_is_refused():
    # each byte of the line has each other value once
    frame = b"pump-1 \0\0 is on\0"
    line = pack(frame)
    one, memory = link()
    for at in range(1, len(line) - 1):
        for value in range(256):
            if value != line[at]:
                memory.chunks = [line[:at] + bytes([value]) + line[at + 1 :]]
                assert received(one) == [], (at, value)
    memory.chunks = [line]
    assert received(one) == [frame]
    # a byte that became zero makes two damaged frames
    assert one.counters["BadFrame"] >= 255 * (len(line) - 2)


def test_a_frame_that_never_ends_is_dropped_once():
    one, memory = link()
    for _ in range(3):
        memory.chunks = [b"\x20" * SERIAL_CHUNK_BYTES] * 40 + [pack(b"next")]
        assert received(one) == [b"next"]
    assert one.counters == {"TooLarge": 3}


def test_a_whole_frame_longer_than_the_limit_is_dropped():
    one, memory = link()
    # zeros are encoded in as many bytes as they are, and two more than a frame may have fit
    memory.chunks = [pack(bytes(one.mtu + 1)), pack(bytes(300 + one.mtu)), pack(b"next")]
    assert received(one) == [b"next"]
    assert one.counters == {"TooLarge": 2}


def test_delimiters_alone_are_no_frames():
    one, memory = link()
    memory.chunks = [bytes(SERIAL_CHUNK_BYTES), pack(b"next"), bytes(5)]
    assert received(one) == [b"next"] and one.counters == {}


def test_too_short_for_a_crc():
    one, memory = link()
    # without a frame, the CRC of nothing is 0xffff
    for coded in (b"\x01", b"\x02\x07", b"\x03\xff\xff"):
        memory.chunks.append(b"\0" + coded + b"\0")
    assert received(one) == [] and one.counters == {"BadFrame": 3}


def test_a_flood_does_not_hold_up_the_caller():
    one, memory = link()
    memory.chunks = [b"\x11" * SERIAL_CHUNK_BYTES] * 1000
    assert one.receive(0) is None
    assert memory.reads == SERIAL_CHUNKS


def test_a_busy_port_takes_no_frame():
    one, memory = link()
    memory.handle = 1
    assert not one.is_sending(0)
    memory.is_open = False
    assert not one.send(b"now", 0) and memory.sent == b""
    # a frame that is lost with the port is under way no more
    assert one.is_sending(0)
    memory.handle = None
    assert not one.is_sending(0)


def held():
    """Bytes of the heap in use."""
    gc.collect()
    return gc.mem_alloc()


def test_ten_thousand_frames_keep_no_memory():
    one, memory = link()
    line = pack(b"a reading \0 of 30 bytes, about")
    for count in (100, 10000):
        for at in range(count):
            # now and then noise, and two frames in one chunk
            memory.chunks.append(b"\x07\x09" + line if at % 50 == 0 else line)
            while one.receive(at) is not None:
                pass
        if MICROPYTHON:
            if count == 100:
                before = held()
            else:
                assert held() <= before
    assert one.counters == {"BadFrame": 202}


def test_garbage_keeps_no_memory():
    one, memory = link()
    random = Bytes(3)
    for count in (20, 500):
        for _ in range(count):
            memory.chunks.append(random.take(SERIAL_CHUNK_BYTES))
            assert received(one) == []
        if MICROPYTHON:
            if count == 20:
                before = held()
            else:
                assert held() <= before
    assert one.counters["BadFrame"] > 100


def test_settings_of_no_port_are_refused():
    for wrong in ({}, {"port": ""}, {"port": None}, {"port": []}):
        assert '"port"' in str(raises(UsageError, SerialLink, wrong))
    for field in ("baud", "tx", "rx"):
        for value in ("9600", -1, None, 1.5):
            error = raises(UsageError, SerialLink, {"port": "/dev/none", field: value})
            assert field in str(error)
    raises(UsageError, SerialLink, {"port": "/dev/none", "baud": 0})
