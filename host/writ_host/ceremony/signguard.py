"""What a governor has agreed to sign: one state for each epoch, remembered before it commits.

Signatures of two states for one epoch would split the scope. Any two quorums share an honest
governor (threshold > (n + f) / 2), so it is enough that each honest one keeps to this file.

    file = [ "writ-pledges", { group_key: { epoch: head } } ]
"""

from pathlib import Path
from typing import Any

from .. import codec, files
from ..errors import HostError

EPOCHS_KEPT = 64
SCOPES_MAX = 64


class AlreadyPledged(HostError):
    """This governor has agreed to another state for the same epoch."""

    advice = (
        "Find out what became of the other proposal. Only if the governors agree by voice that it"
        " is dead, and nobody has its signatures, sign again with --supersede."
    )


class Pledges:
    """One governor's pledges, in a file beside its keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _load(self) -> dict[bytes, dict[int, bytes]]:
        if not self.path.exists():
            return {}
        data = files.read_bounded(self.path, codec.FILE_BYTES_MAX)
        (listed,) = codec.tagged(codec.load(data), "writ-pledges", 2)
        found: dict[bytes, dict[int, bytes]] = {}
        for group_key, epochs in codec.a_map(listed).items():
            heads = {
                codec.an_int(epoch, 0, 0xFFFFFFFF): codec.some_bytes(head)
                for epoch, head in codec.a_map(epochs).items()
            }
            found[codec.some_bytes(group_key, 32)] = heads
        return found

    def make(self, group_key: bytes, states: dict[int, bytes], supersede: bool = False) -> None:
        """Pledge {epoch: head}, durably. Raises `AlreadyPledged` if that breaks one made before."""
        if not states:
            return
        known = self._load()
        mine: dict[int, Any] = known.setdefault(group_key, {})
        for epoch, head in states.items():
            if mine.get(epoch, head) != head and not supersede:
                raise AlreadyPledged(f"we have agreed to another policy for epoch {epoch}")
        mine.update(states)
        known[group_key] = dict(sorted(mine.items())[-EPOCHS_KEPT:])
        if len(known) > SCOPES_MAX:
            raise HostError(f"{self.path} is full", "Use another folder of keys.")
        files.write_atomically(self.path, codec.dump(["writ-pledges", known]))
