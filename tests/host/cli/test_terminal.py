"""What people see in terminals of several widths, and in one that cannot move its cursor."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import Rig
from council_rig import ROOT, WRIT
from rich.cells import cell_len
from terminal_rig import Terminal

from writ_host.cli.layout import field_lines, table_lines, wrapped

PYTHONPATH = f"{ROOT / 'firmware'}:{ROOT / 'host'}"
COLUMNS = ("name", "roles", "node id", "")
ROWS = [
    ("soil-moisture-sensor-1", "sensor", "131f53c5ad45387b", "renewed"),
    ("b", "sensor and actuator", "0011223344556677", ""),
]


def test_a_table_fits_or_is_a_block_a_row() -> None:
    assert table_lines(COLUMNS, ROWS, None) == table_lines(COLUMNS, ROWS, 100)
    assert table_lines(COLUMNS, ROWS, 100)[1].startswith("soil-moisture-sensor-1  sensor  ")
    for width in range(30, 70):
        lines = table_lines(COLUMNS, ROWS, width)
        if len(lines) == 3:
            continue
        assert max(map(cell_len, lines)) <= width
        assert "soil-moisture-sensor-1" in " ".join(lines).split()
        assert "" in lines and any(line == "node id  131f53c5ad45387b" for line in lines)
    assert len(table_lines(COLUMNS, ROWS, 50)) > 3


@pytest.mark.parametrize("width", [1, 10, 20])
def test_a_tiny_terminal_gets_plain_lines(width: int) -> None:
    lines = table_lines(COLUMNS, ROWS, width)
    assert lines[:6] == [
        "name", "  soil-moisture-sensor-1", "roles", "  sensor", "node id", "  131f53c5ad45387b",
    ]  # fmt: skip
    assert wrapped("a long line of prose stays one line", width) == [
        "a long line of prose stays one line"
    ]


def test_values_are_wrapped_below_their_own_column() -> None:
    lines = field_lines({"now": "4 of 4 online; tolerates 1 more offline", "id": "x" * 50}, 30)
    assert lines == [
        "now  4 of 4 online; tolerates", "     1 more offline", "id", f"  {'x' * 50}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    made = Rig(tmp_path_factory.mktemp("terminal"))
    made.create()
    made.admit("soil-moisture-sensor-one", "sensor")
    return made


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    found: list[Terminal] = []
    yield found
    for one in found:
        one.close()


def start(
    rig: Rig, terminals: list[Terminal], columns: int, *words: object, **more: str
) -> Terminal:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'firmware'}:{ROOT / 'host'}",
        "WRIT_SCOPE": str(rig.scope),
        "WRIT_KEY_FILE": str(rig.key_file),
        **more,
    }
    made = Terminal([*WRIT, *map(str, words)], columns, environment, rig.path)
    terminals.append(made)
    return made


@pytest.mark.parametrize("columns", [200, 100, 60, 40, 30, 20, 12])
def test_no_name_and_no_id_is_cut(rig: Rig, terminals: list[Terminal], columns: int) -> None:
    (member,) = rig.ok("member", "list")["members"]
    key = rig.ok("scope", "show")["key_fingerprint"]
    text = start(rig, terminals, columns, "member", "list").finish()
    assert member["name"] in text and member["node_id"] in text
    lines = text.split("\n")
    # 100 columns are enough for a table, or not: that depends on the columns of the command
    is_block = columns == 100 or ("soil" in lines[0]) == (30 < columns < 90)
    assert lines[0].startswith("name") and is_block, lines[0]
    shown = start(rig, terminals, columns, "scope", "show").finish()
    assert " ".join(shown.split()).count(key) == 1
    if columns >= 60:
        # only what is one word, such as a path or a key, is longer than the line
        long = [line for line in shown.split("\n") if len(line) > columns]
        assert all(len(line.split()) == 1 for line in long), long


def test_prose_is_wrapped_between_words(rig: Rig, terminals: list[Terminal]) -> None:
    text = start(rig, terminals, 50, "member", "show", "ghost").finish()
    assert text == "writ: no member is called ghost\n      See the members: writ member list.\n"
    text = start(rig, terminals, 40, "get", "10.0.0.7/temperature").finish()
    assert all(len(line) <= 40 for line in text.split("\n")), text
    assert "coap://10.0.0.7/temperature" in text and len(text.split("\n")) > 3


def test_a_dumb_terminal_is_told_at_once_what_runs(
    rig: Rig, terminals: list[Terminal], tmp_path: Path
) -> None:
    words = ("scope", "create", "other", "--local", "--folder", tmp_path / "other")
    text = start(rig, terminals, 80, *words, TERM="dumb").finish()
    assert text.startswith("distributed key generation ...\n")
    assert "\x1b" not in terminals[0].raw and "founded other" in text


PAGE = """
import time
from writ_host.cli.livepage import live_page
from writ_host.cli.output import Output

out = Output()
with live_page(out) as draw:
    for number in range(1000):
        draw({}, [f"page {number} " + "x " * 20, f"width {out.width}", "end"])
        time.sleep(0.05)
"""


def test_a_watched_page_leaves_no_stale_lines_in_a_narrower_terminal(tmp_path: Path) -> None:
    # the narrower terminal wraps the lines that it has: to move up by the old number of lines
    # would leave some of them
    page = [sys.executable, "-c", PAGE]
    terminal = Terminal(page, 80, {**os.environ, "PYTHONPATH": PYTHONPATH}, tmp_path)
    try:
        terminal.wait_for(lambda text: "width 80" in text)
        terminal.resize(30)
        terminal.wait_for(lambda text: "width 30" in text)
        after = terminal.raw.split("\x1b[2J")
        assert len(after) == 2, "the screen is not cleared once"
        assert "width 30" not in after[0] and "width 80" not in after[1]
        terminal.resize(90)
        terminal.wait_for(lambda text: "width 90" in text)
        assert terminal.raw.count("\x1b[2J") == 2
    finally:
        terminal.close()
