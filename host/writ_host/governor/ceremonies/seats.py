"""The seats of this governor: the one in force, and those that may replace it."""

from ... import codec
from ...ceremony.local import load_seat
from ...ceremony.storage import SeatStore
from ...errors import HostError, Stalled
from ...keys.roster import Seat, committee_digest
from .founding import FoundingRun
from .resharing import ResharingRun
from .run import DONE, CeremonyRun
from .secretstore import SecretStore
from .table import CeremonyTable

_RETIRED = codec.dump(["writ-retired"])


class NoSuchSeat(HostError):
    """This governor has no share in the committee."""

    advice = "Wait until the ceremony is done here too, or have a new share dealt."


class Seats:
    """The seats of one governor.

    seat: in force, None for none. A seat is named by its committee's digest (8 B) or, after a
    succession, by its new group key (32 B): its `seat_id`.
    """

    def __init__(self, store: SeatStore, secrets: SecretStore, table: CeremonyTable) -> None:
        self.seat = load_seat(store)
        self._store = store
        self._secrets = secrets
        self._table = table

    @property
    def is_lost(self) -> bool:
        """Whether there is no seat, no record that it was deleted, and none that may follow."""
        return self._store.load() is None and not self._secrets.seats()

    @property
    def digest(self) -> bytes:
        """The digest (8 B) of the committee in force, b"" without a seat."""
        return committee_digest(self.seat) if self.seat is not None else b""

    def next_seats(self) -> dict[bytes, Seat]:
        """By digest (8 B): the seats of ended ceremonies that could replace ours."""
        ended = {id for id, run in self._table.runs.items() if run.state == DONE}
        found = {
            committee_digest(seat): seat
            for id, seat in self._secrets.seats().items()
            if id in ended
        }
        found.pop(self.digest, None)
        return found

    def committees(self) -> frozenset[bytes]:
        """The ids of seats that a policy or a succession may put in force.

        They come from ended ceremonies that this governor followed, even as one that leaves.
        """
        found = set()
        for run in self._table.runs.values():
            if run.state == DONE and run.digest != self.digest:
                found.add(run.digest)
                if self.seat is None or run.group_key != self.seat.public.group_key:
                    found.add(run.group_key)
        return frozenset(found)

    def activate(self, seat_id: bytes) -> Seat:
        """Replace our seat by the one with this id, and delete the old share.

        To be called once a policy or a succession has put the seat in force, also by a new
        governor. For a seat that we confirmed this is proof enough that the others did, even if a
        Byzantine governor withheld their confirmations from us. Idempotent. Raises `NoSuchSeat`
        where this governor has no part in the new committee.
        """
        if self.seat is not None and seat_id in (self.digest, self.seat.public.group_key):
            return self.seat
        for id, seat in self._candidates().items():
            if seat_id in (committee_digest(seat), seat.public.group_key):
                self._store.save(seat.to_bytes())
                self.seat = seat
                run = self._table.runs[id]
                if isinstance(run, ResharingRun):
                    run.settle(seat)
                # Any other ceremony under way would reshare a share that is no longer ours.
                self._table.drop({other for other in self._table.runs if other != id})
                self._secrets.forget(set(self._secrets.ceremonies))
                return seat
        raise NoSuchSeat(f"no seat {seat_id.hex()} here")

    def _candidates(self) -> dict[bytes, Seat]:
        runs = self._table.runs
        found = {id: seat for id, seat in self._secrets.seats().items() if id in runs}
        for id, run in runs.items():
            if isinstance(run, ResharingRun) and (seat := run.candidate()) is not None:
                found.setdefault(id, seat)
        return found

    def retire(self) -> None:
        """Delete the seat and all seats that could replace it: other governors are in force."""
        self._store.save(_RETIRED)
        self.seat = None
        self._table.drop(set(self._table.runs))
        self._secrets.forget(set(self._secrets.ceremonies))

    # --- of a first founding ----------------------------------------------------------------------

    def install(self, id: bytes, seat: Seat) -> None:
        """Keep the first seat, durably, before anything is signed with it."""
        if self.seat is not None and self.seat.roster != seat.roster:
            raise Stalled("this governor has another seat already")
        self._store.save(seat.to_bytes())
        self.seat = seat
        self._secrets.forget({id})
        self._table.drop({other for other in self._table.runs if other != id})

    def withdraw(self, run: FoundingRun) -> None:
        """Delete the seat of a founding that the operator denied before the others completed it."""
        if self.seat is not None and self.seat.roster == run.invitation.roster:
            self._store.save(_RETIRED)
            self.seat = None
        self._secrets.forget({run.id})

    # --- after a restart --------------------------------------------------------------------------

    def is_stale(self, run: CeremonyRun) -> bool:
        """Whether a seat was activated that a ceremony neither reshares nor produced."""
        if self.seat is None or not isinstance(run, ResharingRun):
            return False
        return self.seat.roster not in (run.plan.old, run.plan.new)

    def forget_stale(self) -> None:
        """Delete the secrets that a crash left between two writes."""
        waiting = self._secrets.seats()
        runs = self._table.runs
        stale = {id for id in self._secrets.ceremonies if id not in runs and id not in waiting}
        stale |= {id for id, seat in waiting.items() if seat == self.seat}
        if stale:
            self._secrets.forget(stale)
