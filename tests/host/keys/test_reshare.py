"""The same key for other governors, and what liars and old shares can do: nothing."""

import contextlib
from itertools import combinations, product

import pytest
from frost_rig import MESSAGE, deal, sign_all
from hypothesis import given, settings
from hypothesis import strategies as st

from writ import crypto
from writ.errors import UsageError
from writ_host.errors import CheatingGovernor, Disagreement, Malformed
from writ_host.keys import group, reshare
from writ_host.keys.frost import PublicKeyPackage, aggregate, lagrange
from writ_host.keys.reshare import ShareReceiver

CEREMONY = b"c" * 32


def dealt(keys, dealers, receivers):
    return {i: reshare.deal(keys[i], dealers, receivers) for i in dealers}


def begin(public, dealers, receivers):
    return [
        ShareReceiver(public, dealers, receivers, me, CEREMONY) for me in range(1, receivers + 1)
    ]


def hand_over(deals, machines):
    """Deliver all commitments to all governors, then each share to its owner."""
    for one in machines:
        for dealer, its in deals.items():
            one.receive(dealer, its.commitments)
    for one in machines:
        for dealer, its in deals.items():
            one.receive_share(dealer, its.shares[one.me])


def reshared(keys, public, dealers, receivers):
    """(keys by new number, public keys), which are equal at all of them."""
    machines = begin(public, dealers, receivers)
    hand_over(dealt(keys, dealers, receivers), machines)
    assert len({one.fingerprint() for one in machines}) == 1
    finished = [one.finish() for one in machines]
    assert all(other == finished[0][1] for _, other in finished)
    return {key.identifier: key for key, _ in finished}, finished[0][1]


def signature(keys, public, signers):
    package, shares = sign_all(keys, public, signers)
    return aggregate(public, package, shares)


# --- uses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "dealers", "receivers"),
    [
        pytest.param(4, (1, 2, 3, 4), 4, id="refresh"),
        pytest.param(4, (1, 2, 4), 5, id="newcomer"),
        pytest.param(5, (1, 2, 3), 4, id="leaver"),
        pytest.param(4, (2, 3, 4), 4, id="lost share"),
        pytest.param(5, (5, 3, 1), 3, id="fewer, in any order"),
    ],
)
def test_the_new_governors_sign_under_the_same_key(count, dealers, receivers):
    keys, public = deal(3, count)
    new_keys, new_public = reshared(keys, public, dealers, receivers)
    assert new_public.group_key == public.group_key
    assert new_public.threshold == 3
    assert list(new_public.verifying_shares) == list(range(1, receivers + 1))
    for signers in combinations(new_keys, 3):
        made = signature(new_keys, new_public, signers)
        assert crypto.ed25519_verify(public.group_key, MESSAGE, made)


@given(st.data())
@settings(max_examples=15)
def test_any_threshold_and_any_dealers(data):
    threshold = data.draw(st.integers(1, 5))
    count = data.draw(st.integers(threshold, 6))
    dealers = data.draw(st.permutations(range(1, count + 1)))
    dealers = dealers[: data.draw(st.integers(threshold, count))]
    receivers = data.draw(st.integers(threshold, 6))
    keys, public = deal(threshold, count)
    new_keys, new_public = reshared(keys, public, dealers, receivers)
    signers = data.draw(st.permutations(range(1, receivers + 1)))[:threshold]
    assert crypto.ed25519_verify(
        public.group_key, MESSAGE, signature(new_keys, new_public, signers)
    )


@pytest.mark.slow
def test_thirteen_governors_and_again():
    keys, public = deal(9, 13)
    for dealers in (range(1, 10), range(5, 14)):
        keys, public = reshared(keys, public, dealers, 13)
    made = signature(keys, public, range(3, 12))
    assert crypto.ed25519_verify(public.group_key, MESSAGE, made)


# --- old shares and new ones ----------------------------------------------------------------------


def test_an_old_share_among_new_ones_makes_no_signature():
    keys, public = deal(3, 4)
    new_keys, new_public = reshared(keys, public, (1, 2, 3), 4)
    assert all(keys[i].signing_share != new_keys[i].signing_share for i in keys)
    for stale in keys:
        mixed = {**new_keys, stale: keys[stale]}
        for signers in combinations(mixed, 3):
            package, shares = sign_all(mixed, new_public, signers)
            if stale not in signers:
                assert aggregate(new_public, package, shares)
                continue
            with pytest.raises(CheatingGovernor) as caught:
                aggregate(new_public, package, shares)
            assert caught.value.identifiers == (stale,)


