"""Delivery of capsules to devices by plain CoAP: POST to `writ`, GET `writ/request`.

No session is needed and none would help: a device believes the signature, not who brings it.
Nodes are named by name, by address, or all of the address book.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from writ.errors import Rejection, RolledBack, TimedOut
from writ.limits import SIGNATURE_REFILL_MS
from writ.node.context import PREFIX
from writ.wire import coap
from writ.wire.coap import Message

from ..errors import HostError, NotReachable, UnknownNode
from ..node import addressbook
from ..node.plainclient import TIMEOUT_S, PlainClient
from ..refusals import parse_reason, rejection_text
from ..target import check_address
from .admission import read_request
from .folder import ScopeFolder

ALL = "all"
AT_ONCE_MAX = 8
# A device rations signature checks; this often its ration is waited for.
RATION_WAITS_MAX = 8


class WrongNode(HostError):
    """Another node lives at this address."""

    advice = "Write the right address into book.toml, or give it with --deliver HOST:PORT."


@dataclass(frozen=True)
class Outcome:
    """What a device said to a capsule. state: "taken", "known" or "refused"; reason: a rejection.

    text: the device's own words where it is refused without such a reason.
    """

    what: str
    state: str
    reason: type[Rejection] | None = None
    text: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the device has it now; what it has something newer than is good as well."""
        return self.state != "refused"


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
    book = addressbook.read(folder.path)
    found: list[tuple[str, str]] = []
    for word in words:
        if word == ALL:
            gone = {one.name for one in folder.members.newest() if folder.is_revoked(one)}
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


def deliver_to_all(
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


def policy_sender(folder: ScopeFolder, timeout_s: float) -> Callable[[str, str], list[Outcome]]:
    """Hands over the policy in force, and the beacon."""
    whole, amendment = folder.policy_capsule(), folder.amendment_capsule()
    beacons = folder.beacon_capsules()
    if whole is None:
        raise HostError("there is no policy yet", "Certify one first: writ policy certify.")

    chain = folder.chain()

    def give(_: str, address: str) -> list[Outcome]:
        if len(chain) > 1:
            return [
                *_post_chain(address, chain, timeout_s),
                *post_capsules(address, [("beacon", raw) for raw in beacons], timeout_s),
            ]
        return post_policy(address, whole, amendment, beacons, timeout_s)

    return give


def beacon_sender(folder: ScopeFolder, timeout_s: float) -> Callable[[str, str], list[Outcome]]:
    """Hands over the beacon."""
    beacons = [("beacon", raw) for raw in folder.beacon_capsules()]
    return lambda _, address: post_capsules(address, beacons, timeout_s)


def full_sender(folder: ScopeFolder, timeout_s: float) -> Callable[[str, str], list[Outcome]]:
    """Hands over all that a new node needs, its own member capsule included."""

    def give(name: str, address: str) -> list[Outcome]:
        member = folder.members.find(name)
        if member is not None:
            _check_who(address, member.node_id, timeout_s)
        found = post_capsules(address, [("charter", folder.charter_raw)], timeout_s)
        found += _post_chain(address, folder.chain(), timeout_s)
        raws = [("member", member.raw)] if member is not None else []
        raws += [("beacon", raw) for raw in folder.beacon_capsules()]
        return found + post_capsules(address, raws, timeout_s)

    return give


def _post_chain(
    address: str, chain: Sequence[tuple[str, bytes]], timeout_s: float
) -> list[Outcome]:
    # after a succession most nodes are further than its beginning: that is as good as known
    found = post_capsules(address, chain, timeout_s)
    return [
        Outcome(one.what, "known") if one.reason is RolledBack and one is not found[-1] else one
        for one in found
    ]


def _check_who(address: str, node_id: bytes, timeout_s: float) -> None:
    # a device keeps any member's capsule: at the wrong address all would seem to go well
    try:
        found = read_request(fetch_request(address, timeout_s)).node_id
    except Rejection as error:
        raise HostError(f"{address} is no Writ node: {rejection_text(error)}") from None
    if found != node_id:
        raise WrongNode(f"{address} is the node {found.hex()}, not {node_id.hex()}")


def fetch_request(address: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """The request for membership of the device at "host:port". Raises `HostError`."""
    with PlainClient(address, timeout_s) as client:
        answer = client.get(PREFIX + "/request")
    if answer.code != coap.CONTENT:
        raise HostError(
            f"{address} gave no request ({_words(answer)})", "Is it a Writ node, and up to date?"
        )
    return bytes(answer.payload)


def post_capsules(
    address: str,
    capsules: Sequence[tuple[str, bytes]],
    timeout_s: float = TIMEOUT_S,
    pause: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Post [(what, capsule)] to the node at "host:port", in order; all of them, whatever it says.

    pause(ms): how to wait for a rationed device. Raises `NotReachable`.
    """
    with PlainClient(address, timeout_s) as client:
        return [_post(client, what, raw, pause or _sleep) for what, raw in capsules]


def _post(client: PlainClient, what: str, raw: bytes, pause: Callable[[int], None]) -> Outcome:
    for _ in range(RATION_WAITS_MAX):
        try:
            answer = client.post(PREFIX, raw)
        except TimedOut:
            raise NotReachable(f"no answer from {client.address}") from None
        if answer.code == coap.CHANGED:
            return Outcome(what, "taken")
        if answer.code == coap.VALID:
            return Outcome(what, "known")
        if answer.code != coap.TOO_MANY:
            break
        pause(SIGNATURE_REFILL_MS)
    reason = parse_reason(bytes(answer.payload))
    return Outcome(what, "refused", reason, _words(answer))


def _sleep(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)


def _words(answer: Message) -> str:
    text = bytes(answer.payload).decode("utf-8", "replace")
    return f"{answer.code >> 5}.{answer.code & 31:02d} {text}".strip()


def post_policy(
    address: str,
    whole: bytes,
    amendment: bytes | None,
    beacons: Sequence[bytes] = (),
    timeout_s: float = TIMEOUT_S,
) -> list[Outcome]:
    """Bring a node to the newest epoch: by the amendment if it is one behind, else by the whole.

    Raises `NotReachable`.
    """
    found: list[Outcome] = []
    if amendment is not None:
        found = post_capsules(address, [("amendment", amendment)], timeout_s)
    if not found or not (found[0].is_good or found[0].reason is RolledBack):
        # behind by more than one, or without any policy: the whole one will do
        found = post_capsules(address, [("policy", whole)], timeout_s)
    return found + post_capsules(address, [("beacon", raw) for raw in beacons], timeout_s)
