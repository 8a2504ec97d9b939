"""Approvals: the signed answer of an operator to a proposal, yes or no.

    signature over [ "writ-approval", group_key, proposal: bstr .size 16, yes: bool, reason: tstr,
                     time: uint ]      ; Ed25519, by the governor's own key (identity.py)

An operator is a person at a governor, so each governor counts once. The policy's approval rules
say how many must approve (policy/approvals.py).
"""

from dataclasses import dataclass

from writ.authority.capsule import TIME_MAX
from writ.limits import GOVERNORS_MAX

from ... import codec
from ...errors import Malformed
from ...keys.identity import Identity, PublicIdentity

# It must fit a line in the log of each governor.
REASON_BYTES_MAX = 120


@dataclass(frozen=True)
class Approval:
    """The answer of the operator of governor `number` to one proposal.

    yes: approved, else denied; reason: "" or a line of text; time_s: Unix seconds, by that
    governor's clock; signature: the governor's (64 B).
    """

    number: int
    yes: bool
    reason: str
    time_s: int
    signature: bytes

    def __post_init__(self) -> None:
        codec.an_int(self.number, 1, GOVERNORS_MAX)
        if type(self.yes) is not bool:
            raise Malformed("an approval must be true or false")
        if self.reason != "":
            codec.a_text(self.reason, REASON_BYTES_MAX)
        codec.an_int(self.time_s, 0, TIME_MAX)
        codec.some_bytes(self.signature, 64)

    @classmethod
    def make(
        cls,
        identity: Identity,
        group_key: bytes,
        number: int,
        id: bytes,
        yes: bool,
        reason: str,
        time_s: int,
    ) -> "Approval":
        """Sign an answer to the proposal `id` (16 B). Raises `Malformed` for a bad reason."""
        signature = identity.sign(_text(group_key, id, yes, reason, time_s))
        return cls(number, yes, reason, time_s, signature)

    def check(self, governor: PublicIdentity, group_key: bytes, id: bytes) -> bool:
        """Whether the governor signed this answer to this proposal of this scope."""
        text = _text(group_key, id, self.yes, self.reason, self.time_s)
        return governor.verifies(text, self.signature)

    def to_item(self, id: bytes) -> list[object]:
        """The items of a message: [id, number, yes, reason, time, signature]."""
        return [id, self.number, self.yes, self.reason, self.time_s, self.signature]

    @classmethod
    def from_item(cls, item: object) -> tuple[bytes, "Approval"]:
        """Read the items of a message: (proposal id, approval). Raises `Malformed`.

        The signature is not checked here.
        """
        id, number, yes, reason, time_s, signature = codec.a_list(item, 6)
        if not isinstance(reason, str) or type(yes) is not bool:
            raise Malformed("an approval has a wrong type of field")
        return codec.some_bytes(id, 16), cls(
            codec.an_int(number, 1, GOVERNORS_MAX),
            yes,
            reason,
            codec.an_int(time_s, 0, TIME_MAX),
            codec.some_bytes(signature, 64),
        )


def _text(group_key: bytes, id: bytes, yes: bool, reason: str, time_s: int) -> bytes:
    return codec.dump(["writ-approval", group_key, id, yes, reason, time_s])
