"""The signing ceremony: `threshold` governors sign all items of one proposal, file by file.

Files, N being the attempt, all signed envelopes (identity.py) with the proposal's id as ceremony,
but for the last, which the group's signatures prove:

    TAG.NAME.commitN.cbor  NAME's nonce commitments, one pair for each item
    TAG.selectN.cbor       who signs: written once, by whoever first sees enough commitments, or
                           by the one whose turn it is in a folder of gossip (ceremonies/gossip.py)
    TAG.NAME.shareN.cbor   NAME's signature shares
    TAG.NAME.refuse.cbor   NAME's operator said no
    TAG.signed.cbor        the signatures

Nonces live in the process that made them and nowhere else. When a process dies, its successor
commits to a new attempt, and the others follow it there. Whoever sends a wrong share is named and
left out of the next attempt. `select` makes all signers agree on who they are; should a folder
show two governors two different ones, the attempt fails, and no nonce has signed twice.
"""

import hashlib
import os
from collections.abc import Callable
from itertools import count as count_from

from writ.errors import UsageError

from .. import codec
from ..errors import CeremonyFailed, CheatingGovernor, Malformed, Refused
from ..keys.frost import Commitment, Nonces, SigningPackage, aggregate, commit, is_valid, sign
from ..keys.group import Random, point_from_bytes
from ..keys.identity import Identity, envelope, open_envelope
from ..keys.roster import Seat
from .progress import Progress, Wait
from .request import Proposal
from .storage import Folder

# Each attempt leaves files behind; more of them than this means that somebody plays games.
ATTEMPTS_MAX = 16

# By identifier: a commitment for each item.
Commitments = dict[int, list[Commitment]]


def _digest(commitments: Commitments) -> bytes:
    listed = [
        [number, [[item.hiding, item.binding] for item in commitments[number]]]
        for number in sorted(commitments)
    ]
    return hashlib.sha256(codec.dump(["writ-select", listed])).digest()


