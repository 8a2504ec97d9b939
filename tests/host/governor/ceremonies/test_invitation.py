"""Invitations that are forged, altered, too many, impossible or junk, and their senders."""

import contextlib
from dataclasses import replace

import pytest
from ceremonies_rig import Network, agree, silent
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host import codec
from writ_host.consensus.committee import UnsafeThreshold
from writ_host.errors import HostError, Malformed
from writ_host.governor.ceremonies.errors import InvitationRefused
from writ_host.governor.ceremonies.gossip import FILE, HAVE, WANT
from writ_host.governor.ceremonies.invitation import CeremonyStatus, Invitation
from writ_host.keys.dkg import Dkg
from writ_host.keys.identity import Identity, envelope
from writ_host.keys.roster import Roster

FOUR = ("anna", "ben", "carl", "dora")


def test_an_outsiders_invitation_gives_no_seat():
    """Mallory invites Anna alone, and takes the places of the others herself."""
    network = Network(("anna",))
    fakes = [Identity.generate(name) for name in ("ben", "carl", "dora")]
    others = Network(("anna", "ben", "carl", "dora"))
    records = [network["anna"].record] + [
        replace_record(others[fake.name].record, fake) for fake in fakes
    ]
    roster = Roster.create("farm", 3, [record.governor for record in records])
    invitation = replace(others.invitation(), roster=roster)
    anna = network["anna"]
    anna.operator = silent
    anna.call("accept_invitation", invitation.to_bytes(), "evil:1")
    network.idle(5)
    for fake in fakes:
        number = invitation.roster.identifier(fake.name)
        package = Dkg.begin(invitation.id, number, 3, 4).round1()
        data = envelope(fake, invitation.id, "round1", codec.dump(package.to_item()))
        message = codec.dump([FILE, invitation.id, f"{fake.name}.round1.cbor", data])
        anna.call("receive", fake.public.node_key, message, network.now_ms)
    network.idle(30)
    (view,) = anna.process.pending()
    assert view.needs_decision and view.state == "compare"
    assert anna.process.seat is None
    assert "anna.round2.cbor" not in anna.files.list(invitation.id)


def replace_record(record, identity):
    record.governor = identity.public
    return record


def test_an_invitation_altered_for_one_governor_gets_no_fingerprint():
    network = Network(FOUR)
    invitation = network.invitation()
    altered = replace(invitation, roles=invitation.roles | 8)
    network.invite(invitation, ["anna", "ben", "carl"])
    network["dora"].call("accept_invitation", altered.to_bytes(), "evil:1")
    network.idle(30)
    assert all(
        not view.fingerprint for host in network.hosts.values() for view in host.process.pending()
    )
    assert not any(network.seats().values())


def test_at_most_two_invitations_and_a_new_one_replaces_that_of_its_sender():
    network = Network(FOUR)
    anna = network["anna"].process
    listed = [network.invitation() for _ in range(5)]
    anna.accept_invitation(listed[0].to_bytes(), "10.0.0.1:5")
    with pytest.raises(InvitationRefused, match="at one time"):
        anna.accept_invitation(listed[1].to_bytes(), "10.0.0.2:5")
    network.idle(3)
    anna.accept_invitation(listed[1].to_bytes(), "10.0.0.2:5")
    network.idle(3)
    with pytest.raises(InvitationRefused, match="2 invitations are pending"):
        anna.accept_invitation(listed[2].to_bytes(), "10.0.0.3:5")
    anna.accept_invitation(listed[3].to_bytes(), "10.0.0.2:6")
    assert {view.id for view in anna.pending()} == {listed[0].id, listed[3].id}
    assert not network["anna"].files.list(listed[1].id)
    # a dropped ceremony never begins again
    with pytest.raises(InvitationRefused, match="dropped"):
        anna.accept_invitation(listed[1].to_bytes(), "10.0.0.2:6")
    anna.approve_or_deny(listed[0].id, False, "", network.now_ms)
    network.idle(3)
    anna.accept_invitation(listed[4].to_bytes(), "10.0.0.4:5")
    assert {view.id for view in anna.pending()} == {listed[3].id, listed[4].id}


