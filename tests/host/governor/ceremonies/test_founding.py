"""Founding between daemons: lost messages, power cuts at every save, liars, refusals."""

import contextlib

import pytest
from ceremonies import KEY
from ceremony_rig import NOW_S, World, agree, deny, found, silent

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.capsule import Charter, Member
from writ_host import codec
from writ_host.ceremony.local import KeyfileStore, create_identity, load_identity, load_seat
from writ_host.ceremony.signing import Signing
from writ_host.governor.ceremonies.founding import FoundingRun
from writ_host.governor.ceremonies.gossip import FILE
from writ_host.governor.ceremonies.invitation import CeremonyStatus, Invitation
from writ_host.governor.ceremonies.manager import NoDecisionDue
from writ_host.governor.ledger.ledger import Ledger
from writ_host.keys.dkg import Dkg
from writ_host.keys.identity import envelope
from writ_host.keys.roster import committee_digest

FOUR = ("anna", "ben", "carl", "dora")
SEVEN = (*FOUR, "emil", "frida", "gustav")


def check_genesis(world, invitation, names):
    """All of them hold seats for one key, and what follows from the invitation, certified."""
    seats = [world[name].process.seat for name in names]
    assert len({committee_digest(seat) for seat in seats}) == 1
    assert len({seat.key.signing_share for seat in seats}) == len(names)
    key = seats[0].public.group_key
    for name in names:
        assert load_seat(world[name].store) == world[name].process.seat
        raws = world[name].seats[0].genesis
        assert [capsule.parse(raw).payload for raw in raws] == invitation.payloads(key)
        for raw in raws:
            parsed = capsule.parse(raw)
            assert crypto.ed25519_verify(key, parsed.signing_input(), parsed.signature)


# Founding


@pytest.mark.parametrize(
    ("names", "seed", "loss"), [(FOUR, 1, 0.0), (FOUR, 2, 0.4), (SEVEN, 3, 0.2)]
)
def test_daemons_found_a_scope(names, seed, loss):
    world = World(names, seed, loss)
    invitation = world.invitation()
    world.invite(invitation)
    world.run(world.founded)
    check_genesis(world, invitation, names)
    # no secret ever stood in the files that are told, and no polynomial is kept
    for box in world.boxes.values():
        share = box.process.seat.key.signing_share.to_bytes(32, "little")
        assert not any(share in data for data in box.files.data.values())
        assert share not in box.store.others["next"].data


def test_a_device_takes_what_was_certified():
    world = found()
    raws = world["anna"].seats[0].genesis
    charter = Charter(capsule.parse(raws[0]))
    assert (charter.name, charter.threshold, charter.founded) == ("farm", 3, NOW_S)

    class Records:
        load = staticmethod(lambda name: None)
        save = staticmethod(lambda name, data: None)

    device = Authority(Records(), scope=charter.scope)
    for raw in raws[:2]:
        device.receive(raw, 0)
    assert device.policy.epoch == 1 and device.policy.role_names == ["keeper", "sensor", "sluice"]
    for number, (raw, name) in enumerate(zip(raws[2:], world.boxes, strict=True), 1):
        member = Member(capsule.parse(raw))
        assert (member.name, member.address, member.roles) == (name, number, 2)
        assert bytes((2 + member.y_is_odd,)) + member.x == world[name].key


def test_on_disk(tmp_path):
    with contextlib.ExitStack() as stack:

        def begin():
            world = World(FOUR)
            for name, box in world.boxes.items():
                home = tmp_path / name
                home.mkdir(exist_ok=True)
                path = home / f"{name}.key"
                key = KEY
                if path.exists():
                    box.identity = load_identity(path, key)
                else:
                    box.identity = create_identity(path, name, key)
                box.key = box.identity.public.node_key
                box.store = KeyfileStore(home / f"{name}.seat", key)
                box.ledger = Ledger.open(home / "ledger.db")
                stack.callback(box.ledger.close)
                box.files = box.ledger.files
                box.start()
            return world

        world = begin()
        invitation = world.invitation()
        world.invite(invitation)
        world.run(world.founded)
        check_genesis(world, invitation, FOUR)
        before = world.seats()
        view = world.propose("anna", "refresh")
        world.run(lambda: all(box.nexts for box in world.boxes.values()))
        for box in world.boxes.values():
            box.ledger.close()
        world = begin()
        world.run(lambda: all(box.nexts for box in world.boxes.values()))
        assert world.seats() == before
        assert (world["ben"].nexts[0].ceremony, world["ben"].seats[0].ceremony) == (
            view.id,
            invitation.id,
        )
        assert sorted(path.name for path in (tmp_path / "ben").glob("ben.*")) == [
            "ben.key",
            "ben.seat",
            "ben.seat.next",
        ]
        world["ben"].process.seats.activate(world["ben"].nexts[0].digest)
        assert load_seat(KeyfileStore(tmp_path / "ben" / "ben.seat", KEY)) != before["ben"]


