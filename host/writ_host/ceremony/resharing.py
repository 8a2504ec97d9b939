"""The resharing ceremony: the same group key for a new list of governors, file by file.

A refresh, a newcomer, a leaver and a lost share are all this: `threshold` of the old governors
deal, all new ones receive (reshare.py), and devices notice nothing. What is proposed is a plan
(plan.py).

Files in the folder, each a signed envelope with the digest of the plan as ceremony; dealers sign
as governors of the old roster, all others as governors of the new one:

    NAME.deal.cbor       commitments to NAME's polynomial, and a sealed share for each new governor
    NAME.confirm.cbor    fingerprint of all commitments, and digest of the new public keys
    NAME.complaint.cbor  which dealer sent NAME something wrong, and what; it ends the ceremony
    NAME.refuse.cbor     NAME's operator said no; it ends the ceremony

Each dealer's operator agrees before it deals, and that of whoever has no seat before it confirms:
a newcomer knows nobody, so its operator compares the plan's digest by voice. The new share counts
only when every new governor has confirmed the same keys.
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
    DecryptionFailed,
    Disagreement,
    FileInTheWay,
    Malformed,
    Refused,
)
from ..keys import hpke
from ..keys.frost import PublicKeyPackage
from ..keys.group import Random
from ..keys.identity import Identity, envelope, open_envelope
from ..keys.reshare import Resharing, deal
from ..keys.roster import STORE_BYTES_MAX, Seat
from .plan import BadPlan, Plan
from .progress import Progress
from .storage import Folder, Store

COMPLAINT_BYTES_MAX = 200


def _sealing_info(ceremony: bytes, dealer: int, receiver: int) -> bytes:
    return codec.dump(["writ-deal", ceremony, dealer, receiver])


class Handover:
    """One governor's part of a resharing: old, new or both.

    `seat` is the one in force, for whoever has one. `decide()` asks the operator of a dealer, and
    of one without a seat: True, False, or None for "not yet". The result is `.seat`, which counts
    once a policy names it, or stays None for a leaver; `.public` are the new public keys. Raises
    `FileInTheWay` when the store belongs to another ceremony.
    """

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        plan: Plan,
        seat: Seat | None,
        store: Store,
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
            raise BadPlan("the plan's old public keys are not ours")
        self._deals = self._old is not None and name in plan.dealer_names
        self._me = 0
        if plan.new.by_name.get(name) == identity.public:
            self._me = plan.new.identifier(name)
        if plan.writers.get(name) != identity.public:
            raise FileInTheWay(f"the plan lists other keys for {name}, or none")
        # a leaver follows it by the public part alone, for which any number does
        self._receiver = plan.receiver(self._me or 1)
        self._outbox: dict[str, bytes] = {}
        self._saved = store.load()
        if self._saved is not None:
            self._restore(self._saved)

    @property
    def is_asked(self) -> bool:
        """Whether this governor's operator has to agree."""
        is_newcomer = self._me > 0 and self._old is None
        return (self._deals and "deal" not in self._outbox) or (
            is_newcomer and "confirm" not in self._outbox
        )

    def step(self) -> Progress:
        """Do all that can be done now. Safe to repeat, also after a crash.

        Raises `CheatingGovernor` (who then is also named in our complaint file), `CeremonyFailed`,
        `Disagreement`, `Refused`, or what reading a file raises.
        """
        if self.public is not None:
            return self._progress("done", done=True)
        # Once we have confirmed, others may be done: then only what is missing can stop us.
        if self.is_asked or (self._me and "confirm" not in self._outbox):
            self._heed_complaints()
        answer = self.decide() if self.is_asked else True
        if answer is False:
            raise Refused("you refused this change of governors")
        if answer and self._deals:
            self._send("deal", self._deal)
        waiting = self._read_deals()
        if answer is None:
            return self._progress("approve", (self.identity.name,))
        if waiting:
            self._heed_complaints()
            return self._progress("deal", waiting)
        key, public = self._receiver.finish() if self._me else (None, self._receiver.public())
        shares = [public.verifying_shares[i] for i in sorted(public.verifying_shares)]
        described = codec.dump([public.group_key, public.threshold, shares])
        fingerprint = self._receiver.fingerprint()
        confirmation: list[object] = [fingerprint, hashlib.sha256(described).digest()]
        if self._me:
            self._send("confirm", lambda: list(confirmation))
        if waiting := self._read_confirmations(confirmation):
            self._heed_complaints()
            return self._progress("confirm", waiting)
        if key is not None:
            self.seat = Seat(self.plan.new, key, public)
            # Replaces what was dealt: from here on only the new share exists.
            self.store.save(self.seat.to_bytes())
        self.public = public
        return self._progress("done", done=True)

    def candidate(self) -> Seat | None:
        """The seat that we have confirmed, whether we know of all others' confirmations or not.

        Whoever is shown that it is in force needs no more: a liar could keep that from one of us.
        """
        if self.seat is not None or "confirm" not in self._outbox or self._receiver.missing():
            return self.seat
        return Seat(self.plan.new, *self._receiver.finish())

    def refuse(self) -> None:
        """Tell all that our operator says no: from then on every step raises `Refused`."""
        if "refuse" in self.plan.steps(self.identity.name):
            self._send("refuse", list)

    def complain(self, accused: str, what: str) -> NoReturn:
        """End the ceremony by naming who cheated. Raises `CheatingGovernor`."""
        if self._me:
            self._send("complaint", lambda: [accused, what[:COMPLAINT_BYTES_MAX]])
        number = self.plan.old.identifier(accused) if accused in self.plan.old.by_name else 0
        raise CheatingGovernor([number] if number else [], f"({accused}) {what}")

    # --- files ------------------------------------------------------------------------------------

    def _send(self, step: str, make: Callable[[], list[object]]) -> None:
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
        """Take what there is of all dealers; returns who has not dealt yet."""
        waiting = []
        for number, name in zip(self.plan.dealers, self.plan.dealer_names, strict=True):
            body = self._read(name, "deal")
            if body is None:
                waiting.append(name)
                continue
            try:
                self._take_deal(number, codec.load(body))
            except (CheatingGovernor, Malformed, DecryptionFailed) as error:
                # The envelope is signed, so what is wrong inside is the sender's doing.
                self.complain(name, f"deal: {error}")
        self._save()
        return tuple(waiting)

    def _take_deal(self, dealer: int, body: object) -> None:
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
                raise Disagreement(f"{name} confirms other keys than ours")
        return tuple(waiting)

    def _heed_complaints(self) -> None:
        """A complaint is one governor's word against another's; in both cases it is over."""
        for name in self.plan.writers:
            if self._read(name, "refuse") is not None:
                raise Refused(f"refused by {name}", "Ask why, and propose without it if need be.")
            if (body := self._read(name, "complaint")) is not None:
                accused, text = codec.a_list(codec.load(body), 2)
                what = codec.a_text(text, COMPLAINT_BYTES_MAX)
                raise CeremonyFailed(
                    f"{name} complains about {codec.a_text(accused, 24)}: {what}",
                    "Propose it again, with other dealers.",
                )

    def _progress(self, step: str, waiting: tuple[str, ...] = (), done: bool = False) -> Progress:
        return Progress(step, waiting, done, fingerprint=self.plan.fingerprint)

    # --- state ------------------------------------------------------------------------------------

    def _save(self) -> None:
        state = ["writ-handover", self.plan.id, self._receiver.to_bytes(), dict(self._outbox)]
        data = codec.dump(state)
        # Encrypting takes a while, on purpose; most steps change nothing.
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
        receiver = Resharing.from_bytes(codec.some_bytes(state))
        if (receiver.context, receiver.me) != (self.plan.id, self._receiver.me):
            raise other
        self._receiver = receiver
        for step, message in codec.a_map(outbox).items():
            self._outbox[codec.a_text(step, 24)] = codec.some_bytes(message)
