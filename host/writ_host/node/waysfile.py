"""The file ways.cbor in a gateway's folder: what the gateway knows of its mesh, for a restart.

    [1, [[link, short address], ...], [[[capsule, report, age, sleep], ...], ...]]

The gateway's neighbours, best first; and the last reports (meshroutes.py): the member capsule of
the reporter, the report as it came, its age in seconds, and for how many seconds the member sleeps
at most, 0 if it does not. Strict CBOR has short lists, hence the groups.
"""

from dataclasses import dataclass
from pathlib import Path

from writ.limits import CAPSULE_BYTES_MAX, REPORTED_MAX, SLEEP_S_MAX
from writ.mesh.frame import BROADCAST

from .. import codec, files

NAME = "ways.cbor"
VERSION = 1
# As many reports as a gateway takes (meshroutes.REPORTS_MAX), in groups
GROUP = 64
NEIGHBOURS_MAX = 128
AGE_S_MAX = 86_400
_REPORT_BYTES_MAX = 4 + 7 * REPORTED_MAX
_BYTES_MAX = GROUP * GROUP * (CAPSULE_BYTES_MAX + _REPORT_BYTES_MAX + 16)


@dataclass(frozen=True)
class KeptReport:
    """A report, as in the file."""

    capsule: bytes
    payload: bytes
    age_s: int
    sleep_s: int


@dataclass(frozen=True)
class Kept:
    """The content of the file. neighbours: (number of the link, short address)."""

    neighbours: list[tuple[int, int]]
    reports: list[KeptReport]


def read(folder: Path) -> Kept | None:
    """The content, or None where there is no file.

    Raises `Malformed` for another content, `OSError` for a file that cannot be read.
    """
    items = files.read_versioned(folder / NAME, VERSION, 3, _BYTES_MAX)
    if items is None:
        return None
    near, groups = items
    neighbours = []
    for item in codec.a_list(near, size_max=NEIGHBOURS_MAX):
        link, address = codec.a_list(item, 2)
        neighbours.append((codec.an_int(link, 0, 255), codec.an_int(address, 1, BROADCAST - 1)))
    return Kept(neighbours, [_report(one) for group in _groups(groups) for one in group])


def _groups(item: object) -> list[list[object]]:
    return [codec.a_list(one, size_max=GROUP) for one in codec.a_list(item, size_max=GROUP)]


def _report(item: object) -> KeptReport:
    capsule, payload, age_s, sleep_s = codec.a_list(item, 4)
    return KeptReport(
        codec.some_bytes(capsule, size_max=CAPSULE_BYTES_MAX),
        codec.some_bytes(payload, size_max=_REPORT_BYTES_MAX),
        codec.an_int(age_s, 0, AGE_S_MAX),
        codec.an_int(sleep_s, 0, SLEEP_S_MAX),
    )


def write(folder: Path, kept: Kept) -> None:
    """Replace the file in one step. Raises `OSError`."""
    entries = [[one.capsule, one.payload, one.age_s, one.sleep_s] for one in kept.reports]
    groups = [entries[at : at + GROUP] for at in range(0, len(entries), GROUP)]
    near = [list(one) for one in kept.neighbours[:NEIGHBOURS_MAX]]
    files.write_atomically(folder / NAME, codec.dump([VERSION, near, groups[-GROUP:]]))
