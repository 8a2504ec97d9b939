"""Capsule files of a scope's folder: their names, and the chain from the charter to the present.

    charter.cbor  beacon.cbor  policies/00002.cbor  amendments/00002.cbor  successions/00003.cbor

The chain is what a new node needs to reach the state in force: for each succession the last policy
before it and the succession itself, then the newest policy. No file is trusted here: folder.py and
members.py verify every capsule.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import Capsule
from writ.errors import Rejection
from writ.limits import CAPSULE_BYTES_MAX

from .. import files
from ..errors import DamagedFile, Malformed
from ..refusals import rejection_text

CHARTER_FILE = "charter.cbor"
BEACON_FILE = "beacon.cbor"
_POLICIES, _AMENDMENTS, _SUCCESSIONS = "policies", "amendments", "successions"
_KINDS = {_POLICIES: "policy", _SUCCESSIONS: "succession"}


def read_capsule(path: Path) -> bytes:
    """The bytes of a capsule file. Raises `DamagedFile` if it is longer than any capsule."""
    try:
        return files.read_bounded(path, CAPSULE_BYTES_MAX)
    except Malformed as error:
        advice = "No capsule is that long: check where the file came from."
        raise DamagedFile(str(error), advice) from None


@contextlib.contextmanager
def reporting_damage(path: Path) -> Iterator[None]:
    """Turn a `Rejection` of the file's content into a `DamagedFile` that names the file."""
    try:
        yield
    except Rejection as error:
        raise DamagedFile(
            f"{path}: {rejection_text(error)}",
            f"Restore the file from a backup; writ capsule inspect {path} shows what is wrong.",
        ) from None


def is_signed(capsule: Capsule, key: bytes) -> bool:
    """Whether the Ed25519 key (32 bytes) signed this capsule."""
    return bool(crypto.ed25519_verify(key, capsule.signing_input(), capsule.signature))


class ScopeRecords:
    """The capsule files below one scope folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def in_folder(self, name: str) -> list[Path]:
        """The capsule files of a subfolder, sorted by name."""
        return files.in_folder(self.path / name, ".cbor")

    def write(self, name: str, data: bytes) -> None:
        """Replace one file atomically; everyone may read it."""
        path = self.path / name
        files.make_folder(path.parent)
        files.write_atomically(path, data, 0o644)

    def chain(self) -> list[tuple[str, bytes]]:
        """[("policy" or "succession", capsule)]: from the charter to the state in force."""
        return [(_KINDS[file.parent.name], read_capsule(file)) for file in self._chain_files()]

    def files_to_load(self) -> list[Path]:
        """The chain and the beacon, in the order in which an authority accepts them."""
        order = self._chain_files()
        # the beacon precedes the newest policy: it may be older, and its time still counts
        place = len(order) - (1 if order and order[-1].parent.name == _POLICIES else 0)
        found = [*order[:place], self.path / BEACON_FILE, *order[place:]]
        return [file for file in found if files.exists(file)]

    def group_keys(self, charter_key: bytes) -> list[bytes]:
        """All group keys that this scope has had (32 bytes each), the newest first."""
        later = [
            capsules.Succession(capsules.parse(read_capsule(file))).group_key
            for file in self.in_folder(_SUCCESSIONS)
        ]
        return [*reversed(later), charter_key]

    def policy(self, epoch: int) -> bytes | None:
        """The whole policy of this epoch, None if it is not here."""
        return self._read(_numbered(_POLICIES, epoch))

    def state(self, epoch: int) -> tuple[bytes, bytes] | None:
        """The policy or succession of this epoch, and the policy that was in force with it."""
        raw = self.policy(epoch)
        if raw is not None:
            return raw, raw
        raw = self._read(_numbered(_SUCCESSIONS, epoch))
        before = [one for one in self._by_epoch(_POLICIES) if one < epoch]
        policy = self.policy(max(before)) if before else None
        return (raw, policy) if raw is not None and policy is not None else None

    def amendment(self, epoch: int) -> bytes | None:
        """The amendment that leads to this epoch, None if it is not here."""
        return self._read(_numbered(_AMENDMENTS, epoch))

    def write_policy(self, epoch: int, raw: bytes, amendment: bytes | None) -> None:
        """Keep a whole policy, and the amendment that leads to it."""
        # the policy first: after a crash every new node needs it, and no node needs the amendment
        self.write(_numbered(_POLICIES, epoch), raw)
        if amendment is not None:
            self.write(_numbered(_AMENDMENTS, epoch), amendment)

    def write_succession(self, epoch: int, raw: bytes) -> None:
        """Keep a succession. The beacon is removed first: the former group key signed it."""
        self.drop_beacon()
        self.write(_numbered(_SUCCESSIONS, epoch), raw)

    def drop_beacon(self) -> None:
        """Remove the beacon."""
        (self.path / BEACON_FILE).unlink(missing_ok=True)

    def _read(self, name: str) -> bytes | None:
        file = self.path / name
        return read_capsule(file) if files.exists(file) else None

    def _chain_files(self) -> list[Path]:
        found: list[Path] = []
        policies = self._by_epoch(_POLICIES)
        since = 0
        for epoch, file in sorted(self._by_epoch(_SUCCESSIONS).items()):
            before = [one for one in policies if since < one < epoch]
            found += [policies[one] for one in before and [max(before)]]
            found.append(file)
            since = epoch
        newest = [one for one in policies if one > since]
        return found + [policies[one] for one in newest and [max(newest)]]

    def _by_epoch(self, name: str) -> dict[int, Path]:
        return {int(file.stem): file for file in self.in_folder(name) if file.stem.isdecimal()}


def _numbered(name: str, epoch: int) -> str:
    # five digits look sorted in a listing; an epoch may have more
    return f"{name}/{epoch:05d}.cbor"