def test_it_ends_silent_once_all_have_all():
    world = found(loss=0.2)
    world.loss = 0.0
    world.idle(120)
    assert all(box.process.next_ms(world.now_ms) is None for box in world.boxes.values())
    assert not world.queue


def test_whoever_began_it_can_follow_it():
    world = World(FOUR)
    invitation = world.invitation()
    for box in world.boxes.values():
        box.operator = silent
    world.invite(invitation)
    world.run(lambda: set(world.states(invitation.id).values()) == {"compare"})
    status = CeremonyStatus.from_bytes(
        world["ben"].process.invitation(invitation.to_bytes(), "x:1")
    )
    assert status == CeremonyStatus.from_bytes(world["ben"].process.status(invitation.id))
    assert (status.state, dict(status.governors)) == ("compare", dict.fromkeys(FOUR, "round1"))
    assert [len(group) for group in status.fingerprint.split()] == [5] * 8
    world["carl"].operator = deny
    world.run(lambda: set(world.states(invitation.id).values()) == {"refused"})
    assert "carl" in CeremonyStatus.from_bytes(world["ben"].process.status(invitation.id)).problem
    assert world["ben"].process.status(bytes(32)) is None


def test_no_share_leaves_before_the_operator_agreed():
    world = World(FOUR)
    world["dora"].operator = silent
    invitation = world.invitation()
    world.invite(invitation)
    world.idle(20)
    told = {name for name in world["anna"].files.list(invitation.id) if name[0] != "!"}
    assert "carl.round2.cbor" in told and "dora.round2.cbor" not in told
    (view,) = world["dora"].process.pending()
    assert view.needs_decision and view.waiting_for == ("dora",)
    assert world["anna"].process.pending()[0].waiting_for == ("dora",)
    assert any("3 of 4 governors certify" in line for line in view.lines)
    assert not any(world.seats().values())
    world["dora"].operator = agree
    world.run(world.founded)


def test_nobody_can_agree_before_there_is_a_fingerprint():
    world = World(FOUR)
    invitation = world.invitation()
    world.invite(invitation, ["anna"])
    with pytest.raises(NoDecisionDue):
        world["anna"].process.decide_on(invitation.id, True, "", 0)
    with pytest.raises(NoDecisionDue):
        world["anna"].process.decide_on(bytes(32), True, "", 0)


def test_a_refusal_ends_it_for_all():
    world = World(FOUR, loss=0.2)
    world["carl"].operator = deny
    invitation = world.invitation()
    world.invite(invitation)
    world.run(lambda: set(world.states(invitation.id).values()) == {"refused"})
    assert not any(world.seats().values())
    # also after a restart, and nobody is asked again
    for box in world.boxes.values():
        box.kill()
    world.idle(10)
    assert set(world.states(invitation.id).values()) == {"refused"}
    assert not any(box.process.pending() for box in world.boxes.values())
    # and the next one finds a place
    for box in world.boxes.values():
        box.operator = agree
    world.invite(world.invitation())
    world.run(world.founded)


# Power cuts


def test_one_is_killed_before_every_write_and_it_goes_on():
    cut = 0
    while True:
        cut += 1
        world = World(FOUR, seed=cut, loss=0.1)
        ben = world["ben"]
        ben.fuse[0] = cut
        invitation = world.invitation()
        world.invite(invitation)
        while ben.process is None or not ben.process.views():
            # whoever begins it repeats its invitation until it is answered
            world.idle(3)
            world.invite(invitation, ["ben"])
        world.run(world.founded)
        assert committee_digest(world["ben"].process.seat) == committee_digest(
            world["anna"].process.seat
        )
        if ben.fuse[0] > 0:
            break
    # index, polynomial, own and others' files, decision, seat, commitments, shares, result
    assert cut > 25


def test_all_are_killed_again_and_again():
    world = World(FOUR, seed=5, loss=0.1)
    world.invite(world.invitation())
    next_ms = 2000
    while not world.founded():
        assert world.now_ms < 400_000, world.describe()
        world.step()
        if world.now_ms >= next_ms:
            next_ms += 2000
            world.random.choice(list(world.boxes.values())).kill()


def test_threshold_governors_certify_and_the_last_one_catches_up():
    world = World(FOUR)
    invitation = world.invitation()
    world.invite(invitation)
    world.run(lambda: all(world.seats().values()))
    # the one whose turn it is to select is the one that is dead
    world["anna"].kill(for_ms=60_000)
    world.run(lambda: world.founded("ben", "carl", "dora"), s_max=50)
    world.run(world.founded)
    check_genesis(world, invitation, FOUR)


def test_the_seat_is_safe_before_anything_is_signed(monkeypatch):
    world = World(FOUR)
    looked = []
    step = Signing.step

    def look(self):
        looked.append(self.identity.name)
        assert load_seat(world[self.identity.name].store) == self.seat
        return step(self)

    monkeypatch.setattr(Signing, "step", look)
    world.invite(world.invitation())
    world.run(world.founded)
    assert set(looked) == set(FOUR)


