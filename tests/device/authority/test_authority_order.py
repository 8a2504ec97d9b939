"""The checks of a capsule: each by name, in the design's order, and no refusal changes anything.

Size, canonical CBOR, kind and shape, scope, epoch and replay, time, known digest, rate limit,
signature.
"""

import signer
from authority_rig import (
    OWN_X,
    PEER_X,
    RULE,
    Counter,
    Rig,
    beacon_raw,
    members_raw,
    payload_head,
    policy_raw,
    resigned,
)
from harness import raises

from writ import cbor
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.capsule import WRIT
from writ.authority.store import Store
from writ.errors import (
    AlreadyKnown,
    BadShape,
    BadSignature,
    EpochGap,
    Expired,
    Forked,
    KnownBad,
    NoScope,
    NotCanonical,
    NotOurs,
    NotYetValid,
    RateLimited,
    Rejection,
    Revoked,
    RolledBack,
    TooLarge,
    TrailingBytes,
    UnknownKind,
    WrongPrevious,
    WrongScope,
)
from writ.limits import CAPSULE_BYTES_MAX, SIGNATURE_BURST

HEAD = b"\xab" * 6
NODE = b"n" * 8


def unsigned(payload, hint=None):
    """A capsule with an invalid signature."""
    return capsule.assemble(payload, bytes(64), hint=hint)


def valid(rig):
    """(name, capsule) of each kind that `rig`, with a policy in force, would accept now."""
    epoch, head = rig.authority.epoch, rig.authority.head
    return (
        ("member", members_raw()),
        ("own member", members_raw(OWN_X, name="me")),
        ("policy", policy_raw(epoch + 1, head)),
        ("later policy", policy_raw(epoch + 9, HEAD)),
        ("amendment", signer.certify(signer.amendment_payload(epoch + 1, head, NODE))),
        ("beacon", beacon_raw(epoch, head, 60)),
    )


def ready():
    """A Rig with charter and policy of epoch 1."""
    rig = Rig()
    rig.with_policy()
    return rig


def test_a_node_without_a_charter_accepts_its_own_charter_only():
    rig = Rig(charter=False)
    for _, raw in valid(ready()):
        rig.refuses(NoScope, raw)
    rig.refuses(WrongScope, signer.charter(name="other"))
    rig.refuses(BadSignature, signer.forge(signer.charter()))
    rig.refuses(BadSignature, resigned(signer.charter()))
    rig.receive(signer.charter())
    assert rig.authority.charter.name == "farm" and rig.authority.epoch == 0


def test_a_node_without_a_scope_accepts_no_charter():
    rig = Rig(charter=False)
    rig.authority = Authority(Store(rig.flash), OWN_X)
    rig.refuses(NoScope, signer.charter())
    rig.refuses(NoScope, members_raw())


def test_a_charter_is_accepted_once():
    rig = Rig()
    rig.refuses(AlreadyKnown, signer.charter())
    rig.refuses(WrongScope, signer.charter(name="other"))
    # neither by a charter of the same name under another group key
    rig.refuses(WrongScope, signer.charter(seed=signer.OTHER_SEED))


def test_each_valid_kind_is_accepted():
    # or the refusals below would prove nothing
    for i in range(6):
        rig = ready()
        name, raw = valid(rig)[i]
        before = rig.state()
        assert rig.receive(raw).raw == raw
        assert rig.state() != before, name


def test_each_forged_kind_is_refused():
    rig = ready()
    for _, raw in valid(rig):
        rig.refuses(BadSignature, signer.forge(raw))
        rig.refuses(BadSignature, resigned(raw))
        rig.refuses(BadSignature, raw[:-64] + bytes(64))


def test_a_signature_of_another_capsule_is_none():
    rig = ready()
    capsules = [raw for _, raw in valid(rig)]
    for i in range(len(capsules)):
        rig.refuses(BadSignature, capsules[i][:-64] + capsules[i - 1][-64:])


def test_a_second_signature_over_the_same_claims_cannot_be_made_from_the_first():
    # S + L verifies where S is not checked to be below the order L
    rig = ready()
    raw = members_raw()
    s = int.from_bytes(raw[-32:], "little") + signer.L
    rig.refuses(BadSignature, raw[:-32] + s.to_bytes(32, "little"))


def test_every_flipped_bit_of_a_certified_capsule_is_refused():
    rig = ready()
    raw = beacon_raw(1, rig.authority.head, 60)
    before = rig.state()
    for i in range(8 * (len(raw) - 64)):
        flipped = bytearray(raw)
        flipped[i >> 3] ^= 1 << (i & 7)
        raises(Rejection, rig.receive, bytes(flipped))
    for i in range(8 * len(raw) - 512, 8 * len(raw), 37):
        flipped = bytearray(raw)
        flipped[i >> 3] ^= 1 << (i & 7)
        rig.refuses(BadSignature, bytes(flipped))
    assert rig.state() == before


def test_future_kinds_are_refused_even_if_certified():
    rig = ready()
    payload = capsule.build(capsule.RELEASE, [2, rig.authority.head])
    rig.refuses(UnknownKind, signer.certify(payload))
    grant = capsule.assemble(capsule.build(8, [b"parent", 1]), bytes(64), capsule.ES256)
    rig.refuses(UnknownKind, grant)


