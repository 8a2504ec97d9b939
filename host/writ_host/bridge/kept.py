"""Member capsules of others on the bridge's disk: an outage of the broker and a restart lose none.

A node has its own capsule, charter, policy and beacon on flash, and other members in memory only.
"""

from collections.abc import Mapping

from writ.authority.authority import Authority
from writ.errors import AlreadyKnown, Rejection

from .held import MEMBER
from .spool import Spool


class KeptMembers:
    """Keeps what an authority knows of other members in a spool, and gives it back at the start."""

    def __init__(self, authority: Authority, spool: Spool) -> None:
        self._authority, self._spool = authority, spool
        self._kept = spool.kept()

    def restore(self, now_ms: int) -> None:
        """Give all capsules to the authority, which checks them as any; forget what it refuses."""
        if self._authority.charter is None:
            return
        for slot, raw in list(self._kept.items()):
            try:
                self._authority.receive(raw, now_ms)
            except AlreadyKnown:
                pass
            except Rejection:
                self._set(slot, b"")

    def update(self, held: Mapping[str, bytes]) -> None:
        """Keep the members among these capsules, and no others: as many as the node's cache."""
        me = self._authority.me
        members = {
            slot: raw
            for slot, raw in held.items()
            if slot.startswith(MEMBER) and (me is None or raw != me.raw)
        }
        for slot in self._kept.keys() | members.keys():
            self._set(slot, members.get(slot, b""))

    def _set(self, slot: str, raw: bytes) -> None:
        if self._kept.get(slot, b"") == raw:
            return
        if raw:
            self._kept[slot] = raw
        else:
            del self._kept[slot]
        self._spool.keep(slot, raw)
