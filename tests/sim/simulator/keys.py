"""The simulator's two kinds of keys: symbolic (fast, unforgeable by construction) and real."""

import hashlib

from writ_host.consensus.signer import FrostSigner
from writ_host.errors import CheatingGovernor
from writ_host.keys.dkg import polynomial
from writ_host.keys.frost import KeyPackage, PublicKeyPackage
from writ_host.keys.group import base, point_to_bytes, random_scalar
from writ_host.keys.identity import Identity
from writ_host.keys.roster import Roster, Seat


def _hash(*parts):
    return hashlib.sha256(b"|".join(parts)).digest()


class SymbolicNonce:
    def __init__(self, commitment):
        self.commitment = commitment
        self.spent = False

    def discard(self):
        self.spent = True


class SymbolicSigner:
    """Signatures are hashes with a secret of the simulator; a liar can use only its own.

    `aggregate` makes a group signature, from valid shares of all signers in the package.
    """

    def __init__(self, identifier, threshold, seed, rng):
        self.identifier = identifier
        self.threshold = threshold
        self._seed = seed
        self._rng = rng

    def _secret(self, number):
        return b"%d:%d" % (self._seed, number)

    def sign(self, data):
        return _hash(self._secret(self.identifier), data) * 2

    def verify(self, identifier, data, signature):
        return signature == _hash(self._secret(identifier), data) * 2

    def commit(self):
        commitment = self._rng.randbytes(32) * 2
        return commitment, SymbolicNonce(commitment)

    def check_commitment(self, commitment):
        return commitment[:32] == commitment[32:]

    def package(self, payload, commitments):
        listed = b"".join(bytes([i]) + commitments[i] for i in sorted(commitments))
        return _hash(payload, listed), payload, dict(commitments)

    def share(self, package, nonce):
        assert not nonce.spent and package[2][self.identifier] == nonce.commitment
        nonce.spent = True
        return _hash(self._secret(self.identifier), b"share", package[0])

    def share_is_valid(self, package, identifier, share):
        return share == _hash(self._secret(identifier), b"share", package[0])

    def aggregate(self, package, shares):
        wrong = [i for i, share in shares.items() if not self.share_is_valid(package, i, share)]
        if wrong:
            raise CheatingGovernor(wrong, "sent a wrong signature share")
        assert set(shares) == set(package[2]) and len(shares) >= self.threshold
        return self._group(package[1])

    def _group(self, payload):
        return _hash(self._secret(0), payload) * 2

    def is_valid(self, payload, signature):
        return signature == self._group(payload)


def symbolic(count, threshold, rng):
    """(scope, signers) of a scope with symbolic keys."""
    seed = rng.getrandbits(32)
    signers = [SymbolicSigner(i + 1, threshold, seed, rng) for i in range(count)]
    return _hash(b"scope", b"%d" % seed), signers


def real(count, threshold, rng):
    """(scope, signers) of a scope with Ed25519 and FROST keys, dealt by the simulator."""
    identities = [Identity.generate(f"governor-{i}", rng.randbytes) for i in range(count)]
    governors = [identity.public for identity in identities]
    roster = Roster.create("simulated", threshold, governors, rng.randbytes)
    secret = [random_scalar(rng.randbytes) for _ in range(threshold)]
    group_key = point_to_bytes(base(secret[0]))
    shares = {i: polynomial(secret, i) for i in range(1, count + 1)}
    points = {i: point_to_bytes(base(share)) for i, share in shares.items()}
    public = PublicKeyPackage(group_key, points, threshold)
    signers = [
        FrostSigner(
            identity,
            Seat(roster, KeyPackage(i, shares[i], group_key, threshold), public),
            rng.randbytes,
        )
        for i, identity in enumerate(identities, 1)
    ]
    return group_key, signers
