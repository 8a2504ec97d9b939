"""What a governor has promised: the record that is durable before anything it says leaves.

    record = [ "writ-promise", counter, height, [* [round, digest / null]], locked_round,
               locked / null, valid_round, value / null, [* prevote], { number: evidence } ]

It forbids a second vote in a round (arXiv 1807.04938, Algorithm 1: a process that crashes resumes
from what it logged), keeps the lock, and carries what the next proposer needs: the valid value with
its proof. Nonces are never in it. `counter` grows with each write and is in every vote and share,
so that others can show a governor that came back from an old backup what it has forgotten.
"""

from dataclasses import dataclass, field

from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import Malformed
from .messages import COUNTER_MAX, NO_ROUND, ROUND_MAX, Offer, Prevote, Share
from .value import DIGEST_BYTES, EPOCH_MAX, Value

RECORD_BYTES_MAX = 32768
# Own votes are repeated to whoever lags: in this round and the one before, nobody is further back.
ROUNDS_KEPT = 2


@dataclass
class Promise:
    """The state of one replica that survives it. `seen`: the newest signed word of each other."""

    counter: int = 0
    height: int = 0
    prevotes: dict[int, bytes | None] = field(default_factory=dict)
    locked_round: int = NO_ROUND
    locked: bytes | None = None
    valid_round: int = NO_ROUND
    valid: Value | None = None
    proof: tuple[Prevote, ...] = ()
    seen: dict[int, Offer] = field(default_factory=dict)

    def next_height(self, height: int) -> None:
        """Promises of a decided height bind nobody any more; counter and `seen` stay."""
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
                [prevote.packed for prevote in self.proof],
                {number: offer.packed for number, offer in self.seen.items()},
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Promise":
        """Raises `Malformed`: a damaged record is nobody's to guess."""
        items = codec.tagged(codec.load(data, RECORD_BYTES_MAX), "writ-promise", 10)
        prevotes: dict[int, bytes | None] = {}
        for pair in codec.a_list(items[2], size_max=ROUNDS_KEPT):
            round_, digest = codec.a_list(pair, 2)
            prevotes[codec.an_int(round_, 0, ROUND_MAX)] = _digest_or_none(digest)
        proof = codec.a_list(items[7], size_max=GOVERNORS_MAX)
        seen: dict[int, Offer] = {}
        for number, offer in codec.a_map(items[8], GOVERNORS_MAX).items():
            fields = codec.a_list(offer)
            shape = Prevote if len(fields) == Prevote.SIZE else Share
            seen[codec.an_int(number, 1, GOVERNORS_MAX)] = shape.from_fields(
                codec.a_list(fields, shape.SIZE)
            )
        found = cls(
            codec.an_int(items[0], 0, COUNTER_MAX),
            codec.an_int(items[1], 0, EPOCH_MAX),
            prevotes,
            codec.an_int(items[3], NO_ROUND, ROUND_MAX),
            _digest_or_none(items[4]),
            codec.an_int(items[5], NO_ROUND, ROUND_MAX),
            None if items[6] is None else Value.from_item(items[6]),
            tuple(Prevote.from_fields(codec.a_list(one, Prevote.SIZE)) for one in proof),
            seen,
        )
        if (found.locked is None) != (found.locked_round == NO_ROUND):
            raise Malformed("a lock without its round")
        return found


def _digest_or_none(item: object) -> bytes | None:
    return None if item is None else codec.some_bytes(item, DIGEST_BYTES)
