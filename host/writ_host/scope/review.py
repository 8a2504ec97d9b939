"""Review of a signing request in a ceremony, before this governor commits to it.

validation.py describes payloads and finds problems. Here the payloads come from a signing request,
are validated in order, and are compared with the scope's folder.
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
from ..refusals import rejection_text
from .folder import ScopeFolder, now_s
from .validation import KnownMember, Validation

# Files are passed on by hand: a clock that differs by more than this deserves a question.
FILES_CLOCK_SKEW_MAX_S = 600


@dataclass
class Review:
    """lines: what the request means; problems: reasons not to sign; heads: {epoch: head} signed."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    heads: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _FolderRegistry:
    """The members of a scope folder as a `validation.Registry`."""

    folder: ScopeFolder

    def known(self, node_id: bytes) -> KnownMember | None:
        member = self.folder.members.with_node_id(node_id)
        return KnownMember(member) if member else None

    def named(self, name: str) -> Sequence[Member]:
        return [member for member in self.folder.members.all() if member.name == name]

    def addressed(self, address: int) -> Sequence[Member]:
        return [member for member in self.folder.members.all() if member.address == address]


def review(seat: Seat, folder: ScopeFolder | None, items: Iterable[Item]) -> Review:
    """Review all items in order, each against the state that the items before it would make."""
    found = Review()
    validation = Validation(
        _FolderRegistry(folder) if folder else None,
        folder.policy if folder else None,
        folder.epoch if folder else 0,
        folder.head if folder else None,
        now_s(),
        FILES_CLOCK_SKEW_MAX_S,
        governors=len(seat.roster.governors),
    )
    for item in items:
        try:
            _validate(item, validation, found.heads, seat, folder)
        except Rejection as error:
            validation.add_problem(f"{item.label}: {rejection_text(error)}")
    found.lines, found.problems = validation.lines, validation.problems
    return found


def _validate(
    item: Item,
    validation: Validation,
    heads: dict[int, bytes],
    seat: Seat,
    folder: ScopeFolder | None,
) -> None:
    payload = item.payload
    if item.to_be_signed != capsules.signing_input(payload, EDDSA):
        validation.add_problem(f"{item.label}: these are not the bytes that a capsule signs")
        return
    # all shape checks of a device, with a placeholder for the signature
    capsule = capsules.parse(capsules.assemble(payload, bytes(64)))
    if capsule.kind == CHARTER:
        charter: Any = validation.charter(capsule)
        _compare(charter, validation, seat, folder)
        validation.head = heads[0] = charter.head
    elif capsule.kind == POLICY:
        heads[validation.whole_policy(capsule).epoch] = capsules.head(payload)
    elif capsule.kind == AMENDMENT:
        amended = validation.amendment(capsule)
        if amended is not None:
            heads[amended.epoch] = amended.head()
    elif capsule.kind == MEMBER:
        validation.member(capsule)
    elif capsule.kind == BEACON:
        validation.beacon(capsule)
    else:
        # an action's payload is in the statement that requests it, which only governors get
        with_governors = (SUCCESSION, ACTION)
        reason = "needs running governors" if capsule.kind in with_governors else "is not supported"
        name = capsules.KIND_NAMES[capsule.kind]
        validation.add_problem(f"{item.label}: a {name} {reason}")


def _compare(charter: Any, validation: Validation, seat: Seat, folder: ScopeFolder | None) -> None:
    roster = seat.roster
    keys = [governor.verify_key for governor in roster.governors]
    if charter.group_key != seat.public.group_key:
        validation.add_problem("the charter names another group key than the one of this founding")
    if (charter.name, charter.threshold, charter.governors) != (
        roster.scope,
        roster.threshold,
        keys,
    ):
        validation.add_problem("the charter's name, threshold or governors differ from the roster")
    if folder is not None and folder.charter.scope != charter.scope:
        validation.add_problem("the folder already holds another charter")
