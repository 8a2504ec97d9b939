"""What the lines of an RYLR998 can be: the payload of a stranger, and a line that was too long.

The modem gives a payload as it came: one with line feeds makes more lines.
"""

from rylr998_rig import FRAME, SET_UP, ready, received

from writ.limits import MODEM_LINE_BYTES_MAX


def foreign(payload):
    """The lines of the payload of another radio, which the modem gives as it came."""
    return b"+RCV=7,%d,%s,-40,11\r\n" % (len(payload), payload)


def test_a_payload_with_line_feeds_is_no_line_of_the_modem():
    # a reset
    link, port, time = ready(lambda line: b"")
    for payload in (b"x\r\n+READY\r\n", b"x\n+READY", b"\n\n\n+READY\n", b"\n" * 239 + b"+"):
        port.incoming += foreign(payload)
        time.run()
    assert port.lines == SET_UP and "Reset" not in link.counters
    # an answer to a check
    time.run(60000)
    assert port.lines[-1] == b"AT+BAND?"
    port.incoming += foreign(b"x\r\n+BAND=868500000\r\n")
    time.run()
    assert "Reset" not in link.counters
    # behind it lines count again
    port.incoming += foreign(b"x\r\n+BAND") + b"+BAND=868100000\r\n"
    time.run()
    assert port.lines[-1] == b"AT+PARAMETER?"


def test_a_payload_with_line_feeds_sends_no_frame_again():
    link, port, time = ready(lambda line: b"")
    assert link.send(FRAME, time.now_ms)
    for _ in range(4):
        port.incoming += foreign(b"x\r\n+ERR=17\r\n")
        time.run(4000)
    assert len([line for line in port.lines if line.startswith(b"AT+SEND")]) == 1


def test_a_frame_behind_a_line_that_lost_bytes_arrives():
    _, port, time = ready()
    port.incoming += b"+RCV=7,9,abc\r\n" + received(FRAME)
    assert time.run() == [(FRAME, 9)]
    # a length that the modem never gives holds up nothing
    port.incoming += b"+RCV=7,99999999999999999999,abc\r\n" + received(FRAME) * 9
    assert len(time.run()) == 9


def test_a_line_that_was_too_long_ends_with_the_port():
    link, port, time = ready()
    port.incoming += bytes(MODEM_LINE_BYTES_MAX + 1)
    time.run()
    port.unplug()
    time.run(100)
    port.plug_in()
    time.run(5000)
    assert link.error is None and "NoAnswer" not in link.counters
