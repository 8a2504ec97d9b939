"""A signing request: what governors are asked to sign, in a form that each can inspect first.

    request = signed envelope (identity.py), ceremony = the roster's id, step "proposal", around
               [ nonce: bstr .size 8, title: tstr, group_key, [+ [label: tstr, sig_structure]] ]
    sig_structure = bstr .cbor [ "Signature1", protected, external_aad, payload ]
                    ; RFC 9052, section 4.4

The payload that operators see is taken out of the bytes that are signed, so what is shown and what
is signed cannot differ.
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

# Founding a scope signs a charter, a policy, a beacon and a member for each first node.
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
class SigningRequest:
    """A list of items that the governor `requester` asks the governors of `roster` to sign."""

    roster: Roster
    requester: str
    title: str
    group_key: bytes
    items: tuple[Item, ...]
    nonce: bytes

    def __post_init__(self) -> None:
        codec.a_text(self.title, TITLE_BYTES_MAX)
        codec.some_bytes(self.group_key, 32)
        codec.some_bytes(self.nonce, NONCE_BYTES)
        if not 1 <= len(self.items) <= ITEMS_MAX:
            raise Malformed(f"a request has 1 to {ITEMS_MAX} items")

    @cached_property
    def body(self) -> bytes:
        """The bytes inside the requester's envelope."""
        listed = [[item.label, item.to_be_signed] for item in self.items]
        return codec.dump([self.nonce, self.title, self.group_key, listed])

    @cached_property
    def id(self) -> bytes:
        """The signing ceremony's id (32 B), in each of its messages."""
        parts = ["writ-proposal", self.roster.id, self.requester, self.body]
        return hashlib.sha256(codec.dump(parts)).digest()

    @property
    def tag(self) -> str:
        """The first 16 hex digits of the id; the names of its files begin with them."""
        return self.id.hex()[:16]


def publish_request(
    folder: Folder,
    identity: Identity,
    seat: Seat,
    title: str,
    items: Sequence[Item],
    random: Random = os.urandom,
) -> SigningRequest:
    """Write a request into the folder. Raises `Malformed` for items that cannot be signed."""
    group_key = seat.public.group_key
    nonce = random(NONCE_BYTES)
    request = SigningRequest(seat.roster, identity.name, title, group_key, tuple(items), nonce)
    data = envelope(identity, seat.roster.id, "proposal", request.body)
    folder.publish(request.tag + _SUFFIX, data)
    return request


def read_request(folder: Folder, seat: Seat, tag: str) -> SigningRequest:
    """Read and check the request with this tag.

    Raises `Malformed` (also when there is none), `WrongCeremony` for a request to another scope,
    or what `open_envelope` raises.
    """
    data = folder.read(tag + _SUFFIX)
    if data is None:
        raise Malformed(f"no request {tag} in the folder", "Is it the right folder?")
    roster = seat.roster
    requester, body = open_envelope(data, roster.by_name, roster.id, None, "proposal")
    nonce, title, group_key, listed = codec.a_list(codec.load(body), 4)
    pairs = [codec.a_list(pair, 2) for pair in codec.a_list(listed, size_max=ITEMS_MAX)]
    request = SigningRequest(
        roster,
        requester,
        codec.a_text(title, TITLE_BYTES_MAX),
        codec.some_bytes(group_key, 32),
        tuple(Item(codec.a_text(a, TITLE_BYTES_MAX), codec.some_bytes(b)) for a, b in pairs),
        codec.some_bytes(nonce, NONCE_BYTES),
    )
    if request.group_key != seat.public.group_key or request.tag != tag:
        raise WrongCeremony("the request is for another group key, or has the wrong file name")
    return request


def read_requests(folder: Folder, seat: Seat) -> tuple[list[SigningRequest], dict[str, HostError]]:
    """All valid requests in the folder, and the errors of the others, by tag."""
    good, bad = [], {}
    for name in folder.names():
        if name.endswith(_SUFFIX):
            tag = name.removesuffix(_SUFFIX)
            try:
                good.append(read_request(folder, seat, tag))
            except HostError as error:
                bad[tag] = error
    return good, bad
