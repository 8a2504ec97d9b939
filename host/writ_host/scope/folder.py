"""The folder of a scope: the capsules that its governors certified, and files that people edit.

    charter.cbor  beacon.cbor  policies/  amendments/  successions/   (records.py)
    members/                                                          (members.py)
    policy.toml (edited by people)   book.toml (NAME = "host:port")   requests/NAME.cbor
    roster.cbor   governors/NAME.key, NAME.seat (encrypted)   ceremony/ (files of ceremonies)
    governor (the daemon that certifies)   proposed/ (requests pending there: pending.py)

No capsule in the folder is trusted: each passes the checks of a device
(`writ.authority.authority.Authority`) when it is received and whenever the folder is opened.
"""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from writ.authority import capsule as capsules
from writ.authority.authority import Authority
from writ.authority.capsule import (
    AMENDMENT,
    BEACON,
    CHARTER,
    MEMBER,
    POLICY,
    SUCCESSION,
    Beacon,
    Capsule,
    Charter,
    Member,
)
from writ.authority.policy import Policy
from writ.compat import Clock
from writ.errors import AlreadyKnown, RolledBack

from .. import files
from ..errors import HostError
from .members import ScopeMembers
from .records import (
    BEACON_FILE,
    CHARTER_FILE,
    ScopeRecords,
    is_signed,
    read_capsule,
    reporting_damage,
)
from .revocation import is_void

_LOCK_POLL_S = 0.05


class NoScopeHere(HostError):
    """The folder has no charter."""

    advice = "Name the folder with --scope or WRIT_SCOPE, or found a scope: writ scope create NAME."


class FolderInUse(HostError):
    """Another process is certifying in the same folder."""

    advice = "Wait until it has finished, then run the command again."


