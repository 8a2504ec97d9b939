"""The invariant checks: the notary sees each signature that is made, and each message sent.

`Watched` wraps a signer and reports its signatures to the `Notary`. `World` reports messages. A
violation is: two votes of an honest governor in a round, a broken lock, a nonce that signs twice,
or two states of one epoch that the group has signed or could have signed. Once all honest signers
of a session have answered, Byzantine ones can complete it in secret.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field

from simulator.values import state_of
from writ import cbor


class Violation(Exception):
    """An invariant is broken. The text says which one."""


@dataclass
class Notary:
    """honest: the governors that are checked; watch_votes: also check single votes."""

    threshold: int
    honest: frozenset[int]
    watch_votes: bool = True
    votes: dict[tuple, bytes | None] = field(default_factory=dict)
    voters: dict[tuple, set] = field(default_factory=lambda: defaultdict(set))
    locks: dict[tuple, tuple] = field(default_factory=dict)
    made: dict[tuple, object] = field(default_factory=dict)
    spent: set = field(default_factory=set)
    shared: dict[bytes, set] = field(default_factory=lambda: defaultdict(set))
    certified: dict[int, tuple] = field(default_factory=dict)

    def saw_signature(self, number, data):
        """A Byzantine governor's vote counts from its signature on, even if it is never sent."""
        if number in self.honest:
            return
        kind = cbor.decode(data)
        if kind[0] == "writ-prevote":
            _, _, _, height, round_, digest, *_ = kind
            self.voters[height, round_, digest].add(number)

    def saw_vote(self, vote):
        """An honest governor sends its own prevote."""
        self.voters[vote.height, vote.round, vote.digest].add(vote.sender)
        if self.watch_votes:
            self._check_vote(vote.sender, vote.height, vote.round, vote.digest)

    def saw_precommit(self, share):
        """An honest governor sends its own share message."""
        self.locks[share.sender, share.height] = share.round, share.digest
        for one in share.shares:
            package = self.made.get((share.sender, one))
            if package is None:
                continue
            answered = self.shared[package.key]
            answered.add(share.sender)
            if answered >= self.honest & package.members:
                self.saw_group_signature(package.payload)

    def _check_vote(self, number, height, round_, digest):
        known = self.votes.setdefault((number, height, round_), digest)
        if known != digest:
            raise Violation(f"governor {number} voted twice in {height}/{round_}")
        locked_round, locked = self.locks.get((number, height), (round_, digest))
        if digest in (None, locked) or round_ <= locked_round:
            return
        rounds = range(locked_round, round_)
        if not any(len(self.voters[height, r, digest]) >= self.threshold for r in rounds):
            raise Violation(f"governor {number} broke its lock of {height}/{locked_round}")

    def saw_share(self, number, package, commitment, share):
        """A share was computed; a crash may still prevent its sending."""
        if number not in self.honest:
            return
        if commitment in self.spent:
            raise Violation(f"governor {number} signed twice with one nonce")
        self.spent.add(commitment)
        self.made[number, share] = package

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
    """A signer that reports to the notary."""

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
        share = self.inner.share(package.inner, nonce.inner)
        self.notary.saw_share(self.identifier, package, nonce.commitment, share)
        return share

    def share_is_valid(self, package, number, share):
        return self.inner.share_is_valid(package.inner, number, share)

    def aggregate(self, package, shares):
        return self.inner.aggregate(package.inner, shares)
