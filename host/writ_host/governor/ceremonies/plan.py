"""The plan or invitation for a change of governors that an operator requests."""

from collections.abc import Mapping, Sequence

from writ.authority.capsule import Charter

from ...ceremony.plan import Plan
from ...errors import Malformed, UnknownGovernor
from ...keys.group import Random
from ...keys.identity import PublicIdentity
from ...keys.roster import Roster, Seat
from .invitation import Invitation, Predecessor
from .record import Record


def plan_succession(
    seat: Seat,
    records: Sequence[Record],
    threshold: int | None,
    charter: Charter | None,
    now_s: int,
    random: Random,
) -> Invitation:
    """The invitation to found a successor, governed by the owners of `records`.

    charter: the one in force. Raises `Malformed`, also without a charter.
    """
    if charter is None:
        raise Malformed("a succession needs the charter in force")
    governors = [one.governor for one in records]
    followers = tuple(one for one in seat.roster.governors if one not in governors)
    return Invitation.create(
        seat.roster.scope,
        threshold or seat.roster.threshold,
        records,
        None,
        now_s,
        beacon_age_max_s=charter.beacon_age_max_s,
        clock_skew_max_s=charter.clock_skew_max_s,
        predecessor=Predecessor(charter.scope, seat.public.group_key, followers),
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
    """The plan of a re-sharing that adds the owners of `records` and removes those in `remove`.

    addresses: of the governors that stay, by node key; dealers: names, by default this governor and
    others that stay; governors in `records` come last, since they may have lost their share. Raises
    `UnknownGovernor`, `Malformed`, `BadPlan`.
    """
    if threshold not in (None, seat.roster.threshold):
        raise Malformed("a re-sharing keeps the threshold", "Found a successor for another one.")
    governors = _new_list(seat.roster, records, remove)
    known = {**addresses, **{one.governor.node_key: one.peers for one in records}}
    for one in governors:
        if one.node_key not in known:
            raise UnknownGovernor(
                f"the address of {one.name} is not known", f"Add the record of {one.name}."
            )
    peers = [known[one.node_key] for one in governors]
    return Plan.create(
        seat, governors, peers, dealers or _dealers(seat, governors, records), random
    )


def _new_list(
    old: Roster, records: Sequence[Record], remove: Sequence[str]
) -> list[PublicIdentity]:
    """Governors that stay keep their place, also with new keys; new governors follow."""
    for name in remove:
        old.identifier(name)
    added = {one.governor.name: one.governor for one in records}
    governors = [added.get(one.name, one) for one in old.governors if one.name not in remove]
    return governors + [
        one for name, one in added.items() if name not in old.by_name or name in remove
    ]


def _dealers(
    seat: Seat, governors: Sequence[PublicIdentity], records: Sequence[Record]
) -> list[str]:
    renewed = [one.governor.name for one in records]

    def rank(one: PublicIdentity) -> tuple[bool, bool, bool]:
        return one.name != seat.name, one.name in renewed, one not in governors

    ranked = sorted(seat.roster.governors, key=rank)
    return [one.name for one in ranked[: seat.roster.threshold]]
