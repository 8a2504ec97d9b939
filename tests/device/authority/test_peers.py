"""The cache of members: which one a name or address means, and which capsule of one counts."""

import signer
from authority_rig import Rig, members_raw, policy_raw

from writ.authority import capsule
from writ.errors import BadSignature, RateLimited, RolledBack
from writ.limits import SIGNATURE_BURST

ONE = b"1" * 32
TWO = b"2" * 32


def ready(revoked=()):
    """A Rig with charter and a policy that revokes these nodes."""
    rig = Rig()
    rig.with_policy(revoked=revoked)
    return rig


def test_a_name_means_its_living_holder():
    # the old holder's capsule ends; the name goes to a node with a new key, whichever came first
    for order in ((ONE, TWO), (TWO, ONE)):
        rig = ready()
        for x in order:
            exp = signer.FOUNDED + (600 if x == ONE else 6000)
            rig.receive(members_raw(x, name="pump", address=7, exp=exp))
        assert rig.authority.peer_by(name="pump").x == TWO
        assert rig.authority.peer_by(address=7).x == TWO


def test_a_name_means_a_holder_that_is_not_revoked():
    # whichever of the two is revoked, came first, or has the longer capsule
    for revoked in (ONE, TWO):
        for order in ((ONE, TWO), (TWO, ONE)):
            for longer in (ONE, TWO):
                rig = ready()
                for x in order:
                    exp = signer.EXPIRES + (x == longer)
                    rig.receive(members_raw(x, name="pump", address=7, exp=exp))
                node_id = capsule.node_id(revoked)
                rig.receive(policy_raw(2, rig.authority.head, revoked=[node_id]))
                assert rig.authority.peer_by(name="pump").x != revoked
                assert rig.authority.peer_by(address=7).x != revoked
                # it is found where there is no other
                assert rig.authority.peer_by(x=revoked).x == revoked


def test_a_capsule_of_equal_expiry_replaces_none():
    rig = ready()
    rig.receive(members_raw(ONE, roles=2))
    # an older capsule may have had more roles
    rig.refuses(RolledBack, members_raw(ONE, roles=6))
    assert rig.authority.peer(capsule.node_id(ONE)).roles == 2


def test_strangers_use_up_no_member_s_signature_checks():
    rig = ready()
    flood = 0
    # each stranger has its own address: only the limit that all strangers share ends this
    while True:
        signature = flood.to_bytes(4, "big") + bytes(60)
        raw = capsule.assemble(signer.member_payload(b"j" * 32), signature)
        try:
            rig.receive(raw, "stranger %d" % flood)
        except RateLimited:
            break
        except BadSignature:
            pass
        flood += 1
        assert flood <= 4 * SIGNATURE_BURST
    assert flood == 4 * SIGNATURE_BURST
    rig.receive(members_raw(ONE), capsule.node_id(TWO))
    assert rig.authority.peer(capsule.node_id(ONE))
