"""A scope's folder: all that its governors certified, and what people keep beside it.

    charter.cbor  beacon.cbor  policies/00002.cbor  amendments/00002.cbor  members/NAME.cbor
    successions/00003.cbor (each with the last policy before it: the way to the key in force)
    policy.toml (what people edit)   book.toml (NAME = "host:port")   requests/NAME.cbor
    roster.cbor   governors/NAME.key, NAME.seat (encrypted)   ceremony/ (files of ceremonies)
    governor (the daemon that certifies)   proposed/ (what waits at it: pending.py)

No capsule in it is believed: each passes the checks of a device (`writ.authority.Authority`) when
it comes in and whenever the folder is opened.
"""

import contextlib
import fcntl
import json
import re
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from writ import crypto
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
from writ.errors import AlreadyKnown, BadSignature, Rejection, RolledBack
from writ.limits import CAPSULE_BYTES_MAX

from .. import files
from ..errors import DamagedFile, HostError, Malformed
from ..node import addressbook
from ..refusals import rejection_text

ADDRESS_MAX = 65534
_LOCK_POLL_S = 0.05
_BOOK_LINE = '{} = "{}"\n'


class NoScopeHere(HostError):
    """A folder without a charter."""

    advice = "Say which folder with --scope or WRIT_SCOPE, or found one: writ scope create NAME."


class FolderInUse(HostError):
    """Another process is certifying in the same folder."""

    advice = "Wait until it is done, then run the command again."


class _Records:
    # what Authority wants of a store; the folder is the one that lasts
    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self._data.get(name)

    def save(self, name: str, data: bytes) -> None:
        self._data[name] = data


def read_capsule(path: Path) -> bytes:
    """The bytes of a capsule's file. Raises `DamagedFile` for one that is too long for any."""
    try:
        return files.read_bounded(path, CAPSULE_BYTES_MAX)
    except Malformed as error:
        raise DamagedFile(
            str(error), "No capsule is that long: look at where it came from."
        ) from None


