"""Encrypted files and sealed messages: what opens them, and what is said when they do not open."""

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from ed25519_reference import TORSION, L, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host import codec, files
from writ_host.errors import (
    BadEnvelope,
    DamagedFile,
    DecryptionFailed,
    HostError,
    Malformed,
    UnknownGovernor,
    WeakPassphrase,
    WrongCeremony,
    WrongPassphrase,
)
from writ_host.keys import hpke as sealed
from writ_host.keys import identity, keyfile
from writ_host.keys.identity import Governor, Identity, envelope, open_envelope
from writ_host.keys.keyfile import KeyFile, Passphrase

# As cheap as is allowed: a test needs no protection.
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
def test_wrong_passphrase_is_told_from_damage(other):
    data = keyfile.lock("seat", SECRET, CHEAP)
    with pytest.raises(WrongPassphrase):
        keyfile.unlock("seat", data, other)
    with pytest.raises(WrongPassphrase):
        keyfile.unlock("seat", keyfile.lock("seat", SECRET, KEY), CHEAP)


def test_accents_however_composed():
    data = keyfile.lock("seat", SECRET, Passphrase("caf\u00e9", log_n=10))
    assert keyfile.unlock("seat", data, Passphrase("cafe\u0301", log_n=10)) == SECRET


@given(st.integers(min_value=0), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
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
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_damage(data):
    with pytest.raises(DamagedFile):
        keyfile.unlock("seat", data, KEY)


def forged(change, key=KEY):
    """A file whose header somebody edited, with the checksum made anew."""
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


def test_default_costs_stand_in_the_header():
    parts = codec.load(keyfile.lock("seat", SECRET, Passphrase("x")))
    assert parts[2][:4] == [0, 15, 8, 1]


def test_weak_secrets_are_refused():
    with pytest.raises(WeakPassphrase):
        Passphrase("")
    with pytest.raises(WeakPassphrase):
        KeyFile(bytes(31))
    assert "correct horse" not in repr(CHEAP) and repr(KEY.content) not in repr(KEY)


def test_key_file_lasts_through_a_power_loss(tmp_path, monkeypatch):
    # or it is gone, and what it has locked is not
    synced = []
    monkeypatch.setattr(files, "sync_directory", synced.append)
    KeyFile.create(tmp_path / "key")
    assert synced == [tmp_path]


def test_key_file_is_made_once(tmp_path):
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
    with pytest.raises(DamagedFile, match="longer than"):
        keyfile.read(path, "seat", KEY)


# Sealed messages

ANNA = Identity.generate("anna")
BEN = Identity.generate("ben")
BOTH = {"anna": ANNA.public, "ben": BEN.public}


def test_sealed_for_one_only():
    data = sealed.seal(BEN.public.seal_key, b"info", SECRET)
    assert len(data) == len(SECRET) + sealed.OVERHEAD_BYTES
    assert BEN.unseal(b"info", data) == SECRET
    assert sealed.seal(BEN.public.seal_key, b"info", SECRET) != data
    with pytest.raises(DecryptionFailed):
        ANNA.unseal(b"info", data)
    with pytest.raises(DecryptionFailed):
        BEN.unseal(b"other", data)
    for position in range(len(data)):
        with pytest.raises(DecryptionFailed):
            BEN.unseal(
                b"info", data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
            )


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_unseal_raises_only_unsealable(data):
    with pytest.raises(DecryptionFailed):
        BEN.unseal(b"info", data)


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), b"short", b""])
def test_sealing_keys_of_small_order_are_refused(public):
    with pytest.raises(Malformed):
        sealed.check_public(public)
    with pytest.raises(Malformed):
        Governor.from_item(["eve", ANNA.public.verify_key, public, ANNA.public.node_key])


def test_hpke_reads_what_another_library_sealed():
    """cryptography's HPKE, the same suite."""
    hpke = pytest.importorskip("cryptography.hazmat.primitives.hpke")
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    theirs = suite.encrypt(SECRET, X25519PublicKey.from_public_bytes(BEN.public.seal_key), b"i")
    assert BEN.unseal(b"i", theirs) == SECRET


# Identities and envelopes


def test_identity_round_trip():
    assert Identity.from_bytes(ANNA.to_bytes()) == ANNA
    assert Governor.from_bytes(ANNA.public.to_bytes()) == ANNA.public
    for secret in (ANNA.sign_seed, ANNA.seal_seed, ANNA.node_private):
        assert repr(secret) not in repr(ANNA) and secret not in ANNA.public.to_bytes()


X = ANNA.public.node_key[1:]


