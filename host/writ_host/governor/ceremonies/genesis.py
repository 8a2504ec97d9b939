"""The first signatures of a new group key: over the capsules that follow from the invitation.

No governor publishes this signing request. Each derives the same request for itself, so an altered
payload belongs to another ceremony, in which no honest governor takes part. The files are those of
ceremony/signing.py. Since a gossip folder has no first writer, each attempt has one governor that
selects the signers.
"""

from ... import codec
from ...ceremony.request import SigningRequest
from ...ceremony.signing import ATTEMPTS_MAX
from ...ceremony.storage import Folder
from ...errors import Malformed
from ...keys.frost import is_valid
from .gossip import ExpectedFile, Proof
from .invitation import Invitation


def genesis_request(invitation: Invitation, group_key: bytes) -> SigningRequest:
    """The signing request that follows from an invitation."""
    roster = invitation.roster
    items = tuple(invitation.items(group_key))
    nonce = invitation.id[:8]
    return SigningRequest(roster, roster.name(1), invitation.title, group_key, items, nonce)


def select_file(request: SigningRequest, attempt: int) -> str:
    """The file that names the signers of this attempt."""
    return f"{request.tag}.select{attempt}.cbor"


def expected_files(request: SigningRequest) -> dict[str, ExpectedFile]:
    """The possible files of a signing; another governor selects the signers in each attempt."""
    governors = request.roster.governors
    found = {}
    for attempt in range(1, ATTEMPTS_MAX + 1):
        selector = governors[(attempt - 1) % len(governors)]
        found[select_file(request, attempt)] = ExpectedFile(selector, f"select{attempt}")
    steps = [f"{step}{n}" for step in ("commit", "share") for n in range(1, ATTEMPTS_MAX + 1)]
    for governor in governors:
        for step in (*steps, "refuse"):
            found[f"{request.tag}.{governor.name}.{step}.cbor"] = ExpectedFile(governor, step)
    return found


def read_signed(request: SigningRequest, folder: Folder) -> list[bytes]:
    """The signatures (64 B each) in a folder, which has checked them, in the order of the items."""
    data = folder.read(_signed_file(request))
    return [] if data is None else _signatures(request, data)


def proofs(request: SigningRequest) -> dict[str, Proof]:
    """The check of the file with the signatures, which needs no author."""

    def check(data: bytes) -> None:
        for item, signature in zip(request.items, _signatures(request, data), strict=True):
            if not is_valid(request.group_key, item.to_be_signed, signature):
                raise Malformed("a signature does not verify")

    return {_signed_file(request): check}


def _signed_file(request: SigningRequest) -> str:
    return f"{request.tag}.signed.cbor"


def _signatures(request: SigningRequest, data: bytes) -> list[bytes]:
    (listed,) = codec.tagged(codec.load(data), "writ-signed", 2)
    return [codec.some_bytes(item, 64) for item in codec.a_list(listed, len(request.items))]
