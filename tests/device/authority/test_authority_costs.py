"""The computations that a stranger can cause: signature checks have a rate limit and no repeats."""

import signer
from authority_rig import Counter, Rig, beacon_raw, members_raw, policy_raw

from writ.authority import capsule
from writ.errors import AlreadyKnown, BadSignature, KnownBad, RateLimited, RolledBack
from writ.limits import KNOWN_BAD_MAX, PEERS_MAX, SIGNATURE_BURST, SIGNATURE_REFILL_MS

HEAD = b"\xab" * 6


def junk(i):
    """A well-formed member capsule, different for each `i`, with an invalid signature."""
    signature = i.to_bytes(4, "big") + bytes(60)
    return capsule.assemble(signer.member_payload(b"j" * 32), signature)


def ready():
    """A Rig with charter and policy of epoch 1."""
    rig = Rig()
    rig.with_policy()
    return rig


def test_a_known_bad_capsule_costs_no_second_check():
    rig = ready()
    with Counter() as counter:
        rig.refuses(BadSignature, junk(1), "a")
        assert counter.count == 1
        for neighbour in ("a", "b", None):
            rig.refuses(KnownBad, junk(1), neighbour)
        assert counter.count == 1
        # and a repeat takes no token of its source
        for _ in range(3 * SIGNATURE_BURST):
            rig.refuses(KnownBad, junk(1), "a")
        for i in range(2, SIGNATURE_BURST + 1):
            rig.refuses(BadSignature, junk(i), "a")
        assert counter.count == SIGNATURE_BURST


def test_a_hint_does_not_make_a_known_bad_capsule_new():
    rig = ready()
    payload = signer.member_payload(b"j" * 32)
    rig.refuses(BadSignature, capsule.assemble(payload, bytes(64)), "a")
    with Counter() as counter:
        for size in range(1, 9):
            hinted = capsule.assemble(payload, bytes(64), hint=signer.scope()[:size])
            rig.refuses(KnownBad, hinted, "a")
        assert counter.count == 0


def test_few_known_bad_capsules_are_kept_and_the_oldest_is_dropped():
    rig = ready()
    for i in range(KNOWN_BAD_MAX + 1):
        rig.refuses(BadSignature, junk(i))
    for i in range(1, KNOWN_BAD_MAX + 1):
        rig.refuses(KnownBad, junk(i))
    rig.refuses(BadSignature, junk(0))


def test_known_good_capsules_cost_no_check():
    rig = ready()
    policy = policy_raw(2, rig.authority.head)
    beacon = beacon_raw(2, capsule.head(capsule.parse(policy).payload), 60)
    good = [policy, beacon, members_raw(), members_raw(b"o" * 32, name="me")]
    for raw in good:
        rig.receive(raw, "a")
    with Counter() as counter:
        for raw in good + [signer.charter()]:
            for _ in range(SIGNATURE_BURST + 1):
                rig.refuses(AlreadyKnown, raw, "a")
        assert counter.count == 0


def test_a_source_has_a_rate_limit_that_refills():
    rig = ready()
    rig.now_ms = 1000000
    with Counter() as counter:
        for i in range(SIGNATURE_BURST):
            rig.refuses(BadSignature, junk(i), "a")
        for i in range(100, 110):
            rig.refuses(RateLimited, junk(i), "a")
        assert counter.count == SIGNATURE_BURST
        # other sources are not affected
        rig.receive(members_raw(), "b")
        # the operator at this node has no rate limit
        for i in range(200, 202):
            rig.refuses(BadSignature, junk(i))
        rig.now_ms += SIGNATURE_REFILL_MS - 1
        rig.refuses(RateLimited, junk(300), "a")
        rig.now_ms += 1
        rig.refuses(BadSignature, junk(301), "a")
        rig.refuses(RateLimited, junk(302), "a")


def test_a_rate_limited_capsule_is_not_known_bad():
    rig = ready()
    for i in range(SIGNATURE_BURST):
        rig.refuses(BadSignature, junk(i), "a")
    rig.refuses(RateLimited, members_raw(), "a")
    rig.receive(members_raw(), "b")


def test_a_source_that_changes_its_address_shares_the_common_limit():
    rig = ready()
    with Counter() as counter:
        for i in range(200):
            try:
                rig.receive(junk(i), "stranger %d" % i)
            except (BadSignature, RateLimited) as error:
                assert error.code
        assert counter.count == 4 * SIGNATURE_BURST


def test_the_cache_of_peers_is_limited_and_keeps_those_in_use():
    rig = ready()
    keys = [bytes((i,)) * 32 for i in range(PEERS_MAX + 1)]
    ids = [capsule.node_id(key) for key in keys]
    for i in range(PEERS_MAX):
        rig.receive(members_raw(keys[i], name="n%d" % i, address=i + 1))
    assert rig.authority.peer(ids[0]).name == "n0"
    rig.receive(members_raw(keys[-1], name="last", address=100))
    assert len(rig.authority.peers) == PEERS_MAX
    # the first was used since, so the second was dropped
    assert rig.authority.peer(ids[0]) and rig.authority.peer(ids[-1])
    assert rig.authority.peer(ids[1]) is None
    assert rig.authority.peer_by(name="n2").address == 3
    assert rig.authority.peer_by(address=100).name == "last"
    assert rig.authority.peer_by(x=keys[3]).name == "n3"
    assert rig.authority.peer_by(name="n1") is None and rig.authority.peer_by() is None
    # a renewed member takes no second place
    rig.receive(members_raw(keys[5], name="n5", address=6, exp=signer.EXPIRES + 1))
    assert len(rig.authority.peers) == PEERS_MAX
    # peers are not written to flash; sessions are
    writes = rig.flash.writes
    rig.refuses(RolledBack, members_raw(keys[5], name="n5", address=6))
    assert rig.flash.writes == writes == 8
    # each of them may be dropped, the renewed one too
    for i in range(PEERS_MAX + 2):
        rig.receive(members_raw(bytes((i + 200,)) * 32, name="m%d" % i, address=i + 200))
        assert len(rig.authority.peers) == PEERS_MAX and rig.authority.peer_by(name="m%d" % i)
