"""NAME.seat.next: the secrets of ceremonies under way, and the seats that are not in force yet."""

from ... import codec
from ...ceremony.storage import Store
from ...errors import HostError
from ...keys.roster import Seat

# A ceremony of 13 governors has about 7 kB; an encrypted file holds 64 kB.
SLOTS_MAX = 6
BYTES_MAX = 61440
# Ceremonies that must never begin again here: what they said cannot be said a second time.
DROPPED_MAX = 64
_TAG = "writ-next"


class SlotsFull(HostError):
    """Too many ceremonies at one time."""

    advice = "Deny one of those under way first: writ governor pending."


class Slots:
    """By ceremony (32 B): its machine's state, and in the end its seat; all in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._data: dict[bytes, bytes] = {}
        self.dropped: list[bytes] = []
        if (data := store.load()) is not None:
            listed, dropped = codec.tagged(codec.load(data, BYTES_MAX), _TAG, 3)
            self.dropped = [codec.some_bytes(one, 32) for one in codec.a_list(dropped)]
            for ceremony, state in codec.a_map(listed, SLOTS_MAX).items():
                self._data[codec.some_bytes(ceremony, 32)] = codec.some_bytes(state)

    def __contains__(self, ceremony: bytes) -> bool:
        return ceremony in self._data

    @property
    def ceremonies(self) -> list[bytes]:
        """Which ceremonies have a slot."""
        return list(self._data)

    def slot(self, ceremony: bytes) -> Store:
        """The store of one ceremony. Saving raises `SlotsFull`."""
        return _Slot(self, ceremony)

    def get(self, ceremony: bytes) -> bytes | None:
        """What a ceremony saved last."""
        return self._data.get(ceremony)

    def put(self, ceremony: bytes, data: bytes) -> None:
        """Keep it, durably. Raises `SlotsFull`."""
        self._save({**self._data, ceremony: data})

    def seats(self) -> dict[bytes, Seat]:
        """By ceremony: the seats that wait."""
        return {
            ceremony: Seat.from_bytes(data)
            for ceremony, data in self._data.items()
            if Seat.is_seat(data)
        }

    def forget(self, ceremonies: set[bytes]) -> None:
        """Forget, durably, what these have."""
        self._save({id: data for id, data in self._data.items() if id not in ceremonies})

    def drop(self, ceremonies: set[bytes]) -> None:
        """The same, and remember that they were dropped."""
        kept = [id for id in self.dropped if id not in ceremonies]
        self.dropped = [*kept, *sorted(ceremonies)][-DROPPED_MAX:]
        self.forget(ceremonies)

    def _save(self, data: dict[bytes, bytes]) -> None:
        encoded = codec.dump([_TAG, data, self.dropped])
        if len(data) > SLOTS_MAX or len(encoded) > BYTES_MAX:
            raise SlotsFull("too many ceremonies at one time")
        self._store.save(encoded)
        self._data = data


class _Slot:
    def __init__(self, slots: Slots, ceremony: bytes) -> None:
        self._slots, self._ceremony = slots, ceremony

    def load(self) -> bytes | None:
        return self._slots.get(self._ceremony)

    def save(self, data: bytes) -> None:
        self._slots.put(self._ceremony, data)
