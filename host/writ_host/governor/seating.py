"""Which governors with which shares: the committee, and the name that a policy gives it."""

import hashlib

from .. import wire
from ..roster import Seat

DIGEST_BYTES = 8


def committee_scope(seat: Seat) -> bytes:
    """SHA-256 (32 B) over roster, group key and all verifying shares: other for other shares.

    It is in all that governors sign for each other, so that nothing said under old shares counts
    under new ones.
    """
    public = seat.public
    shares = [public.verifying_shares[number] for number in sorted(public.verifying_shares)]
    described = ["writ-committee", seat.roster.to_item(), public.group_key, shares]
    return hashlib.sha256(wire.dump(described)).digest()


def digest_of(seat: Seat) -> bytes:
    """The committee's name in a policy: the first 8 bytes of `committee_scope`."""
    return committee_scope(seat)[:DIGEST_BYTES]
