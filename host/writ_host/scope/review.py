"""What a governor is asked to sign in a ceremony, judged and put into words before it commits.

validation.py says what payloads mean and what is wrong with them; here they come as a proposal of a
ceremony, one after the other, and are compared with the scope's folder.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    CHARTER,
    EDDSA,
    MEMBER,
    POLICY,
    SUCCESSION,
    Member,
)
from writ.errors import Rejection

from ..ceremony.request import Item
from ..keys.roster import Seat
from ..refusals import words_for
from .folder import ScopeFolder, now_s
from .validation import Known, Reading

# Files go around by hand: a clock that is further off than this is worth a question.
CLOCK_OFF_MAX_S = 600


@dataclass
class Review:
    """lines: what it means; problems: what is wrong with it; pledges: {epoch: head} it fixes."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    pledges: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Members:
    """The members of a folder, as `reading.Registry` wants them."""

    folder: ScopeFolder

    def known(self, node_id: bytes) -> Known | None:
        found = (m for m in self.folder.all_members() if m.node_id == node_id)
        return next((Known(member) for member in found), None)

    def named(self, name: str) -> Sequence[Member]:
        return [member for member in self.folder.all_members() if member.name == name]

    def addressed(self, address: int) -> Sequence[Member]:
        return [member for member in self.folder.all_members() if member.address == address]


def review(seat: Seat, folder: ScopeFolder | None, items: Iterable[Item]) -> Review:
    """All items in order, each in the state that the ones before would make."""
    found = Review()
    reading = Reading(
        _Members(folder) if folder else None,
        folder.policy if folder else None,
        folder.epoch if folder else 0,
        folder.head if folder else None,
        now_s(),
        CLOCK_OFF_MAX_S,
        governors=len(seat.roster.governors),
    )
    for item in items:
        try:
            _read(item, reading, found.pledges, seat, folder)
        except Rejection as error:
            reading.object(f"{item.label}: {words_for(error)}")
    found.lines, found.problems = reading.lines, reading.problems
    return found


def _read(
    item: Item,
    reading: Reading,
    pledges: dict[int, bytes],
    seat: Seat,
    folder: ScopeFolder | None,
) -> None:
    payload = item.payload
    if item.to_be_signed != capsules.signing_input(payload, EDDSA):
        reading.object(f"{item.label}: no capsule's signature covers bytes like these")
        return
    # all shape checks that devices make, with a stand-in for the signature
    capsule = capsules.parse(capsules.assemble(payload, bytes(64)))
    if capsule.kind == CHARTER:
        charter: Any = reading.charter(capsule)
        _compare(charter, reading, seat, folder)
        reading.head = pledges[0] = charter.head
    elif capsule.kind == POLICY:
        pledges[reading.whole_policy(capsule).epoch] = capsules.head(payload)
    elif capsule.kind == AMENDMENT:
        amended = reading.amendment(capsule)
        if amended is not None:
            pledges[amended.epoch] = amended.head()
    elif capsule.kind == MEMBER:
        reading.member(capsule)
    elif capsule.kind == BEACON:
        reading.beacon(capsule)
    elif capsule.kind == ACTION:
        reading.action(capsule)
    else:
        words = " goes with running governors" if capsule.kind == SUCCESSION else ", not known here"
        reading.object(f"{item.label}: a {capsules.KIND_NAMES[capsule.kind]}{words}")


def _compare(charter: Any, reading: Reading, seat: Seat, folder: ScopeFolder | None) -> None:
    roster = seat.roster
    keys = [governor.verify_key for governor in roster.governors]
    if charter.group_key != seat.public.group_key:
        reading.object("the charter names another group key than our founding made")
    if (charter.name, charter.threshold, charter.governors) != (
        roster.scope,
        roster.threshold,
        keys,
    ):
        reading.object("the charter's name, threshold or governors are not the roster's")
    if folder is not None and folder.charter.scope != charter.scope:
        reading.object("the folder holds another charter already")