class Signing:
    """One governor's part of a signing ceremony, in one process.

    `approve(proposal) -> bool` shows the proposal to the operator (or to a rule) before anything
    is committed. Raises `UsageError` when seat, identity and proposal do not belong together.
    """

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        seat: Seat,
        proposal: Proposal,
        approve: Callable[[Proposal], bool],
        random: Random = os.urandom,
    ) -> None:
        if seat.name != identity.name or proposal.group_key != seat.public.group_key:
            raise UsageError("seat, identity and proposal do not belong together")
        self.folder = folder
        self.identity = identity
        self.seat = seat
        self.proposal = proposal
        self.approve = approve
        self.random = random
        self.attempt = 0
        self.signatures: list[bytes] | None = None
        self.cheaters: set[int] = set()
        self._approved = False
        self._judged = 0
        self._nonces: list[Nonces] = []

    def step(self) -> Progress:
        """Do all that can be done now; safe to repeat.

        Raises `Refused`, `CheatingGovernor` when too few honest governors are left (or when our
        own share is the wrong one), `CeremonyFailed` after too many attempts, or what reading a
        file raises.
        """
        while not self._read_signed():
            self._ask()
            newest = self._newest()
            if self._settle(newest):
                continue
            if newest > self.attempt:
                self._start(newest)
            commitments = self._commitments(self.attempt)
            chosen = self._chosen(self.attempt) or self._choose(commitments)
            if chosen is None and len(commitments) >= self.seat.public.threshold:
                return self._progress("select")
            if chosen is None:
                absent = set(self._numbers()) - set(commitments) - self._refusals()
                return self._progress("commit", absent - self.cheaters)
            numbers, digest = chosen
            selected = {number: commitments[number] for number in numbers if number in commitments}
            if missing := set(numbers) - set(selected) - self.cheaters:
                return self._progress("commit", missing)
            if _digest(selected) != digest:
                self._start(self.attempt + 1)
                continue
            self._share(selected, digest)
            shares = self._shares(self.attempt, selected, digest)
            if shares is not None and (missing := set(selected) - set(shares)):
                return self._progress("share", missing)
            if shares is None or not self._combine(selected, shares):
                self._ask()
                self._start(self.attempt + 1)
        return self._progress("done", done=True)

    def run(self, wait: Wait) -> list[bytes]:
        """Step until done: the signatures (64 B each), in the order of the items.

        `wait(progress)` shows it and sleeps, raises to stop, or calls `retry` first when an awaited
        governor does not come back.
        """
        while not (progress := self.step()).done:
            wait(progress)
        assert self.signatures is not None
        return self.signatures

    def retry(self) -> None:
        """Give up this attempt and commit to the next one, where the absent are not chosen."""
        self._ask()
        self._start(self.attempt + 1)

    # Whether to take part

    def _ask(self) -> None:
        if not self._approved:
            if not self.approve(self.proposal):
                self._publish("refuse", [])
                raise Refused("you refused to sign this proposal")
            self._approved = True
        if self.seat.key.identifier in self.cheaters:
            raise CheatingGovernor(
                [self.seat.key.identifier],
                "our own messages are wrong",
                "This machine's share or memory is damaged; restore the seat file.",
            )
        refusals = self._refusals()
        able = len(self._numbers()) - len(refusals | self.cheaters)
        if able < self.seat.public.threshold:
            if refusals:
                names = ", ".join(self._names(refusals))
                raise Refused(f"too few governors are left: refused by {names}")
            raise CheatingGovernor(
                self.cheaters, "wrong messages; too few other governors are left"
            )

    def _refusals(self) -> set[int]:
        return {n for n in self._numbers() if self._read(n, "refuse") is not None}

    # Which attempt

    def _newest(self) -> int:
        """The newest attempt that a governor, not caught cheating, has committed to."""
        others = set(self._numbers()) - self.cheaters
        for attempt in range(ATTEMPTS_MAX, 1, -1):
            if any(self._read(number, f"commit{attempt}") is not None for number in others):
                return attempt
        return 1

    def _settle(self, newest: int) -> bool:
        """Learn from earlier attempts who cheated in them; True if one gave the signatures."""
        # A process that has just started may find even the newest complete.
        for attempt in range(self._judged + 1, newest if self.attempt else newest + 1):
            self._judged = min(attempt, newest - 1)
            commitments = self._commitments(attempt)
            numbers, digest = self._chosen(attempt) or ([], b"")
            selected = {number: commitments[number] for number in numbers if number in commitments}
            if _digest(selected) != digest:
                continue
            shares = self._shares(attempt, selected, digest)
            if shares and set(shares) == set(selected) and self._combine(selected, shares):
                return True
        return False

    def _start(self, attempt: int) -> None:
        """Fresh nonces for `attempt`, or for the first later one that we never committed to."""
        for nonces in self._nonces:
            nonces.discard()
        self.attempt = next(
            n
            for n in count_from(max(attempt, 1))
            if self.folder.read(self._file(f"commit{n}", self.seat.key.identifier)) is None
        )
        if self.attempt > ATTEMPTS_MAX:
            raise CeremonyFailed(
                f"no signature after {ATTEMPTS_MAX} attempts",
                "Find out whose machine keeps failing, then propose again.",
            )
        self._nonces = [commit(self.seat.key, self.random) for _ in self.proposal.items]
        public = [nonces.commitment for nonces in self._nonces]
        self._publish(f"commit{self.attempt}", [[item.hiding, item.binding] for item in public])

    # Round one: commitments, and who signs

    def _commitments(self, attempt: int) -> Commitments:
        found = {}
        for number in self._numbers():
            body = self._read(number, f"commit{attempt}")
            if body is None or number in self.cheaters:
                continue
            try:
                pairs = codec.a_list(codec.load(body), len(self.proposal.items))
                items = [codec.a_list(pair, 2) for pair in pairs]
                found[number] = [
                    Commitment(number, codec.some_bytes(hiding), point_from_bytes(binding))
                    for hiding, binding in items
                ]
            except Malformed:
                self.cheaters.add(number)
        return found

    def _choose(self, commitments: Commitments) -> tuple[list[int], bytes] | None:
        """Name the signers, the lowest numbers, once enough have committed; the first one wins."""
        if len(commitments) < self.seat.public.threshold:
            return None
        numbers = sorted(commitments)[: self.seat.public.threshold]
        body = codec.dump([numbers, _digest({number: commitments[number] for number in numbers})])
        step = f"select{self.attempt}"
        data = envelope(self.identity, self.proposal.id, step, body)
        self.folder.publish_first(self._file(step), data)
        return self._chosen(self.attempt)

    def _chosen(self, attempt: int) -> tuple[list[int], bytes] | None:
        """(identifiers, digest) of the select file, None where there is none yet.

        No identifiers, and a digest that fits nothing, when its author wrote nonsense.
        """
        step = f"select{attempt}"
        data = self.folder.read(self._file(step))
        if data is None:
            return None
        by_name = self.seat.roster.by_name
        sender, body = open_envelope(data, by_name, self.proposal.id, None, step)
        try:
            listed, digest = codec.a_list(codec.load(body), 2)
            numbers = [
                codec.an_int(number, 1, len(by_name))
                for number in codec.a_list(listed, self.seat.public.threshold)
            ]
            if numbers != sorted(set(numbers)):
                raise Malformed("not a set of governors")
            return numbers, codec.some_bytes(digest, 32)
        except Malformed:
            self.cheaters.add(self.seat.roster.identifier(sender))
            return [], b""

    # Round two: shares

    def _share(self, selected: Commitments, digest: bytes) -> None:
        """Sign, once, if we are among the selected."""
        if self.seat.key.identifier not in selected or any(n.spent for n in self._nonces):
            return
        shares = [
            sign(self.seat.key, nonces, package)
            for nonces, package in zip(self._nonces, self._packages(selected), strict=True)
        ]
        self._publish(f"share{self.attempt}", [digest, shares])

    def _shares(
        self, attempt: int, selected: Commitments, digest: bytes
    ) -> dict[int, list[bytes]] | None:
        """The shares that are there; None when one was made for another selection.

        That is the folder's doing, not the signer's: nobody is blamed, the attempt is void.
        """
        found = {}
        for number in selected:
            body = self._read(number, f"share{attempt}")
            if body is None:
                continue
            try:
                signed_for, listed = codec.a_list(codec.load(body), 2)
                if codec.some_bytes(signed_for, 32) != digest:
                    return None
                shares = codec.a_list(listed, len(self.proposal.items))
                found[number] = [codec.some_bytes(share) for share in shares]
            except Malformed:
                # judged with the others: no bytes are a wrong share
                found[number] = [b""] * len(self.proposal.items)
        return found

    def _packages(self, selected: Commitments) -> list[SigningPackage]:
        public = self.seat.public
        return [
            SigningPackage(
                public.group_key,
                public.threshold,
                item.to_be_signed,
                [commitments[i] for commitments in selected.values()],
            )
            for i, item in enumerate(self.proposal.items)
        ]

    def _combine(self, selected: Commitments, shares: dict[int, list[bytes]]) -> bool:
        """Publish the signatures; False, with the cheaters noted, when a share is wrong."""
        signatures = []
        for i, package in enumerate(self._packages(selected)):
            try:
                answers = {number: listed[i] for number, listed in shares.items()}
                signatures.append(aggregate(self.seat.public, package, answers))
            except CheatingGovernor as error:
                self.cheaters.update(error.identifiers)
        if len(signatures) < len(self.proposal.items):
            return False
        self.folder.publish_first(self._file("signed"), codec.dump(["writ-signed", signatures]))
        return True

    def _read_signed(self) -> bool:
        data = self.folder.read(self._file("signed"))
        if data is None:
            return False
        size = len(self.proposal.items)
        (listed,) = codec.tagged(codec.load(data), "writ-signed", 2)
        signatures = [codec.some_bytes(item, 64) for item in codec.a_list(listed, size)]
        for item, signature in zip(self.proposal.items, signatures, strict=True):
            if not is_valid(self.proposal.group_key, item.to_be_signed, signature):
                raise Malformed(
                    f"the signature in {self._file('signed')} does not verify",
                    "Somebody altered the file: remove it and run the step again.",
                )
        self.signatures = signatures
        return True

    # Files and names

    def _file(self, step: str, number: int | None = None) -> str:
        name = "" if number is None else f"{self.seat.roster.name(number)}."
        return f"{self.proposal.tag}.{name}{step}.cbor"

    def _publish(self, step: str, body: object) -> None:
        data = envelope(self.identity, self.proposal.id, step, codec.dump(body))
        self.folder.publish(self._file(step, self.seat.key.identifier), data)

    def _read(self, number: int, step: str) -> bytes | None:
        """The body of a governor's message, None where there is none yet."""
        data = self.folder.read(self._file(step, number))
        if data is None:
            return None
        roster = self.seat.roster
        name = roster.name(number)
        return open_envelope(data, roster.by_name, self.proposal.id, name, step)[1]

    def _numbers(self) -> range:
        return range(1, len(self.seat.roster.governors) + 1)

    def _names(self, numbers: set[int]) -> tuple[str, ...]:
        return tuple(self.seat.roster.name(number) for number in sorted(numbers))

    def _progress(self, step: str, waiting: set[int] | None = None, done: bool = False) -> Progress:
        return Progress(
            step,
            self._names(waiting or set()),
            done,
            attempt=self.attempt,
            cheaters=self._names(self.cheaters),
        )
