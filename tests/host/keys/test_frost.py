"""FROST against RFC 9591, against plain verifiers, and against faulty governors."""

import contextlib
import copy
import pickle
from itertools import combinations

import pytest
from Crypto.Signature import eddsa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from frost_rig import MESSAGE, deal, fixed, sign_all
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add
from vectors_frost import RFC9591

from writ import crypto
from writ.errors import UsageError
from writ_host.errors import CheatingGovernor, Malformed
from writ_host.keys import group
from writ_host.keys.frost import (
    Commitment,
    KeyPackage,
    PublicKeyPackage,
    SigningPackage,
    aggregate,
    commit,
    is_valid,
    lagrange,
    sign,
)


def test_rfc9591_every_value():
    group_key = bytes.fromhex(RFC9591["group_key"])
    message = bytes.fromhex(RFC9591["message"])
    keys = {
        i: KeyPackage(i, group.scalar_from_bytes(bytes.fromhex(share)), group_key, 2)
        for i, share in RFC9591["shares"].items()
    }
    nonces = {}
    for i, wanted in RFC9591["signers"].items():
        randomness = fixed(
            bytes.fromhex(wanted["hiding_nonce_randomness"]),
            bytes.fromhex(wanted["binding_nonce_randomness"]),
        )
        nonces[i] = commit(keys[i], randomness)
        secret = bytes(nonces[i]._buffers[0]).hex()
        assert secret == wanted["hiding_nonce"] + wanted["binding_nonce"]
        assert nonces[i].commitment.hiding.hex() == wanted["hiding_nonce_commitment"]
        assert nonces[i].commitment.binding.hex() == wanted["binding_nonce_commitment"]
    # the order in which commitments arrive must not matter
    commitments = [nonces[3].commitment, nonces[1].commitment]
    package = SigningPackage(group_key, 2, message, commitments)
    for i, wanted in RFC9591["signers"].items():
        assert package.binding_factor_inputs()[i].hex() == wanted["binding_factor_input"]
        factor = group.scalar_to_bytes(package.binding_factors[i])
        assert factor.hex() == wanted["binding_factor"]
    shares = {i: sign(keys[i], nonces[i], package) for i in nonces}
    for i, wanted in RFC9591["signers"].items():
        assert shares[i].hex() == wanted["sig_share"]
    public = PublicKeyPackage(group_key, {i: k.verifying_share for i, k in keys.items()}, 2)
    assert aggregate(public, package, shares).hex() == RFC9591["signature"]


def test_a_package_with_own_nonces_equals_one_without():
    keys, public = deal(3, 4)
    nonces = [commit(keys[i]) for i in (1, 2, 4)]
    place = public.group_key, 3, MESSAGE, [item.commitment for item in nonces]
    package = SigningPackage(*place)
    for mine in nonces:
        assert SigningPackage(*place, mine).group_commitment == package.group_commitment
        assert not mine.spent
        mine.discard()
        assert SigningPackage(*place, mine).group_commitment == package.group_commitment
    stranger = commit(keys[3])
    assert SigningPackage(*place, stranger).group_commitment == package.group_commitment


def test_every_threshold_subset_makes_a_plain_signature():
    keys, public = deal(3, 4)
    for signers in [*combinations(range(1, 5), 3), (1, 2, 3, 4)]:
        package, shares = sign_all(keys, public, signers)
        signature = aggregate(public, package, shares)
        Ed25519PublicKey.from_public_bytes(public.group_key).verify(signature, MESSAGE)
        eddsa.new(eddsa.import_public_key(public.group_key), "rfc8032").verify(MESSAGE, signature)
        assert crypto.ed25519_verify(public.group_key, MESSAGE, signature)
        assert is_valid(public.group_key, MESSAGE, signature)
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(public.group_key).verify(signature, b"no")
        assert not is_valid(public.group_key, b"no", signature)


def test_two_of_four_cannot_sign_for_three():
    keys, public = deal(3, 4)
    nonces = {i: commit(keys[i]) for i in (1, 2)}
    commitments = [item.commitment for item in nonces.values()]
    with pytest.raises(UsageError):
        SigningPackage(public.group_key, public.threshold, MESSAGE, commitments)
    # two that skip the checks and pretend a lower threshold get no signature either
    lying = {i: KeyPackage(i, keys[i].signing_share, public.group_key, 2) for i in (1, 2)}
    package = SigningPackage(public.group_key, 2, MESSAGE, commitments)
    with pytest.raises(UsageError):
        sign(keys[1], nonces[1], package)
    assert not nonces[1].spent
    shares = {i: sign(lying[i], nonces[i], package) for i in (1, 2)}
    two = PublicKeyPackage(public.group_key, public.verifying_shares, 2)
    with pytest.raises(Malformed):
        aggregate(two, package, shares)
    with pytest.raises(UsageError):
        aggregate(public, package, shares)


