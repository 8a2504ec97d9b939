"""Distributed key generation against published values, faulty governors and power loss."""

import contextlib

import pytest
from frost_rig import fixed, sign_all
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_frost import DKG

from writ import crypto
from writ.errors import UsageError
from writ_host.errors import CheatingGovernor, Disagreement, Malformed
from writ_host.keys import group
from writ_host.keys.dkg import Dkg, Round1, fingerprint_digits, polynomial, prove
from writ_host.keys.frost import CONTEXT, aggregate

CEREMONY = b"c" * 32


def scalar(text):
    return group.scalar_from_bytes(bytes.fromhex(text))


def wide(value):
    """64 "random" bytes from which the group makes the given scalar."""
    return group.scalar_to_bytes(value) + bytes(32)


def published(number):
    """A governor of the published run, with the nonce computed from its published proof."""
    values = DKG["governors"][number]
    secret = scalar(values["signing_key"])
    nonce_point, response = values["proof"][:64], scalar(values["proof"][64:])
    challenge = group.hash_to_scalar(
        CONTEXT,
        b"dkg",
        group.scalar_to_bytes(number),
        bytes.fromhex(values["commitments"][0]),
        bytes.fromhex(nonce_point),
    )
    nonce = (response - challenge * secret) % group.ORDER
    random = fixed(wide(secret), wide(scalar(values["coefficient"])), wide(nonce))
    return Dkg.begin(CEREMONY, number, 2, 3, random)


def broadcast(machines):
    for one in machines:
        for other in machines:
            other.receive_round1(one.identifier, one.round1())


def exchange(machines):
    for one in machines:
        for recipient, share in one.round2().items():
            machines[recipient - 1].receive_round2(one.identifier, share)


def begin(threshold, count):
    return [Dkg.begin(CEREMONY, i, threshold, count) for i in range(1, count + 1)]


def test_published_run_byte_for_byte():
    machines = [published(number) for number in (1, 2, 3)]
    for one in machines:
        values = DKG["governors"][one.identifier]
        assert [item.hex() for item in one.round1().commitments] == values["commitments"]
        assert one.round1().proof.hex() == values["proof"]
    broadcast(machines)
    for one in machines:
        for sender, share in DKG["governors"][one.identifier]["shares_received"].items():
            assert machines[sender - 1].round2()[one.identifier].hex() == share
    exchange(machines)
    total = sum(scalar(DKG["governors"][i]["signing_key"]) for i in (1, 2, 3)) % group.ORDER
    assert group.point_to_bytes(group.base(total)).hex() == DKG["group_key"]
    for one in machines:
        key, public = one.finish()
        values = DKG["governors"][one.identifier]
        assert group.scalar_to_bytes(key.signing_share).hex() == values["signing_share"]
        assert public.verifying_shares[one.identifier].hex() == values["verifying_share"]
        assert public.group_key.hex() == DKG["group_key"]


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (2, 2), (3, 4), (7, 13)])
def test_generated_keys_sign(threshold, count):
    machines = begin(threshold, count)
    broadcast(machines)
    exchange(machines)
    keys = {}
    for one in machines:
        keys[one.identifier], public = one.finish()
        assert public == machines[0].public()
    package, shares = sign_all(keys, public, list(keys)[-threshold:], b"m")
    assert crypto.ed25519_verify(public.group_key, b"m", aggregate(public, package, shares))


def test_wrong_proof_of_possession_is_refused():
    anna, ben = begin(2, 2)
    good = ben.round1()
    stranger = Dkg.begin(CEREMONY, 2, 2, 2).round1()
    for proof in (stranger.proof, bytes(64), good.proof[:32] + b"\xff" * 32, good.proof[:-1]):
        with pytest.raises(CheatingGovernor) as caught:
            anna.receive_round1(2, Round1(good.commitments, proof))
        assert caught.value.identifiers == (2,)
    assert anna.missing_round1() == [2]


def test_another_governors_package_cannot_be_replayed():
    """Ben sends Anna's package as his own, without knowing her secret."""
    anna, _, carl = begin(2, 3)
    for machine in (anna, carl):
        with pytest.raises(CheatingGovernor):
            machine.receive_round1(2, anna.round1())


def test_rogue_key_needs_a_proof():
    """Ben commits to (his point - Anna's), so that he alone would know the sum."""
    anna, _ = begin(1, 2)
    theirs = group.point_from_bytes(anna.round1().commitments[0])
    rogue = group.add([group.base(99), group.multiply(group.ORDER - 1, theirs)])
    with pytest.raises(CheatingGovernor):
        anna.receive_round1(2, Round1((rogue,), prove(2, 99)))


def test_polynomial_of_another_degree_is_refused():
    anna = begin(2, 3)[0]
    for degree in (1, 3):
        package = Dkg.begin(CEREMONY, 2, degree, 3).round1()
        with pytest.raises(CheatingGovernor):
            anna.receive_round1(2, package)
        with pytest.raises(Malformed):
            Round1.from_item(package.to_item(), 2)


