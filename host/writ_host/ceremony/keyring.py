"""The governors' keys on this machine: NAME.key (identity) and NAME.seat in one folder, encrypted.

Beside NAME.seat, the file NAME.seat.next holds the secrets of ceremonies under way between daemons,
and the seats that may replace NAME.seat.

A scope that was founded on one machine keeps all pairs in its `governors` folder. A governor on a
machine or stick of its own has a folder with one pair.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from .. import files
from ..errors import FileInTheWay, HostError, NeedsPerson
from ..keys import keyfile
from ..keys.identity import Identity
from ..keys.roster import Roster
from .local import LocalGovernor, create_identity, load_identity, load_seat
from .storage import KeyfileStore, MemoryFolder


class NoSeat(HostError):
    """The folder holds no keys of this governor."""

    advice = (
        "Give their folder (--keys DIR) and the governor (--as NAME); see writ ceremony status."
    )


def identity_path(keys: Path, name: str) -> Path:
    """The file of a governor's identity."""
    return keys / f"{name}.key"


def seat_store(keys: Path, name: str, key: keyfile.Unlock) -> KeyfileStore:
    """The store of a governor's seat, or of the state of its founding."""
    return KeyfileStore(keys / f"{name}.seat", key)


def names_in(keys: Path, suffix: str = ".seat") -> list[str]:
    """The names of the governors whose keys are in the folder."""
    return [path.stem for path in files.in_folder(keys, suffix)]


def new_identity(keys: Path, name: str, key: keyfile.Unlock) -> Identity:
    """Create an identity in the folder. Raises `FileInTheWay`."""
    files.make_folder(keys, 0o700)
    return create_identity(identity_path(keys, name), name, key)


def the_name(keys: Path, name: str | None, suffix: str = ".key") -> str:
    """`name`, or the only name in the folder. Raises `NoSeat`."""
    found = names_in(keys, suffix)
    if name is None and len(found) == 1:
        return found[0]
    if name is None or name not in found:
        whose = f"of {name} " if name else ""
        there = f"; it has keys of {', '.join(found)}" if found else ""
        raise NoSeat(f"no keys {whose}in {keys}{there}")
    return name


def open_identity(keys: Path, name: str, key: keyfile.Unlock) -> Identity:
    """A governor's identity. Raises `NoSeat` where there is none, or as `keyfile.read` does."""
    path = identity_path(keys, name)
    if not files.exists(path):
        raise NoSeat(f"no keys of {name} in {keys}")
    return load_identity(path, key)


def open_seat(
    keys: Path, name: str, key: keyfile.Unlock, roster: Roster | None = None
) -> LocalGovernor:
    """A governor's identity and seat. Raises `NoSeat` before its founding is done."""
    identity = open_identity(keys, name, key)
    seat = load_seat(seat_store(keys, name, key))
    if seat is None:
        raise NoSeat(f"{name} has no seat yet", "Finish the founding: writ ceremony found.")
    if roster is not None and seat.roster != roster:
        raise NoSeat(f"the seat of {name} belongs to another scope", "Check --scope and --keys.")
    return LocalGovernor(identity, seat, MemoryFolder())


def open_quorum(
    keys: Path, key: keyfile.Unlock, opened: Callable[[str], None] = lambda _: None
) -> list[LocalGovernor]:
    """As many seats of the folder as a signature needs; `opened(name)` is called for each.

    Raises `NoSeat` for none at all, `NeedsPerson` for too few, `WrongPassphrase`.
    """
    names = names_in(keys)
    if not names:
        raise NoSeat(
            f"no keys of a governor in {keys}",
            "Governors on separate machines sign by ceremony: give --as NAME and --keys DIR.",
        )
    found: list[LocalGovernor] = []
    shared = MemoryFolder()
    for name in names:
        one = open_seat(keys, name, key)
        found.append(LocalGovernor(one.identity, one.seat, shared))
        opened(name)
        if len(found) == one.seat.public.threshold:
            return found
    threshold = found[0].seat.public.threshold
    raise NeedsPerson(
        f"the keys of {len(found)} governors are here, and a signature needs {threshold}",
        "The others sign by ceremony: give --as NAME, and let them run writ ceremony sign.",
    )


def save_seats(
    keys: Path,
    governors: Sequence[LocalGovernor],
    key: keyfile.Unlock,
    saved: Callable[[str], None] = lambda _: None,
) -> None:
    """Encrypt all seats into the folder. Raises `FileInTheWay` instead of replacing a file."""
    files.make_folder(keys, 0o700)
    for one in governors:
        paths = identity_path(keys, one.seat.name), keys / f"{one.seat.name}.seat"
        for path in paths:
            if files.exists(path):
                raise FileInTheWay(f"{path} exists already", "Use an empty folder.")
    for one in governors:
        name = one.seat.name
        keyfile.write(identity_path(keys, name), "identity", one.identity.to_bytes(), key)
        seat_store(keys, name, key).save(one.seat.to_bytes())
        saved(name)
