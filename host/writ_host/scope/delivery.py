"""Delivery of capsules to devices by plain CoAP: POST to `writ`, GET `writ/request`.

A session is not necessary: a device trusts the signature, not the sender. Targets are names from
the address book, addresses, or the whole address book.
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
PARALLEL_MAX = 8
# A device limits its rate of signature checks; a capsule is sent again at most so many times.
RATE_LIMIT_WAITS_MAX = 8


class WrongNode(HostError):
    """Another node answers at this address."""

    advice = "Write the right address into book.toml, or give it with --deliver HOST:PORT."


@dataclass(frozen=True)
class Outcome:
    """A device's answer to a capsule. state: "taken", "known" or "refused"; reason: the rejection.

    label: names the capsule; text: the device's answer if it refused without a known reason.
    """

    label: str
    state: str
    reason: type[Rejection] | None = None
    text: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the device has this capsule, or a newer one, now."""
        return self.state != "refused"


# Sends capsules to one node; takes its name and address.
Sender = Callable[[str, str], Sequence[Outcome]]


@dataclass(frozen=True)
class Delivery:
    """The delivery to one node. error: why nothing was delivered, or "".

    is_unreachable: the error is that there was no answer.
    """

    name: str
    address: str
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""
    is_unreachable: bool = False

    @property
    def is_good(self) -> bool:
        """Whether the node has all capsules now."""
        return not self.error and all(outcome.is_good for outcome in self.outcomes)

    @property
    def text(self) -> str:
        """One line: the node's answer to each capsule."""
        if self.error:
            return self.error
        return ", ".join(
            f"{one.label} {one.state}" + (f" ({one.text})" if one.text else "")
            for one in self.outcomes
        )


def _book_add(folder: ScopeFolder, name: str) -> str:
    return f"writ book add {name} HOST:PORT --scope {folder.path}"


def find_targets(folder: ScopeFolder, targets: Sequence[str]) -> list[tuple[str, str]]:
    """[(name, "host:port")] for names in the address book, addresses, and "all" for the whole book.

    Raises `UnknownNode` for a name without an address, `UsageError` for a malformed address.
    """
    book = addressbook.read(folder.path)
    found: list[tuple[str, str]] = []
    for target in targets:
        if target == ALL:
            revoked = {one.name for one in folder.members.newest() if folder.is_revoked(one)}
            found += [item for item in sorted(book.items()) if item[0] not in revoked]
        elif target in book:
            found.append((target, book[target]))
        elif ":" in target:
            found.append((target, check_address(target)))
        else:
            raise UnknownNode(
                f"no address is known for {target}",
                f"Add it to {folder.path / addressbook.BOOK_FILE}: {_book_add(folder, target)}; or"
                " give HOST:PORT in place of the name.",
            )
    if targets and not found:
        raise HostError(
            f"{folder.path / addressbook.BOOK_FILE} names no address",
            f"Add those of the members: {_book_add(folder, 'NAME')}",
        )
    return list(dict.fromkeys(found))


def deliver_to_all(
    targets: Sequence[tuple[str, str]],
    send: Sender,
    done: Callable[[Delivery], None] = lambda _: None,
) -> list[Delivery]:
    """Call `send(name, address)` for each target, several in parallel; collects all results."""

    def one(item: tuple[str, str]) -> Delivery:
        name, address = item
        try:
            return Delivery(name, address, tuple(send(name, address)))
        except HostError as error:
            return Delivery(name, address, (), str(error), isinstance(error, NotReachable))

    found = []
    with ThreadPoolExecutor(PARALLEL_MAX) as pool:
        for delivery in pool.map(one, targets):
            found.append(delivery)
            done(delivery)
    return found


def policy_sender(folder: ScopeFolder, timeout_s: float) -> Sender:
    """Sends the policy in force, and the beacon."""
    whole, amendment = folder.policy_capsule(), folder.amendment_capsule()
    beacons = folder.beacon_capsules()
    if whole is None:
        raise HostError("there is no policy yet", "Certify one first: writ policy certify.")

    chain = folder.chain()

    def send(_: str, address: str) -> list[Outcome]:
        if len(chain) > 1:
            return [
                *_post_chain(address, chain, timeout_s),
                *post_capsules(address, [("beacon", raw) for raw in beacons], timeout_s),
            ]
        return post_policy(address, whole, amendment, beacons, timeout_s)

    return send


