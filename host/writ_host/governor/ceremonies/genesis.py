"""The first signatures of a new group key: over what follows from the invitation, and nothing else.

No governor proposes it: each derives the same proposal for itself, so a payload that somebody
altered belongs to another ceremony, in which nobody else takes part. The files are those of
signing.py; as a folder of gossip knows no winner, each attempt has one governor who selects.
"""

from ... import codec
from ...ceremony.request import Proposal
from ...ceremony.signing import ATTEMPTS_MAX
from ...ceremony.storage import Folder
from ...errors import Malformed
from ...keys.frost import is_valid
from .gossip import Place, Proof
from .invitation import Invitation


def genesis(invitation: Invitation, group_key: bytes) -> Proposal:
    """The one proposal that follows from an invitation."""
    roster = invitation.roster
    items = tuple(invitation.items(group_key))
    nonce = invitation.id[:8]
    return Proposal(roster, roster.name(1), invitation.title, group_key, items, nonce)


def select_file(proposal: Proposal, attempt: int) -> str:
    """The file that says who signs in this attempt."""
    return f"{proposal.tag}.select{attempt}.cbor"


def signing_places(proposal: Proposal) -> dict[str, Place]:
    """The files of its signing; the governors take turns, attempt by attempt, to select."""
    governors = proposal.roster.governors
    found = {}
    for attempt in range(1, ATTEMPTS_MAX + 1):
        selector = governors[(attempt - 1) % len(governors)]
        found[select_file(proposal, attempt)] = Place(selector, f"select{attempt}")
    steps = [f"{step}{n}" for step in ("commit", "share") for n in range(1, ATTEMPTS_MAX + 1)]
    for governor in governors:
        for step in (*steps, "refuse"):
            found[f"{proposal.tag}.{governor.name}.{step}.cbor"] = Place(governor, step)
    return found


def read_signed(proposal: Proposal, folder: Folder) -> list[bytes]:
    """The signatures in a folder (64 B each), in the order of the items; checked by the folder."""
    data = folder.read(_signed_file(proposal))
    return [] if data is None else _signatures(proposal, data)


def signing_proofs(proposal: Proposal) -> dict[str, Proof]:
    """The file with the signatures, which prove themselves."""

    def check(data: bytes) -> None:
        for item, signature in zip(proposal.items, _signatures(proposal, data), strict=True):
            if not is_valid(proposal.group_key, item.to_be_signed, signature):
                raise Malformed("a signature that does not verify")

    return {_signed_file(proposal): check}


def _signed_file(proposal: Proposal) -> str:
    return f"{proposal.tag}.signed.cbor"


def _signatures(proposal: Proposal, data: bytes) -> list[bytes]:
    (listed,) = codec.tagged(codec.load(data), "writ-signed", 2)
    return [codec.some_bytes(item, 64) for item in codec.a_list(listed, len(proposal.items))]
