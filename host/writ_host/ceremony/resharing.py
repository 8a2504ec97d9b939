"""The re-sharing ceremony: new shares of the same group key for a new list of governors.

One protocol refreshes the shares, adds or removes a governor, and replaces a lost share:
`threshold` of the old governors deal, and all new governors receive (keys/reshare.py). Devices
notice nothing. A plan (plan.py) describes the change.

Files in the folder, each a signed envelope with the plan's digest as ceremony. Dealers sign as
governors of the old roster, all others as governors of the new one:

    NAME.deal.cbor       commitments to NAME's polynomial, and a sealed share for each new governor
    NAME.confirm.cbor    fingerprint of all commitments, and digest of the new public keys
    NAME.complaint.cbor  which dealer sent NAME something wrong, and what; it ends the ceremony
    NAME.refuse.cbor     NAME's operator refused; it ends the ceremony

The operator of a dealer approves before it deals. The operator of a governor without a seat
approves before it confirms: a new governor trusts no keys yet, so its operator compares the plan's
digest by voice. A new share is valid only when every new governor has confirmed the same keys.
"""

import hashlib
import os
from collections.abc import Callable
from typing import NoReturn

from writ.limits import GOVERNORS_MAX

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
from ..keys.frost import PublicKeyPackage
from ..keys.group import Random
from ..keys.identity import Identity, envelope, open_envelope
from ..keys.reshare import ShareReceiver, deal
from ..keys.roster import STORE_BYTES_MAX, Seat
from .plan import BadPlan, Plan
from .progress import Progress
from .storage import CeremonyStore, Folder

COMPLAINT_BYTES_MAX = 200


def _sealing_info(ceremony: bytes, dealer: int, receiver: int) -> bytes:
    return codec.dump(["writ-deal", ceremony, dealer, receiver])


