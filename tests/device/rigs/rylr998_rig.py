"""An RYLR998 at the end of a script, on MicroPython and CPython."""

from modem_rig import ScriptedPort, Time, channel

from writ.link.rylr998 import Rylr998, encode

SET_UP = [
    b"AT",
    b"AT+MODE=0",
    b"AT+ADDRESS=0",
    b"AT+NETWORKID=18",
    b"AT+BAND=868100000",
    b"AT+PARAMETER=7,7,1,8",
    b"AT+CRFOP=14",
]
FRAME = bytes([0, 13, 10, 255, 44]) + b"a frame, with a comma\r\n"


def ok(line):
    """Answers each command with +OK."""
    return b"+OK\r\n"


def ready(answer=ok, **other):
    """(link, port, time) of a modem that is set up."""
    port = ScriptedPort(ok)
    link = Rylr998(channel(modem="rylr998", **other), port)
    time = Time(link)
    time.run()
    port.answer = answer
    return link, port, time


def received(frame, rssi=-99, snr=9):
    """The line of a received frame."""
    text = encode(frame)
    return b"+RCV=0,%d,%s,%d,%d\r\n" % (len(text), text, rssi, snr)
