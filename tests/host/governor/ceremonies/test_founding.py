"""Founding between daemons: lost messages, power cuts, Byzantine governors and refusals."""

import contextlib

import pytest
from ceremonies_rig import NOW_S, Network, agree, deny, found, silent
from ceremony_rig import KEY

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.capsule import Charter, Member
from writ_host import codec
from writ_host.ceremony.local import create_identity, load_identity, load_seat
from writ_host.ceremony.signing import Signing
from writ_host.ceremony.storage import KeyfileStore
from writ_host.governor.ceremonies.errors import NoDecisionDue
from writ_host.governor.ceremonies.founding import FoundingRun
from writ_host.governor.ceremonies.gossip import FILE
from writ_host.governor.ceremonies.invitation import CeremonyStatus, Invitation
from writ_host.governor.ledger.ledger import Ledger
from writ_host.keys.dkg import Dkg
from writ_host.keys.identity import envelope
from writ_host.keys.roster import committee_digest

pytestmark = pytest.mark.slow

FOUR = ("anna", "ben", "carl", "dora")
SEVEN = (*FOUR, "emil", "frida", "gustav")


def check_genesis(network, invitation, names):
    """They hold seats of one key, and the certified capsules that follow from the invitation."""
    seats = [network[name].process.seat for name in names]
    assert len({committee_digest(seat) for seat in seats}) == 1
    assert len({seat.key.signing_share for seat in seats}) == len(names)
    key = seats[0].public.group_key
    for name in names:
        assert load_seat(network[name].store) == network[name].process.seat
        raws = network[name].seats[0].genesis
        assert [capsule.parse(raw).payload for raw in raws] == invitation.payloads(key)
        for raw in raws:
            parsed = capsule.parse(raw)
            assert crypto.ed25519_verify(key, parsed.signing_input(), parsed.signature)


# --- founding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "seed", "loss"), [(FOUR, 1, 0.0), (FOUR, 2, 0.4), (SEVEN, 3, 0.2)]
)
def test_daemons_found_a_scope(names, seed, loss):
    network = Network(names, seed, loss)
    invitation = network.invitation()
    network.invite(invitation)
    network.run(network.founded)
    check_genesis(network, invitation, names)
    # the exchanged files hold no secret, and no polynomial is kept
    for host in network.hosts.values():
        share = host.process.seat.key.signing_share.to_bytes(32, "little")
        assert not any(share in data for data in host.files.data.values())
        assert share not in host.store.others["next"].data


def test_a_device_accepts_the_first_capsules():
    network = found()
    raws = network["anna"].seats[0].genesis
    charter = Charter(capsule.parse(raws[0]))
    assert (charter.name, charter.threshold, charter.founded) == ("farm", 3, NOW_S)

    class Records:
        load = staticmethod(lambda name: None)
        save = staticmethod(lambda name, data: None)

    device = Authority(Records(), scope=charter.scope)
    for raw in raws[:2]:
        device.receive(raw, 0)
    assert device.policy.epoch == 1 and device.policy.role_names == ["keeper", "sensor", "sluice"]
    for number, (raw, name) in enumerate(zip(raws[2:], network.hosts, strict=True), 1):
        member = Member(capsule.parse(raw))
        assert (member.name, member.address, member.roles) == (name, number, 2)
        assert bytes((2 + member.y_is_odd,)) + member.x == network[name].key


def test_founding_with_files_on_disk(tmp_path):
    with contextlib.ExitStack() as stack:

        def begin():
            network = Network(FOUR)
            for name, host in network.hosts.items():
                home = tmp_path / name
                home.mkdir(exist_ok=True)
                path = home / f"{name}.key"
                key = KEY
                if path.exists():
                    host.identity = load_identity(path, key)
                else:
                    host.identity = create_identity(path, name, key)
                host.key = host.identity.public.node_key
                host.store = KeyfileStore(home / f"{name}.seat", key)
                host.ledger = Ledger.open(home / "ledger.db")
                stack.callback(host.ledger.close)
                host.files = host.ledger.files
                host.start()
            return network

        network = begin()
        invitation = network.invitation()
        network.invite(invitation)
        network.run(network.founded)
        check_genesis(network, invitation, FOUR)
        before = network.seats()
        view = network.propose("anna", "refresh")
        network.run(lambda: all(host.nexts for host in network.hosts.values()))
        for host in network.hosts.values():
            host.ledger.close()
        network = begin()
        network.run(lambda: all(host.nexts for host in network.hosts.values()))
        assert network.seats() == before
        assert (network["ben"].nexts[0].ceremony, network["ben"].seats[0].ceremony) == (
            view.id,
            invitation.id,
        )
        assert sorted(path.name for path in (tmp_path / "ben").glob("ben.*")) == [
            "ben.key",
            "ben.seat",
            "ben.seat.next",
        ]
        network["ben"].process.seats.activate(network["ben"].nexts[0].digest)
        assert load_seat(KeyfileStore(tmp_path / "ben" / "ben.seat", KEY)) != before["ben"]


