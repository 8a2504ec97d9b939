"""The sign guard: a governor signs one policy state for each epoch, in ceremonies too.

Signatures of two states for one epoch would split the scope. The governor therefore writes the
state (its head) to a file before it commits to sign. Any two quorums share an honest governor
(threshold > (n + f) / 2), so it is enough that each honest governor keeps to its file.

    file = [ "writ-pledges", { group_key: { epoch: head } } ]
"""

from pathlib import Path
from typing import Any

from .. import codec, files
from ..errors import HostError

EPOCHS_KEPT = 64
SCOPES_MAX = 64


class DoubleSign(HostError):
    """This governor has agreed to sign another state for the same epoch."""

    advice = (
        "Find out the outcome of the other request. Sign again with --supersede only if the"
        " governors agree by voice that it is abandoned and that no governor has its signatures."
    )


class SignGuard:
    """The epochs that one governor has agreed to sign, in a file beside its keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _load(self) -> dict[bytes, dict[int, bytes]]:
        if not files.exists(self.path):
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

    def record(self, group_key: bytes, states: dict[int, bytes], supersede: bool = False) -> None:
        """Keep {epoch: head}, durably. Raises `DoubleSign` for an epoch with another head.

        supersede: the new heads take the place of the old ones.
        """
        if not states:
            return
        known = self._load()
        mine: dict[int, Any] = known.setdefault(group_key, {})
        for epoch, head in states.items():
            if mine.get(epoch, head) != head and not supersede:
                raise DoubleSign(
                    f"this governor has agreed to sign another policy for epoch {epoch}"
                )
        mine.update(states)
        known[group_key] = dict(sorted(mine.items())[-EPOCHS_KEPT:])
        if len(known) > SCOPES_MAX:
            raise HostError(f"{self.path} is full", "Use another folder for the keys.")
        files.write_atomically(self.path, codec.dump(["writ-pledges", known]))
