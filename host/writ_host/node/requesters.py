"""Who spends a gateway's airtime: that of the requests which it has passed on, by requester.

An account has the frames in which the gateway sends a request, each time that it sends the request.
It does not have repetitions for a lost receipt, what relays spend, and the answer.
"""

from collections.abc import Iterator

# The last hour, in pieces, as the accounts of classes have it (writ.mesh.budget).
_PIECE_MS = 300_000
_PIECES = 12
# Members in the table: the one that was charged least recently makes room.
REQUESTERS_MAX = 1024


class Requesters:
    """The accounts of one gateway, by the short address of the requester."""

    def __init__(self) -> None:
        # least recently charged first; {number of the piece: [us, requests]}
        self._rows: dict[int, dict[int, list[int]]] = {}

    def charge(self, address: int, airtime_us: int, now_ms: int) -> None:
        """Note a request that is sent now."""
        row = self._rows.pop(address, {})
        if len(self._rows) >= REQUESTERS_MAX:
            del self._rows[next(iter(self._rows))]
        self._rows[address] = row
        piece = row.setdefault(now_ms // _PIECE_MS, [0, 0])
        piece[0] += airtime_us
        piece[1] += 1
        for number in [one for one in row if one <= now_ms // _PIECE_MS - _PIECES - 1]:
            del row[number]

    def spent(self, now_ms: int) -> Iterator[tuple[int, int, int]]:
        """(short address, us, requests sent) of the last 60 to 65 minutes, who spent most first."""
        first = now_ms // _PIECE_MS - _PIECES
        found = []
        for address, row in self._rows.items():
            recent = [piece for number, piece in row.items() if number >= first]
            if recent:
                found.append((address, sum(us for us, _ in recent), sum(n for _, n in recent)))
        return iter(sorted(found, key=lambda one: -one[1]))
