"""From what an operator wants to a plan or an invitation that its governors can be asked about."""

from collections.abc import Mapping, Sequence

from writ.authority.capsule import Charter

from ...ceremony.plan import Plan
from ...errors import Malformed, UnknownGovernor
from ...keys.group import Random
from ...keys.identity import Governor
from ...keys.roster import Roster, Seat
from .invitation import Invitation, Succeeded
from .record import Record


def plan_succession(
    seat: Seat,
    records: Sequence[Record],
    threshold: int | None,
    charter: Charter | None,
    now_s: int,
    random: Random,
) -> Invitation:
    """The founding of a successor by the owners of `records`; `charter` is the one in force.

    Raises `Malformed` without a charter, or what makes it impossible.
    """
    if charter is None:
        raise Malformed("a succession needs the charter in force")
    comers = [one.governor for one in records]
    followers = tuple(one for one in seat.roster.governors if one not in comers)
    return Invitation.create(
        seat.roster.scope,
        threshold or seat.roster.threshold,
        records,
        None,
        now_s,
        beacon_age_max_s=charter.beacon_age_max_s,
        clock_skew_max_s=charter.clock_skew_max_s,
        succeeds=Succeeded(charter.scope, seat.public.group_key, followers),
        random=random,
    )


def plan_change(
    seat: Seat,
    records: Sequence[Record],
    remove: Sequence[str],
    threshold: int | None,
    dealers: Sequence[str] | None,
    addresses: Mapping[bytes, str],
    random: Random,
) -> Plan:
    """A resharing after which the owners of `records` govern too, and those in `remove` do not.

    addresses: of those who stay, by node key; dealers: names, this governor and others who stay
    otherwise, those in `records` last: they may have lost what they would deal. Raises
    `UnknownGovernor`, `Malformed`, `BadPlan`.
    """
    if threshold not in (None, seat.roster.threshold):
        raise Malformed("the threshold stays as it is", "Found a successor for another one.")
    governors = _new_list(seat.roster, records, remove)
    known = {**addresses, **{one.governor.node_key: one.peers for one in records}}
    for one in governors:
        if one.node_key not in known:
            raise UnknownGovernor(
                f"nobody knows where {one.name} is", f"Add the record of {one.name}."
            )
    peers = [known[one.node_key] for one in governors]
    return Plan.create(
        seat, governors, peers, dealers or _dealers(seat, governors, records), random
    )


def _new_list(old: Roster, records: Sequence[Record], remove: Sequence[str]) -> list[Governor]:
    """Who stays keeps its place, who has new keys takes that of the old ones, others follow."""
    for name in remove:
        old.identifier(name)
    comers = {one.governor.name: one.governor for one in records}
    governors = [comers.get(one.name, one) for one in old.governors if one.name not in remove]
    return governors + [
        one for name, one in comers.items() if name not in old.by_name or name in remove
    ]


def _dealers(seat: Seat, governors: Sequence[Governor], records: Sequence[Record]) -> list[str]:
    unsure = [one.governor.name for one in records]

    def rank(one: Governor) -> tuple[bool, bool, bool]:
        return one.name != seat.name, one.name in unsure, one not in governors

    ranked = sorted(seat.roster.governors, key=rank)
    return [one.name for one in ranked[: seat.roster.threshold]]
