"""Approvals: what the signature of an operator's answer covers, and strict parsing."""

import pytest

from writ_host import codec
from writ_host.errors import Malformed
from writ_host.governor.proposals.approval import REASON_BYTES_MAX, Approval
from writ_host.keys.identity import Identity

ANNA, BEN = Identity.generate("anna"), Identity.generate("ben")
GROUP, ID = b"g" * 32, b"i" * 16


def test_an_approval_is_bound_to_its_governor_proposal_and_scope() -> None:
    made = Approval.make(ANNA, GROUP, 1, ID, True, "looked at it", 99)
    assert made.check(ANNA.public, GROUP, ID)
    id, again = Approval.from_item(codec.load(codec.dump(made.to_item(ID))))
    assert (id, again) == (ID, made)
    assert not made.check(BEN.public, GROUP, ID)
    assert not made.check(ANNA.public, b"h" * 32, ID)
    assert not made.check(ANNA.public, GROUP, b"j" * 16)
    for place, other in ((2, False), (3, "looked at it "), (3, ""), (4, 98)):
        item = made.to_item(ID)
        item[place] = other
        assert not Approval.from_item(item)[1].check(ANNA.public, GROUP, ID)


def test_a_denial_is_signed_as_a_denial() -> None:
    made = Approval.make(ANNA, GROUP, 1, ID, False, "", 99)
    assert made.check(ANNA.public, GROUP, ID) and not made.yes


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"short"),
        (1, 0),
        (1, 14),
        (1, True),
        (2, 1),
        (2, None),
        (3, b"bytes"),
        (3, "two\nlines"),
        (3, "\x1b[31m"),
        (3, "x" * (REASON_BYTES_MAX + 1)),
        (4, -1),
        (4, 2**32),
        (5, bytes(63)),
        (5, "text"),
    ],
)
def test_an_approval_of_wrong_shape_is_rejected(place: int, value: object) -> None:
    item = Approval.make(ANNA, GROUP, 1, ID, True, "fine", 99).to_item(ID)
    item[place] = value
    with pytest.raises(Malformed):
        Approval.from_item(item)


def test_a_reason_must_be_one_line() -> None:
    with pytest.raises(Malformed):
        Approval.make(ANNA, GROUP, 1, ID, True, "two\nlines", 99)