def test_told_again_after_a_restart_and_never_a_second_seat():
    world = found()
    before = world.seats()
    for box in world.boxes.values():
        box.kill()
    world.idle(10)
    assert world.seats() == before
    assert all(len(box.seats) == 2 for box in world.boxes.values())
    assert all(box.seats[0] == box.seats[1] for box in world.boxes.values())


# Liars


def forged(world, name, id, step, body):
    return envelope(world[name].identity, id, step, codec.dump(body))


def test_two_different_round_1_packages_are_caught_and_kept_as_evidence():
    """Carl shows Ben one package and the others another, each well signed."""
    world = World(FOUR)
    invitation = world.invitation()
    package = Dkg.begin(invitation.id, 3, 3, 4).round1()
    other = forged(world, "carl", invitation.id, "round1", package.to_item())

    def tamper(sender, receiver, data):
        items = codec.load(data)
        if (sender, receiver) == ("carl", "ben") and items[0] == FILE and "round1" in items[2]:
            return codec.dump([*items[:3], other])
        return data

    world.tamper = tamper
    world.invite(invitation)
    world.run(lambda: set(world.states(invitation.id).values()) == {"failed"})
    world.idle(10)
    for name in ("anna", "ben", "dora"):
        (view,) = world[name].process.views()
        assert "carl" in view.problem
        assert world[name].files.get(invitation.id, "carl.round1.cbor~") is not None
        assert any(event.name == "accused" for event in world[name].events)
    assert not any(world.seats().values())


def test_two_packages_that_gossip_cannot_compare_give_two_fingerprints():
    """Carl shows Anna another one, and nobody else can speak with her about it."""
    world = World(FOUR)
    invitation = world.invitation()
    package = Dkg.begin(invitation.id, 3, 3, 4).round1()
    other = forged(world, "carl", invitation.id, "round1", package.to_item())

    def tamper(sender, receiver, data):
        items = codec.load(data)
        if "anna" not in (sender, receiver):
            return data
        # between her and the others passes what its author sends, and nothing else
        if items[0] != FILE or not items[2].startswith(f"{sender}."):
            return None
        if items[2] == "carl.round1.cbor":
            return codec.dump([*items[:3], other])
        return data

    world.tamper = tamper
    world.invite(invitation)
    world.run(
        lambda: (
            len(
                {
                    v.fingerprint
                    for n in ("anna", "ben")
                    for v in world[n].process.pending()
                    if v.fingerprint
                }
            )
            == 2
        )
    )
    world.idle(20)
    assert not any(world.seats().values())
    assert not any("round2" in name for name in world["anna"].files.list(invitation.id))


def test_a_wrong_share_is_complained_about_by_name(monkeypatch):
    world = World(FOUR)
    invitation = world.invitation()
    honest = FoundingRun._step

    def cheat(self, now_ms):
        if self.identity.name == "ben" and self._machine is not None:
            shares = self._machine._dkg.round2 if not hasattr(self, "_bent") else None
            if shares is not None:
                self._bent = True
                self._machine._dkg.round2 = lambda: {n: bytes(32) for n in shares()}
        return honest(self, now_ms)

    monkeypatch.setattr(FoundingRun, "_step", cheat)
    world.invite(invitation)
    world.run(lambda: set(world.states(invitation.id).values()) == {"failed"})
    for name in ("anna", "carl", "dora"):
        assert "ben" in world[name].process.views()[0].problem
    assert not any(world.seats().values())


def test_genesis_that_a_liar_altered_is_not_signed(monkeypatch):
    world = World(FOUR)
    invitation = world.invitation()
    items = Invitation.payloads
    greedy = []

    def altered(self, group_key):
        found = items(self, group_key)
        if greedy and self is greedy[0] and len(group_key) == 32 and group_key != bytes(32):
            found[0] = self.charter(bytes(31) + b"\1")
        return found

    monkeypatch.setattr(Invitation, "payloads", altered)
    world.invite(invitation)
    world.run(lambda: bool(world["anna"].process.views()))
    greedy.append(world["anna"].process._runs[invitation.id].invitation)
    world.run(lambda: world.founded("ben", "carl", "dora"))
    assert not world["anna"].seats
    key = world["ben"].process.seat.public.group_key
    payloads = [capsule.parse(raw).payload for raw in world["ben"].seats[0].genesis]
    assert payloads == items(invitation, key)


def test_a_silent_signer_is_left_out(monkeypatch):
    """Ben commits and never sends a share."""
    world = World(FOUR)
    invitation = world.invitation()
    world.tamper = lambda sender, receiver, data: (
        None if sender == "ben" and b"share" in data and codec.load(data)[0] == FILE else data
    )
    world.invite(invitation)
    world.run(lambda: world.founded("anna", "carl", "dora"))
