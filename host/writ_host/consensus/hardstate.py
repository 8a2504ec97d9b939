"""The hard state: what a replica must not forget, durable before any message that depends on it.

    record = [ "writ-promise", counter, height, [* [round, digest / null]], locked_round,
               locked / null, valid_round, value / null, [* prevote], { number: evidence } ]

It prevents a second vote in a round (arXiv 1807.04938, Algorithm 1: a process that crashes resumes
from what it logged), keeps the lock, and carries what the next proposer needs: the valid value
with its proof. Nonces are never in it. `counter` grows with each write and is in every vote and
share. So other governors can show a governor that came back from an old backup what it has
forgotten.
"""

from dataclasses import dataclass, field

from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import Malformed
from .messages import (
    COUNTER_MAX,
    NO_ROUND,
    ROUND_MAX,
    Offer,
    Prevote,
    decode_offer,
    decode_prevotes,
)
from .value import DIGEST_BYTES, EPOCH_MAX, Value

RECORD_BYTES_MAX = 32768
# Own votes are repeated to replicas that lag by up to one round. None lags by more.
ROUNDS_KEPT = 2


@dataclass
class HardState:
    """The part of a replica's state that survives a restart.

    prevotes: this governor's votes by round, a digest or None for nil; locked and valid: as in the
    paper, with their rounds, NO_ROUND for none; proof: a quorum's prevotes for `valid`; newest: the
    newest signed message of each other governor.
    """

    counter: int = 0
    height: int = 0
    prevotes: dict[int, bytes | None] = field(default_factory=dict)
    locked_round: int = NO_ROUND
    locked: bytes | None = None
    valid_round: int = NO_ROUND
    valid: Value | None = None
    proof: tuple[Prevote, ...] = ()
    newest: dict[int, Offer] = field(default_factory=dict)

    def next_height(self, height: int) -> None:
        """Forget what binds only at a height that is decided. Counter and `newest` stay."""
        self.height, self.prevotes = height, {}
        self.locked_round, self.locked = NO_ROUND, None
        self.valid_round, self.valid, self.proof = NO_ROUND, None, ()

    def to_bytes(self) -> bytes:
        """The record."""
        self.prevotes = dict(sorted(self.prevotes.items())[-ROUNDS_KEPT:])
        return codec.dump(
            [
                "writ-promise",
                self.counter,
                self.height,
                [[round_, digest] for round_, digest in self.prevotes.items()],
                self.locked_round,
                self.locked,
                self.valid_round,
                None if self.valid is None else self.valid.to_item(),
                [prevote.encoded for prevote in self.proof],
                {number: message.encoded for number, message in self.newest.items()},
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "HardState":
        """Raises `Malformed`: a damaged record is never repaired by guessing."""
        items = codec.tagged(codec.load(data, RECORD_BYTES_MAX), "writ-promise", 10)
        votes: dict[int, bytes | None] = {}
        for pair in codec.a_list(items[2], size_max=ROUNDS_KEPT):
            round_, digest = codec.a_list(pair, 2)
            votes[codec.an_int(round_, 0, ROUND_MAX)] = _digest_or_none(digest)
        newest = codec.a_map(items[8], GOVERNORS_MAX)
        found = cls(
            codec.an_int(items[0], 0, COUNTER_MAX),
            codec.an_int(items[1], 0, EPOCH_MAX),
            votes,
            codec.an_int(items[3], NO_ROUND, ROUND_MAX),
            _digest_or_none(items[4]),
            codec.an_int(items[5], NO_ROUND, ROUND_MAX),
            None if items[6] is None else Value.from_item(items[6]),
            decode_prevotes(items[7]),
            {codec.an_int(n, 1, GOVERNORS_MAX): decode_offer(item) for n, item in newest.items()},
        )
        if (found.locked is None) != (found.locked_round == NO_ROUND):
            raise Malformed("a lock without its round")
        return found


def _digest_or_none(item: object) -> bytes | None:
    return None if item is None else codec.some_bytes(item, DIGEST_BYTES)
