"""The restorations of revoked nodes, which end the use of every statement from before them.

A node that was stolen, revoked, found again and restored may have signed statements before. They
name the epoch in which they were signed; here is the epoch in which their signer was restored last.
The record is part of the ledger, so a restart or a backup keeps it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from writ.authority.capsule import TIME_MAX

from ... import codec

_KEY = "restored"
# No statement counts for longer: a day, and the 14 days that a proposal waits for operators.
KEEP_S = 16 * 86400
# About 20 bytes each; beyond it the oldest ones count for all nodes.
RESTORATIONS_MAX = 120
# The node id of an entry that counts for all nodes.
ALL_NODES = b""

# (node id or ALL_NODES, epoch, Unix seconds)
_Entry = tuple[bytes, int, int]


class RestorationStore:
    """The restorations in the ledger's small values. clock_s: Unix seconds."""

    def __init__(
        self,
        read: Callable[[str], bytes | None],
        write: Callable[[str, bytes], None],
        clock_s: Callable[[], int],
    ) -> None:
        self._read = read
        self._write = write
        self._clock_s = clock_s

    def void_before(self, node_id: bytes) -> int:
        """Statements of this node from before this epoch are void; 0 if all may count."""
        return max((e for node, e, _ in self._entries() if node in (node_id, ALL_NODES)), default=0)

    def start(self, epoch: int) -> None:
        """Note the first epoch that this ledger knows: restorations before it are unknown here."""
        if self._read(_KEY) is None:
            # the first policy restores no member
            self._save([(ALL_NODES, epoch, self._clock_s())] if epoch > 1 else [])

    def add(self, old_epoch: int, old: Any, epoch: int, new: Any) -> None:
        """Note what the step from one policy in force to another one restores; None for none."""
        if epoch > old_epoch + 1:
            # the policies between them are unknown here
            nodes = {ALL_NODES}
        else:
            nodes = set(old.revoked if old else ()) - set(new.revoked if new else ())
        if nodes:
            now_s = self._clock_s()
            self._save([*self._entries(), *((node, epoch, now_s) for node in sorted(nodes))])

    def _entries(self) -> list[_Entry]:
        return list(_decoded(self._read(_KEY) or b"\x80"))

    def _save(self, entries: list[_Entry]) -> None:
        since_s = self._clock_s() - KEEP_S
        kept = [one for one in entries if one[2] > since_s]
        if excess := kept[:-RESTORATIONS_MAX]:
            newest = excess[-1]
            kept = [(ALL_NODES, newest[1], newest[2]), *kept[-RESTORATIONS_MAX:]]
        self._write(_KEY, codec.dump([list(one) for one in kept]))


@lru_cache(2)
def _decoded(data: bytes) -> tuple[_Entry, ...]:
    listed = [codec.a_list(one, 3) for one in codec.a_list(codec.load(data))]
    return tuple(
        (
            codec.some_bytes(node, size_max=8),
            codec.an_int(epoch, 0, TIME_MAX),
            codec.an_int(time_s, 0, 2**53),
        )
        for node, epoch, time_s in listed
    )