class _MemoryStore:
    """The store of the folder's `Authority`: empty at first, as the folder is the durable one."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self._data.get(name)

    def save(self, name: str, data: bytes) -> None:
        self._data[name] = data

    def mend(self, name: str) -> None:
        """As `Store.mend`: what is in memory is complete."""


class ScopeFolder:
    """One scope's folder, open. Made by `open` or `create`; raises as they do.

    charter: `Charter`; charter_raw: its capsule; authority: the state of a device that has received
    every capsule in the folder; members: `ScopeMembers`.
    """

    def __init__(self, path: Path, charter_raw: bytes) -> None:
        self.path = path
        self.charter_raw = charter_raw
        self._clock = Clock()
        self._amendment: Capsule | None = None
        scope = capsules.scope_id(capsules.parse(charter_raw).payload)
        self.authority = Authority(_MemoryStore(), scope=scope)
        self.authority.receive(charter_raw, self._clock.now_ms())
        self.charter: Charter = Charter(capsules.parse(charter_raw))
        self._records = ScopeRecords(path)
        self.members = ScopeMembers(self._records, self.charter.group_key)

    @classmethod
    def open(cls, path: Path) -> "ScopeFolder":
        """The scope in `path`. Raises `NoScopeHere`, or `DamagedFile` if a file fails a check."""
        file = path / CHARTER_FILE
        if not files.exists(file):
            founded = files.exists(path / "roster.cbor")
            advice = "Its charter is not certified yet: writ ceremony status." if founded else None
            raise NoScopeHere(f"no scope in {path} (no {CHARTER_FILE})", advice)
        with reporting_damage(file):
            folder = cls(path, read_capsule(file))
        for file in folder._records.files_to_load():
            with reporting_damage(file):
                folder.authority.receive(read_capsule(file), folder._clock.now_ms())
        return folder

    @classmethod
    def find(cls, path: Path) -> "ScopeFolder | None":
        """The scope in a folder, None where there is none. Raises as `open` does."""
        try:
            return cls.open(path)
        except NoScopeHere:
            return None

    @classmethod
    def create(cls, path: Path, charter_raw: bytes) -> "ScopeFolder":
        """A new scope's folder, with its charter. Raises `Rejection`, or `HostError`."""
        folder = cls(path, charter_raw)
        file = path / CHARTER_FILE
        # another governor may have written the same charter already
        if files.exists(file) and read_capsule(file) != charter_raw:
            raise HostError(f"{path} already holds a scope", "Choose another --folder.")
        folder._records.write(CHARTER_FILE, charter_raw)
        return folder

    @contextlib.contextmanager
    def lock(self, wait_s: float = 0) -> Iterator[None]:
        """Exclusive use of the folder, reloaded as other processes have left it.

        wait_s: how long to wait for another process. Raises `FolderInUse`, and as `open` does.
        """
        end = time.monotonic() + wait_s
        with files.open_file(self.path / ".lock", "ab") as handle:
            while not _try_lock(handle):
                if time.monotonic() >= end:
                    raise FolderInUse(f"another writ command is certifying in {self.path}")
                time.sleep(_LOCK_POLL_S)
            self._reload()
            yield

    def _reload(self) -> None:
        now = ScopeFolder.open(self.path)
        self._clock, self.authority, self._amendment = now._clock, now.authority, None
        self.members = now.members

    # --- the state in force -----------------------------------------------------------------------

    @property
    def policy(self) -> Policy | None:
        """The policy in force, None before the first."""
        return self.authority.policy

    @property
    def epoch(self) -> int:
        """The epoch in force, 0 before the first policy."""
        return int(self.authority.epoch)

    @property
    def head(self) -> bytes:
        """The head that the next policy names as previous (6 bytes)."""
        return bytes(self.authority.head or self.charter.head)

    @property
    def group_key(self) -> bytes:
        """The group key in force: the charter's, or that of the last succession (32 bytes)."""
        return bytes(self.authority.group_key or self.charter.group_key)

    @property
    def beacon(self) -> Beacon | None:
        """The newest beacon."""
        return self.authority.beacon

    def is_certified(self, raw: bytes) -> bool:
        """Whether a present or former group key of this scope signed this capsule."""
        capsule = capsules.parse(raw)
        keys = self._records.group_keys(self.charter.group_key)
        return any(is_signed(capsule, key) for key in keys)

    def state_of(self, member: Member, time_s: int) -> str:
        """The state of a member's capsule at that time (Unix seconds).

        "ok", or why nodes refuse it: "revoked", "expired", "void" or "old key".
        """
        if self.is_revoked(member):
            return "revoked"
        if member.expires <= time_s:
            return "expired"
        if self.is_void(member):
            return "void"
        return "old key" if self.is_of_former_key(member) else "ok"

    def is_of_former_key(self, member: Member) -> bool:
        """Whether only a former group key signed this member's capsule: nodes refuse it."""
        return not is_signed(capsules.parse(member.raw), self.group_key)

    def is_revoked(self, member: Member) -> bool:
        """Whether the policy in force revokes this member."""
        return bool(self.policy and member.node_id in self.policy.revoked)

    def is_void(self, member: Member) -> bool:
        """Whether the policy in force voids this member's capsule."""
        return is_void(self.policy, member)

    def is_living(self, member: Member, time_s: int) -> bool:
        """Whether nodes accept this member's capsule at that time (Unix seconds)."""
        return member.expires > time_s and not (self.is_revoked(member) or self.is_void(member))

    def revoked_names(self) -> list[str]:
        """The revoked members: their names, or node ids (hex) where no name is known."""
        names = self.members.names()
        revoked = self.policy.revoked if self.policy else []
        return sorted(names.get(node, node.hex()) for node in revoked)

    # --- capsules to hand out ---------------------------------------------------------------------

    def capsules(self, member: Member | None = None) -> list[bytes]:
        """All capsules that a new node needs, in order: charter, chain, member, beacon."""
        found = [self.charter_raw, *(raw for _, raw in self.chain())]
        if member is not None:
            found.append(member.raw)
        return found + self.beacon_capsules()

    def chain(self) -> list[tuple[str, bytes]]:
        """[("policy" or "succession", capsule)]: from the charter to the state in force."""
        return self._records.chain()

    def policy_capsule(self) -> bytes | None:
        """The whole policy in force, as a capsule."""
        return self._records.policy(self.policy.epoch if self.policy else 0)

    def policy_as_of(self, epoch: int, head: bytes) -> Policy | None:
        """The policy that was in force in this state, None if that is not known here."""
        found = self._records.state(epoch)
        if found is None or not self.is_certified(found[0]):
            return None
        raw, policy = found
        if capsules.head(capsules.parse(raw).payload) != head:
            return None
        return Policy(capsules.parse(policy).claims)

    def amendment_capsule(self) -> bytes | None:
        """The amendment that led to the epoch in force, if there is one."""
        return self._records.amendment(self.epoch)

    def beacon_capsules(self) -> list[bytes]:
        """The beacon; none if it is older than the policy, as devices would refuse it."""
        beacon = self.beacon
        return [beacon.raw] if beacon and beacon.epoch >= self.epoch else []

    def drop_beacon(self) -> None:
        """Forget the newest beacon, to replace it by an earlier one."""
        self._records.drop_beacon()
        self._reload()

    # --- receiving --------------------------------------------------------------------------------

    def receive(self, raw: bytes) -> Capsule:
        """Check a capsule as a device does, then keep it. Raises `Rejection`.

        An amendment is written only when its whole policy arrives.
        """
        capsule = capsules.parse(raw)
        if capsule.kind == MEMBER:
            # the authority remembers 16 members, the folder all of them
            known = self.members.with_node_id(Member(capsule).node_id)
            if known and known.raw == capsule.raw:
                raise AlreadyKnown()
            if known and known.expires > Member(capsule).expires:
                raise RolledBack()
        self.authority.receive(raw, self._clock.now_ms())
        if capsule.kind == MEMBER:
            self.members.keep(Member(capsule))
        elif capsule.kind == POLICY:
            self._keep_policy(capsule)
        elif capsule.kind == AMENDMENT:
            self._amendment = capsule
        elif capsule.kind == SUCCESSION:
            self._records.write_succession(capsule.body[1], capsule.raw)
        elif capsule.kind == BEACON:
            self._records.write(BEACON_FILE, capsule.raw)
        elif capsule.kind == CHARTER:
            self._records.write(CHARTER_FILE, capsule.raw)
        return capsule

    def take(self, raw: bytes) -> bool:
        """`receive`, which returns False for a capsule that is known already."""
        try:
            self.receive(raw)
        except AlreadyKnown:
            return False
        return True

    def _keep_policy(self, capsule: Capsule) -> None:
        epoch, last = capsule.body[1], self._amendment
        amendment = last.raw if last is not None and last.body[1] == epoch else None
        self._records.write_policy(epoch, capsule.raw, amendment)
        self._amendment = None

    # --- files of people --------------------------------------------------------------------------

    @property
    def policy_file(self) -> Path:
        """policy.toml, as people write it."""
        return self.path / "policy.toml"

    def save_request(self, name: str, raw: bytes) -> Path:
        """Keep a request for membership under this name."""
        self._records.write(f"requests/{capsules.check_name(name)}.cbor", raw)
        return self.path / f"requests/{name}.cbor"

    def requests(self) -> list[Path]:
        """The files of pending requests for membership, by name."""
        return self._records.in_folder("requests")


def _try_lock(handle: BinaryIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def now_s() -> int:
    """This machine's time in Unix seconds; only for capsules to certify, never for checks."""
    return int(time.time())
