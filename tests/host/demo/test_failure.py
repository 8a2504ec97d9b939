"""A demonstration that fails: it says what it awaited, what it found, and what to do next."""

import json
import os
import re
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from writ_host.cli import main
from writ_host.demo import lines, loopback, process, runner, scenario, testbed
from writ_host.demo.proofs import NotProved, Report
from writ_host.errors import HostError, NotReachable

ERROR = {
    "error": {
        "name": "AddressUnavailable",
        "code": None,
        "message": "peers 127.0.0.1:29613: Address already in use",
        "advice": "Stop the process that uses it.",
        "exit_code": 1,
    }
}
IN_WORDS = (
    "AddressUnavailable: peers 127.0.0.1:29613: Address already in use."
    " Stop the process that uses it."
)


def has_json(text: str) -> bool:
    return re.search(r"[{}\[\]]", text) is not None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (json.dumps(ERROR), IN_WORDS),
        ('{"event": "answer", "code": "4.03", "text": ""}', "answer (code 4.03)"),
        ('{"event": "epoch", "peers": ["gate", "soil"]}', "epoch (peers gate soil)"),
        ('{"event": "start"}', "start"),
        ('{"counts": {"BadSignature": 2}}', "counts BadSignature 2"),
        ("[1, 2]", "[1, 2]"),
        ("  ValueError: port\n", "ValueError: port"),
    ],
)
def test_lines_of_processes_become_plain_text(line: str, text: str) -> None:
    assert lines.plain_line(line) == text


def test_output_of_commands_becomes_plain_text() -> None:
    assert lines.plain_output(json.dumps(ERROR, indent=2)) == IN_WORDS
    assert lines.plain_output("Traceback:\n\n  oops\n") == "Traceback:; oops"


def test_a_process_that_ends_with_an_error_document_is_reported_in_words(tmp_path: Path) -> None:
    code = f"print({json.dumps(ERROR)!r})"
    program = process.Program([sys.executable, "-c", code], dict(os.environ), "carl")
    carl = process.Process("carl", tmp_path, program)
    carl.launch()
    try:
        with pytest.raises(NotProved) as found:
            carl.wait_for("started")
    finally:
        carl.stop()
    assert str(found.value) == f"carl has ended before the event `started`. Last seen: {IN_WORDS}"


def test_a_process_that_printed_nothing_is_said_to(tmp_path: Path) -> None:
    program = process.Program([sys.executable, "-c", ""], dict(os.environ), "carl")
    carl = process.Process("carl", tmp_path, program)
    carl.launch()
    try:
        with pytest.raises(NotProved, match="It has printed nothing"):
            carl.wait_for("started")
    finally:
        carl.stop()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def on_cpython(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Demonstrations have their folders in `folder`, and their devices run on CPython."""
    monkeypatch.setattr(testbed, "_beside", lambda name: None)


def ask_soil(bed: testbed.Testbed, report: Report) -> None:
    report.announce("each node requests membership")
    raise NotReachable(f"no answer from {bed.address(scenario.SOIL)}")


def ask_tank(bed: testbed.Testbed, report: Report) -> None:
    bed.configure(scenario.TANK, bytes(8))
    bed[scenario.TANK].start()
    report.announce("each node requests membership")
    raise NotReachable(f"no answer from {bed.address(scenario.TANK)}")


def test_a_node_that_does_not_answer_is_reported_with_its_name_state_and_log(
    on_cpython: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STEPS", (ask_tank,))
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert re.search(
        r"found NotReachable: no answer from (127\.0\.0\.1:\d+)\. \1 is tank, which runs\."
        r" Last seen: start \(name tank, ",
        said,
    )
    assert "step 1 Found the scope" in said
    assert "awaited each node requests membership" in said
    assert "advice The machine is overloaded" in said
    assert not has_json(said)
    (log,) = folder.glob("writ-demo-*")
    assert f"log {log}" in said
    assert log.stat().st_mode & 0o777 == 0o600
    assert re.search(r'^tank: [0-9.]+ \{.*"start"', log.read_text(), re.MULTILINE)


def test_a_failure_is_in_the_document_for_programs(
    on_cpython: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STEPS", (ask_soil,))
    result = CliRunner().invoke(main, ["demo", "--json"])
    failure = json.loads(result.stdout)["failure"]
    assert failure["awaited"] == "each node requests membership"
    assert "is soil, which does not run. It has printed nothing" in failure["found"]
    assert Path(failure["log"]).exists()


def test_an_error_keeps_its_own_advice() -> None:
    report = Report()
    report.fail(HostError("the port is in use", "Stop the other process."), "in use")
    assert report.failure
    assert report.failure.advice.startswith("Stop the other process. The machine is overloaded")


def test_ports_in_use_stop_the_demonstration_before_its_first_step(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "_block", None)
    monkeypatch.setattr(loopback, "_BLOCKS", 1)
    monkeypatch.setattr(loopback, "_BLOCK", 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((loopback.HOST, 0))
        monkeypatch.setattr(loopback, "_FIRST", taken.getsockname()[1])
        result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    assert "no 2 ports in a row are free" in result.output
    assert "End other demonstrations and test runs" in result.output
    assert list(folder.glob("writ-demo-*")) == []
