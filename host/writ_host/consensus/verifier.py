"""Checks of governors' own signatures, on messages and on proofs of a quorum."""

from collections.abc import Iterable

from .committee import Committee
from .messages import Prevote, RoundProposal, Share
from .signer import Signer

# Verified messages that are remembered: a prevote comes by itself, in sessions and in proofs.
VERIFIED_MAX = 1024


class Verifier:
    """Checks signed messages, each signature once."""

    def __init__(self, committee: Committee, signer: Signer) -> None:
        self._committee = committee
        self._signer = signer
        # the keys in order of arrival: the oldest is forgotten first
        self._verified: dict[Prevote | RoundProposal | Share, None] = {}

    def check(self, message: Prevote | RoundProposal | Share) -> bool:
        """True when the sender that the message names is a governor and signed it."""
        if message.sender not in self._committee.numbers:
            return False
        if message in self._verified:
            return True
        data = message.signing_input(self._committee.scope)
        if not self._signer.verify(message.sender, data, message.signature):
            return False
        self._verified[message] = None
        if len(self._verified) > VERIFIED_MAX:
            del self._verified[next(iter(self._verified))]
        return True

    def is_quorum(self, proof: Iterable[Prevote], height: int, round_: int, digest: bytes) -> bool:
        """True for prevotes of a quorum of governors for exactly this digest, height and round."""
        prevotes = list(proof)
        place = height, round_, digest
        return (
            len({prevote.sender for prevote in prevotes}) == len(prevotes)
            and len(prevotes) >= self._committee.threshold
            and all((p.height, p.round, p.digest) == place for p in prevotes)
            and all(self.check(prevote) for prevote in prevotes)
        )
