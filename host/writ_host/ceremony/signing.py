"""The signing ceremony: `threshold` governors sign all items of one request, file by file.

Files, N being the attempt, all signed envelopes (identity.py) with the request's id as ceremony,
except the last, which the group's signatures authenticate:

    TAG.NAME.commitN.cbor  NAME's nonce commitments, one pair for each item
    TAG.selectN.cbor       the signers: written once, by the first governor that sees enough
                           commitments, or by the selector of the attempt in a gossip folder
                           (governor/ceremonies/gossip.py)
    TAG.NAME.shareN.cbor   NAME's signature shares
    TAG.NAME.refuse.cbor   NAME's operator refused
    TAG.signed.cbor        the signatures

Nonces exist only in the process that made them. A restarted process commits to a new attempt, and
the others follow. A governor that sends a wrong share is named and left out of the next attempt.
The select file makes all signers agree on the set of signers. If a folder shows different select
files to two governors, the attempt fails, and no nonce signs twice.
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
from .request import SigningRequest
from .storage import Folder

# Each attempt leaves files behind; more attempts than this mean that a governor disrupts them.
ATTEMPTS_MAX = 16

# By governor's number: a commitment for each item.
Commitments = dict[int, list[Commitment]]


def _digest(commitments: Commitments) -> bytes:
    listed = [
        [number, [[item.hiding, item.binding] for item in commitments[number]]]
        for number in sorted(commitments)
    ]
    return hashlib.sha256(codec.dump(["writ-select", listed])).digest()


class Signing:
    """One governor's part of a signing ceremony, in one process.

    `approve(request)` asks the operator (or a rule) before the first commitment. Raises
    `UsageError` when seat, identity and request do not belong together.
    """

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        seat: Seat,
        request: SigningRequest,
        approve: Callable[[SigningRequest], bool],
        random: Random = os.urandom,
    ) -> None:
        if seat.name != identity.name or request.group_key != seat.public.group_key:
            raise UsageError("seat, identity and request do not belong together")
        self.folder = folder
        self.identity = identity
        self.seat = seat
        self.request = request
        self.approve = approve
        self.random = random
        self.attempt = 0  # the one that we committed to; 0 for none
        self.signatures: list[bytes] | None = None
        self.cheaters: set[int] = set()  # numbers of governors that sent something wrong
        self._is_approved = False
        self._checked_attempt = 0  # the newest earlier attempt searched for wrong shares
        self._nonces: list[Nonces] = []

    def step(self) -> Progress:
        """Do everything that is possible now; safe to repeat.

        Raises `Refused`, `CheatingGovernor` when too few honest governors are left (or when our
        own share is wrong), `CeremonyFailed` after too many attempts, or what reading a file
        raises.
        """
        while not self._read_signed():
            self._check_consent()
            newest = self._newest()
            if self._check_earlier(newest):
                continue
            if newest > self.attempt:
                self._start(newest)
            commitments = self._commitments(self.attempt)
            chosen = self._selection(self.attempt) or self._select(commitments)
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
                self._check_consent()
                self._start(self.attempt + 1)
        return self._progress("done", is_done=True)

    def run(self, wait: Wait) -> list[bytes]:
        """Step until done; returns the signatures (64 B each), in the order of the items.

        `wait(progress)` shows the progress and sleeps. It may raise to stop, or call `retry` when
        an awaited governor does not answer.
        """
        while not (progress := self.step()).is_done:
            wait(progress)
        assert self.signatures is not None
        return self.signatures

    def retry(self) -> None:
        """Abandon this attempt and commit to the next one, without the silent governors."""
        self._check_consent()
        self._start(self.attempt + 1)

    # --- consent ----------------------------------------------------------------------------------

    def _check_consent(self) -> None:
        if not self._is_approved:
            if not self.approve(self.request):
                self._publish("refuse", [])
                raise Refused("you refused to sign this request")
            self._is_approved = True
        if self.seat.key.identifier in self.cheaters:
            raise CheatingGovernor(
                [self.seat.key.identifier],
                "our own messages are wrong",
                "This machine's key share or memory is damaged; restore the seat file.",
            )
        refusals = self._refusals()
        able = len(self._numbers()) - len(refusals | self.cheaters)
        if able < self.seat.public.threshold:
            if refusals:
                names = ", ".join(self._names(refusals))
                raise Refused(f"too few governors are left to sign: refused by {names}")
            raise CheatingGovernor(
                self.cheaters, "wrong messages; too few other governors are left to sign"
            )

    def _refusals(self) -> set[int]:
        return {n for n in self._numbers() if self._read(n, "refuse") is not None}

    # --- attempts ---------------------------------------------------------------------------------

    def _newest(self) -> int:
        """The newest attempt that any honest governor has committed to."""
        others = set(self._numbers()) - self.cheaters
        for attempt in range(ATTEMPTS_MAX, 1, -1):
            if any(self._read(number, f"commit{attempt}") is not None for number in others):
                return attempt
        return 1

    def _check_earlier(self, newest: int) -> bool:
        """Find the cheaters of earlier attempts; True if an attempt gave the signatures."""
        # After a restart even the newest attempt may be complete already.
        for attempt in range(self._checked_attempt + 1, newest if self.attempt else newest + 1):
            self._checked_attempt = min(attempt, newest - 1)
            commitments = self._commitments(attempt)
            numbers, digest = self._selection(attempt) or ([], b"")
            selected = {number: commitments[number] for number in numbers if number in commitments}
            if _digest(selected) != digest:
                continue
            shares = self._shares(attempt, selected, digest)
            if shares and set(shares) == set(selected) and self._combine(selected, shares):
                return True
        return False

    def _start(self, attempt: int) -> None:
        """Make new nonces for `attempt`, or the first later one without a commitment of ours."""
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
                "Find out which machine keeps failing, then make a new request.",
            )
        self._nonces = [commit(self.seat.key, self.random) for _ in self.request.items]
        public = [nonces.commitment for nonces in self._nonces]
        self._publish(f"commit{self.attempt}", [[item.hiding, item.binding] for item in public])

    # --- round one: commitments, and the choice of signers ----------------------------------------

    def _commitments(self, attempt: int) -> Commitments:
        found = {}
        for number in self._numbers():
            body = self._read(number, f"commit{attempt}")
            if body is None or number in self.cheaters:
                continue
            try:
                pairs = codec.a_list(codec.load(body), len(self.request.items))
                items = [codec.a_list(pair, 2) for pair in pairs]
                found[number] = [
                    Commitment(number, codec.some_bytes(hiding), point_from_bytes(binding))
                    for hiding, binding in items
                ]
            except Malformed:
                self.cheaters.add(number)
        return found

    def _select(self, commitments: Commitments) -> tuple[list[int], bytes] | None:
        """Select the signers, the lowest numbers, once enough have committed; first writer wins."""
        if len(commitments) < self.seat.public.threshold:
            return None
        numbers = sorted(commitments)[: self.seat.public.threshold]
        body = codec.dump([numbers, _digest({number: commitments[number] for number in numbers})])
        step = f"select{self.attempt}"
        data = envelope(self.identity, self.request.id, step, body)
        self.folder.publish_first(self._file(step), data)
        return self._selection(self.attempt)

    def _selection(self, attempt: int) -> tuple[list[int], bytes] | None:
        """(numbers, digest) of the select file, None where there is none yet.

        No numbers, and a digest that matches nothing, when its content is malformed.
        """
        step = f"select{attempt}"
        data = self.folder.read(self._file(step))
        if data is None:
            return None
        by_name = self.seat.roster.by_name
        sender, body = open_envelope(data, by_name, self.request.id, None, step)
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

    # --- round two: shares ------------------------------------------------------------------------

    def _share(self, selected: Commitments, digest: bytes) -> None:
        """Publish our shares, once, if we are selected."""
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
        """The shares published so far; None when one was made for another selection.

        In that case the folder showed different select files. The attempt is void, and no governor
        is blamed.
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
                shares = codec.a_list(listed, len(self.request.items))
                found[number] = [codec.some_bytes(share) for share in shares]
            except Malformed:
                # empty bytes are a wrong share, which `_combine` reports
                found[number] = [b""] * len(self.request.items)
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
            for i, item in enumerate(self.request.items)
        ]

    def _combine(self, selected: Commitments, shares: dict[int, list[bytes]]) -> bool:
        """Publish the signatures; False, with the cheaters recorded, when a share is wrong."""
        signatures = []
        for i, package in enumerate(self._packages(selected)):
            try:
                answers = {number: listed[i] for number, listed in shares.items()}
                signatures.append(aggregate(self.seat.public, package, answers))
            except CheatingGovernor as error:
                self.cheaters.update(error.identifiers)
        if len(signatures) < len(self.request.items):
            return False
        self.folder.publish_first(self._file("signed"), codec.dump(["writ-signed", signatures]))
        return True

    def _read_signed(self) -> bool:
        data = self.folder.read(self._file("signed"))
        if data is None:
            return False
        size = len(self.request.items)
        (listed,) = codec.tagged(codec.load(data), "writ-signed", 2)
        signatures = [codec.some_bytes(item, 64) for item in codec.a_list(listed, size)]
        for item, signature in zip(self.request.items, signatures, strict=True):
            if not is_valid(self.request.group_key, item.to_be_signed, signature):
                raise Malformed(
                    f"the signature in {self._file('signed')} does not verify",
                    "The file was altered: remove it and run the step again.",
                )
        self.signatures = signatures
        return True

    # --- files and names --------------------------------------------------------------------------

    def _file(self, step: str, number: int | None = None) -> str:
        name = "" if number is None else f"{self.seat.roster.name(number)}."
        return f"{self.request.tag}.{name}{step}.cbor"

    def _publish(self, step: str, body: object) -> None:
        data = envelope(self.identity, self.request.id, step, codec.dump(body))
        self.folder.publish(self._file(step, self.seat.key.identifier), data)

    def _read(self, number: int, step: str) -> bytes | None:
        """The body of a governor's file, None where there is none yet."""
        data = self.folder.read(self._file(step, number))
        if data is None:
            return None
        roster = self.seat.roster
        name = roster.name(number)
        return open_envelope(data, roster.by_name, self.request.id, name, step)[1]

    def _numbers(self) -> range:
        return range(1, len(self.seat.roster.governors) + 1)

    def _names(self, numbers: set[int]) -> tuple[str, ...]:
        return tuple(self.seat.roster.name(number) for number in sorted(numbers))

    def _progress(
        self, step: str, waiting: set[int] | None = None, is_done: bool = False
    ) -> Progress:
        return Progress(
            step,
            self._names(waiting or set()),
            is_done,
            attempt=self.attempt,
            cheaters=self._names(self.cheaters),
        )