class Resharing:
    """One governor's part of a re-sharing: old, new or both.

    `seat` is the seat in force, None for a governor without one. `decide()` asks the operator of a
    dealer, and of a governor without a seat: True, False, or None for "not answered yet". The
    results are `.seat`, valid once a policy names it, or None for a leaving governor, and
    `.public`, the new public keys. Raises `FileInTheWay` when the store belongs to another
    ceremony.
    """

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        plan: Plan,
        seat: Seat | None,
        store: CeremonyStore,
        decide: Callable[[], bool | None],
        random: Random = os.urandom,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.plan = plan
        self.store = store
        self.decide = decide
        self.random = random
        self.seat: Seat | None = None
        self.public: PublicKeyPackage | None = None
        name = identity.name
        self._old = seat if seat is not None and seat.roster == plan.old else None
        if self._old is not None and self._old.public != plan.public:
            raise BadPlan("the plan has other old public keys than our seat")
        self._is_dealer = self._old is not None and name in plan.dealer_names
        self._me = 0  # our number in the new roster, 0 for a leaving governor
        if plan.new.by_name.get(name) == identity.public:
            self._me = plan.new.identifier(name)
        if plan.writers.get(name) != identity.public:
            raise FileInTheWay(f"the plan lists other keys for {name}, or does not list it")
        # a leaving governor uses the public part alone, for which any number will do
        self._receiver = plan.receiver(self._me or 1)
        self._outbox: dict[str, bytes] = {}
        self._saved = store.load()
        if self._saved is not None:
            self._restore(self._saved)

    @property
    def is_asked(self) -> bool:
        """Whether this governor's operator has to decide."""
        is_newcomer = self._me > 0 and self._old is None
        return (self._is_dealer and "deal" not in self._outbox) or (
            is_newcomer and "confirm" not in self._outbox
        )

    def step(self) -> Progress:
        """Do everything that is possible now. Safe to repeat, also after a crash.

        Raises `CheatingGovernor` (our complaint file names it too), `CeremonyFailed`,
        `Disagreement`, `Refused`, or what reading a file raises.
        """
        if self.public is not None:
            return self._progress("done", is_done=True)
        # After our confirmation others may be done, so a complaint no longer stops us.
        if self.is_asked or (self._me and "confirm" not in self._outbox):
            self._check_complaints()
        answer = self.decide() if self.is_asked else True
        if answer is False:
            raise Refused("you refused this change of governors")
        if answer and self._is_dealer:
            self._publish("deal", self._deal)
        waiting = self._read_deals()
        if answer is None:
            return self._progress("approve", (self.identity.name,))
        if waiting:
            self._check_complaints()
            return self._progress("deal", waiting)
        key, public = self._receiver.finish() if self._me else (None, self._receiver.public())
        shares = [public.verifying_shares[i] for i in sorted(public.verifying_shares)]
        described = codec.dump([public.group_key, public.threshold, shares])
        fingerprint = self._receiver.fingerprint()
        confirmation: list[object] = [fingerprint, hashlib.sha256(described).digest()]
        if self._me:
            self._publish("confirm", lambda: list(confirmation))
        if waiting := self._read_confirmations(confirmation):
            self._check_complaints()
            return self._progress("confirm", waiting)
        if key is not None:
            self.seat = Seat(self.plan.new, key, public)
            # Replaces the received deals: from now on only the new share exists.
            self.store.save(self.seat.to_bytes())
        self.public = public
        return self._progress("done", is_done=True)

    def candidate(self) -> Seat | None:
        """The seat that we have confirmed, even if others' confirmations have not arrived.

        A certified policy that names the seat proves that the others confirmed it; a Byzantine
        governor could otherwise withhold its confirmation from this governor without end.
        """
        if self.seat is not None or "confirm" not in self._outbox or self._receiver.missing():
            return self.seat
        return Seat(self.plan.new, *self._receiver.finish())

    def refuse(self) -> None:
        """Publish our operator's refusal: every later step of any governor raises `Refused`."""
        if "refuse" in self.plan.steps(self.identity.name):
            self._publish("refuse", list)

    def complain(self, accused: str, what: str) -> NoReturn:
        """End the ceremony with a complaint about `accused`. Raises `CheatingGovernor`."""
        if self._me:
            self._publish("complaint", lambda: [accused, what[:COMPLAINT_BYTES_MAX]])
        number = self.plan.old.identifier(accused) if accused in self.plan.old.by_name else 0
        raise CheatingGovernor([number] if number else [], f"({accused}) {what}")

    # --- files ------------------------------------------------------------------------------------

    def _publish(self, step: str, make: Callable[[], list[object]]) -> None:
        if step not in self._outbox:
            body = codec.dump(make())
            self._outbox[step] = envelope(self.identity, self.plan.id, step, body)
            self._save()
        self.folder.publish(f"{self.identity.name}.{step}.cbor", self._outbox[step])

    def _read(self, name: str, step: str) -> bytes | None:
        data = self.folder.read(f"{name}.{step}.cbor")
        if data is None:
            return None
        return open_envelope(data, self.plan.writers, self.plan.id, name, step)[1]

    def _deal(self) -> list[object]:
        assert self._old is not None
        new = self.plan.new.governors
        made = deal(self._old.key, self.plan.dealers, len(new), self.random)
        me = self._old.key.identifier
        shares = {
            number: hpke.seal(
                new[number - 1].seal_key, _sealing_info(self.plan.id, me, number), share
            )
            for number, share in made.shares.items()
        }
        return [list(made.commitments), shares]

    def _read_deals(self) -> tuple[str, ...]:
        """Read the deals that are there; returns the dealers whose deal is missing."""
        waiting = []
        for number, name in zip(self.plan.dealers, self.plan.dealer_names, strict=True):
            body = self._read(name, "deal")
            if body is None:
                waiting.append(name)
                continue
            try:
                self._receive_deal(number, codec.load(body))
            except (CheatingGovernor, Malformed, HpkeOpenError) as error:
                # The envelope is signed, so the dealer is responsible for its content.
                self.complain(name, f"deal: {error}")
        self._save()
        return tuple(waiting)

    def _receive_deal(self, dealer: int, body: object) -> None:
        commitments, shares = codec.a_list(body, 2)
        points = codec.a_list(commitments, size_max=GOVERNORS_MAX)
        self._receiver.receive(dealer, [codec.some_bytes(point) for point in points])
        if self._me and dealer in self._receiver.missing():
            sealed_share = codec.some_bytes(codec.a_map(shares).get(self._me))
            info = _sealing_info(self.plan.id, dealer, self._me)
            self._receiver.receive_share(dealer, self.identity.unseal(info, sealed_share))

    def _read_confirmations(self, ours: list[object]) -> tuple[str, ...]:
        waiting = []
        for name in self.plan.new.names:
            body = self._read(name, "confirm")
            if body is None:
                waiting.append(name)
            elif codec.load(body) != ours:
                raise Disagreement(f"{name} confirms other keys than we have")
        return tuple(waiting)

    def _check_complaints(self) -> None:
        """Raise for a refusal or a complaint, which ends the ceremony whether it is true or not."""
        for name in self.plan.writers:
            if self._read(name, "refuse") is not None:
                raise Refused(
                    f"refused by {name}",
                    "Ask why; if necessary propose a change without this governor.",
                )
            if (body := self._read(name, "complaint")) is not None:
                accused, text = codec.a_list(codec.load(body), 2)
                what = codec.a_text(text, COMPLAINT_BYTES_MAX)
                raise CeremonyFailed(
                    f"{name} complains about {codec.a_text(accused, 24)}: {what}",
                    "Propose the change again, with other dealers.",
                )

    def _progress(
        self, step: str, waiting: tuple[str, ...] = (), is_done: bool = False
    ) -> Progress:
        return Progress(step, waiting, is_done, fingerprint=self.plan.fingerprint)

    # --- state ------------------------------------------------------------------------------------

    def _save(self) -> None:
        state = ["writ-handover", self.plan.id, self._receiver.to_bytes(), dict(self._outbox)]
        data = codec.dump(state)
        # Encryption is slow on purpose, and most steps change nothing.
        if data != self._saved:
            self.store.save(data)
            self._saved = data

    def _restore(self, data: bytes) -> None:
        other = FileInTheWay("the state file belongs to another ceremony")
        if Seat.is_seat(data):
            seat = Seat.from_bytes(data)
            if seat.roster != self.plan.new:
                raise other
            self.seat, self.public = seat, seat.public
            return
        items = codec.tagged(codec.load(data, STORE_BYTES_MAX), "writ-handover", 4)
        ceremony, state, outbox = items
        if ceremony != self.plan.id:
            raise other
        receiver = ShareReceiver.from_bytes(codec.some_bytes(state))
        if (receiver.context, receiver.me) != (self.plan.id, self._receiver.me):
            raise other
        self._receiver = receiver
        for step, message in codec.a_map(outbox).items():
            self._outbox[codec.a_text(step, 24)] = codec.some_bytes(message)
