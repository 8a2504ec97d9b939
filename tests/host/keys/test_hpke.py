"""Encryption to one governor, against another library and altered bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host.errors import (
    HpkeOpenError,
    Malformed,
)
from writ_host.keys import hpke
from writ_host.keys.identity import Identity, PublicIdentity

SECRET = b"the share of a governor"
ANNA = Identity.generate("anna")
BEN = Identity.generate("ben")


def test_only_the_receiver_can_decrypt():
    data = hpke.seal(BEN.public.seal_key, b"info", SECRET)
    assert len(data) == len(SECRET) + hpke.OVERHEAD_BYTES
    assert BEN.unseal(b"info", data) == SECRET
    assert hpke.seal(BEN.public.seal_key, b"info", SECRET) != data
    with pytest.raises(HpkeOpenError):
        ANNA.unseal(b"info", data)
    with pytest.raises(HpkeOpenError):
        BEN.unseal(b"other", data)
    for position in range(len(data)):
        with pytest.raises(HpkeOpenError):
            BEN.unseal(
                b"info", data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
            )


@given(st.binary(max_size=100))
@settings(max_examples=100)
def test_unseal_raises_only_decryption_failed(data):
    with pytest.raises(HpkeOpenError):
        BEN.unseal(b"info", data)


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), b"short", b""])
def test_sealing_keys_of_small_order_are_refused(public):
    with pytest.raises(Malformed):
        hpke.check_public(public)
    with pytest.raises(Malformed):
        PublicIdentity.from_item(["eve", ANNA.public.verify_key, public, ANNA.public.node_key])


def test_hpke_reads_what_another_library_sealed():
    """The other library is cryptography, with the same suite."""
    theirs = pytest.importorskip("cryptography.hazmat.primitives.hpke")
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    suite = theirs.Suite(theirs.KEM.X25519, theirs.KDF.HKDF_SHA256, theirs.AEAD.CHACHA20_POLY1305)
    sealed = suite.encrypt(SECRET, X25519PublicKey.from_public_bytes(BEN.public.seal_key), b"i")
    assert BEN.unseal(b"i", sealed) == SECRET
