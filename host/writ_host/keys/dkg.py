"""Distributed key generation (DKG): a group key whose private key is never assembled.

Pedersen's scheme with proofs of possession, as in the FROST paper (Komlo and Goldberg 2020,
figure 1) and, byte for byte, Zcash's frost-core `keys::dkg`. Each governor runs one `Dkg`, a pure
state machine. Messages of round 1 are broadcast; messages of round 2 are secret between two
governors. There is no dealer.

    round1() --all--> receive_round1() x n, fingerprint() --voice--> round2() --sealed-->
    receive_round2() x n-1 --> finish()

If a governor sends different broadcasts to different governors, their `fingerprint()`s differ.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from writ.errors import UsageError
from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import CheatingGovernor, Disagreement, Malformed
from .frost import CONTEXT, KeyPackage, PublicKeyPackage
from .group import (
    ORDER,
    Point,
    Random,
    add,
    base,
    hash_to_scalar,
    multiply,
    multiply_add,
    point_from_bytes,
    point_to_bytes,
    random_scalar,
    scalar_from_bytes,
    scalar_to_bytes,
)

STATE_BYTES_MAX = 32768


@dataclass(frozen=True)
class Round1:
    """A governor's broadcast: commitments to its polynomial, and proof that it knows the secret.

    `commitments` are `threshold` points of 32 bytes, the constant term first; `proof` is a
    Schnorr signature, 64 bytes.
    """

    commitments: tuple[bytes, ...]
    proof: bytes

    def to_item(self) -> list[object]:
        """As a CBOR item: [[+ point], proof]."""
        return [list(self.commitments), self.proof]

    @classmethod
    def from_item(cls, item: object, threshold: int) -> "Round1":
        """Raises `Malformed`, also for a polynomial of the wrong degree."""
        commitments, proof = codec.a_list(item, 2)
        points = codec.a_list(commitments, threshold)
        return cls(tuple(map(point_from_bytes, points)), codec.some_bytes(proof, 64))


def polynomial(coefficients: Sequence[int], at: int) -> int:
    """The value of the polynomial, constant term first, at `at`."""
    value = 0
    for coefficient in reversed(coefficients):
        value = multiply_add(value, at, coefficient)
    return value


def committed_polynomial(commitments: Sequence[bytes], at: int) -> Point:
    """The generator times the polynomial's value at `at`, from the commitments alone."""
    *lower, value = map(point_from_bytes, commitments)
    for commitment in reversed(lower):
        value = add([multiply(at, value), commitment])
    return value


def public_package(polynomials: Iterable[Sequence[bytes]], count: int) -> PublicKeyPackage:
    """The keys of governors 1 to `count` whose shares are values of the sum of `polynomials`.

    Each polynomial is given as its commitments, constant term first. Raises `Malformed` if a
    resulting point is the identity.
    """
    columns = zip(*polynomials, strict=True)
    total = [point_to_bytes(add(map(point_from_bytes, column))) for column in columns]
    shares = {i: point_to_bytes(committed_polynomial(total, i)) for i in range(1, count + 1)}
    return PublicKeyPackage(total[0], shares, len(total))


def _proof_challenge(identifier: int, commitment: bytes, nonce: bytes) -> int:
    return hash_to_scalar(CONTEXT, b"dkg", scalar_to_bytes(identifier), commitment, nonce)


def prove(identifier: int, secret: int, random: Random = os.urandom) -> bytes:
    """Proof of possession of the constant term, 64 bytes. It is bound to the identifier."""
    nonce = random_scalar(random)
    point = point_to_bytes(base(nonce))
    challenge = _proof_challenge(identifier, point_to_bytes(base(secret)), point)
    return point + scalar_to_bytes(multiply_add(secret, challenge, nonce))


def proof_is_valid(identifier: int, package: Round1) -> bool:
    """True when the governor knows the constant term that it committed to."""
    try:
        nonce = point_from_bytes(package.proof[:32])
        response = scalar_from_bytes(package.proof[32:])
    except Malformed:
        return False
    secret = point_from_bytes(package.commitments[0])
    challenge = _proof_challenge(identifier, secret, nonce)
    return base(response) == add([nonce, multiply(challenge, secret)])


def fingerprint_digits(digest: bytes) -> str:
    """A digest (32 B) as eight groups of five digits, for comparison by voice.

    Digits are easy to say in every language and over a bad radio link. 40 digits are 132 bits: an
    attacker who wants two transcripts with the same digits must hash 2**66 transcripts during one
    ceremony.
    """
    digits = f"{int.from_bytes(digest, 'big') % 10**40:040d}"
    return " ".join(digits[i : i + 5] for i in range(0, 40, 5))


