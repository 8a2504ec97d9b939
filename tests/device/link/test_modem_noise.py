"""Noise on the lines of AT modems: no exception, no wrong frame without damage, no heap kept."""

import gc

from modem_rig import ScriptedPort, Time, channel

from writ.compat import MICROPYTHON
from writ.limits import MODEM_LINE_BYTES_MAX
from writ.link.rak3172 import Rak3172
from writ.link.rylr998 import Rylr998, encode

FRAME = bytes(range(40, 120))
TEXT = encode(FRAME)
RYLR_LINES = (
    b"+RCV=0,%d,%s,-99,9\r\n" % (len(TEXT), TEXT),
    b"+OK\r\n",
    b"+ERR=17\r\n",
    b"+ERR=12\r\n",
    b"+ERR=4\r\n",
    b"+READY\r\n",
)
RAK_LINES = (
    b"+EVT:RXP2P:-99:9:" + b"61" * 80 + b"\r\n",
    b"OK\r\n\r\n",
    b"AT_BUSY_ERROR\r\n",
    b"AT+NWM=1\r\n",
    b"AT_PARAM_ERROR\r\n",
    b"+EVT:TXP2P DONE\r\n",
    b"Current Work Mode: LoRa P2P.\r\n",
)


class Numbers:
    """Pseudo-random numbers, the same on both interpreters (Numerical Recipes, section 7.1)."""

    def __init__(self, seed):
        self._state = seed

    def below(self, end):
        """The next number, 0 to end - 1."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self._state >> 8) % end


def damaged(numbers, line):
    """A line with bytes replaced, taken out, repeated or cut; often none."""
    line = bytearray(line)
    for _ in range(numbers.below(4)):
        at = numbers.below(len(line))
        what = numbers.below(4)
        if what == 0:
            line[at] = numbers.below(256)
        elif what == 1:
            line = line[:at] + line[at + 1 :]
        elif what == 2:
            line = line[: at + 1] + line[at:]
        else:
            line = line[: at + 1]
        if not line:
            break
    return bytes(line)


def run_with_noise(driver, modem, lines, seed):
    """Feed damaged lines while frames are sent; the link works again afterwards."""
    numbers = Numbers(seed)
    answers = []

    def answer(line):
        answers.append(line)
        return damaged(numbers, lines[numbers.below(len(lines))])

    port = ScriptedPort(answer)
    link = driver(channel(modem=modem), port)
    time = Time(link)
    for _ in range(300):
        port.incoming += damaged(numbers, lines[numbers.below(len(lines))])
        port.chunk_bytes = 1 + numbers.below(80)
        for frame, snr in time.run(numbers.below(3000)):
            assert 0 < len(frame) <= link.mtu and -128 <= snr <= 127
        link.send(FRAME, time.now_ms)
    port.incoming = b""
    return link, port, time


def test_a_rylr998_that_talks_nonsense_is_survived():
    for seed in range(4):
        link, port, time = run_with_noise(Rylr998, "rylr998", RYLR_LINES, seed)
        port.answer = lambda line: b"\r\n+OK\r\n"
        time.run(120000)
        assert link.error is None and link.send(b"after all", time.now_ms), seed


def test_a_rak3172_that_talks_nonsense_is_survived():
    def ok(line):
        return b"\r\nOK\r\n" + (b"+EVT:TXP2P DONE\r\n" if b"PSEND" in line else b"")

    for seed in range(4):
        link, port, time = run_with_noise(Rak3172, "rak3172", RAK_LINES, seed)
        port.answer = ok
        time.run(120000)
        assert link.error is None and link.send(b"after all", time.now_ms), seed


def test_a_flood_without_an_end_of_line_fills_no_memory():
    port = ScriptedPort(lambda line: b"+OK\r\n")
    link = Rylr998(channel(modem="rylr998"), port)
    time = Time(link)
    time.run()
    for _ in range(50):
        port.incoming = b"x" * MODEM_LINE_BYTES_MAX
        time.run()
    port.incoming = b"\r\n" + RYLR_LINES[0]
    assert time.run() == [(FRAME, 9)] and link.counters == {"BadLine": 1}


def test_an_snr_that_no_radio_has_is_damage():
    port = ScriptedPort(lambda line: b"+OK\r\n")
    link = Rylr998(channel(modem="rylr998"), port)
    time = Time(link)
    time.run()
    port.incoming = RYLR_LINES[0].replace(b",9\r\n", b",999\r\n") + RYLR_LINES[0]
    assert time.run() == [(FRAME, 9)] and link.counters == {"BadFrame": 1}


def test_frames_leave_nothing_on_the_heap():
    if not MICROPYTHON:
        return
    port = ScriptedPort(lambda line: b"+OK\r\n")
    link = Rylr998(channel(modem="rylr998"), port)
    time = Time(link)

    def exchange(count):
        for _ in range(count):
            port.incoming = RYLR_LINES[0] + b"+RCV=0,3,bad,-99,9\r\n"
            assert link.receive(time.now_ms)
            assert link.receive(time.now_ms) is None
            assert link.send(FRAME, time.now_ms)
            time.run(1000)
            port.lines = []
        gc.collect()
        return gc.mem_alloc()

    time.run()
    before = exchange(20)
    assert exchange(1000) <= before + 64
