"""The FROST signer, which caches signatures, commitments and packages."""

import pytest
from frost_rig import MESSAGE, deal

from writ_host.consensus import signer
from writ_host.errors import Malformed
from writ_host.keys.identity import Identity
from writ_host.keys.roster import Roster, Seat


@pytest.fixture
def signers():
    people = [Identity.generate(f"g{i}") for i in (1, 2, 3)]
    roster = Roster.create("farm", 2, [one.public for one in people])
    keys, public = deal(2, 3)
    return [
        signer.FrostSigner(one, Seat(roster, keys[i], public)) for i, one in enumerate(people, 1)
    ]


def test_a_cached_signature_is_for_its_author_and_its_data_only(signers):
    one, other, _ = signers
    made = one.sign(b"this")
    assert one.verify(1, b"this", made) and other.verify(1, b"this", made)
    for judge in (one, other):
        assert not judge.verify(1, b"that", made)
        assert not judge.verify(2, b"this", made)
        assert not judge.verify(1, b"this", made[:-1] + bytes([made[-1] ^ 1]))


def test_an_invalid_commitment_is_never_cached_as_valid(signers):
    one = signers[0]
    good = one.commit()[0]
    for bad in (
        b"",
        good[:63],
        good + b"\0",
        bytes(64),
        good[:32] + b"\xff" * 32,
        bytes(32) + good,
    ):
        for _ in range(2):
            assert not one.check_commitment(bad)
            with pytest.raises(Malformed):
                one.package(MESSAGE, {1: good, 2: bad})
    assert one.check_commitment(good)


def test_a_cached_package_is_for_its_payload_and_its_signers_only(signers):
    one, other, third = (each.commit()[0] for each in signers)
    packages = [
        signers[0].package(payload, chosen)
        for payload, chosen in (
            (b"this", {1: one, 2: other}),
            (b"that", {1: one, 2: other}),
            (b"this", {1: other, 2: one}),
            (b"this", {1: one, 3: other}),
            (b"this", {1: one, 2: third}),
        )
    ]
    assert len({package.challenge for package in packages}) == len(packages)
    assert signers[0].package(b"this", {2: other, 1: one}) is packages[0]


def test_a_full_cache_drops_its_oldest_entries(signers, monkeypatch):
    for name in ("SIGNED_KEPT", "COMMITMENTS_KEPT", "PACKAGES_KEPT"):
        monkeypatch.setattr(signer, name, 2)
    again = [signer.FrostSigner(one._identity, one._seat) for one in signers[:2]]
    made = [one.sign(bytes([i])) for one in again for i in range(5)]
    assert again[0].verify(1, b"\0", made[0])
    nonces = [[one.commit() for _ in range(5)] for one in again]
    for (first, own), (second, others) in zip(*nonces, strict=True):
        package = again[0].package(MESSAGE, {1: first, 2: second})
        shares = {1: again[0].share(package, own), 2: again[1].share(package, others)}
        assert again[1].is_valid(MESSAGE, again[0].aggregate(package, shares))
    for one in again:
        assert len(one._signed._entries) == len(one._points._entries) == 2
    assert len(again[0]._packages._entries) == 2
