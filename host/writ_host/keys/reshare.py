"""Re-sharing: new key shares of the same group key, for the same or other governors.

Verifiable secret redistribution (Desmedt and Jajodia 1997; Wong, Wang and Wing 2002). At least
`threshold` old governors deal. A dealer hides its share, times its Lagrange coefficient, in a fresh
polynomial, commits to the polynomial, and gives each new governor one value of it. The values add
up to shares of the same secret. Old shares do not combine with new ones.

    deal() at each dealer --commitments to all, shares sealed--> receive() x dealers, fingerprint(),
    compared as in a founding --> receive_share() x dealers --> finish()

Uses are a refresh (the same governors), a new governor, a governor that leaves, and a lost share,
whose owner receives and does not deal. Dealers have their old numbers, receivers the new ones, from
1. Old shares must be deleted once all governors have finished: `threshold` of them can always sign.
"""

import hashlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from writ.errors import UsageError
from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import CheatingGovernor, Disagreement, Malformed
from .dkg import committed_polynomial, polynomial, public_package
from .frost import IDENTIFIER_MAX, KeyPackage, PublicKeyPackage, lagrange
from .group import (
    ORDER,
    Point,
    Random,
    add,
    base,
    multiply,
    multiply_add,
    point_from_bytes,
    random_scalar,
    scalar_from_bytes,
    scalar_to_bytes,
)

STATE_BYTES_MAX = 32768


@dataclass(frozen=True)
class Deal:
    """A dealer's messages.

    commitments: `threshold` points of 32 bytes, for all governors; shares: 32 bytes for each new
    governor by its number, to be sent to it encrypted.
    """

    commitments: tuple[bytes, ...]
    shares: dict[int, bytes] = field(repr=False)


def _check_numbers(dealers: Collection[int], receivers: int, threshold: int) -> None:
    if len(set(dealers)) != len(dealers) or len(dealers) < threshold:
        raise UsageError("at least `threshold` different dealers are needed")
    if not threshold <= receivers <= GOVERNORS_MAX:
        raise UsageError(f"`threshold` to {GOVERNORS_MAX} new governors are needed")


def deal(
    key: KeyPackage, dealers: Collection[int], receivers: int, random: Random = os.urandom
) -> Deal:
    """Make one dealer's messages.

    They are random. Store them before sending: a dealer that sends others later is taken for a
    cheater. dealers: the old numbers of all dealers, the same at each of them. Raises `UsageError`.
    """
    _check_numbers(dealers, receivers, key.threshold)
    constant = multiply_add(key.signing_share, lagrange(key.identifier, dealers), 0)
    coefficients = [constant, *(random_scalar(random) for _ in range(key.threshold - 1))]
    return Deal(
        tuple(base(value) for value in coefficients),
        {i: scalar_to_bytes(polynomial(coefficients, i)) for i in range(1, receivers + 1)},
    )


