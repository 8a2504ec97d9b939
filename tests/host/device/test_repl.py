"""A board's REPL: it is entered past each program that Ctrl-C ends, or the reason is named."""

import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path

import build_mpy
import pytest
from board_rig import Board
from serial.tools.list_ports_common import ListPortInfo

from writ_host.device import ports, repl
from writ_host.device.ports import ManyPorts, NoPort, Port, PortInUse
from writ_host.device.repl import BoardFailed, BoardFull, LostBoard, NoRepl, connect

needs_micropython = pytest.mark.skipif(
    build_mpy.find_micropython() is None, reason="no micropython here"
)
ENDLESS = b"while True:\n    print('the board says the same again and again')\n"
DEAF = b"import micropython\nmicropython.kbd_intr(-1)\n" + ENDLESS
STUBBORN = (
    b"while True:\n    try:\n        print('x' * 50)\n    except KeyboardInterrupt:\n        pass\n"
)
WORKING = b"import time\nprint('working')\nwhile True:\n    time.sleep(1)\n"
Make = Callable[..., Board]


@needs_micropython
def test_code_runs_and_the_program_starts_again(make: Make) -> None:
    board = make({"boot.py": b"print('booted')\n", "main.py": WORKING})
    board.wait_for(b"working")
    with connect(str(board.path)) as found:
        assert found.ask("[1 + 1, 'é', None]") == [2, "é", None]
        assert found.run("print('a', 'b')").split() == [b"a", b"b"]
        assert board.output.count(b"working") == 1
    board.wait_until(lambda: board.output.count(b"working") == 2)
    assert board.output.count(b"booted") == 3


@needs_micropython
def test_the_program_starts_again_after_an_error(make: Make) -> None:
    board = make({"main.py": WORKING})
    with pytest.raises(BoardFailed) as caught, connect(str(board.path)) as found:
        found.run("raise ValueError('too warm')")
    assert caught.value.error == "ValueError: too warm"
    with pytest.raises(BoardFull), connect(str(board.path)) as found:
        found.run("raise OSError(28)")
    board.wait_until(lambda: board.output.count(b"working") >= 2)


@needs_micropython
@pytest.mark.parametrize(
    "program", [ENDLESS, b"1/0\n", b"import sys\nsys.exit()\n", b"syntax error"]
)
def test_each_program_that_can_be_interrupted_is(make: Make, program: bytes) -> None:
    # the one with sys.exit() starts again and again, as on a chip
    board = make({"main.py": program})
    with connect(str(board.path), starts=False) as found:
        assert found.ask("40 + 2") == 42


@needs_micropython
def test_a_program_that_hangs_in_boot_py_is_interrupted(make: Make) -> None:
    board = make({"boot.py": ENDLESS})
    with connect(str(board.path), starts=False) as found:
        assert found.ask("40 + 2") == 42


@needs_micropython
@pytest.mark.parametrize("program", [DEAF, STUBBORN])
def test_a_program_that_ctrl_c_does_not_end_is_named(make: Make, program: bytes) -> None:
    board = make({"main.py": program})
    with pytest.raises(NoRepl, match="Ctrl-C does not end") as caught, connect(str(board.path)):
        pass
    assert "reset button" in caught.value.advice


@needs_micropython
def test_output_without_end_is_bounded(make: Make) -> None:
    board = make({})
    with connect(str(board.path), starts=False) as found:
        with pytest.raises(LostBoard):
            found.run("while True:\n    print('x' * 1000)")
        with pytest.raises(LostBoard):
            found.run("import time\ntime.sleep(1000)", silence_s=0.3)
    # and the board listens to the next command
    with connect(str(board.path)) as found:
        assert found.ask("1") == 1


@needs_micropython
def test_other_lines_do_not_change_an_answer(make: Make) -> None:
    board = make({})
    with connect(str(board.path)) as found:
        assert found.ask("print('W (123) wifi: beacon lost') or 7") == 7
        with pytest.raises(LostBoard, match="damaged"):
            found.ask("1), (print('writ:{') or 1")


