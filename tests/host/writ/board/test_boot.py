"""boot.py and main.py on MicroPython with the modules that ship; a stand-in for the chip only."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import build_mpy
import pytest
import vectors_node
from boot_rig import MICROPYTHON, Board

from writ import crypto
from writ.authority import capsule
from writ.authority.store import FileFlash, Store
from writ.node.node import Node
from writ_host.scope.admission import read_request

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        MICROPYTHON is None or build_mpy.find_compiler() is None,
        reason="no micropython or no mpy-cross here",
    ),
]
CRASH = """
def setup(node):
    raise ValueError("no such pump")
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "board")
    yield made
    made.cut_power()


def logged(board: Board) -> str:
    """The log, without the time of each line."""
    lines = board.read("log.0").splitlines()
    assert lines[0] == "log 1"
    return "\n".join(line.split(" s ", 1)[1] for line in lines[1:])


def test_a_new_device_prints_the_request_that_the_host_reads(board: Board) -> None:
    board.start()
    text = board.wait_for("writ-request: ").split()[1]
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    found = read_request(raw)
    private = Store(FileFlash(str(board.root / "node"))).load("key")
    assert found.x == crypto.p256_public(private)[0]
    assert board.wait_for("writ-name: ") == f"writ-name: {found.name}" == "writ-name: soil"
    assert board.wait_for("writ-id: ") == f"writ-id: {found.node_id.hex()}"
    digits = hashlib.sha256(found.x).hexdigest()
    shown = board.wait_for("writ-fingerprint: ")
    assert shown.split()[1:] == [digits[at : at + 4] for at in range(0, 64, 4)]
    # what a person reads comes before what a tool takes
    order = [line for line in board.output.splitlines() if line.startswith("writ-")]
    assert [line.split(":")[0] for line in order] == [
        *("writ-name", "writ-id", "writ-fingerprint", "writ-request")
    ]
    assert "writ-node" not in board.output


def test_a_member_prints_its_scope_and_epoch_and_no_request(board: Board) -> None:
    scope = capsule.scope_id(capsule.parse(vectors_node.CHARTER).payload)
    board.configure(name="s", scope=scope.hex())
    store = Store(FileFlash(str(board.root / "node")))
    store.save("key", crypto.sha256(b"s"))
    node = Node(store, crypto.sha256(b"s"), "s", scope)
    for raw in (vectors_node.CHARTER, vectors_node.SENSOR, vectors_node.POLICY):
        node.authority.receive(raw, 0)
    me = node.authority.me
    assert me
    board.start()
    line = board.wait_for("writ-node: ")
    assert line == f"writ-node: {me.name} {me.node_id.hex()} {scope.hex()} {node.authority.epoch}"
    assert "writ-request" not in board.output


def test_a_start_is_in_the_log_and_the_request_is_not(board: Board) -> None:
    board.chip(CAUSE=3)
    board.start()
    board.wait_for("writ-request: ")
    board.interrupt()
    output = board.wait()
    lines = output.splitlines()
    start = lines.index("start after watchdog, 0 before it failed")
    assert lines[start + 1 : start + 3] == ["normal mode", "app of soil"]
    found = logged(board)
    assert found.startswith("start after watchdog, 0 before it failed\nnormal mode\napp of soil\n")
    assert "soil, node id " in found and "writ-" not in found


def test_ctrl_c_leads_to_a_prompt_that_no_watchdog_resets(board: Board) -> None:
    board.start()
    board.wait_for("writ-request: ")
    board.interrupt()
    output = board.wait()
    assert "chip: watchdog 8000\n" in output and "chip: fed 1000 of 1000, before " in output
    assert "KeyboardInterrupt" in output and "chip: reset" not in output
    # each step has fed it
    assert int(output.split("before ")[-1].split()[0]) > 1
    # the next start counts this one: nothing says that it ran well
    assert board.read("boot.state") == "1"


def test_a_fault_is_logged_with_its_traceback_and_resets_the_chip(board: Board) -> None:
    board.write("app.py", CRASH)
    board.start()
    output = board.wait()
    assert "ValueError: no such pump" in output and "chip: reset\n" in output
    found = logged(board)
    assert "fault: Traceback" in found and 'File "app.py", line 3, in setup' in found
    assert "ValueError: no such pump\nreset in 5 s" in found
    assert board.read("boot.state") == "1"


