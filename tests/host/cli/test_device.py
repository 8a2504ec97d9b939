"""`writ device`: the commands for a board at a serial port, with real MicroPython behind it."""

from collections.abc import Iterator
from pathlib import Path

import build_mpy
import pytest
from board_rig import Board
from cli_rig import Rig

needs_micropython = pytest.mark.skipif(
    build_mpy.find_micropython() is None, reason="no micropython here"
)
WORKING = b"import time\nprint('working')\nwhile True:\n    time.sleep(1)\n"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    found = Board(tmp_path, {"main.py": WORKING})
    yield found
    found.close()


def test_list_prints_the_ports(rig: Rig) -> None:
    for port in rig.ok("device", "list")["ports"]:
        assert port["path"].startswith("/dev/") and port["usb"]
    assert rig.run("device", "list").code == 0


@needs_micropython
def test_reset_starts_the_board(rig: Rig, board: Board) -> None:
    board.wait_for(b"working")
    starts = board.starts
    ran = rig.run("device", "reset", "--port", board.path)
    assert ran.code == 0 and f"the board at {board.path} starts" in ran.out
    # a soft reset into the REPL, and the reset itself
    board.wait_until(lambda: board.starts == starts + 2)
    board.wait_until(lambda: board.output.count(b"working") == 2)


def test_a_port_that_is_not_there_is_an_error_with_advice(rig: Rig, tmp_path: Path) -> None:
    ran = rig.run("device", "reset", "--port", tmp_path / "ttyUSB0", "--json")
    assert ran.code == 3 and ran.error["name"] == "NoPort"
    assert "writ device list" in ran.error["advice"]


@needs_micropython
@pytest.mark.skipif(build_mpy.find_compiler() is None, reason="no mpy-cross here")
def test_deploy_sends_the_agent_and_then_only_what_changed(
    rig: Rig, board: Board, tmp_path: Path
) -> None:
    app = tmp_path / "app.py"
    app.write_text("def setup(node):\n    pass\n")
    words = ("device", "deploy", "--port", board.path, "--app", app, "--board", "unix")
    first = rig.ok(*words)
    assert {"/app.py", "/board.json", "/boot.py", "/main.py"} < set(first["sent"])
    assert first["reset"] and not first["completed"]
    app.write_text("def setup(node):\n    print('new')\n")
    second = rig.ok(*words, "--no-reset")
    assert second["sent"] == ["/app.py"] and second["unchanged"] == len(first["sent"]) - 1
    found = board.files()
    assert found["/app.py"] == app.read_bytes() and b'"board": "unix"' in found["/board.json"]
    ran = rig.run(*words)
    assert ran.code == 0 and "sent 0 files" in ran.out


@needs_micropython
@pytest.mark.skipif(build_mpy.find_compiler() is None, reason="no mpy-cross here")
def test_deploy_refuses_a_board_of_another_kind(rig: Rig, board: Board) -> None:
    ran = rig.run("device", "deploy", "--port", board.path, "--board", "esp32s3", "--json")
    assert ran.code == 1 and ran.error["name"] == "WrongBoard"
    assert list(board.files()) == ["/main.py"]


def test_deploy_refuses_a_program_that_is_none(rig: Rig, tmp_path: Path) -> None:
    for content in (b"def setup(node:\n", b"\0", b"\xff\xfe"):
        (tmp_path / "app.py").write_bytes(content)
        ran = rig.run("device", "deploy", "--app", tmp_path / "app.py", "--json")
        assert ran.code == 1 and "app.py" in ran.error["message"]