@pytest.mark.parametrize("wrong", [b"", bytes(32), b"\xff" * 32, group.scalar_to_bytes(7)])
def test_aggregate_names_the_cheater(wrong):
    keys, public = deal(3, 4)
    package, shares = sign_all(keys, public, (1, 2, 4))
    with pytest.raises(CheatingGovernor) as caught:
        aggregate(public, package, {**shares, 2: wrong})
    assert caught.value.identifiers == (2,)
    with pytest.raises(CheatingGovernor) as caught:
        aggregate(public, package, {**shares, 2: wrong, 4: shares[1]})
    assert caught.value.identifiers == (2, 4)


def test_a_share_for_another_message_is_cheating():
    keys, public = deal(2, 3)
    nonces = {i: commit(keys[i]) for i in (1, 2)}
    commitments = [item.commitment for item in nonces.values()]
    package = SigningPackage(public.group_key, 2, MESSAGE, commitments)
    other = SigningPackage(public.group_key, 2, b"shut the gate", commitments)
    shares = {1: sign(keys[1], nonces[1], package), 2: sign(keys[2], nonces[2], other)}
    with pytest.raises(CheatingGovernor) as caught:
        aggregate(public, package, shares)
    assert caught.value.identifiers == (2,)


def test_nonces_sign_once():
    keys, public = deal(2, 2)
    nonces = {i: commit(keys[i]) for i in (1, 2)}
    commitments = [item.commitment for item in nonces.values()]
    buffer = nonces[1]._buffers[0]
    sign(keys[1], nonces[1], SigningPackage(public.group_key, 2, MESSAGE, commitments))
    assert buffer == bytes(64)
    assert nonces[1].spent
    for message in (MESSAGE, b"another"):
        with pytest.raises(UsageError):
            sign(keys[1], nonces[1], SigningPackage(public.group_key, 2, message, commitments))
    nonces[2].discard()
    with pytest.raises(UsageError):
        nonces[2].take()


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_nonces_are_never_copied_or_shown(leak):
    nonces = commit(deal(1, 1)[0][1])
    secret = bytes(nonces._buffers[0])
    with pytest.raises(UsageError):
        leak(nonces)
    assert secret.hex() not in repr(nonces) and str(list(secret)) not in repr(nonces)


def test_a_share_is_not_shown():
    key = deal(1, 1)[0][1]
    assert str(key.signing_share) not in repr(key)


def test_sign_refuses_a_package_without_its_own_nonces():
    keys, public = deal(2, 3)
    nonces = {i: commit(keys[i]) for i in (1, 2, 3)}
    # with swapped commitments, signing would use these nonces with another governor's factor
    foreign = [commit(keys[1]).commitment, nonces[2].commitment]
    with pytest.raises(UsageError):
        sign(keys[1], nonces[1], SigningPackage(public.group_key, 2, MESSAGE, foreign))
    absent = [nonces[2].commitment, nonces[3].commitment]
    with pytest.raises(UsageError):
        sign(keys[1], nonces[1], SigningPackage(public.group_key, 2, MESSAGE, absent))
    with pytest.raises(UsageError):
        SigningPackage(public.group_key, 2, MESSAGE, [nonces[1].commitment] * 2)
    other = deal(2, 2)[1]
    package = SigningPackage(
        other.group_key, 2, MESSAGE, [nonces[1].commitment, nonces[2].commitment]
    )
    with pytest.raises(UsageError):
        sign(keys[1], nonces[1], package)
    assert not nonces[1].spent


def test_aggregate_needs_exactly_the_signers():
    keys, public = deal(2, 3)
    package, shares = sign_all(keys, public, (1, 2))
    for wrong in ({1: shares[1]}, {**shares, 3: shares[1]}, {}):
        with pytest.raises(UsageError):
            aggregate(public, package, wrong)


LOW_ORDER = [
    # the eight points of small order, then encodings that are not canonical
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0200000000000000000000000000000000000000000000000000000000000000",
]


@pytest.mark.parametrize("encoded", LOW_ORDER)
def test_encodings_that_are_not_group_elements(encoded):
    data = bytes.fromhex(encoded)
    for refuses in (group.point_from_bytes, lambda data: group.multiply_received(5, data)):
        with pytest.raises(Malformed):
            refuses(data)


