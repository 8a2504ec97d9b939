"""Whatever becomes of a command's output, what was certified is done."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_rig import Rig

from writ_host import signals
from writ_host.errors import Interrupted
from writ_host.scope.folder import ScopeFolder


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.create()
    rig.admit("w1", "gateway")
    rig.admit("w2", "sensor")
    return rig


class Done:
    def __init__(self, code: int, errors: str) -> None:
        self.code = code
        self.errors = errors


def start(rig: Rig, *words: object, prepare: Callable[[], None] | None = None, out: int) -> Done:
    env = {**os.environ, "WRIT_SCOPE": str(rig.scope), "WRIT_KEY_FILE": str(rig.key_file)}
    ran = subprocess.run(
        [sys.executable, "-c", "from writ_host.cli import main; main()", *map(str, words)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        timeout=120,
    )
    assert "Traceback" not in ran.stderr and "bug in writ" not in ran.stderr, ran.stderr
    return Done(ran.returncode, ran.stderr)


def to_a_closed_pipe(rig: Rig, *words: object) -> Done:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return start(rig, *words, out=writer)
    finally:
        os.close(writer)


def to_closed_stdout(rig: Rig, *words: object) -> Done:
    return start(rig, *words, out=subprocess.DEVNULL, prepare=lambda: os.close(1))


def to_a_full_disk(rig: Rig, *words: object) -> Done:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        return start(rig, *words, out=full)
    finally:
        os.close(full)


@pytest.mark.slow
@pytest.mark.parametrize("extra", [(), ("--json",)])
@pytest.mark.parametrize(
    ("way", "code"), [(to_a_closed_pipe, 0), (to_closed_stdout, 0), (to_a_full_disk, 1)]
)
def test_a_revocation_reaches_policy_toml(
    rig: Rig, way: Callable[..., Done], code: int, extra: tuple[str, ...]
) -> None:
    done = way(rig, "member", "revoke", "w2", "--yes", *extra)
    assert done.code == code, done.errors
    assert code == 0 or "No space left" in done.errors or extra
    assert ScopeFolder.open(rig.scope).revoked_names() == ["w2"]
    # so that the next certification restores no member
    assert rig.ok("policy", "certify", "--yes")["epoch"] == 2
    assert rig.ok("member", "show", "w2")["state"] == "revoked"


@pytest.mark.slow
@pytest.mark.parametrize("way", [to_a_closed_pipe, to_closed_stdout, to_a_full_disk])
def test_an_admission_installs_its_capsules(rig: Rig, way: Callable[..., Done]) -> None:
    rig.ok("member", "request", rig.path / "new", "--name", "new")
    words = ("member", "admit", "new", "--role", "sensor", "--out", rig.path / "new", "--yes")
    way(rig, *words)
    assert (rig.path / "new/member.a").exists() and (rig.path / "new/policy.a").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("member", "--help"),
        ("scope", "show"),
        ("member", "list", "--json"),
        ("policy", "show"),
        ("policy", "clean", "--yes"),
        ("scope", "beacon"),
        ("completion", "bash"),
    ],
)
@pytest.mark.parametrize("way", [to_a_closed_pipe, to_closed_stdout])
def test_a_reader_that_has_gone_is_no_error(
    rig: Rig, way: Callable[..., Done], words: tuple[str, ...]
) -> None:
    done = way(rig, *words)
    assert (done.code, done.errors) == (0, "")


@pytest.mark.slow
def test_a_disk_without_room_keeps_the_old_policy_file(rig: Rig) -> None:
    path = rig.scope / "policy.toml"
    path.write_text(path.read_text() + "# a comment of this scope\n" * 500)
    before = path.read_bytes()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = start(rig, "member", "revoke", "w2", "--yes", out=subprocess.DEVNULL, prepare=limit)
    # as the system names it, for a full disk "No space left on device"
    assert f"cannot change {path}: File too large" in done.errors
    assert path.read_bytes() == before
    assert [one.name for one in rig.scope.glob(".policy*")] == []
    assert ScopeFolder.open(rig.scope).revoked_names() == ["w2"]
    done = start(rig, "policy", "rebase", out=subprocess.DEVNULL, prepare=limit)
    assert done.code == 1 and f"cannot change {path}: File too large" in done.errors
    # the file is stale now, and refused; the same command, run again, completes it
    assert rig.run("policy", "certify", "--yes").code == 1
    rig.ok("member", "revoke", "w2", "--yes")
    assert not rig.ok("policy", "diff")["changes"]


# --- signals --------------------------------------------------------------------------------------


@pytest.fixture
def caught() -> Iterator[list[int]]:
    found: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: found.append(number))
    yield found
    signal.signal(signal.SIGHUP, before)


def strike(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Raise a signal with the first capsule that the folder takes."""
    take = ScopeFolder.take
    struck: list[int] = []

    def taking(self: ScopeFolder, raw: bytes) -> bool:
        if not struck:
            struck.append(number)
            signal.raise_signal(number)
        return take(self, raw)

    monkeypatch.setattr(ScopeFolder, "take", taking)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_waits_until_files_are_written(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caught: list[int], number: int
) -> None:
    strike(monkeypatch, number)
    ran = rig.run("member", "revoke", "w2", "--yes", "--json")
    monkeypatch.undo()
    if number == signal.SIGINT:
        assert ran.code == 130 and "what was certified is stored" in ran.error["message"]
    else:
        assert caught == [number]
    assert ScopeFolder.open(rig.scope).revoked_names() == ["w2"]
    assert not rig.ok("policy", "diff")["changes"]


def test_before_the_certification_a_signal_acts_at_once(caught: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt), signals.deferrable():
        signal.raise_signal(signal.SIGINT)
    with signals.deferrable():
        signal.raise_signal(signal.SIGHUP)
        assert caught == [signal.SIGHUP]
    reached = []
    with pytest.raises(Interrupted), signals.deferrable():
        signals.defer()
        signal.raise_signal(signal.SIGINT)
        reached.append(1)
        signals.allow()
        reached.append(2)
    assert reached == [1]
    # nested blocks are one, and afterwards everything is as before
    with signals.deferrable(), signals.deferrable():
        signals.defer()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