@dataclass
class ShareReceiver:
    """The receiving side at new governor `me` of 1 to `receivers`; a pure state machine.

    old: the public keys so far, which a new governor must get from a trusted source; context: names
    the ceremony, and is part of the fingerprint. The object holds secrets: store `to_bytes()` only
    encrypted. Raises `UsageError`, and `Malformed` for old keys that do not belong together.
    """

    old: PublicKeyPackage
    dealers: Collection[int]
    receivers: int
    me: int
    context: bytes = b""
    _commitments: dict[int, tuple[bytes, ...]] = field(init=False, default_factory=dict)
    _shares: dict[int, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        _check_numbers(self.dealers, self.receivers, self.old.threshold)
        self.dealers = tuple(sorted(self.dealers))
        if not set(self.dealers) <= set(self.old.verifying_shares):
            raise UsageError("only governors with key shares can deal")
        if not 1 <= self.me <= self.receivers:
            raise UsageError("`me` is not one of the new governors")
        if add(self._constant(dealer) for dealer in self.dealers) != self.old.group_key:
            raise Malformed("the verifying shares do not belong to the group's key")

    def _constant(self, dealer: int) -> Point:
        """The first commitment that a dealer must make, so that the group key stays the same."""
        share = point_from_bytes(self.old.verifying_shares[dealer])
        return multiply(lagrange(dealer, self.dealers), share)

    def receive(self, dealer: int, commitments: Sequence[bytes]) -> None:
        """Take a dealer's commitments. Repeated ones are ignored.

        Raises `CheatingGovernor` for a wrong degree, an invalid point, or a constant term that is
        not the dealer's share; `Disagreement` for commitments that differ from earlier ones.
        """
        self._require(dealer in self.dealers, "not a dealer")
        known = self._commitments.get(dealer)
        if known is not None:
            if known != tuple(commitments):
                raise Disagreement(f"governor {dealer} committed to two different polynomials")
            return
        if len(commitments) != self.old.threshold:
            raise CheatingGovernor([dealer], "committed to a polynomial of the wrong degree")
        try:
            points = tuple(map(point_from_bytes, commitments))
        except Malformed:
            raise CheatingGovernor([dealer], "committed to an invalid point") from None
        if points[0] != self._constant(dealer):
            raise CheatingGovernor([dealer], "deals another secret than its share")
        self._commitments[dealer] = points

    def receive_share(self, dealer: int, share: bytes) -> None:
        """Take the share (32 B) that `dealer` made for this governor. A repeated one is ignored.

        Raises `CheatingGovernor` if the share does not fit the dealer's commitments.
        """
        self._require(dealer in self._commitments, "a share came before its commitments")
        try:
            value = scalar_from_bytes(share)
        except Malformed:
            raise CheatingGovernor([dealer], "sent a share that is no scalar") from None
        if base(value) != committed_polynomial(self._commitments[dealer], self.me):
            raise CheatingGovernor([dealer], "sent a share that does not fit its commitments")
        self._shares[dealer] = value

    def missing_commitments(self) -> list[int]:
        """The dealers whose commitments are missing."""
        return [dealer for dealer in self.dealers if dealer not in self._commitments]

    def missing(self) -> list[int]:
        """The dealers whose share is missing."""
        return [dealer for dealer in self.dealers if dealer not in self._shares]

    def fingerprint(self) -> bytes:
        """SHA-256 over the old keys and all commitments; equal at all if no dealer cheated."""
        transcript = ["writ-reshare", *self._public_items(), self.receivers]
        return hashlib.sha256(codec.dump([*transcript, self._listed()])).digest()

    def public(self) -> PublicKeyPackage:
        """The same group key with the new verifying shares, from the commitments alone.

        Raises `Malformed` if a resulting point is the identity.
        """
        public = public_package(self._listed(), self.receivers)
        if public.group_key != self.old.group_key:
            raise Malformed("the group's key would change")
        return public

    def finish(self) -> tuple[KeyPackage, PublicKeyPackage]:
        """This governor's new key share and the public keys, once all shares are here."""
        self._require(not self.missing(), "a share is missing")
        public = self.public()
        share = sum(self._shares.values()) % ORDER
        key = KeyPackage(self.me, share, public.group_key, public.threshold)
        if key.verifying_share != public.verifying_shares[self.me]:
            raise Malformed("the sum of the shares does not fit the commitments")
        return key, public

    def _listed(self) -> list[list[bytes]]:
        self._require(not self.missing_commitments(), "commitments are missing")
        return [list(self._commitments[dealer]) for dealer in self.dealers]

    def _public_items(self) -> list[object]:
        old = self.old
        keys = [old.group_key, old.threshold, dict(old.verifying_shares)]
        return [self.context, keys, list(self.dealers)]

    def to_bytes(self) -> bytes:
        """The whole state with its secrets. The caller must encrypt it."""
        return codec.dump(
            [
                "writ-reshare-state",
                *self._public_items(),
                [self.receivers, self.me],
                {dealer: list(points) for dealer, points in self._commitments.items()},
                {dealer: scalar_to_bytes(share) for dealer, share in self._shares.items()},
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ShareReceiver":
        """The state that `to_bytes` wrote, checked like received messages. Raises `Malformed`."""
        items = codec.tagged(codec.load(data, STATE_BYTES_MAX), "writ-reshare-state", 7)
        context, keys, dealers, numbers, commitments, shares = items
        group_key, threshold, listed = codec.a_list(keys, 3)
        old = PublicKeyPackage(
            codec.some_bytes(group_key),
            {_number(i): codec.some_bytes(share) for i, share in codec.a_map(listed).items()},
            codec.an_int(threshold, 1, GOVERNORS_MAX),
        )
        receivers, me = (codec.an_int(n, 1, GOVERNORS_MAX) for n in codec.a_list(numbers, 2))
        try:
            state = cls(
                old,
                list(map(_number, codec.a_list(dealers))),
                receivers,
                me,
                codec.some_bytes(context),
            )
            for dealer, points in codec.a_map(commitments).items():
                state.receive(_number(dealer), list(map(codec.some_bytes, codec.a_list(points))))
            for dealer, share in codec.a_map(shares).items():
                state.receive_share(_number(dealer), codec.some_bytes(share))
        except (CheatingGovernor, UsageError) as error:
            raise Malformed(f"not a state of a re-sharing: {error}") from None
        return state

    @staticmethod
    def _require(is_met: bool, why: str) -> None:
        if not is_met:
            raise UsageError(why)


def _number(item: object) -> int:
    return codec.an_int(item, 1, IDENTIFIER_MAX)
