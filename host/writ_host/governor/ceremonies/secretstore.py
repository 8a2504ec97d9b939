"""NAME.seat.next: the secrets of ceremonies under way, and the seats that are not in force yet."""

from ... import codec
from ...ceremony.storage import CeremonyStore
from ...errors import HostError
from ...keys.roster import Seat

# A ceremony of 13 governors has about 7 kB; an encrypted file holds 64 kB.
SECRETS_MAX = 6
BYTES_MAX = 61440
# Ceremonies that must not begin again: with a second polynomial a governor would contradict the
# files that it has signed.
DROPPED_MAX = 64
_TAG = "writ-next"


class TooManyCeremonies(HostError):
    """Too many ceremonies are under way at one time."""

    advice = "Deny one of them first: writ governor pending."


class SecretStore:
    """The secret state of each ceremony (by id, 32 B), at its end the seat; all in one store.

    dropped: ids of ceremonies that must not begin again, oldest first.
    """

    def __init__(self, store: CeremonyStore) -> None:
        self._store = store
        self._data: dict[bytes, bytes] = {}
        self.dropped: list[bytes] = []
        if (data := store.load()) is not None:
            listed, dropped = codec.tagged(codec.load(data, BYTES_MAX), _TAG, 3)
            self.dropped = [codec.some_bytes(one, 32) for one in codec.a_list(dropped)]
            for ceremony, state in codec.a_map(listed, SECRETS_MAX).items():
                self._data[codec.some_bytes(ceremony, 32)] = codec.some_bytes(state)

    def __contains__(self, ceremony: bytes) -> bool:
        return ceremony in self._data

    @property
    def ceremonies(self) -> list[bytes]:
        """The ceremonies that have a secret."""
        return list(self._data)

    def store_of(self, ceremony: bytes) -> CeremonyStore:
        """The store of one ceremony. Saving raises `TooManyCeremonies`."""
        return _CeremonyStore(self, ceremony)

    def get(self, ceremony: bytes) -> bytes | None:
        """The data that a ceremony saved last."""
        return self._data.get(ceremony)

    def put(self, ceremony: bytes, data: bytes) -> None:
        """Keep the data of a ceremony, durably. Raises `TooManyCeremonies`."""
        self._save({**self._data, ceremony: data})

    def seats(self) -> dict[bytes, Seat]:
        """By ceremony: the seats that may be activated."""
        return {
            ceremony: Seat.from_bytes(data)
            for ceremony, data in self._data.items()
            if Seat.is_seat(data)
        }

    def forget(self, ceremonies: set[bytes]) -> None:
        """Delete the data of these ceremonies, durably."""
        self._save({id: data for id, data in self._data.items() if id not in ceremonies})

    def drop(self, ceremonies: set[bytes]) -> None:
        """Delete the data of these ceremonies, and never begin them again."""
        kept = [id for id in self.dropped if id not in ceremonies]
        self.dropped = [*kept, *sorted(ceremonies)][-DROPPED_MAX:]
        self.forget(ceremonies)

    def _save(self, data: dict[bytes, bytes]) -> None:
        encoded = codec.dump([_TAG, data, self.dropped])
        if len(data) > SECRETS_MAX or len(encoded) > BYTES_MAX:
            raise TooManyCeremonies("too many ceremonies at one time")
        self._store.save(encoded)
        self._data = data


class _CeremonyStore:
    def __init__(self, secrets: SecretStore, ceremony: bytes) -> None:
        self._secrets, self._ceremony = secrets, ceremony

    def load(self) -> bytes | None:
        return self._secrets.get(self._ceremony)

    def save(self, data: bytes) -> None:
        self._secrets.put(self._ceremony, data)
