"""The founding ceremony: the governors of a roster make their group key, file by file.

Files in the shared folder, each a signed envelope (identity.py) with the roster's id, or that of
whatever the roster is part of, as ceremony:

    NAME.round1.cbor     commitments to NAME's polynomial, and proof of possession
    NAME.round2.cbor     after the voice check: fingerprint of all round-1 files, and a sealed share
                         for each other one
    NAME.confirm.cbor    fingerprint, group key and verifying shares
    NAME.complaint.cbor  who sent NAME something wrong, and what; it ends the ceremony
    NAME.refuse.cbor     NAME's operator said no; it ends the ceremony

A governor keeps its own state in its store, saved before anything is published, so a step that
crashed is simply run again. The share counts only when every governor has confirmed the same key.
"""

import hashlib
import os
from collections.abc import Callable
from typing import NoReturn

from .. import codec
from ..errors import (
    CeremonyFailed,
    CheatingGovernor,
    DecryptionFailed,
    Disagreement,
    FileInTheWay,
    Malformed,
    Refused,
)
from ..keys import hpke
from ..keys.dkg import Dkg, Round1, proof_is_valid, public_package, spoken
from ..keys.frost import PublicKeyPackage
from ..keys.group import Random
from ..keys.identity import Identity, envelope, open_envelope
from ..keys.roster import STORE_BYTES_MAX, Roster, Seat
from .progress import Progress, Wait
from .storage import Folder, Store

COMPLAINT_BYTES_MAX = 200
STEPS = ("round1", "round2", "confirm", "complaint", "refuse")


def _sealing_info(ceremony: bytes, sender: int, recipient: int) -> bytes:
    return codec.dump(["writ-round2", ceremony, sender, recipient])


def _public_digest(public: PublicKeyPackage) -> bytes:
    shares = [public.verifying_shares[i] for i in sorted(public.verifying_shares)]
    return hashlib.sha256(codec.dump([public.group_key, public.threshold, shares])).digest()


def witness(folder: Folder, roster: Roster, context: bytes) -> PublicKeyPackage | None:
    """The public keys that all of a roster have confirmed, for one who holds no share of them.

    None as long as somebody is awaited. Raises `Disagreement`, `CheatingGovernor`, `Malformed`.
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
            raise CheatingGovernor([number], "cannot prove that it knows its own secret")
    public = public_package([package.commitments for package in packages], len(packages))
    if any(confirmed != _public_digest(public) for confirmed in confirmations):
        raise Disagreement("the new governors confirm other keys than they made")
    return public


class Founding:
    """One governor's part of a founding ceremony.

    `compare(fingerprint)` asks the operator whether all governors read out the same digits; it is
    asked until it answers, before any share is sent: None is for "not yet". `context` (32 B) is
    what the ceremony is about, the roster's id otherwise. Raises `UnknownGovernor` when the
    identity is not on the roster, `FileInTheWay` when the store belongs to another ceremony.
    """

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        roster: Roster,
        store: Store,
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
                "Do not go on: have the roster made again from everybody's public records.",
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
        """Do all that can be done now. Safe to repeat, also after a crash.

        Raises `CheatingGovernor` (who then is also named in our complaint file), `CeremonyFailed`,
        `Disagreement`, `Refused`, or what reading a file raises.
        """
        if self.seat is not None:
            return Progress("done", done=True)
        # Once we have confirmed, others may have a seat: then only what is missing can stop us.
        if "confirm" not in self._outbox:
            self._heed_complaints()
        self._send("round1", self._dkg.round1().to_item)
        if waiting := self._read_all("round1", self._take_round1):
            return self._wait("round1", waiting)
        fingerprint = spoken(self._dkg.fingerprint())
        if "round2" not in self._outbox:
            is_same = self.compare(fingerprint)
            if is_same is None:
                return Progress("compare", (self.identity.name,), fingerprint=fingerprint)
            if not is_same:
                raise Refused("the fingerprint differs from the others'", Disagreement.advice)
        self._send("round2", self._round2)
        if waiting := self._read_all("round2", self._take_round2):
            return self._wait("round2", waiting, fingerprint)
        key, public = self._dkg.finish()
        confirmation = [self._dkg.fingerprint(), _public_digest(public)]
        self._send("confirm", lambda: list(confirmation))

        def take_confirmation(sender: int, body: object) -> None:
            if body != confirmation:
                raise Disagreement(f"{self.roster.name(sender)} confirms another key than ours")

        if waiting := self._read_all("confirm", take_confirmation):
            return self._wait("confirm", waiting, fingerprint)
        seat = Seat(self.roster, key, public)
        # Replaces the polynomial: from here on only the share exists.
        self.store.save(seat.to_bytes())
        self.seat = seat
        return Progress("done", done=True, fingerprint=fingerprint)

    def run(self, wait: Wait) -> Seat:
        """Step until done; `wait(progress)` shows it and sleeps, or raises to stop."""
        while not (progress := self.step()).done:
            wait(progress)
        assert self.seat is not None
        return self.seat

    def refuse(self) -> None:
        """Tell all that our operator says no: from then on every step raises `Refused`."""
        self._send("refuse", list)

    def complain(self, accused: str, what: str) -> NoReturn:
        """End the ceremony by naming who cheated. Raises `CheatingGovernor`."""
        number = self.roster.identifier(accused)
        self._send("complaint", lambda: [number, what[:COMPLAINT_BYTES_MAX]])
        raise CheatingGovernor([number], f"({accused}) {what}")

    def _wait(self, step: str, waiting: tuple[str, ...], fingerprint: str = "") -> Progress:
        self._heed_complaints()
        return Progress(step, waiting, fingerprint=fingerprint)

    def _file(self, name: str, step: str) -> str:
        return f"{name}.{step}.cbor"

    def _send(self, step: str, make: Callable[[], list[object]]) -> None:
        if step not in self._outbox:
            body = codec.dump(make())
            self._outbox[step] = envelope(self.identity, self.context, step, body)
            self._save()
        self.folder.publish(self._file(self.identity.name, step), self._outbox[step])

    def _read_all(self, step: str, take: Callable[[int, object], None]) -> tuple[str, ...]:
        """Give every other governor's message to `take`; returns who has not sent it yet."""
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
            except (CheatingGovernor, Malformed, DecryptionFailed) as error:
                # The envelope is signed, so what is wrong inside is the sender's doing.
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
            raise Disagreement(f"{self.roster.name(sender)} saw other round-1 messages than we did")
        sealed_share = codec.some_bytes(codec.a_map(shares).get(self.me))
        info = _sealing_info(self.context, sender, self.me)
        self._dkg.receive_round2(sender, self.identity.unseal(info, sealed_share))

    def _open(self, data: bytes, sender: str, step: str) -> bytes:
        return open_envelope(data, self.roster.by_name, self.context, sender, step)[1]

    def _heed_complaints(self) -> None:
        """A complaint is one governor's word against another's; in both cases it is over."""
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
        # Encrypting takes a while, on purpose; most steps change nothing.
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