@pytest.mark.parametrize("low", LOW_ORDER[1:8])
@pytest.mark.parametrize("scalar", [1, 5, group.ORDER - 1])
def test_a_point_of_mixed_order_is_refused(low, scalar):
    """The second point, of order two, is the one of CVE-2025-69277 in libsodium."""
    good = group.base(scalar)
    mixed = crypto_core_ed25519_add(good, bytes.fromhex(low))
    # a point of the curve in canonical encoding: only its order is wrong
    assert eddsa.import_public_key(mixed).export_key(format="raw") == mixed
    keys, public = deal(1, 1)
    for refuses in (
        lambda: group.point_from_bytes(mixed),
        lambda: Commitment(1, mixed, good),
        lambda: SigningPackage(good, 1, MESSAGE, [Commitment(1, good, mixed)]),
        lambda: PublicKeyPackage(mixed, {}, 1),
        lambda: PublicKeyPackage(good, {1: mixed}, 1),
        lambda: sign_all(keys, public, (1,))[0].share_is_valid(1, bytes(32), mixed),
    ):
        with pytest.raises(Malformed):
            refuses()


def test_a_signature_with_points_of_mixed_order_is_rejected():
    """Verifiers that multiply by the cofactor accept such a signature; others do not."""
    low = bytes.fromhex(LOW_ORDER[1])
    secret = nonce = 7
    key, mixed = group.base(secret), crypto_core_ed25519_add(group.base(nonce), low)
    challenge = group.hash_to_scalar(mixed, key, MESSAGE)
    response = group.multiply_add(secret, challenge, nonce)
    signature = mixed + group.scalar_to_bytes(response)
    eddsa.new(eddsa.import_public_key(key), "rfc8032").verify(MESSAGE, signature)
    assert not is_valid(key, MESSAGE, signature)


@pytest.mark.parametrize("y", range(19))
@pytest.mark.parametrize("sign_bit", [0, 1 << 255])
def test_encodings_that_are_not_canonical(y, sign_bit):
    """All y that have two encodings in 255 bits; several are on the curve."""
    with pytest.raises(Malformed):
        group.point_from_bytes((2**255 - 19 + y | sign_bit).to_bytes(32, "little"))


@given(st.integers(0, group.ORDER - 1), st.integers(0, group.ORDER - 1))
@settings(max_examples=25)
def test_the_group_matches_another_library(a, b):
    generator = eddsa.import_public_key(group.GENERATOR).pointQ

    def encoded(point):
        return (int(point.y) | (int(point.x) & 1) << 255).to_bytes(32, "little")

    assert group.base(a) == encoded(generator * a)
    assert group.multiply(b, group.base(a)) == encoded(generator * (a * b % group.ORDER))
    assert group.add([group.base(a), group.base(b)]) == encoded(generator * a + generator * b)
    assert group.multiply_add(a, b, 5) == (a * b + 5) % group.ORDER


def test_scalars_and_the_identity():
    top = group.scalar_to_bytes(group.ORDER - 1)
    assert group.scalar_from_bytes(top) == group.ORDER - 1
    for bad in (group.scalar_to_bytes(group.ORDER), b"\xff" * 32, bytes(31), bytes(33), None, 5):
        with pytest.raises(Malformed):
            group.scalar_from_bytes(bad)
    for refuse in (group.point_to_bytes, group.point_from_bytes):
        with pytest.raises(Malformed):
            refuse(group.IDENTITY)
    five, minus_five = group.base(5), group.base(group.ORDER - 5)
    for identity in (
        group.base(0),
        group.base(group.ORDER),
        group.multiply(0, five),
        group.multiply(group.ORDER, five),
        group.multiply(7, group.IDENTITY),
        group.add([five, minus_five]),
        group.add([group.IDENTITY, group.IDENTITY]),
    ):
        assert identity == group.IDENTITY
    assert group.add([group.IDENTITY, five]) == group.add([five]) == five
    assert group.base(1) == group.GENERATOR


def test_is_valid_is_strict():
    keys, public = deal(1, 1)
    package, shares = sign_all(keys, public, (1,))
    signature = aggregate(public, package, shares)
    response = int.from_bytes(signature[32:], "little") + group.ORDER
    malleable = signature[:32] + response.to_bytes(32, "little")
    assert not is_valid(public.group_key, MESSAGE, malleable)
    assert not is_valid(public.group_key, MESSAGE, signature + b"\0")
    assert not is_valid(bytes(32), MESSAGE, signature)


def test_lagrange_needs_distinct_identifiers():
    for identifiers in ([1, 2, 2], [2, 3]):
        with pytest.raises(UsageError):
            lagrange(1, identifiers)


@given(st.binary(max_size=40) | st.binary(min_size=32, max_size=32))
@settings(max_examples=200)
def test_decoders_raise_only_malformed(data):
    for decode, encode in (
        (group.point_from_bytes, group.point_to_bytes),
        (group.scalar_from_bytes, group.scalar_to_bytes),
    ):
        with contextlib.suppress(Malformed):
            assert encode(decode(data)) == data