def beacon_sender(folder: ScopeFolder, timeout_s: float) -> Sender:
    """Sends the beacon."""
    beacons = [("beacon", raw) for raw in folder.beacon_capsules()]
    return lambda _, address: post_capsules(address, beacons, timeout_s)


def full_sender(folder: ScopeFolder, timeout_s: float) -> Sender:
    """Sends everything that a new node needs, including its own member capsule."""

    def send(name: str, address: str) -> list[Outcome]:
        member = folder.members.find(name)
        if member is not None:
            _check_node(address, member.node_id, timeout_s)
        found = post_capsules(address, [("charter", folder.charter_raw)], timeout_s)
        found += _post_chain(address, folder.chain(), timeout_s)
        raws = [("member", member.raw)] if member is not None else []
        raws += [("beacon", raw) for raw in folder.beacon_capsules()]
        return found + post_capsules(address, raws, timeout_s)

    return send


def _post_chain(
    address: str, chain: Sequence[tuple[str, bytes]], timeout_s: float
) -> list[Outcome]:
    # a node that is past the beginning of the chain refuses it as RolledBack: it knows that part
    found = post_capsules(address, chain, timeout_s)
    return [
        Outcome(one.label, "known") if one.reason is RolledBack and one is not found[-1] else one
        for one in found
    ]


def _check_node(address: str, node_id: bytes, timeout_s: float) -> None:
    # a device accepts the capsules of other members: a wrong address would go unnoticed
    try:
        found = read_request(fetch_request(address, timeout_s)).node_id
    except Rejection as error:
        raise HostError(f"{address} is not a Writ node: {rejection_text(error)}") from None
    if found != node_id:
        raise WrongNode(f"{address} is the node {found.hex()}, not {node_id.hex()}")


def fetch_request(address: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """Fetch the request for membership of the device at "host:port". Raises `HostError`."""
    with PlainClient(address, timeout_s) as client:
        answer = client.get(PREFIX + "/request")
    if answer.code != coap.CONTENT:
        raise HostError(
            f"{address} sent no request for membership ({_answer_text(answer)})",
            "Check that it is a Writ node and up to date.",
        )
    return bytes(answer.payload)


def post_capsules(
    address: str,
    capsules: Sequence[tuple[str, bytes]],
    timeout_s: float = TIMEOUT_S,
    pause: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Post [(label, capsule)] to the node at "host:port", in order, even after a refusal.

    pause(ms): how to wait for a device's rate limit. Raises `NotReachable`.
    """
    with PlainClient(address, timeout_s) as client:
        return [_post(client, label, raw, pause or _sleep) for label, raw in capsules]


def _post(client: PlainClient, label: str, raw: bytes, pause: Callable[[int], None]) -> Outcome:
    for _ in range(RATE_LIMIT_WAITS_MAX):
        try:
            answer = client.post(PREFIX, raw)
        except TimedOut:
            raise NotReachable(f"no answer from {client.address}") from None
        if answer.code == coap.CHANGED:
            return Outcome(label, "taken")
        if answer.code == coap.VALID:
            return Outcome(label, "known")
        if answer.code != coap.TOO_MANY:
            break
        pause(SIGNATURE_REFILL_MS)
    reason = parse_reason(bytes(answer.payload))
    return Outcome(label, "refused", reason, _answer_text(answer))


def _sleep(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)


def _answer_text(answer: Message) -> str:
    text = bytes(answer.payload).decode("utf-8", "replace")
    return f"{answer.code >> 5}.{answer.code & 31:02d} {text}".strip()


def post_policy(
    address: str,
    whole: bytes,
    amendment: bytes | None,
    beacons: Sequence[bytes] = (),
    timeout_s: float = TIMEOUT_S,
) -> list[Outcome]:
    """Bring a node to the newest epoch: with the amendment if one epoch behind, else the policy.

    Raises `NotReachable`.
    """
    found: list[Outcome] = []
    if amendment is not None:
        found = post_capsules(address, [("amendment", amendment)], timeout_s)
    if not found or not (found[0].is_good or found[0].reason is RolledBack):
        # more than one epoch behind, or without a policy: the whole policy works in any case
        found = post_capsules(address, [("policy", whole)], timeout_s)
    return found + post_capsules(address, [("beacon", raw) for raw in beacons], timeout_s)
