"""Ed25519 where libraries part: small and mixed order, aliases, S out of range.

All backends must decide like the textbook ed25519_reference.py. OpenSSL alone, without their
checks, accepts keys outside the prime-order subgroup and the neutral point as R. After
"Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko; 2020).
"""

import itertools
import random

import ed25519_reference as ed
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from writ import crypto
from writ.crypto import ed25519, pycryptodome

pytestmark = pytest.mark.slow


def verdicts(public: bytes, message: bytes, signature: bytes) -> set[bool]:
    """What the backends say; one element if they agree."""
    before = crypto.backend
    found = set()
    for name in ("pure", "pycryptodome", "openssl"):
        crypto.use(name)
        found.add(crypto.ed25519_verify(public, message, signature))
    crypto.use(before)
    return found


def openssl(public: bytes, message: bytes, signature: bytes) -> bool:
    """The verdict of OpenSSL."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_reference_signs_like_openssl() -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    signature = key.sign(b"message")
    assert ed.verify(public, b"message", signature)
    assert not ed.verify(public, b"massage", signature)
    assert len({ed.encode(point) for point in ed.TORSION}) == 8


@pytest.mark.parametrize("key_torsion", range(8))
def test_every_mix_of_torsion(key_torsion: int) -> None:
    """All 64 sums of small-order points with key and R, each for several k."""
    chance = random.Random(key_torsion)
    accepted = rejected = taken_by_openssl = 0
    for r_torsion, index in itertools.product(range(8), range(6)):
        message = b"%d %d" % (r_torsion, index)
        made = ed.sign(
            chance.randrange(1, ed.L), chance.randrange(ed.L), key_torsion, r_torsion, message
        )
        public, signature = made[:32], made[32:]
        expected = ed.verify(public, message, signature)
        assert verdicts(public, message, signature) == {expected}
        assert expected is (key_torsion == r_torsion == 0)
        taken_by_openssl += openssl(public, message, signature)
        accepted += expected
        rejected += not expected
    assert accepted == (0 if key_torsion else 6)
    assert rejected
    # or the test would show nothing
    assert taken_by_openssl > 0


def small_order_encodings() -> list[bytes]:
    """All encodings of the points of small order, canonical or not."""
    found = {ed.encode(point) for point in ed.TORSION}
    for y in (0, 1, ed.P - 1, ed.P, ed.P + 1):
        for sign in (0, 1):
            found.add((y | sign << 255).to_bytes(32, "little"))
    return sorted(found)


def test_small_order_in_the_place_of_key_and_r() -> None:
    encodings = small_order_encodings()
    assert len(encodings) == 14
    taken_by_openssl = 0
    for public, r, message in itertools.product(encodings, encodings, (b"a", b"b")):
        signature = r + bytes(32)
        assert verdicts(public, message, signature) == {False}
        taken_by_openssl += openssl(public, message, signature)
    # or the test would show nothing
    assert taken_by_openssl > 0


def test_an_alias_of_a_key_is_no_key() -> None:
    """y + P where y is below 19. These points have no private keys, so the decoders are asked."""
    good = aliases = 0
    for y in range(19):
        for sign in (0, 1):
            bits = sign << 255
            public = (y | bits).to_bytes(32, "little")
            point = ed.decode(public)
            usable = point is not None and point[0] != 0
            of_prime_order = usable and ed.multiply(ed.L, point) == ed.NEUTRAL
            alias = (y + ed.P | bits).to_bytes(32, "little")
            assert (ed25519._decode(public) is not None) is usable
            assert (pycryptodome.ed_point(public) is not None) is of_prime_order
            for decode in (ed25519._decode, pycryptodome.ed_point):
                assert decode(alias) is None
            good += usable
            aliases += 1
    assert good > 10
    assert aliases == 38


def test_small_order_r_under_a_good_key() -> None:
    secret = 123456789
    public = ed.encode(ed.multiply(secret, ed.BASE))
    taken_by_openssl = 0
    for r in small_order_encodings():
        s = ed.hash_scalar(r, public, b"m") * secret % ed.L
        signature = r + s.to_bytes(32, "little")
        assert verdicts(public, b"m", signature) == {False}
        assert ed.verify(public, b"m", signature) is False
        taken_by_openssl += openssl(public, b"m", signature)
    # the neutral point, canonically encoded
    assert taken_by_openssl == 1


@pytest.mark.parametrize("multiple", range(1, 16))
def test_s_above_the_order(multiple: int) -> None:
    made = ed.sign(1234, 5678, 0, 0, b"m")
    s = int.from_bytes(made[64:], "little") + multiple * ed.L
    if s < 2**256:
        signature = made[32:64] + s.to_bytes(32, "little")
        assert verdicts(made[:32], b"m", signature) == {False}
    assert verdicts(made[:32], b"m", made[32:]) == {True}


@settings(max_examples=80)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_any_bytes_as_key_and_signature(public: bytes, signature: bytes) -> None:
    assert verdicts(public, b"", signature) == {False}


@settings(max_examples=40)
@given(
    st.integers(1, ed.L - 1),
    st.integers(1, ed.L - 1),
    st.binary(max_size=40),
    st.integers(0, 511),
)
def test_one_flipped_bit(secret: int, nonce: int, message: bytes, bit: int) -> None:
    made = ed.sign(secret, nonce, 0, 0, message)
    public, signature = made[:32], bytearray(made[32:])
    assert verdicts(public, message, bytes(signature)) == {True}
    signature[bit // 8] ^= 1 << bit % 8
    assert verdicts(public, message, bytes(signature)) == {False}
