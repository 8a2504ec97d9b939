"""The signature with which an operator agrees to a proposal or denies it; how many it takes.

    signature over [ "writ-approval", group_key, proposal: bstr .size 16, yes: bool, reason: tstr,
                     time: uint ]      ; Ed25519, by the governor's own key (identity.py)

An operator is a person at a governor, so a governor counts once.
"""

from dataclasses import dataclass

from writ.limits import GOVERNORS_MAX

from ... import codec
from ...errors import Malformed
from ...keys.identity import Governor, Identity
from ...policy.approvals import ApprovalRule, Approvals

# A line in the log of each governor.
REASON_BYTES_MAX = 120
TIME_MAX = 0xFFFFFFFF


@dataclass(frozen=True)
class Approval:
    """What the operator of governor `number` said of one proposal; `signature` is the governor's.

    reason: "" or a line of text; time_s: Unix seconds, by that governor's clock.
    """

    number: int
    yes: bool
    reason: str
    time_s: int
    signature: bytes

    def __post_init__(self) -> None:
        codec.an_int(self.number, 1, GOVERNORS_MAX)
        if type(self.yes) is not bool:
            raise Malformed("an approval says yes or no")
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
        """Signed; `id`: the proposal's (16 B). Raises `Malformed` for a reason that is no line."""
        signature = identity.sign(_text(group_key, id, yes, reason, time_s))
        return cls(number, yes, reason, time_s, signature)

    def check(self, governor: Governor, group_key: bytes, id: bytes) -> bool:
        """Whether that governor signed just this, about that proposal in that scope."""
        text = _text(group_key, id, self.yes, self.reason, self.time_s)
        return governor.verifies(text, self.signature)

    def to_item(self, id: bytes) -> list[object]:
        """As others are told: [id, number, yes, reason, time, signature]."""
        return [id, self.number, self.yes, self.reason, self.time_s, self.signature]

    @classmethod
    def from_item(cls, item: object) -> tuple[bytes, "Approval"]:
        """(the proposal's id, the approval), its signature unchecked. Raises `Malformed`."""
        id, number, yes, reason, time_s, signature = codec.a_list(item, 6)
        if not isinstance(reason, str) or type(yes) is not bool:
            raise Malformed("not the approval that it should be")
        return codec.some_bytes(id, 16), cls(
            codec.an_int(number, 1, GOVERNORS_MAX),
            yes,
            reason,
            codec.an_int(time_s, 0, TIME_MAX),
            codec.some_bytes(signature, 64),
        )


def _text(group_key: bytes, id: bytes, yes: bool, reason: str, time_s: int) -> bytes:
    return codec.dump(["writ-approval", group_key, id, yes, reason, time_s])


__all__ = ["Approval", "ApprovalRule", "Approvals"]
