"""The file airtime.cbor in a node's folder: the airtime that its LoRa links have spent.

    [1, time, known, is open, [[duty cycle, [[class, airtime], ...]], ...]]

The Unix time of the file; for how many seconds before it the airtime is known; whether the node may
have sent more since, up to a reserve (airtimekeeper.py); and for each link the windows of its
budget, as in the record of a deep sleep (writ.mesh.kept).
"""

from dataclasses import dataclass
from pathlib import Path

from .. import codec, files

NAME = "airtime.cbor"
VERSION = 1
HOUR_S = 3600
_TIME_MAX = 1 << 40
_CLASSES = 16
_BYTES_MAX = 65_536
# Words of 2 bytes: how long the newest bucket is under way, and 62 and 13 buckets
_DUTY_BYTES = 126
_CLASS_BYTES = 28
# As `writ.mesh.kept.dump_budget` gives it
Account = tuple[bytes, list[tuple[int, bytes]]]


@dataclass(frozen=True)
class Kept:
    """The content of the file."""

    time_s: int
    known_s: int
    is_open: bool
    accounts: list[Account]


def read(folder: Path) -> Kept | None:
    """The content, or None where there is no file.

    Raises `Malformed` for another content, `OSError` for a file that cannot be read.
    """
    items = files.read_versioned(folder / NAME, VERSION, 5, _BYTES_MAX)
    if items is None:
        return None
    time_s, known_s, is_open, accounts = items
    return Kept(
        codec.an_int(time_s, 0, _TIME_MAX),
        codec.an_int(known_s, 0, HOUR_S),
        codec.an_int(is_open, 0, 1) == 1,
        [_account(one) for one in codec.a_list(accounts)],
    )


def _account(item: object) -> Account:
    duty, classes = codec.a_list(item, 2)
    found = []
    for row in codec.a_list(classes, size_max=_CLASSES):
        number, airtime = codec.a_list(row, 2)
        one = codec.an_int(number, 0, _CLASSES - 1)
        found.append((one, codec.some_bytes(airtime, _CLASS_BYTES)))
    return codec.some_bytes(duty, _DUTY_BYTES), found


def write(folder: Path, kept: Kept) -> None:
    """Replace the file in one step. Raises `OSError`."""
    accounts = [[duty, [list(row) for row in classes]] for duty, classes in kept.accounts]
    content = [VERSION, kept.time_s, kept.known_s, int(kept.is_open), accounts]
    files.write_atomically(folder / NAME, codec.dump(content))
