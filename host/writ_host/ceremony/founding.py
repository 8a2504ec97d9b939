"""The founding ceremony: the governors of a roster make their group key, file by file.

Files in the shared folder, each a signed envelope (identity.py). The envelope's ceremony is the
roster's id, or the id of the invitation that contains the roster:

    NAME.round1.cbor     commitments to NAME's polynomial, and proof of possession
    NAME.round2.cbor     after the voice check: fingerprint of all round-1 files, and a sealed share
                         for each other governor
    NAME.confirm.cbor    fingerprint, group key and verifying shares
    NAME.complaint.cbor  which governor sent NAME something wrong, and what; it ends the ceremony
    NAME.refuse.cbor     NAME's operator refused; it ends the ceremony

A governor saves its state before it publishes a file, so after a crash it repeats the step. A share
is valid only when every governor has confirmed the same key.
"""

import hashlib
import os
from collections.abc import Callable
from typing import NoReturn

from .. import codec
from ..errors import (
    CeremonyFailed,
    CheatingGovernor,
    Disagreement,
    FileInTheWay,
    HpkeOpenError,
    Malformed,
    Refused,
)
from ..keys import hpke
from ..keys.dkg import Dkg, Round1, fingerprint_digits, proof_is_valid, public_package
from ..keys.frost import PublicKeyPackage
from ..keys.group import Random
from ..keys.identity import Identity, envelope, open_envelope
from ..keys.roster import STORE_BYTES_MAX, Roster, Seat
from .progress import Progress, Wait
from .storage import CeremonyStore, Folder

COMPLAINT_BYTES_MAX = 200
STEPS = ("round1", "round2", "confirm", "complaint", "refuse")


def _sealing_info(ceremony: bytes, sender: int, recipient: int) -> bytes:
    return codec.dump(["writ-round2", ceremony, sender, recipient])


def _public_digest(public: PublicKeyPackage) -> bytes:
    shares = [public.verifying_shares[i] for i in sorted(public.verifying_shares)]
    return hashlib.sha256(codec.dump([public.group_key, public.threshold, shares])).digest()


def confirmed_public_keys(
    folder: Folder, roster: Roster, context: bytes
) -> PublicKeyPackage | None:
    """The public keys that all governors of a roster confirmed, for an observer without a share.

    None while a file is missing. Raises `Disagreement`, `CheatingGovernor`, `Malformed`.
    """
    packages, confirmations = [], []
    for name in roster.names:
        bodies = []
        for step in ("round1", "confirm"):
            data = folder.read(f"{name}.{step}.cbor")
            if data is None:
                return None
            bodies.append(codec.load(open_envelope(data, roster.by_name, context, name, step)[1]))
        packages.append(Round1.from_item(bodies[0], roster.threshold))
        confirmations.append(codec.a_list(bodies[1], 2)[1])
    for number, package in enumerate(packages, 1):
        if not proof_is_valid(number, package):
            raise CheatingGovernor([number], "has no valid proof of possession of its secret")
    public = public_package([package.commitments for package in packages], len(packages))
    if any(confirmed != _public_digest(public) for confirmed in confirmations):
        raise Disagreement("the new governors confirm other keys than they generated")
    return public


