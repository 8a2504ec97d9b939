"""Admission: from a request for membership to the draft of a member capsule.

A request (`writ.node.statement.member_request`) has the form of a capsule: claims sub and cnf,
signed by the key in cnf (ES256). It proves only the possession of that key, so a person compares
the node id before admitting the node.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from writ import cbor, crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import CNF, ES256, EXP, MEMBER, ROLES_MASK, SUB, TIME_MAX, WRIT, Member
from writ.errors import BadShape, BadSignature, Rejection, TooLarge
from writ.limits import REQUEST_BYTES_MAX

from ..errors import HostError
from ..keys.identity import P256_ORDER
from ..names import name_problem
from ..policy.strict_toml import listing, suggestion
from . import pending
from .folder import ScopeFolder, now_s
from .issuance import Draft
from .lifetime import latest_expiry
from .revocation import member_body

DEFAULT_VALIDITY = "365d"
_UNITS_S = {"h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


@dataclass(frozen=True)
class MembershipRequest:
    """A request for membership with a valid signature. x: 32 bytes; node_id: 8 bytes."""

    raw: bytes
    name: str
    x: bytes
    y_is_odd: bool
    node_id: bytes


def read_request(raw: bytes) -> MembershipRequest:
    """The request in `raw`, with its proof of possession verified.

    Raises the rejections of `cbor.decode`, `BadShape`, `BadPoint` or `BadSignature`.
    """
    if len(raw) > REQUEST_BYTES_MAX:
        raise TooLarge()
    outer = cbor.decode(raw)
    if not isinstance(outer, list) or len(outer) != 4:
        raise BadShape()
    protected, unprotected, payload, signature = outer
    if protected != b"\xa1\x01" + cbor.encode(ES256) or unprotected != {}:
        raise BadShape()
    if not isinstance(payload, bytes):
        raise BadShape()
    capsules.check_bytes(signature, 64)
    claims = cbor.decode(payload)
    if not isinstance(claims, dict) or set(claims) != {SUB, CNF}:
        raise BadShape()
    name = capsules.check_name(claims[SUB])
    x, odd = capsules.confirmation_key(claims[CNF])
    crypto.p256_y(x, odd)
    if not is_signed(x, odd, payload, signature):
        raise BadSignature()
    return MembershipRequest(raw, name, x, odd, capsules.node_id(x))


def is_signed(x: bytes, y_is_odd: bool, payload: bytes, signature: bytes) -> bool:
    """Whether this key signed a request or statement with ES256 and the lower of both s.

    Anyone can make (r, n - s) of (r, s), and ES256 accepts both (RFC 9053, section 2.1).
    """
    if 2 * int.from_bytes(signature[32:], "big") > P256_ORDER:
        return False
    message = capsules.signing_input(payload, ES256)
    return bool(crypto.es256_verify(x, y_is_odd, message, signature))


def is_request(raw: bytes) -> bool:
    """Whether this looks like a request rather than a capsule, valid or not."""
    try:
        claims = cbor.decode(cbor.decode(raw)[2])
        return isinstance(claims, dict) and capsules.WRIT not in claims and CNF in claims
    except (Rejection, TypeError, IndexError, KeyError, AttributeError):
        return False


def parse_expiry(text: str, since_s: int) -> int:
    """The Unix time of "365d", "12h", "4w", "2y" after `since_s`, or of "2031-05-01" (UTC).

    Raises `HostError`.
    """
    if found := re.fullmatch(r"(\d{1,9})([hdwy])", text):
        when = since_s + int(found[1]) * _UNITS_S[found[2]]
    else:
        try:
            day = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise HostError(
                f"'{text}' is not a time", "Write 365d, 12h, 4w, 2y or a date like 2031-05-01."
            ) from None
        when = int((day if day.tzinfo else day.replace(tzinfo=datetime.UTC)).timestamp())
    if not since_s < when <= min(TIME_MAX, latest_expiry(since_s)):
        raise HostError(
            f"'{text}' is in the past, or too far in the future",
            "A membership lasts ten years at most. Devices renew theirs before it ends.",
        )
    return when


def role_mask(folder: ScopeFolder, names: Iterable[str]) -> int:
    """The mask of these roles in the certified policy. Raises `HostError` for an unknown role."""
    known = list(folder.policy.role_names) if folder.policy else []
    mask = 0
    for name in names:
        if name not in known:
            advice = suggestion(name, known)
            advice += f"The certified roles are {listing(known)}." if known else ""
            advice += " Add a new role to policy.toml, then: writ policy certify."
            raise HostError(f"the certified policy has no role '{name}'", advice.strip())
        mask |= 2 << known.index(name)
    return mask & ROLES_MASK


@dataclass(frozen=True)
class Admission:
    """The content of a member capsule to issue.

    renewed: the `Member` of the same key, or None; epoch: the epoch in force.
    """

    request: MembershipRequest
    name: str
    address: int
    roles: int
    expires: int
    renewed: Member | None
    epoch: int = 0

    @property
    def draft(self) -> Draft:
        """The draft to certify."""
        key = self.request.x, self.request.y_is_odd
        body = member_body(self.address, self.roles, self.epoch)
        payload = capsules.build(MEMBER, body, sub=self.name, exp=self.expires, key=key)
        label = f"member {self.name} ({self.request.node_id.hex()})"
        return Draft(label, payload, self.request.raw)

    def resume_draft(self, draft: Draft) -> "Admission":
        """The admission with the expiry and short address of its pending draft."""
        claims = capsules.parse_claims(draft.payload)
        _, address, _, *epoch = claims[WRIT]
        drafted = epoch[0] if epoch else 0
        found = replace(self, address=address, expires=claims[EXP], epoch=drafted)
        known = found.renewed
        is_taken = known is not None and capsules.parse(known.raw).payload == draft.payload
        return replace(found, renewed=None) if is_taken else found


def prepare_admission(
    folder: ScopeFolder,
    request: MembershipRequest,
    roles: int | None,
    expires: int,
    name: str | None = None,
    batch: Iterable[Admission] = (),
) -> Admission:
    """The admission for a request; `batch`: other admissions to be issued with it.

    roles: mask, None to keep those of a renewed member. Raises `HostError` if another member has
    the name, the key is revoked, or the new capsule would expire before the old one.
    """
    others = list(batch)
    name = name or request.name
    known = {member.node_id: member for member in folder.members.all()}
    renewed = known.get(request.node_id)
    if folder.policy and request.node_id in folder.policy.revoked:
        raise HostError(
            f"{renewed.name if renewed else name} ({request.node_id.hex()}) is revoked",
            f"Restore it (writ member restore {folder.members.handle(request.node_id)}), or give it"
            " a new key.",
        )
    if any(request.node_id == other.request.node_id for other in others):
        raise HostError(f"{name}: two requests have the same key", "Give each request once.")
    if (renewed is None or renewed.name != name) and (problem := name_problem(name)):
        raise HostError(f"{name!r} {problem}", "Give another one: --name NAME.")
    holder = folder.members.find(name)
    living = holder and folder.is_living(holder, now_s())
    is_taken = living and holder and holder.node_id != request.node_id
    if is_taken or any(name == other.name for other in others):
        raise HostError(
            f"another member has the name {name}",
            f"Choose another --name, or revoke the one that has it: writ member revoke {name}",
        )
    if renewed and expires < renewed.expires:
        raise HostError(
            f"{name} has a capsule that expires later",
            "Devices keep the later capsule: choose a later --expires, or revoke the member.",
        )
    if roles is None:
        if renewed is None:
            raise HostError(f"no role is given for {name}", "Give --role NAME, or --no-role.")
        roles = int(renewed.roles)
    taken = {other.address for other in others} | pending.reserved_addresses(folder)
    address = int(renewed.address) if renewed else folder.members.next_address(taken)
    return Admission(request, name, address, roles, expires, renewed, folder.epoch)
