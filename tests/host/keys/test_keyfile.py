"""Encrypted files: round trips, wrong passphrases, damage and power loss."""

import os
import signal
import stat
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host import codec, files
from writ_host.errors import (
    DamagedFile,
    WeakPassphrase,
    WrongPassphrase,
)
from writ_host.keys import keyfile
from writ_host.keys.keyfile import KeyFile, Passphrase

# The lowest cost that is allowed: tests need no protection.
CHEAP = Passphrase("correct horse", log_n=10)
KEY = KeyFile(bytes(range(32)))
SECRET = b"the share of a governor"


@pytest.mark.parametrize("key", [CHEAP, KEY])
def test_round_trip(key, tmp_path):
    path = tmp_path / "seat.key"
    keyfile.write(path, "seat", SECRET, key)
    assert keyfile.read(path, "seat", key) == SECRET
    assert SECRET not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["seat.key"]


def test_each_write_has_a_fresh_salt_and_nonce():
    assert len({keyfile.lock("seat", SECRET, KEY)[20:70] for _ in range(8)}) == 8


@pytest.mark.parametrize("other", [Passphrase("correct Horse", log_n=10), KEY])
def test_a_wrong_passphrase_is_not_reported_as_damage(other):
    data = keyfile.lock("seat", SECRET, CHEAP)
    with pytest.raises(WrongPassphrase):
        keyfile.unlock("seat", data, other)
    with pytest.raises(WrongPassphrase):
        keyfile.unlock("seat", keyfile.lock("seat", SECRET, KEY), CHEAP)


def test_composed_and_decomposed_accents_are_equal():
    data = keyfile.lock("seat", SECRET, Passphrase("caf\u00e9", log_n=10))
    assert keyfile.unlock("seat", data, Passphrase("cafe\u0301", log_n=10)) == SECRET


@given(st.integers(min_value=0), st.integers(1, 255))
@settings(max_examples=200)
def test_any_changed_byte_is_damage(position, change):
    data = bytearray(LOCKED)
    data[position % len(data)] ^= change
    with pytest.raises(DamagedFile):
        keyfile.unlock("seat", bytes(data), KEY)


LOCKED = keyfile.lock("seat", SECRET, KEY)


@pytest.mark.parametrize("size", [0, 1, len(LOCKED) // 2, len(LOCKED) - 1])
def test_a_torn_file_is_damage(size):
    with pytest.raises(DamagedFile):
        keyfile.unlock("seat", LOCKED[:size], KEY)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_damage(data):
    with pytest.raises(DamagedFile):
        keyfile.unlock("seat", data, KEY)


def forged(change, key=KEY):
    """A file with an edited header and a matching checksum."""
    parts = codec.load(keyfile.lock("seat", SECRET, key))[:5]
    change(parts)
    return codec.dump([*parts, keyfile._check(parts)])


def test_the_header_is_authenticated():
    def rename(parts):
        parts[1] = "identity"

    with pytest.raises(WrongPassphrase):
        keyfile.unlock("identity", forged(rename), KEY)
    with pytest.raises(DamagedFile, match="a seat file, not a identity file"):
        keyfile.unlock("identity", LOCKED, KEY)


@pytest.mark.parametrize(
    "parameters",
    [
        [0, 40, 8, 1, bytes(16)],
        [0, 9, 8, 1, bytes(16)],
        [0, 15, 1 << 30, 1, bytes(16)],
        [0, 15, 8, 1 << 20, bytes(16)],
        [0, 15, 8, 1, b""],
        [0, "15", 8, 1, bytes(16)],
        [0],
        [],
    ],
)
def test_costs_in_a_header_are_bounded(parameters):
    def change(parts):
        parts[2] = parameters

    with pytest.raises(DamagedFile):
        keyfile.unlock("seat", forged(change, CHEAP), CHEAP)


def test_default_costs_are_in_the_header():
    parts = codec.load(keyfile.lock("seat", SECRET, Passphrase("x")))
    assert parts[2][:4] == [0, 15, 8, 1]


def test_weak_secrets_are_refused():
    with pytest.raises(WeakPassphrase):
        Passphrase("")
    with pytest.raises(WeakPassphrase):
        KeyFile(bytes(31))
    assert "correct horse" not in repr(CHEAP) and repr(KEY.content) not in repr(KEY)


@pytest.mark.parametrize("text", ["a", "abc", "1234567", "e\u0301" * 7, "   abc    "])
def test_a_new_passphrase_has_eight_characters(text):
    with pytest.raises(WeakPassphrase, match="at least 8"):
        Passphrase(text).check_new()
    Passphrase("12345678").check_new()
    # one that was set before still opens its files
    assert keyfile.unlock("seat", keyfile.lock("seat", SECRET, CHEAP), CHEAP) == SECRET


def test_a_key_file_survives_a_power_loss(tmp_path, monkeypatch):
    # without the sync the key file could be lost, but not the files that it locks
    synced = []
    monkeypatch.setattr(files, "sync_directory", synced.append)
    KeyFile.create(tmp_path / "key")
    assert synced == [tmp_path]


def test_a_key_file_is_never_overwritten(tmp_path):
    path = tmp_path / "unlock"
    made = KeyFile.create(path)
    assert KeyFile.load(path) == made and stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        KeyFile.create(path)
    assert KeyFile.load(path) == made


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(broken, tmp_path, monkeypatch):
    path = tmp_path / "seat.key"
    keyfile.write(path, "seat", b"old", KEY)

    def fail(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="no space"):
        keyfile.write(path, "seat", b"new", KEY)
    monkeypatch.undo()
    assert keyfile.read(path, "seat", KEY) == b"old"
    assert os.listdir(tmp_path) == ["seat.key"]


def test_what_a_killed_write_left_is_swept_away(tmp_path):
    path, other = tmp_path / "anna.seat", tmp_path / ".anna.seat.next.abcdefgh"
    keyfile.write(path, "seat", SECRET, KEY)
    other.write_bytes(b"being written by another process")
    # dies between the temporary file and the rename
    code = (
        "import os, sys, pathlib; from writ_host.keys import keyfile;"
        "os.replace = lambda *_: os.kill(os.getpid(), 9);"
        "keyfile.write(pathlib.Path(sys.argv[1]), 'seat', b'old', keyfile.KeyFile(bytes(32)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 3
    files.remove_leftovers(path)
    assert sorted(tmp_path.iterdir()) == [other, path]
    assert keyfile.read(path, "seat", KEY) == SECRET


def test_an_endless_file_is_not_read(tmp_path):
    path = tmp_path / "seat.key"
    path.write_bytes(bytes(keyfile.KEYFILE_BYTES_MAX + 1))
    path.chmod(0o600)
    with pytest.raises(DamagedFile, match="longer than"):
        keyfile.read(path, "seat", KEY)