def test_no_messages_once_all_have_all_files():
    network = found(loss=0.2)
    network.loss = 0.0
    network.idle(120)
    assert all(host.process.next_ms(network.now_ms) is None for host in network.hosts.values())
    assert not network.queue


def test_the_status_follows_the_founding():
    network = Network(FOUR)
    invitation = network.invitation()
    for host in network.hosts.values():
        host.operator = silent
    network.invite(invitation)
    network.run(lambda: set(network.states(invitation.id).values()) == {"compare"})
    status = CeremonyStatus.from_bytes(
        network["ben"].process.accept_invitation(invitation.to_bytes(), "x:1")
    )
    assert status == CeremonyStatus.from_bytes(network["ben"].process.status(invitation.id))
    assert (status.state, dict(status.governors)) == ("compare", dict.fromkeys(FOUR, "round1"))
    assert [len(group) for group in status.fingerprint.split()] == [5] * 8
    network["carl"].operator = deny
    network.run(lambda: set(network.states(invitation.id).values()) == {"refused"})
    assert "carl" in CeremonyStatus.from_bytes(network["ben"].process.status(invitation.id)).problem
    assert network["ben"].process.status(bytes(32)) is None


def test_no_share_is_sent_before_the_operator_approves():
    network = Network(FOUR)
    network["dora"].operator = silent
    invitation = network.invitation()
    network.invite(invitation)
    network.idle(20)
    files = {name for name in network["anna"].files.list(invitation.id) if name[0] != "!"}
    assert "carl.round2.cbor" in files and "dora.round2.cbor" not in files
    (view,) = network["dora"].process.pending()
    assert view.needs_decision and view.waiting_for == ("dora",)
    assert network["anna"].process.pending()[0].waiting_for == ("dora",)
    assert any("3 of 4 governors certify" in line for line in view.lines)
    # every approval rule is shown: the operator founds with it
    shown = [line for line in view.lines if line.startswith("to certify ")]
    assert shown == [
        "to certify renewing a member with only the roles keeper or sensor: no operator",
        "to certify anything else: 2 operators",
    ]
    assert not any(network.seats().values())
    network["dora"].operator = agree
    network.run(network.founded)


def test_no_approval_before_there_is_a_fingerprint():
    network = Network(FOUR)
    invitation = network.invitation()
    network.invite(invitation, ["anna"])
    with pytest.raises(NoDecisionDue):
        network["anna"].process.approve_or_deny(invitation.id, True, "", 0)
    with pytest.raises(NoDecisionDue):
        network["anna"].process.approve_or_deny(bytes(32), True, "", 0)


def test_a_refusal_ends_the_founding_for_all():
    network = Network(FOUR, loss=0.2)
    network["carl"].operator = deny
    invitation = network.invitation()
    network.invite(invitation)
    network.run(lambda: set(network.states(invitation.id).values()) == {"refused"})
    assert not any(network.seats().values())
    # also after a restart, and no operator has to decide again
    for host in network.hosts.values():
        host.kill()
    network.idle(10)
    assert set(network.states(invitation.id).values()) == {"refused"}
    assert not any(host.process.pending() for host in network.hosts.values())
    # and the next founding finds room
    for host in network.hosts.values():
        host.operator = agree
    network.invite(network.invitation())
    network.run(network.founded)


# --- power cuts -----------------------------------------------------------------------------------


def test_a_founding_survives_a_power_cut_before_every_write():
    cut = 0
    while True:
        cut += 1
        network = Network(FOUR, seed=cut, loss=0.1)
        ben = network["ben"]
        ben.fuse[0] = cut
        invitation = network.invitation()
        network.invite(invitation)
        while ben.process is None or not ben.process.views():
            # the sender repeats the invitation until it is answered
            network.idle(3)
            network.invite(invitation, ["ben"])
        network.run(network.founded)
        assert committee_digest(network["ben"].process.seat) == committee_digest(
            network["anna"].process.seat
        )
        if ben.fuse[0] > 0:
            break
    # index, polynomial, own and others' files, decision, seat, commitments, shares, result
    assert cut > 25


def test_a_founding_survives_repeated_power_cuts_of_all():
    network = Network(FOUR, seed=5, loss=0.1)
    network.invite(network.invitation())
    next_ms = 2000
    while not network.founded():
        assert network.now_ms < 400_000, network.describe()
        network.step()
        if network.now_ms >= next_ms:
            next_ms += 2000
            network.random.choice(list(network.hosts.values())).kill()


def test_threshold_governors_certify_and_an_offline_one_catches_up():
    network = Network(FOUR)
    invitation = network.invitation()
    network.invite(invitation)
    network.run(lambda: all(network.seats().values()))
    # the selector of the first attempt is offline
    network["anna"].kill(for_ms=60_000)
    network.run(lambda: network.founded("ben", "carl", "dora"), s_max=50)
    network.run(network.founded)
    check_genesis(network, invitation, FOUR)