@pytest.mark.parametrize(
    "key",
    [X, b"\4" + X, b"\0" + X, b"\2" + b"\xff" * 32, b"\2" + X + b"\0", b"", "key", None],
    ids=["x", "full", "no sign", "no point", "long", "empty", "text", "none"],
)
def test_node_keys_that_are_none(key):
    with pytest.raises(Malformed):
        Governor.from_item([*ANNA.public.to_item()[:3], key])
    Governor.from_item([*ANNA.public.to_item()[:3], BEN.public.node_key])


@pytest.mark.parametrize("private", [bytes(32), b"\xff" * 32, b"short"])
def test_node_keys_that_no_identity_has(private):
    with pytest.raises(Malformed):
        Identity.from_bytes(replace(ANNA, node_private=private).to_bytes())


def test_what_a_generator_gives_becomes_a_node_key():
    given = [b"1" * 32, b"2" * 32, bytes(32), b"\xff" * 32, b"3" * 32]
    assert Identity.generate("anna", lambda count: given.pop(0)).node_private == b"3" * 32


def test_signatures_are_those_of_rfc_8032():
    """Of another library, both ways."""
    signature = ANNA.sign(b"message")
    Ed25519PublicKey.from_public_bytes(ANNA.public.verify_key).verify(signature, b"message")
    theirs = Ed25519PrivateKey.from_private_bytes(BEN.sign_seed).sign(b"message")
    assert theirs == BEN.sign(b"message") and BEN.public.verifies(b"message", theirs)
    assert ANNA.public.verifies(b"", ANNA.sign(b""))


def test_verifies_is_strict_and_never_raises():
    governor, signature = ANNA.public, ANNA.sign(b"message")
    assert governor.verifies(b"message", signature)
    assert not governor.verifies(b"massage", signature)
    assert not BEN.public.verifies(b"message", signature)
    for position in range(64):
        wrong = bytearray(signature)
        wrong[position] ^= 1
        assert not governor.verifies(b"message", bytes(wrong))
    # S + L is the same number modulo L, and not canonical
    s = int.from_bytes(signature[32:], "little") + L
    assert not governor.verifies(b"message", signature[:32] + s.to_bytes(32, "little"))
    for size in (0, 1, 31, 63, 65, 96):
        assert not governor.verifies(b"message", (signature * 2)[:size])
    # a signature of all zeros fits keys of small order; and keys that are no points
    for point in TORSION:
        for key in (encode(point), b"\xff" * 32, b"", bytes(31), bytes(33)):
            small = replace(governor, verify_key=key)
            assert not small.verifies(b"message", encode(point) + bytes(32))
            assert not small.verifies(b"message", signature)


@pytest.mark.parametrize(
    "name", ["", "Anna", "../anna", "anna.round1", "-a", "a-", "a b", "a\n", "ä", "a" * 25, 7, None]
)
def test_names_that_could_be_paths_or_worse(name):
    with pytest.raises(Malformed):
        identity.check_name(name)


def test_envelope_says_who_when_and_what():
    ceremony = b"1" * 32
    data = envelope(ANNA, ceremony, "round1", b"body")
    assert open_envelope(data, BOTH, ceremony, "anna", "round1") == ("anna", b"body")
    assert open_envelope(data, BOTH, ceremony, None, "round1") == ("anna", b"body")
    with pytest.raises(WrongCeremony):
        open_envelope(data, BOTH, b"2" * 32, "anna", "round1")
    with pytest.raises(WrongCeremony):
        open_envelope(data, BOTH, ceremony, "anna", "round2")
    with pytest.raises(WrongCeremony):
        open_envelope(data, BOTH, ceremony, "ben", "round1")
    with pytest.raises(UnknownGovernor):
        open_envelope(data, {"ben": BEN.public}, ceremony, "anna", "round1")
    # the name of one, the key of another
    with pytest.raises(BadEnvelope):
        open_envelope(data, {"anna": BEN.public}, ceremony, "anna", "round1")


@given(st.integers(min_value=0), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_an_altered_envelope_is_refused(position, change):
    data = bytearray(envelope(ANNA, b"1" * 32, "round1", b"body"))
    data[position % len(data)] ^= change
    with pytest.raises(HostError):
        open_envelope(bytes(data), BOTH, b"1" * 32, None, "round1")


@given(st.binary(max_size=120))
@settings(max_examples=100, deadline=None)
def test_readers_raise_only_malformed(data):
    for read in (Identity.from_bytes, Governor.from_bytes):
        with pytest.raises(Malformed):
            read(data)
    with pytest.raises(Malformed):
        open_envelope(data, BOTH, b"1" * 32, None, "round1")
