"""Governors' identities, and the envelopes that they sign."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from ed25519_reference import TORSION, L, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host.errors import (
    BadEnvelope,
    HostError,
    Malformed,
    UnknownGovernor,
    WrongCeremony,
)
from writ_host.keys import identity
from writ_host.keys.identity import Identity, PublicIdentity, envelope, open_envelope

ANNA = Identity.generate("anna")
BEN = Identity.generate("ben")
BOTH = {"anna": ANNA.public, "ben": BEN.public}


def test_identity_round_trip():
    assert Identity.from_bytes(ANNA.to_bytes()) == ANNA
    assert PublicIdentity.from_bytes(ANNA.public.to_bytes()) == ANNA.public
    for secret in (ANNA.sign_seed, ANNA.seal_seed, ANNA.node_private):
        assert repr(secret) not in repr(ANNA) and secret not in ANNA.public.to_bytes()


X = ANNA.public.node_key[1:]


@pytest.mark.parametrize(
    "key",
    [X, b"\4" + X, b"\0" + X, b"\2" + b"\xff" * 32, b"\2" + X + b"\0", b"", "key", None],
    ids=["x", "full", "no sign", "no point", "long", "empty", "text", "none"],
)
def test_invalid_node_keys_are_refused(key):
    with pytest.raises(Malformed):
        PublicIdentity.from_item([*ANNA.public.to_item()[:3], key])
    PublicIdentity.from_item([*ANNA.public.to_item()[:3], BEN.public.node_key])


@pytest.mark.parametrize("private", [bytes(32), b"\xff" * 32, b"short"])
def test_invalid_private_node_keys_are_refused(private):
    with pytest.raises(Malformed):
        Identity.from_bytes(replace(ANNA, node_private=private).to_bytes())


def test_generated_node_keys_are_valid():
    given = [b"1" * 32, b"2" * 32, bytes(32), b"\xff" * 32, b"3" * 32]
    assert Identity.generate("anna", lambda count: given.pop(0)).node_private == b"3" * 32


def test_signatures_are_those_of_rfc_8032():
    """Signatures verify with another library, and the other way round."""
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
    # S + L is the same number modulo L, but not canonical
    s = int.from_bytes(signature[32:], "little") + L
    assert not governor.verifies(b"message", signature[:32] + s.to_bytes(32, "little"))
    for size in (0, 1, 31, 63, 65, 96):
        assert not governor.verifies(b"message", (signature * 2)[:size])
    # an all-zero signature fits keys of small order; the other keys are not points
    for point in TORSION:
        for key in (encode(point), b"\xff" * 32, b"", bytes(31), bytes(33)):
            small = replace(governor, verify_key=key)
            assert not small.verifies(b"message", encode(point) + bytes(32))
            assert not small.verifies(b"message", signature)


@pytest.mark.parametrize(
    "name", ["", "Anna", "../anna", "anna.round1", "-a", "a-", "a b", "a\n", "ä", "a" * 25, 7, None]
)
def test_unsafe_names_are_refused(name):
    with pytest.raises(Malformed):
        identity.check_name(name)


def test_an_envelope_names_its_sender_ceremony_and_step():
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
    # Anna's name with Ben's key
    with pytest.raises(BadEnvelope):
        open_envelope(data, {"anna": BEN.public}, ceremony, "anna", "round1")


@given(st.integers(min_value=0), st.integers(1, 255))
@settings(max_examples=200)
def test_an_altered_envelope_is_refused(position, change):
    data = bytearray(envelope(ANNA, b"1" * 32, "round1", b"body"))
    data[position % len(data)] ^= change
    with pytest.raises(HostError):
        open_envelope(bytes(data), BOTH, b"1" * 32, None, "round1")


@given(st.binary(max_size=120))
@settings(max_examples=100)
def test_decoders_raise_only_malformed(data):
    for read in (Identity.from_bytes, PublicIdentity.from_bytes):
        with pytest.raises(Malformed):
            read(data)
    with pytest.raises(Malformed):
        open_envelope(data, BOTH, b"1" * 32, None, "round1")
