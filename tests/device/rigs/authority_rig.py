"""One Authority on a flash in memory, with the common steps of its tests."""

import signer
from fakeflash import MemoryFlash
from harness import raises

from writ import compat, crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import Store

# as the agent does at its start
compat.save_heap()

OWN_X = b"o" * 32
PEER_X = b"p" * 32
# The rule that lets every member read "temp" of every member
RULE = [1, 1, "temp", 1]
DAY_S = 86400


class Counter:
    """`with Counter() as counter:` counts signature checks in `counter.count`."""

    def __enter__(self):
        self.count = 0
        self._verify = crypto.ed25519_verify
        crypto.ed25519_verify = self._count
        return self

    def _count(self, public, message, signature):
        self.count += 1
        return self._verify(public, message, signature)

    def __exit__(self, kind, error, trace):
        crypto.ed25519_verify = self._verify


class Remembered(Counter):
    """`with Remembered():` makes each different signature check once, and repeats its verdict."""

    def __enter__(self):
        self._verdicts = {}
        return Counter.__enter__(self)

    def _count(self, public, message, signature):
        key = public + message + signature
        if key not in self._verdicts:
            self._verdicts[key] = Counter._count(self, public, message, signature)
        return self._verdicts[key]


def members_raw(x=PEER_X, **changes):
    """A certified member capsule."""
    return signer.certify(signer.member_payload(x, **changes))


def policy_raw(epoch, previous, rules=(RULE,), **changes):
    """A certified whole policy."""
    return signer.certify(signer.policy_payload(epoch, previous, rules, **changes))


def beacon_raw(epoch, head, after_s):
    """A certified beacon, `after_s` seconds after the scope's founding."""
    return signer.certify(signer.beacon_payload(epoch, head, signer.FOUNDED + after_s))


def payload_head(raw):
    """The head (6 bytes) of a capsule's payload."""
    return capsule.head(capsule.parse(raw).payload)


def resigned(raw):
    """A capsule of the same claims with the signature of another scope's governors."""
    return signer.certify(capsule.parse(raw).payload, signer.OTHER_SEED)


class Rig:
    """A node's authority, restartable. `now_ms` is the time since it was made."""

    def __init__(self, charter=True, **changes):
        self.flash = MemoryFlash()
        self.now_ms = 0
        self.scope = signer.scope()
        if changes:
            self.scope = capsule.scope_id(signer.charter_payload(**changes))
        self.boot()
        if charter:
            self.receive(signer.charter(**changes))

    def boot(self):
        """Start anew on the same flash."""
        self.now_ms = 0
        self.authority = Authority(Store(self.flash), OWN_X, self.scope)

    def receive(self, raw, source=None):
        """What Authority.receive does, now."""
        return self.authority.receive(raw, self.now_ms, source)

    def state(self):
        """All that a capsule may change, in a form that can be compared."""
        authority = self.authority
        return (
            dict(self.flash.files),
            authority.scope,
            authority.charter and authority.charter.head,
            authority.policy and authority.policy.payload(),
            authority.head,
            authority.me and authority.me.raw,
            authority.beacon and authority.beacon.raw,
            sorted([member.raw for member in authority.peers.values()]),
            authority.now_s(self.now_ms),
            authority.beacon_age_s(self.now_ms),
        )

    def refuses(self, rejection, raw, source=None):
        """Assert that the capsule is refused by exactly this name, and that nothing changes."""
        before = self.state()
        error = raises(rejection, self.receive, raw, source)
        assert type(error) is rejection, type(error).__name__
        assert self.state() == before
        return error

    def with_policy(self, epoch=1, **changes):
        """Bring in a policy; returns its head."""
        previous = self.authority.head or self.authority.charter.head
        self.receive(policy_raw(epoch, previous, **changes))
        return self.authority.head