def test_the_sender_of_an_invitation_is_a_peer_without_information():
    """A former governor without a seat still has a ledger, and must not send it to strangers."""
    network = Network(FOUR)
    network["anna"].operator = silent
    invitation = network.invitation()
    network.invite(invitation)
    anna = network["anna"].process
    network.run(lambda: anna.views()[0].needs_decision)
    assert len(anna.peers()) == 3 and anna.trusted() == set()
    network["anna"].operator = agree
    network.run(network.founded)
    assert anna.trusted() == anna.peers().keys()


def test_an_approved_invitation_is_not_replaced():
    network = Network(FOUR)
    network["dora"].operator = silent
    invitation = network.invitation()
    network.invite(invitation)
    anna = network["anna"].process
    network.run(lambda: anna.views()[0].state == "round2")
    network.idle(3)
    anna.accept_invitation(network.invitation().to_bytes(), "desk.farm:7")
    assert invitation.id in {view.id for view in anna.pending()}
    network["dora"].operator = agree
    network.run(network.founded)
    # with a seat all other invitations are dropped, and new ones are refused
    assert [view.id for view in anna.views()] == [invitation.id]
    with pytest.raises(InvitationRefused, match="seat"):
        anna.accept_invitation(network.invitation().to_bytes(), "desk.farm:7")


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 2},
        {"expires_s": 5},
        {"roles": 1 << 31},
        {"beacon_age_max_s": 0},
    ],
)
def test_impossible_invitations_are_refused(change):
    network = Network(FOUR)
    with pytest.raises((Malformed, UnsafeThreshold)):
        Invitation.from_bytes(network.invitation(**change).to_bytes())


def test_invitations_of_others_and_of_other_keys_are_refused():
    network = Network((*FOUR, "emil"))
    anna = network["anna"]
    with pytest.raises(HostError):
        network["emil"].process.accept_invitation(network.invitation(names=FOUR).to_bytes(), "x:1")
    anna.identity = Identity.generate("anna")
    stranger = network.invitation(names=FOUR)
    anna.identity = Identity.generate("anna")
    anna.start()
    with pytest.raises(HostError):
        anna.process.accept_invitation(stranger.to_bytes(), "x:1")
    assert not anna.process.views() and not anna.files.data


@given(st.binary(max_size=80))
@settings(max_examples=150)
def test_junk_raises_only_host_errors(data):
    process = JUNK["anna"].process
    for junk in (
        data,
        *(codec.dump([kind, data, [], data]) for kind in (HAVE, WANT, FILE, 51, 60)),
    ):
        with pytest.raises(HostError):
            process.accept_invitation(junk, "x:1")
        for event in process.receive(bytes(33), junk, 0):
            assert event.name == "ceremony-message"


JUNK = Network(("anna", "ben"))


@given(st.data())
@settings(max_examples=150)
def test_a_changed_byte_changes_the_invitations_id_or_is_refused(data):
    raw = bytearray(RAW)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(HostError):
        assert Invitation.from_bytes(bytes(raw)).id != Invitation.from_bytes(RAW).id


RAW = JUNK.invitation(2).to_bytes()


def test_the_largest_invitation_and_status_keep_their_sizes():
    names = [f"{'g' * 22}{i:02d}" for i in range(13)]
    network = Network(names)
    for host in network.hosts.values():
        host.address = f"{host.name}.{'x' * 29}.org:12345"
    invitation = network.invitation()
    assert len(invitation.to_bytes()) < 6000
    listed = tuple((name, "complaint") for name in names)
    status = CeremonyStatus(bytes(32), "genesis", "12345 " * 8, "x" * 300, listed, 15)
    assert CeremonyStatus.from_bytes(status.to_bytes()) == status
