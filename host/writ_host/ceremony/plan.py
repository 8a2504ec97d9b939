"""The plan of a re-sharing (resharing.py): the old and new governors, and the dealers.

    plan = [ "writ-resharing", [scope, threshold, nonce, [+ governor / place]], group key,
             [+ verifying share], new roster, [+ peers: tstr], [+ dealer: uint] ]
           ; the old roster; a governor that stays is given as its place in the new one, from 1

A plan holds all that a new governor needs to check its deals, but nothing that authenticates the
plan: the new governor's operator compares the plan's digest by voice.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from writ.errors import UsageError
from writ.limits import ADDRESS_BYTES_MAX, GOVERNORS_MAX

from .. import codec
from ..errors import HostError, Malformed
from ..keys.dkg import fingerprint_digits
from ..keys.frost import PublicKeyPackage
from ..keys.group import Random
from ..keys.identity import PublicIdentity
from ..keys.reshare import ShareReceiver
from ..keys.roster import NONCE_BYTES, Roster, Seat
from ..target import check_address

PLAN_BYTES_MAX = 8192
_TAG = "writ-resharing"


class BadPlan(HostError):
    """A change of governors that a re-sharing cannot make."""

    advice = "A re-sharing keeps scope and threshold; for another threshold, found a successor."


@dataclass(frozen=True)
class Plan:
    """The old and new governors, and the dealers. Raises `BadPlan` or `Malformed`.

    public: the old public keys; peers: addresses of the new governors, in the new roster's order;
    dealers: their old numbers, `threshold` of them, ascending.
    """

    old: Roster
    public: PublicKeyPackage
    new: Roster
    peers: tuple[str, ...]
    dealers: tuple[int, ...]

    def __post_init__(self) -> None:
        old, new = self.old, self.new
        if (old.scope, old.threshold) != (new.scope, new.threshold) or old.nonce == new.nonce:
            raise BadPlan("the scope or the threshold differs, or the roster is the same")
        if sorted(set(self.dealers)) != list(self.dealers) or len(self.dealers) != old.threshold:
            raise BadPlan(f"a plan has {old.threshold} different dealers")
        staying = sum(one in old.governors for one in new.governors)
        if staying < min(old.threshold, len(new.governors)):
            # in each quorum that reserved a name, one governor must stay and report it to new ones
            raise BadPlan(
                f"{staying} governors stay, but {old.threshold} must stay when others are added",
                "Replace the governors one by one, and put the new shares in force after each.",
            )
        if len(self.peers) != len(new.governors):
            raise Malformed("a plan has an address for each new governor")
        for name in self.dealer_names:
            if new.by_name.get(name, old.by_name[name]) != old.by_name[name]:
                raise BadPlan(f"{name} cannot deal, since it gets other keys")
        try:
            for address in self.peers:
                if len(address) > ADDRESS_BYTES_MAX or check_address(address) != address:
                    raise Malformed("an address of the plan is not HOST:PORT")
            # raises unless the old verifying shares belong to the group key
            self.receiver(1)
        except UsageError as error:
            raise BadPlan(str(error)) from None

    @classmethod
    def create(
        cls,
        seat: Seat,
        governors: Sequence[PublicIdentity],
        peers: Sequence[str],
        dealers: Sequence[str],
        random: Random = os.urandom,
    ) -> "Plan":
        """A new plan to reshare the group key of `seat`'s scope; `dealers` are names."""
        old = seat.roster
        new = Roster.create(old.scope, old.threshold, governors, random)
        numbers = tuple(sorted(old.identifier(name) for name in dealers))
        return cls(old, seat.public, new, tuple(peers), numbers)

    @property
    def dealer_names(self) -> tuple[str, ...]:
        """The names of the dealers."""
        return tuple(self.old.name(number) for number in self.dealers)

    @cached_property
    def writers(self) -> dict[str, PublicIdentity]:
        """All participants by name, with the keys that they sign with."""
        dealers = {name: self.old.by_name[name] for name in self.dealer_names}
        return {**self.old.by_name, **self.new.by_name, **dealers}

    @property
    def newcomers(self) -> tuple[str, ...]:
        """The new governors, and the old ones that get new keys."""
        known = self.old.governors
        return tuple(governor.name for governor in self.new.governors if governor not in known)

    @property
    def leavers(self) -> tuple[str, ...]:
        """The old governors that leave, and those that get new keys."""
        kept = self.new.governors
        return tuple(governor.name for governor in self.old.governors if governor not in kept)

    def steps(self, name: str) -> tuple[str, ...]:
        """The files that a participant may write."""
        steps = ("deal",) if name in self.dealer_names else ()
        if name in self.new.by_name:
            return (*steps, "confirm", "complaint", "refuse")
        return (*steps, "refuse") if steps else ()

    def receiver(self, number: int) -> ShareReceiver:
        """The receiver of the new governor with this number, in its initial state."""
        return ShareReceiver(self.public, self.dealers, len(self.new.governors), number, self.id)

    def to_bytes(self) -> bytes:
        """At most 8,192 bytes."""
        new = self.new.governors
        listed = [
            new.index(governor) + 1 if governor in new else governor.to_item()
            for governor in self.old.governors
        ]
        shares = [self.public.verifying_shares[i + 1] for i in range(len(self.old.governors))]
        old = [self.old.scope, self.old.threshold, self.old.nonce, listed]
        items = [old, self.public.group_key, shares, self.new.to_item()]
        return codec.dump([_TAG, *items, list(self.peers), list(self.dealers)])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Plan":
        """Raises `BadPlan` or `Malformed`."""
        items = codec.tagged(codec.load(data, PLAN_BYTES_MAX), _TAG, 7)
        old, group_key, shares, new_item, peers, dealers = items
        new = Roster.from_item(new_item)
        scope, threshold, nonce, listed = codec.a_list(old, 4)
        governors: list[PublicIdentity] = []
        for item in codec.a_list(listed, size_max=GOVERNORS_MAX):
            if isinstance(item, int):
                governors.append(new.governors[codec.an_int(item, 1, len(new.governors)) - 1])
            else:
                governors.append(PublicIdentity.from_item(item))
        roster = Roster(
            codec.a_text(scope, 24),
            codec.an_int(threshold, 1, GOVERNORS_MAX),
            codec.some_bytes(nonce, NONCE_BYTES),
            tuple(governors),
        )
        points = [codec.some_bytes(point, 32) for point in codec.a_list(shares, len(governors))]
        verifying = dict(enumerate(points, 1))
        public = PublicKeyPackage(codec.some_bytes(group_key, 32), verifying, roster.threshold)
        numbers = codec.a_list(dealers, size_max=GOVERNORS_MAX)
        found = cls(
            roster,
            public,
            new,
            tuple(
                codec.a_text(peer, ADDRESS_BYTES_MAX)
                for peer in codec.a_list(peers, size_max=GOVERNORS_MAX)
            ),
            tuple(codec.an_int(number, 1, len(governors)) for number in numbers),
        )
        if found.to_bytes() != data:
            raise Malformed("a plan that is not encoded canonically")
        return found

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the plan: the ceremony's id."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def fingerprint(self) -> str:
        """The id as digits that operators compare by voice."""
        return fingerprint_digits(self.id)

    @property
    def title(self) -> str:
        """A short title for operators."""
        moves = [f"adding governor {name}" for name in self.newcomers]
        moves += [
            f"removing governor {name}" for name in self.leavers if name not in self.new.names
        ]
        return f"{', '.join(moves) or 'refreshing shares'} ({self.new.scope})"

    def lines(self) -> list[str]:
        """The plan in detail, for operators."""
        lines = [f"new shares of the same group key {self.public.group_key.hex()[:16]}..."]
        for name, peers in zip(self.new.names, self.peers, strict=True):
            if name in self.newcomers:
                lines.append(f"adds {name}, at {peers}")
        lines += [f"removes {name}" for name in self.leavers if name not in self.new.names]
        count, threshold = len(self.new.governors), self.new.threshold
        lines.append(f"{threshold} of {count} governors certify: {', '.join(self.new.names)}")
        lines.append(f"dealers: {', '.join(self.dealer_names)}")
        return lines