def test_fewer_than_threshold_of_each_are_worthless():
    """An attacker with two old and two new shares has four shares, but not the secret."""
    keys, public = deal(3, 4)
    new_keys, _ = reshared(keys, public, (1, 3, 4), 4)

    def opens(stolen):
        chosen = [i for i, _ in stolen]
        secret = sum(lagrange(i, chosen) * share for i, share in stolen)
        return group.base(secret) == public.group_key

    old = [(i, key.signing_share) for i, key in keys.items()]
    new = [(i, key.signing_share) for i, key in new_keys.items()]
    for one, other in product(combinations(old, 2), combinations(new, 2)):
        for stolen in combinations(one + other, 3):
            if len({number for number, _ in stolen}) == 3:
                assert not opens(stolen)
    for shares in (old, new):
        assert all(map(opens, combinations(shares, 3)))
        assert not any(map(opens, combinations(shares, 2)))


def test_a_deal_hides_the_dealers_share():
    """The dealer's share appears nowhere, and two deals have only the secret in common."""
    keys, _ = deal(3, 4)
    one, other = (reshare.deal(keys[1], (1, 2, 3), 4) for _ in range(2))
    assert one.commitments[0] == other.commitments[0]
    assert not set(one.commitments[1:]) & set(other.commitments[1:])
    assert not set(one.shares.values()) & set(other.shares.values())
    weighted = lagrange(1, (1, 2, 3)) * keys[1].signing_share % group.ORDER
    secrets = {group.scalar_to_bytes(value) for value in (keys[1].signing_share, weighted)}
    assert not secrets & set(one.shares.values())
    assert str(one.shares[1]) not in repr(one)


# --- faulty dealers -------------------------------------------------------------------------------


def caught_lying(machine, dealer, commitments):
    with pytest.raises(CheatingGovernor) as caught:
        machine.receive(dealer, commitments)
    assert caught.value.identifiers == (dealer,)
    assert dealer in machine.missing_commitments()


def test_a_dealer_cannot_change_the_key():
    keys, public = deal(3, 4)
    dealers = (1, 2, 4)
    machine = begin(public, dealers, 4)[0]
    stranger = deal(3, 4)[0]
    for wrong in (
        reshare.deal(stranger[2], dealers, 4),  # a secret of its own
        reshare.deal(keys[2], (2, 3, 4), 4),  # its share, for other dealers
        reshare.deal(keys[1], dealers, 4),  # another governor's deal
    ):
        caught_lying(machine, 2, wrong.commitments)


def test_two_dealers_whose_changes_cancel_out_are_both_caught():
    keys, public = deal(3, 4)
    dealers = (1, 2, 3)
    machine = begin(public, dealers, 4)[0]
    more = group.base(5), group.base(group.ORDER - 5)
    for dealer, shift in zip((1, 2), more, strict=True):
        constant, *rest = reshare.deal(keys[dealer], dealers, 4).commitments
        caught_lying(machine, dealer, [group.add([constant, shift]), *rest])


def test_a_polynomial_of_another_degree_is_refused():
    keys, public = deal(3, 4)
    machine = begin(public, (1, 2, 3), 4)[0]
    good = reshare.deal(keys[1], (1, 2, 3), 4).commitments
    for wrong in ((), good[:2], (*good, good[1])):
        caught_lying(machine, 1, wrong)


def test_commitments_that_are_not_points_are_refused():
    keys, public = deal(2, 3)
    machine = begin(public, (1, 2), 3)[0]
    constant = reshare.deal(keys[1], (1, 2), 3).commitments[0]
    for wrong in (b"", bytes(32), b"\xff" * 32, bytes(group.IDENTITY), None):
        caught_lying(machine, 1, (constant, wrong))
        caught_lying(machine, 1, (wrong, constant))


def test_a_wrong_share_names_its_dealer():
    keys, public = deal(3, 4)
    deals = dealt(keys, (1, 2, 3), 4)
    machine = begin(public, (1, 2, 3), 4)[0]
    for dealer, its in deals.items():
        machine.receive(dealer, its.commitments)
    for wrong in (deals[2].shares[4], deals[1].shares[1], bytes(32), b"\xff" * 32, b""):
        with pytest.raises(CheatingGovernor) as caught:
            machine.receive_share(2, wrong)
        assert caught.value.identifiers == (2,)
    assert machine.missing() == [1, 2, 3]
    machine.receive_share(2, deals[2].shares[1])
    assert machine.missing() == [1, 3]


def test_two_different_deals_give_different_fingerprints():
    keys, public = deal(2, 3)
    anna, ben = begin(public, (1, 2), 2)
    honest = reshare.deal(keys[1], (1, 2), 2)
    faces = [reshare.deal(keys[2], (1, 2), 2) for _ in range(2)]
    for machine, face in zip((anna, ben), faces, strict=True):
        machine.receive(1, honest.commitments)
        machine.receive(2, face.commitments)
        machine.receive(2, face.commitments)
    assert anna.fingerprint() != ben.fingerprint()
    with pytest.raises(Disagreement):
        anna.receive(2, faces[1].commitments)


