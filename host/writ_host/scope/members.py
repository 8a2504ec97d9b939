"""Members of a scope, from the capsules in its folder.

    members/NAME.cbor          the newest member of each name
    members/old/NODE_ID.cbor   members whose name has gone to another key

Each capsule is verified under the group key in force or a former one. Revoked and expired members
stay listed: texts name them, and their short addresses are not given out again.
"""

from functools import cached_property
from pathlib import Path

from writ.authority import capsule as capsules
from writ.authority.capsule import Member
from writ.errors import BadSignature

from ..errors import HostError
from .records import ScopeRecords, is_signed, read_capsule, reporting_damage

ADDRESS_MAX = 65534


class ScopeMembers:
    """All members of a scope folder, revoked and expired ones too; read on first use."""

    def __init__(self, records: ScopeRecords, charter_key: bytes) -> None:
        self._records = records
        self._charter_key = charter_key

    @cached_property
    def _by_node_id(self) -> dict[bytes, tuple[Path, Member]]:
        found: dict[bytes, tuple[Path, Member]] = {}
        keys = self._records.group_keys(self._charter_key)
        former = self._records.in_folder("members/old")
        for file in [*former, *self._records.in_folder("members")]:
            with reporting_damage(file):
                capsule = capsules.parse(read_capsule(file))
                if not any(is_signed(capsule, key) for key in keys):
                    raise BadSignature()
                member = Member(capsule)
                known = found.get(member.node_id)
                # a crash while a member was renamed leaves the capsules of both names
                if known and known[0].parent == file.parent and known[1].expires > member.expires:
                    continue
                found[member.node_id] = (file, member)
        return found

    def newest(self) -> list[Member]:
        """The newest member of each name, by short address."""
        former = self._records.path / "members/old"
        found = [member for file, member in self._by_node_id.values() if file.parent != former]
        return sorted(found, key=lambda member: int(member.address))

    def all(self) -> list[Member]:
        """All members, by short address; also those whose name has gone to another key."""
        found = [member for _, member in self._by_node_id.values()]
        return sorted(found, key=lambda member: int(member.address))

    def with_node_id(self, node_id: bytes) -> Member | None:
        """The member with this node id (8 bytes)."""
        found = self._by_node_id.get(node_id)
        return found[1] if found else None

    def find(self, name: str) -> Member | None:
        """The newest member of this name, or the one with this node id (16 hex digits)."""
        for member in self.newest():
            if member.name == name:
                return member
        for member in self.all():
            if member.node_id.hex() == name:
                return member
        return None

    def handle(self, node_id: bytes) -> str:
        """What `find` takes for it: its name, or its node id (hex) where another has the name."""
        member = self.with_node_id(node_id)
        if member is not None and self.find(str(member.name)) is member:
            return str(member.name)
        return node_id.hex()

    def names(self) -> dict[bytes, str]:
        """{node id: name} of all members."""
        return {member.node_id: member.name for member in self.all()}

    def next_address(self, reserved: set[int] | None = None) -> int:
        """A short address that no member has had. Raises `HostError` when all are in use."""
        used = {int(member.address) for member in self.all()} | (reserved or set())
        # above all others: nodes may remember the former owner of a lower one
        following = max(used, default=0) + 1
        if following <= ADDRESS_MAX:
            return following
        for address in range(1, ADDRESS_MAX + 1):
            if address not in used:
                return address
        raise HostError("all 65,534 short addresses are in use", "Found another scope.")

    def keep(self, member: Member) -> None:
        """Write a verified member, in place of an older capsule of the same name or key."""
        file = self._records.path / f"members/{member.name}.cbor"
        before = next((one for one in self.newest() if one.name == member.name), None)
        known = self._by_node_id
        if before is not None and before.node_id != member.node_id:
            name = f"members/old/{before.node_id.hex()}.cbor"
            self._records.write(name, before.raw)
            known[before.node_id] = (self._records.path / name, before)
        self._records.write(f"members/{member.name}.cbor", member.raw)
        was = known.get(member.node_id)
        if was and was[0] != file:
            was[0].unlink(missing_ok=True)
        known[member.node_id] = (file, member)