class Founding:
    """One governor's part of a founding ceremony.

    `compare(fingerprint)` asks the operator whether all governors read out the same digits, before
    any share is sent; None means "not answered yet". `context` (32 B) is the ceremony's id, by
    default the roster's. Raises `UnknownGovernor` when the identity is not on the roster,
    `FileInTheWay` when the store belongs to another ceremony.
    """

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        roster: Roster,
        store: CeremonyStore,
        compare: Callable[[str], bool | None],
        random: Random = os.urandom,
        context: bytes | None = None,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.roster = roster
        self.context = context or roster.id
        self.store = store
        self.compare = compare
        self.me = roster.identifier(identity.name)
        if identity.public != roster.governors[self.me - 1]:
            raise FileInTheWay(
                f"the roster lists other keys for {identity.name}",
                "Do not continue: make the roster again from the public records of all governors.",
            )
        self.seat: Seat | None = None
        self._outbox: dict[str, bytes] = {}
        data = self._saved = store.load()
        if data is None:
            count = len(roster.governors)
            self._dkg = Dkg.begin(self.context, self.me, roster.threshold, count, random)
        else:
            self._restore(data)

    def step(self) -> Progress:
        """Do everything that is possible now. Safe to repeat, also after a crash.

        Raises `CheatingGovernor` (our complaint file names it too), `CeremonyFailed`,
        `Disagreement`, `Refused`, or what reading a file raises.
        """
        if self.seat is not None:
            return Progress("done", is_done=True)
        # After our confirmation others may have a seat, so a complaint no longer stops us.
        if "confirm" not in self._outbox:
            self._check_complaints()
        self._publish("round1", self._dkg.round1().to_item)
        if waiting := self._read_all("round1", self._take_round1):
            return self._wait("round1", waiting)
        fingerprint = fingerprint_digits(self._dkg.fingerprint())
        if "round2" not in self._outbox:
            is_same = self.compare(fingerprint)
            if is_same is None:
                return Progress("compare", (self.identity.name,), fingerprint=fingerprint)
            if not is_same:
                raise Refused("the fingerprints of the governors differ", Disagreement.advice)
        self._publish("round2", self._round2)
        if waiting := self._read_all("round2", self._take_round2):
            return self._wait("round2", waiting, fingerprint)
        key, public = self._dkg.finish()
        confirmation = [self._dkg.fingerprint(), _public_digest(public)]
        self._publish("confirm", lambda: list(confirmation))

        def take_confirmation(sender: int, body: object) -> None:
            if body != confirmation:
                raise Disagreement(f"{self.roster.name(sender)} confirms another key than we have")

        if waiting := self._read_all("confirm", take_confirmation):
            return self._wait("confirm", waiting, fingerprint)
        seat = Seat(self.roster, key, public)
        # Replaces the polynomial: from now on only the share exists.
        self.store.save(seat.to_bytes())
        self.seat = seat
        return Progress("done", is_done=True, fingerprint=fingerprint)

    def run(self, wait: Wait) -> Seat:
        """Step until done; `wait(progress)` shows the progress and sleeps, or raises to stop."""
        while not (progress := self.step()).is_done:
            wait(progress)
        assert self.seat is not None
        return self.seat

    def refuse(self) -> None:
        """Publish our operator's refusal: every later step of any governor raises `Refused`."""
        self._publish("refuse", list)

    def complain(self, accused: str, what: str) -> NoReturn:
        """End the ceremony with a complaint about `accused`. Raises `CheatingGovernor`."""
        number = self.roster.identifier(accused)
        self._publish("complaint", lambda: [number, what[:COMPLAINT_BYTES_MAX]])
        raise CheatingGovernor([number], f"({accused}) {what}")

    def _wait(self, step: str, waiting: tuple[str, ...], fingerprint: str = "") -> Progress:
        self._check_complaints()
        return Progress(step, waiting, fingerprint=fingerprint)

    def _file(self, name: str, step: str) -> str:
        return f"{name}.{step}.cbor"

    def _publish(self, step: str, make: Callable[[], list[object]]) -> None:
        if step not in self._outbox:
            body = codec.dump(make())
            self._outbox[step] = envelope(self.identity, self.context, step, body)
            self._save()
        self.folder.publish(self._file(self.identity.name, step), self._outbox[step])

    def _read_all(self, step: str, take: Callable[[int, object], None]) -> tuple[str, ...]:
        """Pass each governor's file to `take`; returns the governors whose file is missing."""
        waiting = []
        for governor in self.roster.governors:
            if governor.name == self.identity.name:
                continue
            data = self.folder.read(self._file(governor.name, step))
            if data is None:
                waiting.append(governor.name)
                continue
            body = self._open(data, governor.name, step)
            try:
                take(self.roster.identifier(governor.name), codec.load(body))
            except (CheatingGovernor, Malformed, HpkeOpenError) as error:
                # The envelope is signed, so the sender is responsible for its content.
                self.complain(governor.name, f"{step}: {error}")
        self._save()
        return tuple(waiting)

    def _take_round1(self, sender: int, body: object) -> None:
        self._dkg.receive_round1(sender, Round1.from_item(body, self.roster.threshold))

    def _round2(self) -> list[object]:
        shares = {
            recipient: hpke.seal(
                self.roster.governors[recipient - 1].seal_key,
                _sealing_info(self.context, self.me, recipient),
                share,
            )
            for recipient, share in self._dkg.round2().items()
        }
        return [self._dkg.fingerprint(), shares]

    def _take_round2(self, sender: int, body: object) -> None:
        fingerprint, shares = codec.a_list(body, 2)
        if fingerprint != self._dkg.fingerprint():
            raise Disagreement(
                f"{self.roster.name(sender)} received other round-1 files than we did"
            )
        sealed_share = codec.some_bytes(codec.a_map(shares).get(self.me))
        info = _sealing_info(self.context, sender, self.me)
        self._dkg.receive_round2(sender, self.identity.unseal(info, sealed_share))

    def _open(self, data: bytes, sender: str, step: str) -> bytes:
        return open_envelope(data, self.roster.by_name, self.context, sender, step)[1]

    def _check_complaints(self) -> None:
        """Raise for a refusal or a complaint, which ends the ceremony whether it is true or not."""
        for name in self.roster.names:
            if (data := self.folder.read(self._file(name, "refuse"))) is not None:
                self._open(data, name, "refuse")
                raise Refused(f"refused by {name}", "Ask why, then start a new ceremony.")
            if (data := self.folder.read(self._file(name, "complaint"))) is not None:
                number, text = codec.a_list(codec.load(self._open(data, name, "complaint")), 2)
                accused = self.roster.name(codec.an_int(number, 1, len(self.roster.governors)))
                what = codec.a_text(text, COMPLAINT_BYTES_MAX)
                raise CeremonyFailed(f"{name} complains about {accused}: {what}")

    def _save(self) -> None:
        state = ["writ-founding", self.context, self._dkg.to_bytes(), dict(self._outbox)]
        data = codec.dump(state)
        # Encryption is slow on purpose, and most steps change nothing.
        if data != self._saved:
            self.store.save(data)
            self._saved = data

    def _restore(self, data: bytes) -> None:
        other = FileInTheWay(
            "the state file belongs to another ceremony", "Use a fresh state file."
        )
        if Seat.is_seat(data):
            seat = Seat.from_bytes(data)
            if seat.roster != self.roster:
                raise other
            self.seat = seat
            return
        ceremony, state, outbox = codec.tagged(
            codec.load(data, STORE_BYTES_MAX), "writ-founding", 4
        )
        if ceremony != self.context:
            raise other
        self._dkg = Dkg.from_bytes(codec.some_bytes(state))
        if (self._dkg.identifier, self._dkg.context) != (self.me, self.context):
            raise other
        for step, message in codec.a_map(outbox).items():
            self._outbox[codec.a_text(step, 24)] = codec.some_bytes(message)
