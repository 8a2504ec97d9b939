"""Joining and leaving: how a ledger gets its charter, and what former governors may fetch.

A ledger begins with the capsules of a founding, or with a charter that enough other governors sent.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from writ.authority import capsule as capsules
from writ.authority.capsule import CHARTER, POLICY
from writ.errors import Rejection

from .. import codec
from ..consensus.committee import tolerance
from ..consensus.effects import Decide
from ..consensus.value import Value
from ..errors import HostError, Malformed
from ..keys.frost import is_valid
from ..keys.identity import PublicIdentity
from ..keys.roster import Seat, committee_digest
from .core.core import FOUNDERS
from .ledger.ledger import Ledger
from .proposals import messages
from .proposals.messages import CAPSULES, PULL, SUMMARY

# A former governor that was offline during the change can learn of it for so long.
FORMER_S = 14 * 86400
FORMER_MAX = 16
_FORMER = "former"


class LedgerLost(HostError):
    """A governor with a key share, but without the ledger of its scope: it could sign nothing."""

    @classmethod
    def of(cls, ledger: Path, seat: Path) -> "LedgerLost":
        """The error that names the file and both ways back."""
        name = seat.stem
        return cls(
            f"{ledger} does not hold the scope of the key share in {seat.name}: it was lost or"
            " replaced",
            f"Restore a backup into a new folder (writ governor restore). Without one, join anew:"
            f" move {seat.name} away, run this governor, and at another one"
            f" writ governor change DIR --remove {name} --add {name}.toml.",
        )


def seat_lost(seat: Path) -> str:
    """What the log says of a governor that has its ledger, but no key share."""
    name = seat.stem
    return (
        f"{seat} is missing, so this governor signs nothing: put it back (writ governor restore),"
        f" or have a new share dealt: writ governor change DIR --remove {name} --add {name}.toml"
    )


def write_genesis(ledger: Ledger, seat: Seat, genesis: Iterable[bytes]) -> None:
    """Store the capsules of a founding, durably: charter, policy of epoch 1, members.

    Does nothing if the ledger has a charter.
    """
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
    """The request of a new governor, which has a share and no charter, and its partners' answers.

    Partners are the governors of the ceremony that made the share. The new governor accepts a
    charter that more partners sent than may be Byzantine. All later capsules prove themselves by
    the charter's group key. Answers of other peers do not count: until a seat is in force,
    anyone may have sent an invitation and so have become a peer.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.seat: Seat | None = None  # that waits for a charter
        self._partners: frozenset[bytes] = frozenset()
        self._charters: dict[bytes, bytes] = {}  # by partner

    def wait(self, seat: Seat, partners: frozenset[bytes]) -> None:
        """Ask for the charter of this seat's scope. partners: node keys (33 B)."""
        self.seat = seat
        self._partners = partners
        self._charters.clear()

    def tick(self, peers: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """The requests to send, about once a second: [(node key, message)]."""
        if self.seat is None or self._ledger.capsules.charter() is not None:
            return []
        request = codec.dump([PULL, 0])
        missing = self._partners - self._charters.keys()
        return [(peer, request) for peer in peers if peer in missing]

    def receive(
        self, sender: bytes, message: bytes, peers: Collection[bytes]
    ) -> list[tuple[bytes, bytes]]:
        """Handle a request or an answer of a peer that is not a governor of this seat."""
        if sender not in peers:
            return []
        try:
            kind, first, *rest = messages.read(message)
            if kind == PULL:
                return self._answer(sender, codec.an_int(first, 0, messages.CURSOR_MAX))
            self._take(sender, messages.read_capsules(rest[0]))
        except (Malformed, Rejection):
            # a malformed message is ignored
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
        # the founding charter is the first capsule of every ledger
        charter = raws[0]
        if sender not in self._partners or not _is_charter(charter):
            return
        self._charters[sender] = charter
        count = len(self.seat.roster.governors)
        _, byzantine = tolerance(count, self.seat.public.threshold)
        agreed = sum(1 for one in self._charters.values() if one == charter)
        if agreed > min(byzantine, len(self.seat.roster.governors) - 2):
            self._ledger.capsules.add([charter])


def _is_charter(raw: bytes) -> bool:
    """Whether this is a charter that its own group key has signed. Raises a `Rejection`."""
    capsule = capsules.parse(raw)
    if capsule.kind != CHARTER:
        return False
    key = bytes(capsules.Charter(capsule).group_key)
    return is_valid(key, capsule.signing_input(), capsule.signature)


class FormerGovernors:
    """Governors that were removed. They may fetch the chain, which shows them their removal."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._until_s = 0  # Unix seconds
        self._listed: list[PublicIdentity] = []
        data = ledger.meta(_FORMER)
        if data is not None:
            until, items = codec.a_list(codec.load(data), 2)
            self._until_s = codec.an_int(until, 0, 2**40)
            self._listed = [PublicIdentity.from_item(item) for item in codec.a_list(items)]

    def listed(self) -> list[PublicIdentity]:
        """The former governors, [] once the time is over."""
        return self._listed if self._ledger.clock_s() < self._until_s else []

    def keys(self) -> set[bytes]:
        """Their node keys."""
        return {one.node_key for one in self.listed()}

    def replace(self, before: Iterable[PublicIdentity], after: Collection[PublicIdentity]) -> None:
        """Governors `after` replace `before`: store, durably, those that have left."""
        remaining = {one.node_key for one in after}
        gone = [one for one in before if one.node_key not in remaining]
        kept = [one for one in self.listed() if one.node_key not in remaining and one not in gone]
        if gone or len(kept) < len(self._listed):
            self._until_s = self._ledger.clock_s() + FORMER_S
            self._listed = [*gone, *kept][:FORMER_MAX]
            items = [one.to_item() for one in self._listed]
            self._ledger.set_meta(_FORMER, codec.dump([self._until_s, items]))

    def receive(self, sender: bytes) -> list[tuple[bytes, bytes]]:
        """Answer a former governor's summary with ours, so that it asks for what it lacks."""
        if sender not in self.keys():
            return []
        return [(sender, codec.dump([SUMMARY, self._ledger.capsules.cursor, []]))]