@dataclass
class Dkg:
    """One governor's side of one key generation. Create with `begin` or `from_bytes`.

    context: names the ceremony, and is part of the fingerprint. Governors are numbered 1 to
    `count`. The object holds secrets: store `to_bytes()` only encrypted.
    """

    context: bytes
    identifier: int
    threshold: int
    count: int
    _coefficients: list[int] = field(repr=False)
    _packages: dict[int, Round1] = field(repr=False, default_factory=dict)
    _shares: dict[int, int] = field(repr=False, default_factory=dict)

    @classmethod
    def begin(
        cls,
        context: bytes,
        identifier: int,
        threshold: int,
        count: int,
        random: Random = os.urandom,
    ) -> "Dkg":
        """A new key generation with fresh secrets. Raises `UsageError` for impossible numbers."""
        if not (1 <= threshold <= count <= GOVERNORS_MAX and 1 <= identifier <= count):
            raise UsageError("need 1 <= threshold <= governors, and an identifier of one of them")
        coefficients = [random_scalar(random) for _ in range(threshold)]
        commitments = tuple(point_to_bytes(base(value)) for value in coefficients)
        own = Round1(commitments, prove(identifier, coefficients[0], random))
        state = cls(context, identifier, threshold, count, coefficients)
        state._packages[identifier] = own
        state._shares[identifier] = polynomial(coefficients, identifier)
        return state

    def round1(self) -> Round1:
        """The broadcast of this governor, the same at each call."""
        return self._packages[self.identifier]

    def receive_round1(self, sender: int, package: Round1) -> None:
        """Take a broadcast. A repeated one is ignored.

        Raises `CheatingGovernor` for a wrong proof, and `Disagreement` for a second broadcast that
        differs from the first.
        """
        self._check_sender(sender)
        known = self._packages.get(sender)
        if known is not None:
            if known != package:
                raise Disagreement(f"governor {sender} sent two different round-1 packages")
            return
        if len(package.commitments) != self.threshold or not proof_is_valid(sender, package):
            raise CheatingGovernor([sender], "cannot prove that it knows its own secret")
        self._packages[sender] = package

    def missing_round1(self) -> list[int]:
        """The governors whose broadcast is missing."""
        return [i for i in range(1, self.count + 1) if i not in self._packages]

    def fingerprint(self) -> bytes:
        """SHA-256 over the context and all broadcasts; equal at all governors if none cheated."""
        self._require(not self.missing_round1(), "round 1 is not complete")
        listed = [self._packages[i].to_item() for i in range(1, self.count + 1)]
        transcript = ["writ-dkg", self.context, self.threshold, listed]
        return hashlib.sha256(codec.dump(transcript)).digest()

    def round2(self) -> dict[int, bytes]:
        """The secret share (32 B) for each other governor, to be sent to it encrypted."""
        self._require(not self.missing_round1(), "round 1 is not complete")
        return {
            i: scalar_to_bytes(polynomial(self._coefficients, i))
            for i in range(1, self.count + 1)
            if i != self.identifier
        }

    def receive_round2(self, sender: int, share: bytes) -> None:
        """Take the share that `sender` made for this governor. A repeated one is ignored.

        Raises `CheatingGovernor` if the share does not fit the sender's commitments.
        """
        self._check_sender(sender)
        self._require(sender in self._packages, "a share came before its commitment")
        try:
            value = scalar_from_bytes(share)
        except Malformed:
            raise CheatingGovernor([sender], "sent a share that is no scalar") from None
        expected = committed_polynomial(self._packages[sender].commitments, self.identifier)
        if base(value) != expected:
            raise CheatingGovernor([sender], "sent a share that does not fit its commitment")
        self._shares[sender] = value

    def missing_round2(self) -> list[int]:
        """The governors whose share is missing."""
        return [i for i in range(1, self.count + 1) if i not in self._shares]

    def public(self) -> PublicKeyPackage:
        """The group's key and all verifying shares, from the broadcasts alone.

        Raises `Malformed` if a resulting point is the identity.
        """
        self._require(not self.missing_round1(), "round 1 is not complete")
        polynomials = [package.commitments for package in self._packages.values()]
        return public_package(polynomials, self.count)

    def finish(self) -> tuple[KeyPackage, PublicKeyPackage]:
        """This governor's key share and the public keys, once all shares are here."""
        self._require(not self.missing_round2(), "round 2 is not complete")
        public = self.public()
        share = sum(self._shares.values()) % ORDER
        key = KeyPackage(self.identifier, share, public.group_key, self.threshold)
        if not hmac.compare_digest(key.verifying_share, public.verifying_shares[self.identifier]):
            raise Malformed("the sum of the shares does not fit the commitments")
        return key, public

    def to_bytes(self) -> bytes:
        """The whole state with its secrets. The caller must encrypt it."""
        return codec.dump(
            [
                "writ-dkg-state",
                self.context,
                [self.identifier, self.threshold, self.count],
                [scalar_to_bytes(value) for value in self._coefficients],
                {i: package.to_item() for i, package in self._packages.items()},
                {i: scalar_to_bytes(value) for i, value in self._shares.items()},
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Dkg":
        """The state that `to_bytes` wrote, checked like received messages. Raises `Malformed`."""
        item = codec.load(data, STATE_BYTES_MAX)
        context, numbers, secrets, packages, shares = codec.tagged(item, "writ-dkg-state", 6)
        count = codec.an_int(codec.a_list(numbers, 3)[2], 1, GOVERNORS_MAX)
        threshold = codec.an_int(codec.a_list(numbers, 3)[1], 1, count)
        identifier = codec.an_int(codec.a_list(numbers, 3)[0], 1, count)
        coefficients = [scalar_from_bytes(value) for value in codec.a_list(secrets, threshold)]
        state = cls(codec.some_bytes(context), identifier, threshold, count, coefficients)
        try:
            for sender, package in codec.a_map(packages, count).items():
                number = codec.an_int(sender, 1, count)
                state.receive_round1(number, Round1.from_item(package, threshold))
            for sender, share in codec.a_map(shares, count).items():
                state.receive_round2(codec.an_int(sender, 1, count), codec.some_bytes(share))
        except (CheatingGovernor, UsageError) as error:
            raise Malformed(f"not a state of a key generation: {error}") from None
        if state.identifier not in state._packages or state.identifier not in state._shares:
            raise Malformed("a state without its own broadcast and share")
        return state

    def _check_sender(self, sender: int) -> None:
        self._require(type(sender) is int and 1 <= sender <= self.count, "no such governor")

    @staticmethod
    def _require(is_met: bool, why: str) -> None:
        if not is_met:
            raise UsageError(why)