@needs_micropython
@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_a_cable_that_is_pulled_is_a_lost_board(make: Make, count: int, direction: str) -> None:
    board = make({"main.py": WORKING})
    with pytest.raises(LostBoard) as caught, connect(str(board.path)) as found:
        board.cut_after(count, direction, power=False)
        found.run("print('a' * 100)")
    assert "cable" in caught.value.advice


@needs_micropython
def test_a_reset_starts_the_board_as_its_button_does(make: Make) -> None:
    board = make({"main.py": WORKING})
    with connect(str(board.path), starts=False) as found:
        starts = board.starts
        found.reset()
        board.wait_until(lambda: board.starts == starts + 1)
    board.wait_until(lambda: board.output.count(b"working") >= 2)


@needs_micropython
def test_a_port_that_another_program_uses_is_named(make: Make) -> None:
    board = make({})
    with (
        connect(str(board.path), starts=False),
        pytest.raises(PortInUse) as caught,
        connect(str(board.path)),
    ):
        pass
    assert "Close the other program" in caught.value.advice


def test_a_port_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "ttyUSB7", tmp_path / "file" / "ttyUSB7"):
        (tmp_path / "file").touch()
        with pytest.raises(NoPort), connect(str(path)):
            pass
    with pytest.raises(NoPort), connect(str(tmp_path / "file")):
        pass
    with pytest.raises(NoPort), connect("gopher://1"):
        pass


def test_a_silent_port_is_named() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        with pytest.raises(NoRepl, match="sends nothing"), connect(os.ttyname(slave)):
            pass
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (b"", "sends nothing"),
        (b"rst:0x1 (POWERON),boot:0x3\r\nwaiting for download\r\n", "waits for a download"),
        (b"ets Jun  8 2016\r\nrst:0x3 (SW)\r\nrst:0x3 (SW)\r\n", "starts again and again"),
        (bytes(range(128, 256)) * 4, "no text"),
        ("température 21,5\r\n".encode() * 9, "Ctrl-C does not end"),
    ],
)
def test_what_a_board_prints_says_why_it_has_no_repl(seen: bytes, text: str) -> None:
    found = repl.explanation("/dev/ttyUSB0", seen)
    assert text in str(found) and "/dev/ttyUSB0" in str(found) and found.advice


def info(
    path: str, vid: int | None = None, pid: int | None = None, product: str = ""
) -> ListPortInfo:
    found = ListPortInfo(path)
    found.vid, found.pid, found.product = vid, pid, product
    return found


def test_ports_with_boards_come_first_and_others_at_usb_last() -> None:
    found = ports.ports_of(
        [
            info("/dev/ttyS0"),
            info("/dev/ttyUSB1", 0x1234, 0x5678, "a printer"),
            info("/dev/ttyUSB0", 0x10C4, 0xEA60, "CP2102"),
            info("/dev/ttyACM0", 0x2E8A, 0x0005),
        ]
    )
    assert [one.path for one in found] == ["/dev/ttyACM0", "/dev/ttyUSB0", "/dev/ttyUSB1"]
    assert [one.is_known for one in found] == [True, True, False]
    assert found[0].usb == "2e8a:0005" and "Pico" in found[0].kind
    assert found[2].kind == "a printer"


def test_the_one_port_that_may_have_a_board_is_chosen() -> None:
    board = Port("/dev/ttyACM0", "2e8a:0005", "a Pico", "", True)
    other = Port("/dev/ttyUSB1", "1234:5678", "a printer", "", False)
    assert ports.choose(None, [board, other]) == board.path
    assert ports.choose(None, [other]) == other.path
    assert ports.choose("/dev/ttyS0", [board]) == "/dev/ttyS0"
    with pytest.raises(NoPort) as caught:
        ports.choose(None, [])
    assert "carries data" in caught.value.advice
    with pytest.raises(ManyPorts, match="/dev/ttyACM0"):
        ports.choose(None, [board, board])


def test_a_user_without_permission_is_told_the_group() -> None:
    found = ports.open_error("/dev/ttyUSB0", PermissionError(13, "denied"))
    assert "dialout" in found.advice and "/dev/ttyUSB0" in str(found)
