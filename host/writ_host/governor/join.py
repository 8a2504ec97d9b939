"""Who comes and who goes: how a ledger begins, and what those who were governors are told.

A ledger begins with what a founding certified, or with the charter that a newcomer's peers agree
on.
"""

from collections.abc import Collection, Iterable

from writ.authority import capsule as capsules
from writ.authority.capsule import CHARTER, POLICY
from writ.errors import Rejection

from .. import codec
from ..consensus.committee import tolerance
from ..consensus.effects import Decide
from ..consensus.value import Value
from ..errors import HostError
from ..keys.frost import is_valid
from ..keys.identity import Governor
from ..keys.roster import Seat, committee_digest
from .core.core import FOUNDERS
from .ledger.ledger import Ledger
from .proposals import messages
from .proposals.messages import CAPSULES, PULL, SUMMARY

# Whoever governed until lately is told that it does no more, even if it was away then.
FORMER_S = 14 * 86400
FORMER_MAX = 16
_FORMER = "former"


def found(ledger: Ledger, seat: Seat, genesis: Iterable[bytes]) -> None:
    """Keep what a founding certified: charter, policy of epoch 1, members. Once; durable."""
    if ledger.capsules.charter() is not None:
        return
    with ledger.together():
        for raw in genesis:
            capsule = capsules.parse(raw)
            if capsule.kind == POLICY:
                value = Value((bytes(capsule.payload),))
                ledger.add_decision(Decide(1, value, (bytes(capsule.signature),)))
            else:
                ledger.capsules.add([raw])
        ledger.set_meta(FOUNDERS + seat.public.group_key.hex(), committee_digest(seat))
        ledger.log("founded", f"founded {seat.roster.scope}", group=seat.public.group_key.hex())


class CharterExchange:
    """Whoever has a share and no charter asks those with whom it was made; and they answer.

    The charter is believed when more of them gave the same one than may lie: all else that a
    newcomer needs proves itself by the group key. Other peers are not asked and not believed: until
    a seat is in force, anybody may have sent an invitation, and so be a peer.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.seat: Seat | None = None
        self._partners: frozenset[bytes] = frozenset()
        self._said: dict[bytes, bytes] = {}

    def wait(self, seat: Seat, partners: frozenset[bytes]) -> None:
        """This is the share that is here, made with these (node keys)."""
        self.seat = seat
        self._partners = partners
        self._said.clear()

    def tick(self, peers: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """[(node key, message)]: what to ask, once a second or so."""
        if self.seat is None or self._ledger.capsules.charter() is not None:
            return []
        question = codec.dump([PULL, 0])
        asked = self._partners - self._said.keys()
        return [(peer, question) for peer in peers if peer in asked]

    def receive(
        self, sender: bytes, message: bytes, peers: Collection[bytes]
    ) -> list[tuple[bytes, bytes]]:
        """A question or an answer of a peer that is no governor with us (yet)."""
        if sender not in peers:
            return []
        try:
            kind, first, *rest = messages.read(message)
            if kind == PULL:
                return self._answer(sender, codec.an_int(first, 0, messages.CURSOR_MAX))
            self._take(sender, messages.read_capsules(rest[0]))
        except (HostError, Rejection):
            # a peer that makes no sense says nothing
            pass
        return []

    def _answer(self, sender: bytes, cursor: int) -> list[tuple[bytes, bytes]]:
        if self._ledger.capsules.charter() is None:
            return []
        most, size_max = messages.CAPSULES_MAX, messages.CAPSULES_BYTES_MAX
        following, raws = self._ledger.capsules.since(cursor, most, size_max)
        return [(sender, codec.dump([CAPSULES, following, raws]))]

    def _take(self, sender: bytes, raws: list[bytes]) -> None:
        if self.seat is None or self._ledger.capsules.charter() is not None or not raws:
            return
        # the founding charter is the first that a ledger ever took
        charter = raws[0]
        if sender not in self._partners or not _is_charter(charter):
            return
        self._said[sender] = charter
        count = len(self.seat.roster.governors)
        _, lying = tolerance(count, self.seat.public.threshold)
        agreed = sum(1 for one in self._said.values() if one == charter)
        if agreed > min(lying, len(self.seat.roster.governors) - 2):
            self._ledger.capsules.add([charter])


def _is_charter(raw: bytes) -> bool:
    """Whether its own group key has signed it. Raises a `Rejection`."""
    capsule = capsules.parse(raw)
    if capsule.kind != CHARTER:
        return False
    key = bytes(capsules.Charter(capsule).group_key)
    return is_valid(key, capsule.signing_input(), capsule.signature)


class FormerGovernors:
    """Governors whose seats have ended: they may fetch the chain, from which they learn of that."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._until_s = 0
        self._listed: list[Governor] = []
        data = ledger.meta(_FORMER)
        if data is not None:
            until, items = codec.a_list(codec.load(data), 2)
            self._until_s = codec.an_int(until, 0, 2**40)
            self._listed = [Governor.from_item(item) for item in codec.a_list(items)]

    def listed(self) -> list[Governor]:
        """Who they are."""
        return self._listed if self._ledger.clock_s() < self._until_s else []

    def keys(self) -> set[bytes]:
        """Their node keys."""
        return {one.node_key for one in self.listed()}

    def leave(self, before: Iterable[Governor], after: Collection[Governor]) -> None:
        """From `before` to `after`: keep in mind, durably, who has left."""
        staying = {one.node_key for one in after}
        gone = [one for one in before if one.node_key not in staying]
        kept = [one for one in self.listed() if one.node_key not in staying and one not in gone]
        if gone or len(kept) < len(self._listed):
            self._until_s = self._ledger.clock_s() + FORMER_S
            self._listed = [*gone, *kept][:FORMER_MAX]
            items = [one.to_item() for one in self._listed]
            self._ledger.set_meta(_FORMER, codec.dump([self._until_s, items]))

    def receive(self, sender: bytes) -> list[tuple[bytes, bytes]]:
        """One of them says how far it is: so do we, and it asks for what it lacks."""
        if sender not in self.keys():
            return []
        return [(sender, codec.dump([SUMMARY, self._ledger.capsules.cursor, []]))]
