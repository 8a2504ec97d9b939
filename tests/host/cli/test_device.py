"""`writ device`: the commands for a board at a serial port, with real MicroPython behind it."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import build_mpy
import pytest
from board_rig import Board
from cli_rig import Rig
from terminal_rig import Terminal

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


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Board]:
    found = Board(
        tmp_path,
        {
            "main.py": WORKING,
            "log.0": b"log 3\n12:00 newer\n12:01 \xff\n",
            "log.1": b"log 2\n11:00 older\n",
            "node/key.0": b"the key",
            "wifi.json": b"the password",
            "lib/a.py": b"1",
            "empty/": b"",
        },
    )
    yield found
    found.close()


@needs_micropython
def test_logs_are_printed_oldest_line_first(rig: Rig, full: Board) -> None:
    assert rig.ok("device", "logs", "--port", full.path)["lines"] == [
        *("11:00 older", "12:00 newer", "12:01 \ufffd"),
    ]
    count = full.output.count(b"working")
    assert rig.run("device", "logs", "--port", full.path).out.startswith("11:00 older\n")
    full.wait_until(lambda: full.output.count(b"working") > count)


@needs_micropython
def test_logs_of_a_board_without_a_log_are_empty(rig: Rig, board: Board) -> None:
    assert rig.ok("device", "logs", "--port", board.path) == {"lines": []}
    assert "no log" in rig.run("device", "logs", "--port", board.path).out


@needs_micropython
def test_logs_follow_what_the_board_prints(rig: Rig, full: Board) -> None:
    full.wait_for(b"working")

    def pull() -> None:
        # the program that has started again
        full.wait_until(lambda: full.output.count(b"working") == 2)
        full.wait_until(lambda: not full.pending)
        time.sleep(0.5)
        full.unplug()

    thread = threading.Thread(target=pull)
    thread.start()
    ran = rig.run("device", "logs", "--follow", "--port", full.path)
    thread.join()
    assert ran.code == 3 and "broke off" in ran.err
    assert ran.out.startswith("11:00 older\n12:00 newer\n") and "working\n" in ran.out


@needs_micropython
def test_files_are_listed_copied_and_removed(rig: Rig, full: Board, tmp_path: Path) -> None:
    port = ("--port", full.path)
    listed = {one["path"]: one["size"] for one in rig.ok("device", "files", "list", *port)["files"]}
    assert listed["/lib/a.py"] == 1 and listed["/empty/"] == 0 and listed["/node/key.0"] == 7
    found = rig.ok("device", "files", "list", "lib", *port)["files"]
    assert found == [{"path": "/lib/a.py", "size": 1}]
    (tmp_path / "driver.py").write_bytes(bytes(range(256)) * 20)
    rig.ok("device", "files", "put", tmp_path / "driver.py", "/lib/new/driver.py", *port)
    assert full.files()["/lib/new/driver.py"] == bytes(range(256)) * 20
    copy = tmp_path / "copy.py"
    rig.ok("device", "files", "get", "lib/new/driver.py", copy, *port)
    assert copy.read_bytes() == bytes(range(256)) * 20
    again = rig.run("device", "files", "get", "/lib/a.py", copy, *port, "--json")
    assert again.code == 4 and copy.stat().st_size == 5120
    rig.ok("device", "files", "rm", "/lib/new/driver.py", *port, "--yes")
    rig.ok("device", "files", "rm", "/lib/new", *port, "--yes")
    assert not [path for path in full.files() if path.startswith("/lib/new")]


@needs_micropython
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("get", "/absent"), "no such file"),
        (("get", "/lib"), "folder"),
        (("rm", "/absent", "--yes"), "no such file"),
        (("rm", "/lib", "--yes"), "not empty"),
        (("list", "/absent"), "no such file"),
    ],
)
def test_a_path_that_cannot_be_used_is_named(
    rig: Rig, full: Board, words: tuple[str, ...], text: str
) -> None:
    ran = rig.run("device", "files", *words, "--port", full.path, "--json")
    assert ran.code == 1 and text in ran.error["message"] and words[1] in ran.error["message"]


@needs_micropython
def test_a_file_replaces_no_folder(rig: Rig, full: Board, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    before = full.files()
    assert rig.run("device", "files", "put", tmp_path / "x", "/lib", "--port", full.path).code == 1
    assert full.files() == before


@pytest.mark.parametrize(
    "path",
    [
        *("/node/key.0", "node", "/lib/../node/key.0", "//node//key.0", "/NODE/key.0"),
        *("/wifi.json", "wifi.json.new", "/./wifi.json"),
    ],
)
def test_secrets_are_refused(rig: Rig, tmp_path: Path, path: str) -> None:
    (tmp_path / "x").touch()
    for words in (("get", path), ("put", tmp_path / "x", path), ("rm", path, "--yes")):
        ran = rig.run("device", "files", *words, "--port", tmp_path / "none", "--json")
        assert ran.code == 1 and "secrets" in ran.error["message"], words


@needs_micropython
def test_a_secret_that_is_asked_for_is_private(rig: Rig, full: Board, tmp_path: Path) -> None:
    copy = tmp_path / "key"
    rig.ok("device", "files", "get", "/node/key.0", copy, "--secret", "--port", full.path)
    assert copy.read_bytes() == b"the key" and copy.stat().st_mode & 0o777 == 0o600


CONFIG = {
    "name": "soil",
    "listen": "0.0.0.0:5683",
    "oscore": [{"peer": "laptop", "secret": "5ec4e7"}],
    "api_token": "t0ken",
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Board]:
    found = Board(tmp_path, {"main.py": WORKING, "node/config.json": json.dumps(CONFIG).encode()})
    yield found
    found.close()


@needs_micropython
def test_config_shows_no_secrets(rig: Rig, node: Board) -> None:
    found = rig.ok("device", "config", "show", "--port", node.path)["config"]
    assert found["name"] == "soil" and set(found) == set(CONFIG)
    for words in ((), ("--json",)):
        ran = rig.run("device", "config", "show", "--port", node.path, *words)
        assert "5ec4e7" not in ran.out and "t0ken" not in ran.out and "oscore" in ran.out


@needs_micropython
def test_config_sets_and_removes_a_value(rig: Rig, tmp_path: Path, board: Board) -> None:
    port = ("--port", board.path)
    assert rig.ok("device", "config", "show", *port)["config"] == {}
    rig.ok("device", "config", "set", "name", "soil", *port)
    rig.ok("device", "config", "set", "gateways", '["192.0.2.1:5683"]', *port)
    rig.ok("device", "config", "set", "renew_days", "30", *port)
    wanted = {"name": "soil", "gateways": ["192.0.2.1:5683"], "renew_days": 30}
    assert json.loads(board.files()["/node/config.json"]) == wanted
    rig.ok("device", "config", "unset", "renew_days", *port)
    del wanted["renew_days"]
    assert json.loads(board.files()["/node/config.json"]) == wanted
    ran = rig.run("device", "config", "unset", "renew_days", *port)
    assert ran.code == 1 and "config show" in ran.err


@needs_micropython
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("renew_days", '"30"'),
        ("gateways", "nowhere"),
        ("name", "12"),
        ("link", "[]"),
        ("oscore", "[]"),
    ],
)
def test_config_refuses_what_no_agent_can_use(rig: Rig, board: Board, key: str, value: str) -> None:
    before = board.files()
    ran = rig.run("device", "config", "set", key, value, "--port", board.path, "--json")
    assert ran.code == 1 and key in ran.error["message"], ran.out
    assert board.files() == before


@needs_micropython
def test_a_damaged_config_is_named(rig: Rig, board: Board, tmp_path: Path) -> None:
    for content in (b"{", b"[]", b"[" * 5000):
        (tmp_path / "c").write_bytes(content)
        words = ("put", tmp_path / "c", "/node/config.json", "--secret")
        rig.ok("device", "files", *words, "--port", board.path)
        ran = rig.run("device", "config", "show", "--port", board.path, "--json")
        assert ran.code == 1 and ran.error["name"] == "BadBoardConfig"


@needs_micropython
def test_a_shell_is_a_terminal_at_the_board(rig: Rig, board: Board, tmp_path: Path) -> None:
    board.wait_for(b"working")
    words = [
        str(Path(sys.executable).with_name("writ")),
        "device",
        "shell",
        "--port",
        str(board.path),
    ]
    terminal = Terminal(words, 100, dict(os.environ), tmp_path)
    try:
        terminal.wait_for(lambda text: "leaves" in text)

        def prompt(text: str) -> bool:
            # again: before the terminal is raw, it takes no Ctrl-C
            terminal.type(b"\x03")
            return ">>> " in text

        terminal.wait_for(prompt)
        terminal.type(b"print(6 * 7)\r")
        terminal.wait_for(lambda text: "42" in text)
        terminal.type(b"\x1d")
        terminal.finish()
        assert terminal.process.returncode == 0
    finally:
        terminal.close()


def test_a_shell_needs_a_terminal(rig: Rig, tmp_path: Path) -> None:
    ran = rig.run("device", "shell", "--port", tmp_path / "none", "--json")
    assert ran.code == 4 and "terminal" in ran.error["message"]