def test_three_failed_starts_lead_to_safe_mode(board: Board) -> None:
    board.write("app.py", CRASH)
    board.write("boot.state", "2")
    board.start()
    board.wait()
    assert board.read("boot.state") == "3"
    board.start()
    line = board.wait_for("safe mode")
    assert line == "safe mode, app.py is not started: 3 starts failed"
    board.wait_for("writ-request: ")
    assert "ValueError" not in board.output
    board.cut_power()
    assert line in board.read("log.0")


def test_the_button_leads_to_safe_mode_and_the_led_says_so(board: Board) -> None:
    parts = {
        "button": {"pin": 0, "active_low": True},
        "led": {"pin": 35, "active_low": True},
    }
    board.write("board.json", json.dumps(parts))
    board.start()
    board.wait_for("app of soil")
    board.wait_for("chip: pin 35 1")
    assert "safe mode" not in board.output
    board.cut_power()
    board.chip(HELD=(0,))
    board.start()
    board.wait_for("safe mode, app.py is not started: the button is held")
    board.wait_for("writ-request: ")
    board.interrupt()
    output = board.wait()
    assert "app of soil" not in output
    # on at once, then the fast pattern; off at the end
    changes = [line for line in output.splitlines() if line.startswith("chip: pin 35 ")]
    assert changes[0] == "chip: pin 35 0" and changes[-1] == "chip: pin 35 1"


def test_a_deep_sleep_has_run_well_and_its_wake_is_no_start(board: Board) -> None:
    board.write("boot.state", "2")
    board.write("app.py", "def setup(node):\n    node.sleep(1, deep=True)\n")
    board.start()
    output = board.wait()
    assert board.read("boot.state") == "0" and "chip: reset" not in output
    board.chip(CAUSE=4)
    board.start()
    output = board.wait()
    assert "start after deep sleep, 0 before it failed" in output
    assert board.read("boot.state") == "0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "ValueError"),
        ("[]", "ValueError"),
        ('{"led": {"gpio": 2}}', "KeyError"),
        ('{"led": 3}', "TypeError"),
    ],
)
def test_a_wrong_board_json_is_named_and_the_agent_runs(board: Board, text: str, said: str) -> None:
    board.write("board.json", text)
    board.start()
    assert said in board.wait_for("board.json: ")
    board.wait_for("writ-request: ")


def test_a_power_cut_at_any_time_leaves_a_board_that_starts(board: Board) -> None:
    for text in ("boot.py", "start after", "app of", "soil, node id", "writ-name"):
        board.start()
        if text != "boot.py":
            board.wait_for(text)
        board.cut_power()
        board.write("boot.state", "0")
    board.start()
    board.wait_for("writ-request: ")


def test_a_folder_without_config_is_a_fault_in_words(board: Board) -> None:
    (board.root / "node/config.json").unlink()
    board.start()
    output = board.wait()
    assert "UsageError: /node/config.json: " in output and "chip: reset" in output


SECRET = "correct horse"


def test_wifi_is_joined_in_order_and_no_password_is_printed(board: Board) -> None:
    networks = [
        {"ssid": "barn", "password": "another " + SECRET},
        {"ssid": "field", "password": SECRET},
        {"ssid": "cellar", "password": SECRET},
    ]
    board.write("wifi.json", json.dumps({"networks": networks, "country": "DE"}))
    board.chip(AIR={"field": SECRET, "barn": SECRET})
    board.start()
    board.wait_for("Wi-Fi field: connected, 192.0.2.7")
    board.wait_for("writ-request: ")
    board.interrupt()
    output = board.wait()
    assert "Wi-Fi cellar: not found\n" in output
    assert "chip: country DE\n" in output and "chip: hostname soil\n" in output
    # the radio is on before the node makes its key
    assert output.index("chip: radio True") < output.index("app of soil")
    found = logged(board)
    assert "Wi-Fi field: connected" in found
    assert SECRET not in output and SECRET not in found
    assert board.read("wifi.last") == "field"


def test_a_wrong_password_is_named_and_the_agent_runs(board: Board) -> None:
    board.write("wifi.json", json.dumps({"networks": [{"ssid": "field", "password": SECRET}]}))
    board.chip(AIR={"field": "another one"})
    board.start()
    board.wait_for("writ-request: ")
    board.wait_for("Wi-Fi field: wrong password")
    assert SECRET not in board.output


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "ValueError"), ('{"networks": [{"ssid": "field", "password": "short"}]}', '"password"')],
)
def test_a_wrong_wifi_json_is_named_without_its_secret(board: Board, text: str, said: str) -> None:
    board.write("wifi.json", text)
    board.start()
    assert said in board.wait_for("wifi.json: ")
    board.wait_for("writ-request: ")
    assert "short" not in board.output
