"""A re-sharing between daemons.

States, in their order: "new", "approve" (the operator decides), "deal", "confirm", and "done",
"failed" or "refused".
"""

from ...ceremony.plan import Plan
from ...ceremony.resharing import Resharing
from ...ceremony.storage import CeremonyStore
from ...keys.group import Random
from ...keys.identity import Identity
from ...keys.roster import Seat
from .gossip import ExpectedFile, Files
from .run import DONE, CeremonyRun, digest_of_public


class ResharingRun(CeremonyRun):
    """A re-sharing; `seat` is the one in force, None for a governor without one."""

    steps = ("deal", "confirm", "complaint", "refuse")

    def __init__(
        self,
        plan: Plan,
        identity: Identity,
        seat: Seat | None,
        store: CeremonyStore,
        files: Files,
        random: Random,
    ) -> None:
        expected = {
            f"{name}.{step}.cbor": ExpectedFile(governor, step)
            for name, governor in plan.writers.items()
            for step in plan.steps(name)
        }
        super().__init__(plan.id, identity, files, plan.writers, expected)
        self.plan = plan
        self.fingerprint = plan.fingerprint
        self._machine: Resharing | None = None
        if not self._is_restored:
            self._machine = Resharing(
                self.folder, identity, plan, seat, store, lambda: self._is_approved, random
            )

    @property
    def title(self) -> str:
        return self.plan.title

    def lines(self, now_s: int) -> list[str]:
        return self.plan.lines()

    @property
    def needs_decision(self) -> bool:
        return (
            self.is_open
            and self._machine is not None
            and (self._machine.is_asked and self._is_approved is None)
        )

    @property
    def seat_id(self) -> bytes:
        return self.digest

    @property
    def addresses(self) -> dict[bytes, str]:
        listed = zip(self.plan.new.governors, self.plan.peers, strict=True)
        return {governor.node_key: address for governor, address in listed}

    def candidate(self) -> Seat | None:
        """The new seat, if we have confirmed it; it is valid once a policy names it."""
        return None if self._machine is None else self._machine.candidate()

    def settle(self, seat: Seat) -> None:
        """End the ceremony: its seat is in force, even if confirmations have not arrived here."""
        if self.state != DONE:
            self.problem = ""
            self._finish(digest_of_public(seat.roster, seat.public), seat.public.group_key, [])

    def _step(self, now_ms: int) -> None:
        assert self._machine is not None
        progress = self._machine.step()
        self.state, self.waiting_for = progress.step, progress.waiting_for
        if progress.is_done:
            public = self._machine.public
            assert public is not None
            self._finish(digest_of_public(self.plan.new, public), public.group_key, [])

    def _complain(self, accused: str, what: str) -> None:
        if self._machine is not None and self._machine.public is None:
            self._machine.complain(accused, what)

    def _refuse(self) -> None:
        if self._machine is not None and self._machine.public is None:
            self._machine.refuse()
