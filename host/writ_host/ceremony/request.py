"""What governors are asked to sign, in a form that each of them can inspect first.

    proposal = signed envelope (identity.py), ceremony = the roster's id, step "proposal", around
               [ nonce: bstr .size 8, title: tstr, group_key, [+ [label: tstr, sig_structure]] ]
    sig_structure = bstr .cbor [ "Signature1", protected, external_aad, payload ]
                    ; RFC 9052, section 4.4

The payload that is shown is taken out of the very bytes that are signed, so nobody can show one
capsule and have another signed.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from writ.limits import CAPSULE_BYTES_MAX

from .. import codec
from ..errors import HostError, Malformed, WrongCeremony
from ..keys.group import Random
from ..keys.identity import Identity, envelope, open_envelope
from ..keys.roster import Roster, Seat
from .storage import Folder

# Founding a scope signs a charter, a policy, a beacon and a member for each node at hand.
ITEMS_MAX = 32
TITLE_BYTES_MAX = 80
NONCE_BYTES = 8
# Around the payload: the context string, the protected header, and lengths.
TO_BE_SIGNED_BYTES_MAX = CAPSULE_BYTES_MAX + 64
_SUFFIX = ".proposal.cbor"


@dataclass(frozen=True)
class Item:
    """One thing to sign: a `label` for people, and the Sig_structure. Raises `Malformed`."""

    label: str
    to_be_signed: bytes

    def __post_init__(self) -> None:
        codec.a_text(self.label, TITLE_BYTES_MAX)
        parts = codec.tagged(codec.load(self.to_be_signed, TO_BE_SIGNED_BYTES_MAX), "Signature1", 4)
        for part in parts:
            codec.some_bytes(part)

    @property
    def payload(self) -> bytes:
        """The payload inside: the claims of a capsule."""
        return codec.some_bytes(codec.a_list(codec.load(self.to_be_signed))[3])


@dataclass(frozen=True)
class Proposal:
    """A list of items that `proposer` asks the governors of `roster` to sign."""

    roster: Roster
    proposer: str
    title: str
    group_key: bytes
    items: tuple[Item, ...]
    nonce: bytes

    def __post_init__(self) -> None:
        codec.a_text(self.title, TITLE_BYTES_MAX)
        codec.some_bytes(self.group_key, 32)
        codec.some_bytes(self.nonce, NONCE_BYTES)
        if not 1 <= len(self.items) <= ITEMS_MAX:
            raise Malformed(f"a proposal has 1 to {ITEMS_MAX} items")

    @cached_property
    def body(self) -> bytes:
        """What the proposer's envelope holds."""
        listed = [[item.label, item.to_be_signed] for item in self.items]
        return codec.dump([self.nonce, self.title, self.group_key, listed])

    @cached_property
    def id(self) -> bytes:
        """32 bytes: the signing ceremony's id, in each of its messages."""
        parts = ["writ-proposal", self.roster.id, self.proposer, self.body]
        return hashlib.sha256(codec.dump(parts)).digest()

    @property
    def tag(self) -> str:
        """The first 16 hex digits of the id: how its files' names begin."""
        return self.id.hex()[:16]


def propose(
    folder: Folder,
    identity: Identity,
    seat: Seat,
    title: str,
    items: Sequence[Item],
    random: Random = os.urandom,
) -> Proposal:
    """Put a proposal into the folder. Raises `Malformed` when it cannot be one."""
    group_key = seat.public.group_key
    nonce = random(NONCE_BYTES)
    proposal = Proposal(seat.roster, identity.name, title, group_key, tuple(items), nonce)
    data = envelope(identity, seat.roster.id, "proposal", proposal.body)
    folder.publish(proposal.tag + _SUFFIX, data)
    return proposal


def read_proposal(folder: Folder, seat: Seat, tag: str) -> Proposal:
    """The proposal with this tag, checked.

    Raises `Malformed` (also when there is none), `WrongCeremony` for another scope's, or what
    `open_envelope` raises.
    """
    data = folder.read(tag + _SUFFIX)
    if data is None:
        raise Malformed(f"no proposal {tag} in the folder", "Is it the right folder?")
    roster = seat.roster
    proposer, body = open_envelope(data, roster.by_name, roster.id, None, "proposal")
    nonce, title, group_key, listed = codec.a_list(codec.load(body), 4)
    pairs = [codec.a_list(pair, 2) for pair in codec.a_list(listed, size_max=ITEMS_MAX)]
    proposal = Proposal(
        roster,
        proposer,
        codec.a_text(title, TITLE_BYTES_MAX),
        codec.some_bytes(group_key, 32),
        tuple(Item(codec.a_text(a, TITLE_BYTES_MAX), codec.some_bytes(b)) for a, b in pairs),
        codec.some_bytes(nonce, NONCE_BYTES),
    )
    if proposal.group_key != seat.public.group_key or proposal.tag != tag:
        raise WrongCeremony("a proposal for another group key, or under another's file name")
    return proposal


def proposals(folder: Folder, seat: Seat) -> tuple[list[Proposal], dict[str, HostError]]:
    """All proposals in the folder, and why the others could not be read, by tag."""
    good, bad = [], {}
    for name in folder.names():
        if name.endswith(_SUFFIX):
            tag = name.removesuffix(_SUFFIX)
            try:
                good.append(read_proposal(folder, seat, tag))
            except HostError as error:
                bad[tag] = error
    return good, bad