def test_the_seat_is_durable_before_anything_is_signed(monkeypatch):
    network = Network(FOUR)
    looked = []
    step = Signing.step

    def look(self):
        looked.append(self.identity.name)
        assert load_seat(network[self.identity.name].store) == self.seat
        return step(self)

    monkeypatch.setattr(Signing, "step", look)
    network.invite(network.invitation())
    network.run(network.founded)
    assert set(looked) == set(FOUR)


def test_the_result_is_reported_again_after_a_restart_without_a_second_seat():
    network = found()
    before = network.seats()
    for host in network.hosts.values():
        host.kill()
    network.idle(10)
    assert network.seats() == before
    assert all(len(host.seats) == 2 for host in network.hosts.values())
    assert all(host.seats[0] == host.seats[1] for host in network.hosts.values())


# --- Byzantine governors --------------------------------------------------------------------------


def forged(network, name, id, step, body):
    return envelope(network[name].identity, id, step, codec.dump(body))


def test_two_different_round_1_packages_are_caught_and_kept_as_evidence():
    """Carl sends Ben one package and the others another, both with valid signatures."""
    network = Network(FOUR)
    invitation = network.invitation()
    package = Dkg.begin(invitation.id, 3, 3, 4).round1()
    other = forged(network, "carl", invitation.id, "round1", package.to_item())

    def tamper(sender, receiver, data):
        items = codec.load(data)
        if (sender, receiver) == ("carl", "ben") and items[0] == FILE and "round1" in items[2]:
            return codec.dump([*items[:3], other])
        return data

    network.tamper = tamper
    network.invite(invitation)
    network.run(lambda: set(network.states(invitation.id).values()) == {"failed"})
    network.idle(10)
    for name in ("anna", "ben", "dora"):
        (view,) = network[name].process.views()
        assert "carl" in view.problem
        assert network[name].files.get(invitation.id, "carl.round1.cbor~") is not None
        assert any(event.name == "accused" for event in network[name].events)
    assert not any(network.seats().values())


def test_two_packages_that_gossip_cannot_compare_give_two_fingerprints():
    """Carl sends Anna another package, and she receives files only from their authors."""
    network = Network(FOUR)
    invitation = network.invitation()
    package = Dkg.begin(invitation.id, 3, 3, 4).round1()
    other = forged(network, "carl", invitation.id, "round1", package.to_item())

    def tamper(sender, receiver, data):
        items = codec.load(data)
        if "anna" not in (sender, receiver):
            return data
        # between her and the others pass only files that their author sends
        if items[0] != FILE or not items[2].startswith(f"{sender}."):
            return None
        if items[2] == "carl.round1.cbor":
            return codec.dump([*items[:3], other])
        return data

    network.tamper = tamper
    network.invite(invitation)
    network.run(
        lambda: (
            len(
                {
                    v.fingerprint
                    for n in ("anna", "ben")
                    for v in network[n].process.pending()
                    if v.fingerprint
                }
            )
            == 2
        )
    )
    network.idle(20)
    assert not any(network.seats().values())
    assert not any("round2" in name for name in network["anna"].files.list(invitation.id))


def test_a_wrong_share_is_complained_about_by_name(monkeypatch):
    network = Network(FOUR)
    invitation = network.invitation()
    honest = FoundingRun._step

    def cheat(self, now_ms):
        if self.identity.name == "ben" and self._machine is not None:
            shares = self._machine._dkg.round2 if not hasattr(self, "_bent") else None
            if shares is not None:
                self._bent = True
                self._machine._dkg.round2 = lambda: {n: bytes(32) for n in shares()}
        return honest(self, now_ms)

    monkeypatch.setattr(FoundingRun, "_step", cheat)
    network.invite(invitation)
    network.run(lambda: set(network.states(invitation.id).values()) == {"failed"})
    for name in ("anna", "carl", "dora"):
        assert "ben" in network[name].process.views()[0].problem
    assert not any(network.seats().values())


def test_an_altered_genesis_is_not_signed(monkeypatch):
    network = Network(FOUR)
    invitation = network.invitation()
    items = Invitation.payloads
    greedy = []

    def altered(self, group_key):
        found = items(self, group_key)
        if greedy and self is greedy[0] and len(group_key) == 32 and group_key != bytes(32):
            found[0] = self.charter(bytes(31) + b"\1")
        return found

    monkeypatch.setattr(Invitation, "payloads", altered)
    network.invite(invitation)
    network.run(lambda: bool(network["anna"].process.views()))
    greedy.append(network["anna"].process._runs[invitation.id].invitation)
    network.run(lambda: network.founded("ben", "carl", "dora"))
    assert not network["anna"].seats
    key = network["ben"].process.seat.public.group_key
    payloads = [capsule.parse(raw).payload for raw in network["ben"].seats[0].genesis]
    assert payloads == items(invitation, key)


def test_a_silent_signer_is_left_out(monkeypatch):
    """Ben commits but never sends a share."""
    network = Network(FOUR)
    invitation = network.invitation()
    network.tamper = lambda sender, receiver, data: (
        None if sender == "ben" and b"share" in data and codec.load(data)[0] == FILE else data
    )
    network.invite(invitation)
    network.run(lambda: network.founded("anna", "carl", "dora"))
