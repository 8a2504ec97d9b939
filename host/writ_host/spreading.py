"""Handing what was certified to nodes known by name: to one, to some, to all of the book."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from writ.errors import Rejection, RolledBack

from .admission import read_request
from .deliver import Outcome, fetch_request, hand_over, hand_over_policy
from .errors import HostError, NotReachable, UnknownNode
from .refusals import words_for
from .scopefolder import ScopeFolder
from .target import check_address


class WrongNode(HostError):
    """Another node lives at this address."""

    advice = "Write the right address into book.toml, or give it with --deliver HOST:PORT."


ALL = "all"
AT_ONCE_MAX = 8


@dataclass(frozen=True)
class Delivery:
    """What became of handing over to one node. error: why it was handed nothing, or "".

    is_away: the error is that nobody answered.
    """

    name: str
    address: str
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""
    is_away: bool = False

    @property
    def is_good(self) -> bool:
        """Whether the node has everything now."""
        return not self.error and all(outcome.is_good for outcome in self.outcomes)

    @property
    def words(self) -> str:
        """One line: what the node said to each capsule."""
        if self.error:
            return self.error
        return ", ".join(
            f"{one.what} {one.state}" + (f" ({one.text})" if one.text else "")
            for one in self.outcomes
        )


def find_targets(folder: ScopeFolder, words: Sequence[str]) -> list[tuple[str, str]]:
    """[(name, "host:port")] for names of the book, addresses, and "all" of the book.

    Raises `UnknownNode` for a name without an address, `UsageError` for no address.
    """
    book = folder.book()
    found: list[tuple[str, str]] = []
    for word in words:
        if word == ALL:
            gone = {one.name for one in folder.members() if folder.is_revoked(one)}
            found += [item for item in sorted(book.items()) if item[0] not in gone]
        elif word in book:
            found.append((word, book[word]))
        elif ":" in word:
            found.append((word, check_address(word)))
        else:
            raise UnknownNode(f"no address is known for {word}")
    if words and not found:
        raise HostError("book.toml names no address", 'Write lines like: pump1 = "10.0.0.7:5683"')
    return list(dict.fromkeys(found))


def spread(
    targets: Sequence[tuple[str, str]],
    give: Callable[[str, str], Sequence[Outcome]],
    done: Callable[[Delivery], None] = lambda _: None,
) -> list[Delivery]:
    """Call `give(name, address)` for each target, several at a time; who is away is noted."""

    def one(item: tuple[str, str]) -> Delivery:
        name, address = item
        try:
            return Delivery(name, address, tuple(give(name, address)))
        except HostError as error:
            return Delivery(name, address, (), str(error), isinstance(error, NotReachable))

    found = []
    with ThreadPoolExecutor(AT_ONCE_MAX) as pool:
        for delivery in pool.map(one, targets):
            found.append(delivery)
            done(delivery)
    return found


def give_policy(folder: ScopeFolder, timeout_s: float) -> Callable[[str, str], list[Outcome]]:
    """Hands over the policy in force, and the beacon."""
    whole, amendment = folder.policy_capsule(), folder.amendment_capsule()
    beacons = folder.beacon_capsules()
    if whole is None:
        raise HostError("there is no policy yet", "Certify one first: writ policy certify.")

    way = folder.way()

    def give(_: str, address: str) -> list[Outcome]:
        if len(way) > 1:
            return [
                *_hand_over_way(address, way, timeout_s),
                *hand_over(address, [("beacon", raw) for raw in beacons], timeout_s),
            ]
        return hand_over_policy(address, whole, amendment, beacons, timeout_s)

    return give


def give_beacon(folder: ScopeFolder, timeout_s: float) -> Callable[[str, str], list[Outcome]]:
    """Hands over the beacon."""
    beacons = [("beacon", raw) for raw in folder.beacon_capsules()]
    return lambda _, address: hand_over(address, beacons, timeout_s)


def give_all(folder: ScopeFolder, timeout_s: float) -> Callable[[str, str], list[Outcome]]:
    """Hands over all that a new node needs, its own member capsule included."""

    def give(name: str, address: str) -> list[Outcome]:
        member = folder.member(name)
        if member is not None:
            _check_who(address, member.node_id, timeout_s)
        found = hand_over(address, [("charter", folder.charter_raw)], timeout_s)
        found += _hand_over_way(address, folder.way(), timeout_s)
        raws = [("member", member.raw)] if member is not None else []
        raws += [("beacon", raw) for raw in folder.beacon_capsules()]
        return found + hand_over(address, raws, timeout_s)

    return give


def _hand_over_way(
    address: str, way: Sequence[tuple[str, bytes]], timeout_s: float
) -> list[Outcome]:
    # after a succession most nodes are further than its beginning: that is as good as known
    found = hand_over(address, way, timeout_s)
    return [
        Outcome(one.what, "known") if one.reason is RolledBack and one is not found[-1] else one
        for one in found
    ]


def _check_who(address: str, node_id: bytes, timeout_s: float) -> None:
    # a device keeps any member's capsule: at the wrong address all would seem to go well
    try:
        found = read_request(fetch_request(address, timeout_s)).node_id
    except Rejection as error:
        raise HostError(f"{address} is no Writ node: {words_for(error)}") from None
    if found != node_id:
        raise WrongNode(f"{address} is the node {found.hex()}, not {node_id.hex()}")
