"""A pipe in the place of a file is refused by name; a command that opens it must not wait for ever.

Every command runs in a process of its own, with a time limit: without the check it waits for a
process that writes into the pipe.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from writ import agent
from writ.errors import StoreDamaged, UsageError
from writ_host import files, textfile

RUN_S = 60


def pipe(path: Path) -> Path:
    """A named pipe in place of the file."""
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    return path


def run(*words: object, code: int = 1) -> str:
    """What a `writ` command says on stderr; `code`: its exit code."""
    command = [str(Path(sys.executable).with_name("writ")), *map(str, words)]
    done = subprocess.run(
        command,
        timeout=RUN_S,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done
    return done.stderr


@pytest.fixture
def node(tmp_path: Path) -> Path:
    run("member", "request", tmp_path / "soil", "--name", "soil", code=0)
    return tmp_path / "soil"


@pytest.fixture
def scope(tmp_path: Path) -> Path:
    path = tmp_path / "farm"
    key = tmp_path / "seats.key"
    run("scope", "create", "farm", "--local", "--folder", path, "--key-file", key, code=0)
    return path


def test_every_reader_refuses_a_pipe_and_a_socket(tmp_path: Path) -> None:
    named = pipe(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path in (named, tmp_path / "socket"):
            for reader in (
                lambda path: files.read_bounded(path, 10),
                lambda path: files.read_bounded(path, 10, is_secret=True),
                textfile.read,
                files.open_secret,
            ):
                with pytest.raises(OSError, match="not a regular file") as caught:
                    reader(path)
                assert caught.value.filename == str(path)
    with pytest.raises(IsADirectoryError):
        files.read_bounded(tmp_path, 10)


def test_a_pipe_that_the_user_has_named_by_its_descriptor_is_read() -> None:
    # a shell's <(...) is /dev/fd/63
    reader, writer = os.pipe()
    os.write(writer, b"text")
    os.close(writer)
    assert files.read_bounded(Path(f"/dev/fd/{reader}"), 10) == b"text"
    os.close(reader)


@pytest.mark.parametrize("name", ["config.json", "key.a", "lock"])
def test_a_pipe_in_the_folder_of_a_node_is_an_error(node: Path, name: str) -> None:
    pipe(node / name)
    assert name in run("get", "coap://127.0.0.1:9/x", "--node", node)
    with pytest.raises((UsageError, StoreDamaged), match="not a regular file"):
        agent.Node.load(str(node))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("policy.toml", "policy check"),
        ("policy.toml", "policy diff"),
        ("policy.toml", "policy certify --yes"),
        ("charter.cbor", "scope show"),
        ("beacon.cbor", "scope show"),
        (".lock", "scope beacon"),
        ("requests/soil.cbor", "member list"),
    ],
)
def test_a_pipe_in_the_folder_of_a_scope_is_an_error(scope: Path, name: str, words: str) -> None:
    (scope / name).parent.mkdir(exist_ok=True)
    pipe(scope / name)
    key = ("--key-file", scope.parent / "seats.key") if words == "scope beacon" else ()
    said = run(*words.split(), "--scope", scope, *key)
    assert f"{name}: not a regular file" in said.replace("\n", " "), said


def test_a_pipe_as_settings_of_a_governor_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "g1").mkdir(mode=0o700)
    pipe(tmp_path / "g1/governor.toml")
    assert "not a regular file" in run("governor", "status", tmp_path / "g1")


def test_a_pipe_as_backup_is_an_error(tmp_path: Path) -> None:
    said = run("governor", "restore", pipe(tmp_path / "backup"), tmp_path / "g2")
    assert "not a regular file" in said, said