class ScopeFolder:
    """One scope's folder, open. Made by `open` or `create`; raises as they do.

    charter: `Charter`; charter_raw: its capsule; authority: the state of a device that was handed
    all that is here.
    """

    def __init__(self, path: Path, charter_raw: bytes) -> None:
        self.path = path
        self.charter_raw = charter_raw
        self._clock = Clock()
        self._amendment: Capsule | None = None
        scope = capsules.scope_id(capsules.parse(charter_raw).payload)
        self.authority = Authority(_Records(), scope=scope)
        self.authority.receive(charter_raw, self._clock.now_ms())
        self.charter: Charter = Charter(capsules.parse(charter_raw))

    @classmethod
    def open(cls, path: Path) -> "ScopeFolder":
        """The scope in `path`. Raises `NoScopeHere`, or `DamagedFile` for what fails a check."""
        file = path / "charter.cbor"
        if not file.is_file():
            founded = (path / "roster.cbor").is_file()
            advice = "Its charter is not certified yet: writ ceremony status." if founded else None
            raise NoScopeHere(f"no scope in {path} (no charter.cbor)", advice)
        with _checking(file):
            folder = cls(path, read_capsule(file))
        folder._load()
        return folder

    @classmethod
    def create(cls, path: Path, charter_raw: bytes) -> "ScopeFolder":
        """A new scope's folder, with its charter. Raises `Rejection`, or `HostError`."""
        folder = cls(path, charter_raw)
        file = path / "charter.cbor"
        # another governor may have been faster, with the same charter
        if file.exists() and read_capsule(file) != charter_raw:
            raise HostError(f"{path} holds a scope already", "Choose another --folder.")
        folder._write("charter.cbor", charter_raw)
        return folder

    def _load(self) -> None:
        # the beacon before the newest policy: it may be older, and its time still counts
        order = self._way()
        at = len(order) - (1 if order and order[-1].parent.name == "policies" else 0)
        for file in [*order[:at], self.path / "beacon.cbor", *order[at:]]:
            if file.is_file():
                with _checking(file):
                    self.authority.receive(read_capsule(file), self._clock.now_ms())

    def _way(self) -> list[Path]:
        """The files that lead from the charter to what is in force, in order."""
        found: list[Path] = []
        policies = self._numbered_files("policies")
        since = 0
        for epoch, file in sorted(self._numbered_files("successions").items()):
            before = [one for one in policies if since < one < epoch]
            found += [policies[one] for one in before and [max(before)]]
            found.append(file)
            since = epoch
        newest = [one for one in policies if one > since]
        return found + [policies[one] for one in newest and [max(newest)]]

    def _numbered_files(self, name: str) -> dict[int, Path]:
        return {int(file.stem): file for file in self._files(name) if file.stem.isdecimal()}

    def _files(self, name: str) -> list[Path]:
        return sorted((self.path / name).glob("*.cbor"))

    # --- what is in force -------------------------------------------------------------------------

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
        """What the next policy names as previous (6 bytes)."""
        return bytes(self.authority.head or self.charter.head)

    @property
    def group_key(self) -> bytes:
        """What certifies now: the charter's key, or its successor's (32 bytes)."""
        return bytes(self.authority.group_key or self.charter.group_key)

    def _group_keys(self) -> list[bytes]:
        # the one in force first
        later = [
            capsules.Succession(capsules.parse(read_capsule(file))).group_key
            for file in self._files("successions")
        ]
        return [*reversed(later), self.charter.group_key]

    def is_certified(self, raw: bytes) -> bool:
        """Whether a group key of this scope has signed this capsule, in force by now or not."""
        capsule = capsules.parse(raw)
        return any(_is_signed(capsule, key) for key in self._group_keys())

    def is_outdated(self, member: Member) -> bool:
        """Whether only an old group key has signed this member's capsule: no node believes it."""
        return not _is_signed(capsules.parse(member.raw), self.group_key)

    @property
    def beacon(self) -> Beacon | None:
        """The newest beacon."""
        return self.authority.beacon

    @cached_property
    def _members(self) -> dict[bytes, tuple[Path, Member]]:
        # by node id; verified, whether revoked and expired or not
        found = {}
        keys = self._group_keys()
        for file in [*self._files("members/old"), *self._files("members")]:
            with _checking(file):
                capsule = capsules.parse(read_capsule(file))
                if not any(_is_signed(capsule, key) for key in keys):
                    raise BadSignature()
                member = Member(capsule)
                found[member.node_id] = (file, member)
        return found

    def members(self) -> list[Member]:
        """The members, by address: of each name the newest, revoked and expired ones too."""
        old = self.path / "members/old"
        found = [member for file, member in self._members.values() if file.parent != old]
        return sorted(found, key=lambda member: int(member.address))

    def all_members(self) -> list[Member]:
        """Also those whose name has gone to another key, by address."""
        found = [member for _, member in self._members.values()]
        return sorted(found, key=lambda member: int(member.address))

    def member(self, name: str) -> Member | None:
        """The newest member of this name, or the one with this node id (16 hex digits)."""
        for member in self.members():
            if member.name == name:
                return member
        for member in self.all_members():
            if member.node_id.hex() == name:
                return member
        return None

    def names(self) -> dict[bytes, str]:
        """{node id: name} of all members there ever were, for texts."""
        return {member.node_id: member.name for member in self.all_members()}

    def revoked_names(self) -> list[str]:
        """Who is revoked: names, node ids (hex) where there is none."""
        names = self.names()
        revoked = self.policy.revoked if self.policy else []
        return sorted(names.get(node, node.hex()) for node in revoked)

    def is_revoked(self, member: Member) -> bool:
        """Whether the policy in force revokes this member."""
        return bool(self.policy and member.node_id in self.policy.revoked)

    def next_address(self, taken: set[int] | None = None) -> int:
        """A short address that no member has had. Raises `HostError` when there is none left."""
        used = {int(member.address) for member in self.all_members()} | (taken or set())
        # above all others: nodes may remember who had the others
        following = max(used, default=0) + 1
        if following <= ADDRESS_MAX:
            return following
        for address in range(1, ADDRESS_MAX + 1):
            if address not in used:
                return address
        raise HostError("all 65,534 short addresses are in use", "Found another scope.")

    def capsules(self, member: Member | None = None) -> list[bytes]:
        """All that a new node needs, in order: charter, policy, member, beacon."""
        found = [self.charter_raw, *(raw for _, raw in self.way())]
        if member is not None:
            found.append(member.raw)
        return found + self.beacon_capsules()

    def way(self) -> list[tuple[str, bytes]]:
        """[("policy" or "succession", capsule)]: from the charter to what is in force."""
        kinds = {"policies": "policy", "successions": "succession"}
        return [(kinds[file.parent.name], read_capsule(file)) for file in self._way()]

    def policy_capsule(self) -> bytes | None:
        """The whole policy in force, as a capsule."""
        file = self.path / _numbered("policies", self.policy.epoch if self.policy else 0)
        return read_capsule(file) if file.is_file() else None

    def amendment_capsule(self) -> bytes | None:
        """The amendment that led to the epoch in force, if there is one."""
        file = self.path / _numbered("amendments", self.epoch)
        return read_capsule(file) if file.is_file() else None

    def beacon_capsules(self) -> list[bytes]:
        """The beacon, unless it is older than the policy: devices would refuse it."""
        beacon = self.beacon
        return [beacon.raw] if beacon and beacon.epoch >= self.epoch else []

    # --- the way in -------------------------------------------------------------------------------

    def receive(self, raw: bytes) -> Capsule:
        """Check a capsule as a device does, then keep it. Raises `Rejection`.

        An amendment is kept when its whole policy comes.
        """
        capsule = capsules.parse(raw)
        if capsule.kind == MEMBER:
            # the authority remembers 16 members, the folder all
            known = self._members.get(Member(capsule).node_id)
            if known and known[1].raw == capsule.raw:
                raise AlreadyKnown()
            if known and known[1].expires > Member(capsule).expires:
                raise RolledBack()
        self.authority.receive(raw, self._clock.now_ms())
        if capsule.kind == MEMBER:
            self._keep_member(Member(capsule))
        elif capsule.kind == POLICY:
            self._keep_policy(capsule)
        elif capsule.kind == AMENDMENT:
            self._amendment = capsule
        elif capsule.kind == SUCCESSION:
            # the beacon goes first: it counts no more, and would not verify when it is read again
            (self.path / "beacon.cbor").unlink(missing_ok=True)
            self._write(_numbered("successions", capsule.body[1]), capsule.raw)
        elif capsule.kind == BEACON:
            self._write("beacon.cbor", capsule.raw)
        elif capsule.kind == CHARTER:
            self._write("charter.cbor", capsule.raw)
        return capsule

    def take(self, raw: bytes) -> bool:
        """`receive`, but what is known already is fine: False for that."""
        try:
            self.receive(raw)
        except AlreadyKnown:
            return False
        return True

    def _keep_policy(self, capsule: Capsule) -> None:
        # the whole policy first: after a crash it is missed by every new node, an amendment by none
        epoch = capsule.body[1]
        self._write(_numbered("policies", epoch), capsule.raw)
        if self._amendment is not None and self._amendment.body[1] == epoch:
            self._write(_numbered("amendments", epoch), self._amendment.raw)
        self._amendment = None

    def _keep_member(self, member: Member) -> None:
        file = self.path / f"members/{member.name}.cbor"
        before = next((one for one in self.members() if one.name == member.name), None)
        if before is not None and before.node_id != member.node_id:
            # who was revoked or replaced stays known by its node id
            self._write(f"members/old/{before.node_id.hex()}.cbor", before.raw)
        self._write(f"members/{member.name}.cbor", member.raw)
        known = self._members.get(member.node_id)
        if known and known[0] != file:
            known[0].unlink(missing_ok=True)
        del self._members

    def _write(self, name: str, data: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, data, 0o644)

    @contextlib.contextmanager
    def lock(self, wait_s: float = 0) -> Iterator[None]:
        """Alone in the folder, with what others have put in by now.

        wait_s: how long whoever has it is waited for. Raises `FolderInUse`, and as `open` does.
        """
        end = time.monotonic() + wait_s
        with open(self.path / ".lock", "ab") as handle:
            while not _locks(handle):
                if time.monotonic() >= end:
                    raise FolderInUse(f"another writ is certifying in {self.path}")
                time.sleep(_LOCK_POLL_S)
            self._refresh()
            yield

    def _refresh(self) -> None:
        now = ScopeFolder.open(self.path)
        self._clock, self.authority, self._amendment = now._clock, now.authority, None
        self.__dict__.pop("_members", None)

    # --- what people keep beside ------------------------------------------------------------------

    @property
    def policy_file(self) -> Path:
        """policy.toml, as people write it."""
        return self.path / "policy.toml"

    def save_request(self, name: str, raw: bytes) -> Path:
        """Keep a request for membership under this name."""
        self._write(f"requests/{capsules.check_name(name)}.cbor", raw)
        return self.path / f"requests/{name}.cbor"

    def requests(self) -> list[Path]:
        """The files of requests that wait, by name."""
        return self._files("requests")

    def book(self) -> dict[str, str]:
        """{name: "host:port"} of book.toml. Raises `HostError`, `UsageError`."""
        return addressbook.read(self.path)

    def save_address(self, name: str, address: str) -> None:
        """Write where a member is into book.toml; all its other lines stay as they are."""
        if self.book().get(name) == address:
            return
        path = self.path / "book.toml"
        text = (
            path.read_text("utf-8") if path.exists() else "# Where members are: name, host:port\n"
        )
        key = json.dumps(name) if "." in name else name
        line = _BOOK_LINE.format(key, address)
        # above the first table, where names are names
        table = re.search(r"^\s*\[", text, re.MULTILINE)
        place = table.start() if table else len(text)
        top, rest = text[:place], text[place:]
        escaped = re.escape(name)
        pattern = re.compile(rf'^(?:{escaped}|"{escaped}")[ \t]*=.*\n?', re.MULTILINE)
        if pattern.search(top):
            top = pattern.sub(lambda _: line, top, count=1)
        else:
            top += ("" if not top or top.endswith("\n") else "\n") + line
        text = top + rest
        self._write("book.toml", text.encode())


def _locks(handle: BinaryIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_signed(capsule: Capsule, key: bytes) -> bool:
    return bool(crypto.ed25519_verify(key, capsule.signing_input(), capsule.signature))


def _numbered(name: str, epoch: int) -> str:
    # five digits look sorted in a listing; an epoch may have more
    return f"{name}/{epoch:05d}.cbor"


def now_s() -> int:
    """This machine's time, Unix seconds: for what is certified, never for what is checked."""
    return int(time.time())


@contextlib.contextmanager
def _checking(path: Path) -> Iterator[None]:
    try:
        yield
    except Rejection as error:
        raise DamagedFile(
            f"{path}: {rejection_text(error)}",
            f"Restore the file from a backup; writ capsule inspect {path} shows what is wrong.",
        ) from None