def test_the_fingerprint_covers_the_ceremony():
    keys, public = deal(2, 3)
    deals = dealt(keys, (1, 2), 3)
    seen = set()
    for receivers, me, context in ((3, 1, b"a"), (3, 2, b"a"), (3, 1, b"b"), (2, 1, b"a")):
        machine = ShareReceiver(public, (1, 2), receivers, me, context)
        for dealer, its in deals.items():
            machine.receive(dealer, its.commitments)
        seen.add(machine.fingerprint())
    assert len(seen) == 3, "whose it is does not matter, anything else does"


def test_forged_old_keys_are_refused():
    _, public = deal(3, 4)
    other = deal(3, 4)[1]
    for wrong in (
        PublicKeyPackage(other.group_key, public.verifying_shares, 3),
        PublicKeyPackage(
            public.group_key, {**public.verifying_shares, 2: other.verifying_shares[2]}, 3
        ),
    ):
        with pytest.raises(Malformed):
            ShareReceiver(wrong, (1, 2, 3), 4, 1)


# --- order, persistence ---------------------------------------------------------------------------


def test_impossible_numbers_and_steps_out_of_order_are_the_callers_fault():
    keys, public = deal(2, 3)
    machine = begin(public, (1, 2), 3)[0]
    its = reshare.deal(keys[1], (1, 2), 3)
    for call in (
        machine.fingerprint,
        machine.public,
        machine.finish,
        lambda: machine.receive_share(1, its.shares[1]),
        lambda: machine.receive(3, its.commitments),
        lambda: reshare.deal(keys[3], (1, 2), 3),
        lambda: reshare.deal(keys[1], (1,), 3),
        lambda: reshare.deal(keys[1], (1, 1), 3),
        lambda: reshare.deal(keys[1], (1, 2), 1),
        lambda: reshare.deal(keys[1], (1, 2), 14),
        lambda: ShareReceiver(public, (1,), 3, 1),
        lambda: ShareReceiver(public, (1, 4), 3, 1),
        lambda: ShareReceiver(public, (1, 2), 3, 4),
        lambda: ShareReceiver(public, (1, 2), 3, 0),
        lambda: ShareReceiver(public, (1, 2), 1, 1),
    ):
        with pytest.raises(UsageError):
            call()


@pytest.mark.parametrize("when", range(5))
def test_resumes_from_saved_bytes_after_each_step(when):
    keys, public = deal(2, 3)
    deals = dealt(keys, (1, 3), 3)
    machine = begin(public, (3, 1), 3)[0]
    steps = [
        lambda: machine.receive(1, deals[1].commitments),
        lambda: machine.receive_share(1, deals[1].shares[1]),
        lambda: machine.receive(3, deals[3].commitments),
        lambda: machine.receive_share(3, deals[3].shares[1]),
    ]
    for number, step in enumerate([*steps, lambda: None]):
        if number == when:
            saved = machine.to_bytes()
            machine = ShareReceiver.from_bytes(saved)
            assert machine.to_bytes() == saved
        step()
    key, new_public = machine.finish()
    assert key.identifier == 1 and new_public.group_key == public.group_key


def complete(threshold, count):
    keys, public = deal(threshold, count)
    dealers = range(1, threshold + 1)
    machine = begin(public, dealers, count)[-1]
    hand_over(dealt(keys, dealers, count), [machine])
    return machine


def test_secrets_are_not_shown():
    machine = complete(2, 3)
    assert not any(str(share) in repr(machine) for share in machine._shares.values())


def test_a_state_that_was_tampered_with_is_malformed():
    machine = complete(2, 3)
    state = machine.to_bytes()
    share = group.scalar_to_bytes(machine._shares[1])
    assert share in state
    for wrong in (
        state[:-1],
        state + b"\0",
        state.replace(share, group.scalar_to_bytes(1)),
        state.replace(machine._commitments[1][1], machine._commitments[2][1]),
        state.replace(machine.old.group_key, machine.old.verifying_shares[1]),
        state.replace(b"writ-reshare-state", b"writ-reshare-stats"),
    ):
        with pytest.raises(Malformed):
            ShareReceiver.from_bytes(wrong)


def test_the_largest_state_can_be_read_again():
    machine = complete(13, 13)
    assert ShareReceiver.from_bytes(machine.to_bytes()).finish() == machine.finish()


STATE = complete(1, 1).to_bytes()


@given(st.integers(0, len(STATE) - 1), st.integers(1, 255))
@settings(max_examples=100)
def test_a_flipped_byte_raises_only_malformed(position, change):
    data = bytearray(STATE)
    data[position] ^= change
    with contextlib.suppress(Malformed):
        # the context is free text, so a changed one is another valid state
        assert ShareReceiver.from_bytes(bytes(data)).to_bytes() == data
