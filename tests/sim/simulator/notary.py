"""The world's witness: it sees every signature that is made, and knows what must never be.

`Watched` wraps any signer and reports to the `Notary`: two votes of an honest governor in a round,
a nonce that signs twice, and two states of one epoch that the group has signed, or could have
(every honest signer of a session has answered: the liars can complete it in secret).
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field

from simulator.values import state_of
from writ import cbor


class Violation(Exception):
    """An invariant is broken. The text says which, `time_ms` when."""


@dataclass
class Notary:
    """honest: whose behaviour is judged; watch_promises: also judge votes, not only results."""

    threshold: int
    honest: frozenset[int]
    watch_promises: bool = True
    votes: dict[tuple, bytes | None] = field(default_factory=dict)
    voters: dict[tuple, set] = field(default_factory=lambda: defaultdict(set))
    locks: dict[tuple, tuple] = field(default_factory=dict)
    spent: set = field(default_factory=set)
    shared: dict[bytes, set] = field(default_factory=lambda: defaultdict(set))
    certified: dict[int, tuple] = field(default_factory=dict)
    signatures: int = 0

    def saw_signature(self, number, data):
        self.signatures += 1
        kind = cbor.decode(data)
        if kind[0] == "writ-prevote":
            _, _, _, height, round_, digest, *_ = kind
            self.voters[height, round_, digest].add(number)
            if number in self.honest and self.watch_promises:
                self._judge_vote(number, height, round_, digest)
        elif kind[0] == "writ-share" and number in self.honest:
            _, _, _, height, round_, digest, *_ = kind
            self.locks[number, height] = round_, digest

    def _judge_vote(self, number, height, round_, digest):
        known = self.votes.setdefault((number, height, round_), digest)
        if known != digest:
            raise Violation(f"governor {number} voted twice in {height}/{round_}")
        locked_round, locked = self.locks.get((number, height), (round_, digest))
        if digest in (None, locked) or round_ <= locked_round:
            return
        rounds = range(locked_round, round_)
        if not any(len(self.voters[height, r, digest]) >= self.threshold for r in rounds):
            raise Violation(f"governor {number} broke its lock of {height}/{locked_round}")

    def saw_share(self, number, package, commitment):
        if number not in self.honest:
            return
        if commitment in self.spent:
            raise Violation(f"governor {number} signed twice with one nonce")
        self.spent.add(commitment)
        answered = self.shared[package.key]
        answered.add(number)
        if answered >= self.honest & package.members:
            self.saw_group_signature(package.payload)

    def saw_group_signature(self, payload):
        epoch, state = state_of(payload)
        if epoch is None:
            return
        known = self.certified.setdefault(epoch, state)
        if known != state:
            raise Violation(f"epoch {epoch} has two certified states: {known} and {state}")


@dataclass(frozen=True)
class WatchedPackage:
    inner: object
    key: bytes
    members: frozenset[int]
    payload: bytes


class WatchedNonce:
    def __init__(self, inner, commitment):
        self.inner = inner
        self.commitment = commitment

    def discard(self):
        self.inner.discard()


class Watched:
    """A signer under the notary's eyes."""

    def __init__(self, inner, notary):
        self.inner = inner
        self.notary = notary
        self.identifier = inner.identifier
        self.verify = inner.verify
        self.check_commitment = inner.check_commitment
        self.is_valid = inner.is_valid

    def sign(self, data):
        self.notary.saw_signature(self.identifier, data)
        return self.inner.sign(data)

    def commit(self):
        commitment, nonce = self.inner.commit()
        return commitment, WatchedNonce(nonce, commitment)

    def package(self, payload, commitments):
        listed = b"".join(bytes([i]) + commitments[i] for i in sorted(commitments))
        key = hashlib.sha256(payload + listed).digest()
        inner = self.inner.package(payload, commitments)
        return WatchedPackage(inner, key, frozenset(commitments), payload)

    def share(self, package, nonce):
        self.notary.saw_share(self.identifier, package, nonce.commitment)
        return self.inner.share(package.inner, nonce.inner)

    def share_is_valid(self, package, number, share):
        return self.inner.share_is_valid(package.inner, number, share)

    def aggregate(self, package, shares):
        signature = self.inner.aggregate(package.inner, shares)
        self.notary.saw_group_signature(package.payload)
        return signature
