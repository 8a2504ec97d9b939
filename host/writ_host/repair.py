"""Repairing a lost share, or issuing one to a newcomer, at the same group key and threshold.

The repairable threshold scheme of Laing and Stinson (eprint 2017/1155), as in Zcash's frost-core
`keys::repairable`: `threshold` helpers together give the participant its share, and neither learns
anybody else's. Deltas go sealed from helper to helper, sigmas sealed from helper to participant.
"""

import os
from collections.abc import Collection, Iterable

from writ.errors import UsageError

from .errors import Malformed
from .frost import KeyPackage, PublicKeyPackage, check_identifier, lagrange
from .group import (
    ORDER,
    Random,
    add,
    base,
    multiply,
    multiply_add,
    point_from_bytes,
    point_to_bytes,
    random_scalar,
    scalar_from_bytes,
    scalar_to_bytes,
)


def _check_helpers(helpers: Collection[int], participant: int, threshold: int) -> None:
    check_identifier(participant)
    if len(set(helpers)) != len(helpers) or len(helpers) < threshold:
        raise UsageError("at least `threshold` different helpers are needed")
    if participant in helpers:
        raise UsageError("the participant cannot help itself")


def deltas(
    key: KeyPackage, helpers: Collection[int], participant: int, random: Random = os.urandom
) -> dict[int, bytes]:
    """Step 1, at each helper: what to give every helper, itself included (32 B each).

    The values add up to the helper's part of the participant's share; all but one are random.
    Raises `UsageError` unless `key` is a helper's and there are enough of them.
    """
    _check_helpers(helpers, participant, key.threshold)
    # The Lagrange coefficient at the participant's place instead of zero.
    part = multiply_add(key.signing_share, lagrange(key.identifier, helpers, participant), 0)
    *others, last = sorted(helpers)
    values = {helper: random_scalar(random) for helper in others}
    values[last] = (part - sum(values.values())) % ORDER
    return {helper: scalar_to_bytes(value) for helper, value in values.items()}


def sigma(received: Iterable[bytes]) -> bytes:
    """Step 2, at each helper: the sum (32 B) of the deltas from all helpers, for the participant.

    Step 3 is the same sum over all sigmas. Raises `Malformed` for what is no scalar.
    """
    return scalar_to_bytes(sum(scalar_from_bytes(value) for value in received) % ORDER)


def verifying_share(public: PublicKeyPackage, participant: int) -> bytes:
    """The verifying share (32 B) that belongs to `participant`, a newcomer's too."""
    if participant in public.verifying_shares:
        return public.verifying_shares[participant]
    known = sorted(public.verifying_shares)[: public.threshold]
    terms = (
        multiply(lagrange(i, known, participant), point_from_bytes(public.verifying_shares[i]))
        for i in known
    )
    return point_to_bytes(add(terms))


def recover(public: PublicKeyPackage, participant: int, sigmas: Iterable[bytes]) -> KeyPackage:
    """Step 3, at the participant: its share, checked against the public keys.

    Raises `Malformed` when a helper gave a wrong sigma; who it was cannot be told.
    """
    share = scalar_from_bytes(sigma(sigmas))
    if point_to_bytes(base(share)) != verifying_share(public, check_identifier(participant)):
        raise Malformed(
            "the sum of the sigmas is not this governor's share",
            "One helper erred or lied: repeat the repair with other helpers.",
        )
    return KeyPackage(participant, share, public.group_key, public.threshold)
