"""`writ governor init` and `run` without a scope, and foundings that fail."""

import json
import socket
from pathlib import Path

import pytest
from council_rig import Council, finish, free_ports, wait_for

from writ_host.governor.ceremonies.record import Record
from writ_host.keys.dkg import fingerprint_digits
from writ_host.keys.keyfile import KeyFile


def test_init_makes_a_record_and_refuses_to_overwrite(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    made = council.writ(
        *("governor", "init", "a", "--name", "a"),
        *("--peers", "10.0.0.7:5685", "--listen", "10.0.0.7:5683"),
    )
    record = Record.load(tmp_path / "a/a.toml")
    assert (record.peers, record.listen) == ("10.0.0.7:5685", "10.0.0.7:5683")
    assert made["fingerprint"] == fingerprint_digits(record.governor.verify_key)
    assert (tmp_path / "a/a.key").stat().st_mode & 0o077 == 0
    secret = (tmp_path / "key").read_bytes()
    for path in tmp_path.glob("a/**/*"):
        assert path.is_dir() or secret not in path.read_bytes()
    again = council.writ("governor", "init", "a", "--name", "a", code=1)
    assert again["error"]["name"] == "FileInTheWay"
    same = ("--peers", "10.0.0.7:5683", "--listen", "10.0.0.7:5683")
    assert council.writ("governor", "init", "b", "--name", "b", *same, code=2)
    assert council.writ("governor", "init", "b", "--name", "B!", code=2)
    # a governor whose daemon does not run, and a folder without a governor
    gone = council.writ("governor", "status", "a", code=3)["error"]
    assert "writ governor run a" in gone["advice"]
    assert council.writ("governor", "status", "nowhere", code=1)["error"]["name"] == "NoGovernor"


def test_create_names_the_missing_options(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    for words in ((), ("--governors", "4"), ("--governors", "x.toml")):
        error = council.writ("scope", "create", "farm", *words, code=2)["error"]
        assert "--local" in error["message"] or "no file" in error["message"]
    unsafe = council.writ("scope", "create", "f", "--local", "--threshold", "2", code=2)["error"]
    assert "two policies for one epoch" in unsafe["message"]


def test_systemd_is_notified_and_a_signal_ends_the_daemon(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    peers, listen = free_ports(2)
    council.writ("governor", "init", "a", "--name", "a", "--peers", peers, "--listen", listen)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(20)
        council.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        council.start("a")
        assert ear.recv(100) == b"READY=1"
        # the daemon reserves the devices' port before there is a scope to serve
        host, port = listen.split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError):
            other.bind((host, int(port)))
        # a folder has one daemon at most
        second = council.writ("governor", "run", "a", code=1)["error"]
        assert second["name"] == "DaemonInUse" and "process" in second["message"]
        assert council.stop("a") == 0
        assert ear.recv(100) == b"STOPPING=1"
    assert not (tmp_path / "a/control.sock").exists()
    assert [one["event"] for one in map(json.loads, council.log("a")().splitlines())] == [
        "started",
        "waiting",
        "stopped",
    ]


def test_a_wrong_key_does_not_start_the_daemon(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    council.writ("governor", "init", "a", "--name", "a")
    KeyFile.create(tmp_path / "other")
    error = council.writ("governor", "run", "a", "--key-file", "other", code=4)["error"]
    assert error["name"] == "WrongPassphrase" and "a/a.key" in error["message"]
    error = council.writ("governor", "run", "a", "--key-file", "none", code=1)["error"]
    assert "none: no such file" in error["message"] and "made with" in error["advice"]
    (tmp_path / "words").write_text("a passphrase\n")
    (tmp_path / "words").chmod(0o600)
    del council.environment["WRIT_KEY_FILE"]
    run = ("governor", "run", "a")
    error = council.writ(*run, "--passphrase-file", "words", code=4)["error"]
    assert error["name"] == "WrongPassphrase" and "--key-file" in error["advice"]
    assert council.writ(*run, code=4)["error"]["name"] == "NeedsPerson"


def test_invalid_settings_are_reported_before_the_passphrase(tmp_path: Path) -> None:
    council = Council(tmp_path, "")
    council.writ("governor", "init", "a", "--name", "a")
    del council.environment["WRIT_KEY_FILE"]
    path = tmp_path / "a/governor.toml"
    text = path.read_text()

    def said(changed: bytes) -> str:
        path.write_bytes(changed)
        error = council.writ("governor", "run", "a", code=1)["error"]
        assert (
            error["name"] == "BadSettings" and str(path.relative_to(tmp_path)) in error["message"]
        )
        return str(error["message"] + error["advice"])

    assert "not UTF-8" in said(b"\xff\xfe")
    assert "governor.toml:1: " in said(b"name = \n")
    other = said(text.replace('name = "a"', 'name = "b"').encode())
    assert "no b.key" in other and "a.key" in other
    assert "Cannot overwrite" in said((text + 'peers = "127.0.0.1:1"\n').encode())


@pytest.mark.parametrize("taken", [0, 1])
def test_a_port_in_use_is_reported_before_a_scope_needs_it(tmp_path: Path, taken: int) -> None:
    council = Council(tmp_path, "")
    ports = free_ports(2)
    addresses = ("--peers", ports[0], "--listen", ports[1])
    council.writ("governor", "init", "a", "--name", "a", *addresses)
    host, port = ports[taken].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((host, int(port)))
        error = council.writ("governor", "run", "a", code=1)["error"]
    assert error["name"] == "AddressUnavailable" and "governor.toml" in error["advice"]
    assert ports[taken] in error["message"] and ("peers", "listen")[taken] in error["message"]


def test_a_denied_founding_makes_no_scope(tmp_path: Path) -> None:
    council = Council(tmp_path, "abc")
    try:
        records = "a/a.toml,b/b.toml,c/c.toml"
        words = ("scope", "create", "farm", "--governors", records)
        error = council.writ(*words, "--wait", "1", code=4)["error"]
        assert error["name"] == "NeedsPerson" and "Run the same command again" in error["advice"]
        # an invitation is not reused after the records or the policy have changed
        record = tmp_path / "c/c.toml"
        text = record.read_text()
        record.write_text(text.replace("127.0.0.1", "127.0.0.2"))
        error = council.writ(*words, "--wait", "1", code=1)["error"]
        assert error["name"] == "FileInTheWay" and "other addresses" in error["message"]
        record.write_text(text)
        command = council.begin(*words, "--wait", "40", "--json")
        council.approve("a")
        wait_for(lambda: council.waiting("b"))
        id = council.waiting("b")
        denied = council.writ("governor", "deny", "b", id[:8], "--yes", "--reason", "not this one")
        assert denied["decided"] == "denied"
        error = finish(command, 1)["error"]
        assert error["name"] == "CeremonyFailed" and "refused" in error["message"]
        assert not (council.scope / "charter.cbor").exists()
        assert not council.ask("a", "status").get("scope")
    finally:
        council.stop_all()