def ordered(rig):
    """[(rejection, capsule)...]: each capsule is wrong in this way and in all later ways."""
    head = rig.authority.head
    hint = b"\x00" + signer.scope()[1:]
    bad_claims = {4: "exp", WRIT: [1, 0, 0]}
    not_shaped = unsigned(cbor.encode(bad_claims), hint)
    old = signer.policy_payload(1, HEAD)
    revoked = signer.member_payload(b"r" * 32, exp=1)
    return [
        (TooLarge, not_shaped + bytes(CAPSULE_BYTES_MAX)),
        (TrailingBytes, not_shaped + b"\x00"),
        (NotCanonical, not_shaped[:-66] + b"\x59\x00\x40" + bytes(64)),
        (BadShape, not_shaped),
        (UnknownKind, unsigned(cbor.encode({6: 1, WRIT: [99]}), hint)),
        (WrongScope, unsigned(old, hint)),
        (RolledBack, unsigned(old, signer.scope()[:4])),
        (WrongPrevious, unsigned(signer.policy_payload(4, HEAD))),
        (Forked, unsigned(signer.policy_payload(3, HEAD))),
        (EpochGap, unsigned(signer.amendment_payload(5, HEAD, NODE))),
        (WrongPrevious, unsigned(signer.amendment_payload(4, HEAD, NODE))),
        (RolledBack, unsigned(signer.amendment_payload(3, HEAD, NODE))),
        (RolledBack, unsigned(signer.beacon_payload(2, HEAD, signer.FOUNDED + 60))),
        (RolledBack, unsigned(signer.beacon_payload(3, HEAD, signer.FOUNDED + 59))),
        (Forked, unsigned(signer.beacon_payload(3, HEAD, signer.FOUNDED + 61))),
        (Revoked, unsigned(revoked)),
        (Expired, unsigned(signer.member_payload(b"e" * 32, exp=1, nbf=1 << 31))),
        (NotYetValid, unsigned(signer.member_payload(b"y" * 32, nbf=1 << 31))),
        (BadSignature, unsigned(signer.policy_payload(4, head))),
    ]


def test_the_first_failed_check_names_the_rejection():
    rig = Rig()
    rig.with_policy(3, revoked=[capsule.node_id(b"r" * 32)])
    rig.receive(beacon_raw(3, rig.authority.head, 60))
    cases = ordered(rig)
    with Counter() as counter:
        for rejection, raw in cases[:-1]:
            rig.refuses(rejection, raw, "stranger")
        # none of these costs a signature check or a token of the rate limit
        assert counter.count == 0
        for i in range(SIGNATURE_BURST):
            bad = bytearray(cases[-1][1])
            bad[-1] = i
            rig.refuses(BadSignature, bytes(bad), "stranger")
        assert counter.count == SIGNATURE_BURST
        # a known digest is named before the rate limit, the rate limit before the signature
        rig.refuses(KnownBad, bytes(bad), "stranger")
        bad[-1] = 255
        rig.refuses(RateLimited, bytes(bad), "stranger")
        rig.refuses(RateLimited, members_raw(), "stranger")
        assert counter.count == SIGNATURE_BURST
    # time before the known digest, scope before time
    rig.refuses(Expired, cases[-3][1], "stranger")


def test_the_hint_of_the_right_scope_is_accepted_and_a_wrong_one_refused():
    rig = ready()
    payload = signer.member_payload(PEER_X)
    rig.refuses(WrongScope, signer.certify(payload, hint=b"\xff"))
    rig.refuses(WrongScope, signer.certify(payload, hint=signer.scope()[1:]))
    rig.receive(signer.certify(payload, hint=signer.scope()[:3]))
    # whatever the hint, it is the same capsule; no second write, no second check
    with Counter() as counter:
        for hint in (None, signer.scope(), signer.scope()[:1]):
            rig.refuses(AlreadyKnown, signer.certify(payload, hint=hint))
        assert counter.count == 0
    assert rig.authority.peer(capsule.node_id(PEER_X)).raw == signer.certify(payload)


def test_a_member_capsule_is_replaced_by_one_that_lasts_longer():
    rig = ready()
    first = members_raw(exp=signer.EXPIRES, roles=2)
    renewed = members_raw(exp=signer.EXPIRES + 1, roles=4)
    rig.receive(first)
    rig.refuses(AlreadyKnown, first)
    rig.receive(renewed)
    rig.refuses(RolledBack, first)
    assert rig.authority.peer(capsule.node_id(PEER_X)).roles == 4


def test_own_membership_survives_a_restart_and_rolls_back_no_more_than_a_peers():
    rig = ready()
    first = members_raw(OWN_X, exp=signer.EXPIRES)
    renewed = members_raw(OWN_X, exp=signer.EXPIRES + 1)
    rig.receive(first)
    rig.receive(renewed)
    rig.boot()
    assert rig.authority.me.raw == renewed
    rig.refuses(RolledBack, first)
    rig.refuses(AlreadyKnown, renewed)
    assert rig.authority.peers == {}


def test_another_nodes_flash_is_refused():
    rig = ready()
    rig.receive(members_raw(OWN_X))
    raises(NotOurs, Authority, Store(rig.flash), PEER_X, rig.scope)
    raises(WrongScope, Authority, Store(rig.flash), OWN_X, b"\x00" * 8)


def test_odd_members_in_unsigned_capsules_raise_nothing_but_rejections():
    # keys of mixed types, which MicroPython and CPython refuse to sort
    rig = ready()
    for cnf in ({1: {1: 2, -1: 1, -2: PEER_X, "y": True}}, {1: {b"": 0}}, {"1": {}}, {1: 5}, 5):
        claims = cbor.decode(signer.member_payload(PEER_X))
        claims[capsule.CNF] = cnf
        rig.refuses(BadShape, unsigned(cbor.encode(claims)))
    assert payload_head(unsigned(signer.policy_payload(1, HEAD, [RULE])))