def test_wrong_share_names_its_sender():
    machines = begin(2, 3)
    broadcast(machines)
    anna, ben, carl = machines
    shares = ben.round2()
    for wrong in (shares[3], bytes(32), b"\xff" * 32, carl.round2()[1]):
        with pytest.raises(CheatingGovernor) as caught:
            anna.receive_round2(2, wrong)
        assert caught.value.identifiers == (2,)
    assert anna.missing_round2() == [2, 3]
    anna.receive_round2(2, shares[1])
    assert anna.missing_round2() == [3]


def test_two_different_broadcasts_give_different_fingerprints():
    anna, ben, carl = begin(2, 3)
    two_faced = Dkg.begin(CEREMONY, 3, 2, 3)
    for machine, third in ((anna, carl), (ben, two_faced)):
        machine.receive_round1(1, anna.round1())
        machine.receive_round1(2, ben.round1())
        machine.receive_round1(3, third.round1())
    assert anna.fingerprint() != ben.fingerprint()
    with pytest.raises(Disagreement):
        anna.receive_round1(3, two_faced.round1())


def test_fingerprint_covers_the_ceremony():
    machines = begin(1, 1)
    other = Dkg.from_bytes(machines[0].to_bytes())
    other.context = b"another"
    assert other.fingerprint() != machines[0].fingerprint()


def test_spoken_form():
    assert fingerprint_digits(bytes(32)) == " ".join(["00000"] * 8)
    assert fingerprint_digits((10**40 + 12).to_bytes(32, "big")).endswith(" 00012")
    assert len({fingerprint_digits(bytes([i]) * 32) for i in range(256)}) == 256


@pytest.mark.parametrize("when", range(4))
def test_resumes_from_saved_bytes_after_each_step(when):
    """Governor 1 is replaced by its stored state after one step."""
    machines = begin(2, 3)

    def crash(moment):
        if moment == when:
            before = machines[0].to_bytes()
            machines[0] = Dkg.from_bytes(before)
            assert machines[0].to_bytes() == before

    crash(0)
    machines[0].receive_round1(2, machines[1].round1())
    crash(1)
    broadcast(machines)
    crash(2)
    machines[0].receive_round2(3, machines[2].round2()[1])
    crash(3)
    exchange(machines)
    results = [machine.finish() for machine in machines]
    keys = {key.identifier: key for key, _ in results}
    public = results[0][1]
    package, shares = sign_all(keys, public, (1, 3))
    assert aggregate(public, package, shares)


def test_state_that_was_tampered_with_is_malformed():
    machines = begin(2, 2)
    broadcast(machines)
    state = machines[0].to_bytes()
    share = group.scalar_to_bytes(polynomial(machines[0]._coefficients, 1))
    assert share in state
    for wrong in (
        state[:-1],
        state + b"\0",
        state.replace(share, group.scalar_to_bytes(1)),
        state.replace(machines[1].round1().proof, machines[0].round1().proof),
        state.replace(b"writ-dkg-state", b"writ-dkg-stats"),
    ):
        with pytest.raises(Malformed):
            Dkg.from_bytes(wrong)


def test_secrets_are_not_shown():
    machine = begin(1, 1)[0]
    assert str(machine._coefficients[0]) not in repr(machine)


def test_steps_out_of_order_are_the_callers_fault():
    anna, ben = begin(2, 2)
    for call in (
        anna.fingerprint,
        anna.round2,
        anna.finish,
        anna.public,
        lambda: anna.receive_round2(2, bytes(32)),
        lambda: anna.receive_round1(3, ben.round1()),
        lambda: anna.receive_round1(0, ben.round1()),
        lambda: Dkg.begin(CEREMONY, 1, 3, 2),
        lambda: Dkg.begin(CEREMONY, 3, 2, 2),
        lambda: Dkg.begin(CEREMONY, 1, 2, 14),
    ):
        with pytest.raises(UsageError):
            call()


ITEMS = st.recursive(
    st.none() | st.integers(-5, 99) | st.binary(max_size=40) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 9), inner),
    max_leaves=8,
)


@given(ITEMS)
@settings(max_examples=100)
def test_round1_decoder_raises_only_malformed(item):
    with pytest.raises(Malformed):
        Round1.from_item(item, 2)


STATE = begin(1, 1)[0].to_bytes()


@given(st.integers(0, len(STATE) - 1), st.integers(1, 255))
@settings(max_examples=100)
def test_a_flipped_byte_raises_only_malformed(position, change):
    data = bytearray(STATE)
    data[position] ^= change
    with contextlib.suppress(Malformed):
        # the context is free text, so a changed one is another valid state
        assert Dkg.from_bytes(bytes(data)).to_bytes() == data
