"""Carriers around a model of a broker that keeps one message a slot: what they take and publish."""

import random
from pathlib import Path

import pytest
from attack_rig import AttackedScope, flipped
from fakeflash import MemoryFlash
from field_rig import OPERATOR, SENSOR
from interop_rig import PlainKey

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.limits import CAPSULE_BYTES_MAX
from writ_host.bridge import held
from writ_host.bridge.carrier import REPAIR_MS, REPAIRS, SETTLE_MS, Carrier
from writ_host.bridge.kept import KeptMembers
from writ_host.bridge.spool import Spool

STEP_MS, LATENCY_MS = 500, 2_000


class Shelf:
    """A broker: `stored` messages by slot, each delivered to every carrier but its publisher.

    What is stored arrives a while after it was asked for.
    """

    def __init__(self, seed: int = 1) -> None:
        self.stored: dict[str, bytes] = {}
        self.now_ms = 0
        self.carriers: list[Carrier] = []
        self._chance = random.Random(seed)
        self._queues: list[list[tuple[int, str, bytes]]] = []

    def join(self, authority: Authority, with_members: bool = True) -> Carrier:
        """A carrier that connects now."""
        number = len(self.carriers)

        def publish(slot: str, raw: bytes) -> bool:
            return self.publish(slot, raw, number)

        carrier = Carrier(authority, with_members, publish, lambda: self.resend(number))
        self.carriers.append(carrier)
        self._queues.append([])
        carrier.connected(self.now_ms)
        self.resend(number)
        return carrier

    def resend(self, number: int) -> None:
        """Send a carrier what is stored, in any order."""
        found = list(self.stored.items())
        self._chance.shuffle(found)
        self._queues[number] += [(self.now_ms + LATENCY_MS, *one) for one in found]

    def publish(self, slot: str, raw: bytes, by: int = -1) -> bool:
        """Store a message, or remove it, and deliver it to the others."""
        if raw:
            self.stored[slot] = raw
        else:
            self.stored.pop(slot, None)
        for number, queue in enumerate(self._queues):
            if number != by:
                queue.append((self.now_ms, slot, raw))
        return True

    def run(self, ms: int) -> None:
        """Let time pass."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.now_ms += STEP_MS
            for carrier, queue in zip(self.carriers, self._queues, strict=True):
                due = [one for one in queue if one[0] <= self.now_ms][:16]
                queue[:] = [one for one in queue if one not in due]
                for _, slot, raw in due:
                    carrier.receive(slot, raw, True, self.now_ms)
                is_idle = not any(one[0] <= self.now_ms for one in queue)
                carrier.tick(self.now_ms, is_idle)


class Site:
    """A scope and nodes' authorities in memory."""

    def __init__(self) -> None:
        self.scope = AttackedScope()
        self._number = 0

    def authority(self, name: str, *raws: bytes) -> Authority:
        """The authority of a new member that has these capsules; of a blank node without any."""
        self._number += 1
        private = crypto.sha256(name.encode())
        found = Authority(Store(MemoryFlash()), crypto.p256_public(private)[0], self.scope.id)
        if raws:
            member = self.scope.member(private, name, 256 + self._number, OPERATOR)
            for raw in (self.scope.charter, member, *raws):
                found.receive(raw, 0)
        return found


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_blank_node_gets_everything_from_the_broker(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    beacon = scope.beacon()
    old = site.authority("a", scope.policies[0], beacon)
    shelf.join(old)
    shelf.run(10_000)
    slots = {"charter", "policy", "beacon", f"member/{old.me.node_id.hex()}"}
    assert set(shelf.stored) == slots
    blank = site.authority("b")
    carrier = shelf.join(blank)
    shelf.run(60_000)
    assert (blank.epoch, blank.beacon.raw) == (1, beacon)
    assert blank.peer(old.me.node_id).name == "a"
    # it has nothing of its own to add, and repeats nothing
    assert carrier.published == 0


@pytest.mark.parametrize("seed", range(8))
def test_amendments_arrive_in_any_order(site: Site, seed: int) -> None:
    scope, shelf = site.scope, Shelf(seed)
    first = scope.policies[0]
    far = site.authority("a", first)
    for n in range(4):
        far.receive(scope.amend(bytes([n]) * 8), 0)
    shelf.join(far)
    shelf.run(10_000)
    assert {f"amendment/{n}" for n in range(2, 6)} < set(shelf.stored)
    behind = site.authority("b", first)
    shelf.join(behind)
    shelf.run(180_000)
    assert (behind.epoch, behind.head) == (5, far.head)
    # the whole policy makes the amendments superfluous, at every bridge and at the broker
    far.receive(scope.policies[-1], shelf.now_ms)
    shelf.run(60_000)
    assert shelf.stored["policy"] == scope.policies[-1]
    assert not [slot for slot in shelf.stored if slot.startswith("amendment")]
    assert behind.policy_record()[1] == scope.policies[-1]


def test_the_newest_policy_wins_from_both_sides(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    first = scope.policies[0]
    one, two = site.authority("a", first), site.authority("b", first)
    shelf.join(one)
    shelf.join(two)
    shelf.run(10_000)
    for newer, older in ((one, two), (two, one), (one, two)):
        scope.amend(bytes([newer.epoch]) * 8)
        newer.receive(scope.policies[-1], shelf.now_ms)
        shelf.run(5_000)
        assert older.epoch == newer.epoch == scope.state.epoch
        assert shelf.stored["policy"] == scope.policies[-1]


def test_an_older_bridge_does_not_overwrite_what_is_newer(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    first = scope.policies[0]
    scope.amend(bytes(8))
    shelf.join(site.authority("a", scope.policies[-1]))
    shelf.run(10_000)
    old = site.authority("b", first)
    seen = []
    original = shelf.publish
    shelf.publish = lambda slot, raw, by=-1: seen.append((slot, raw)) or original(slot, raw, by)  # type: ignore[method-assign]
    shelf.join(old)
    shelf.run(60_000)
    assert old.epoch == 2
    assert ("policy", first) not in seen


def test_replays_are_repaired_once_a_minute(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    first = scope.policies[0]
    scope.amend(bytes(8))
    authority = site.authority("a", scope.policies[-1])
    carrier = shelf.join(authority)
    shelf.run(10_000)
    before = carrier.published
    for _ in range(100):
        shelf.publish("policy", first)
        shelf.run(STEP_MS)
    assert authority.epoch == 2
    assert carrier.refused["RolledBack"] == 100
    assert carrier.published - before == 1
    shelf.run(REPAIR_MS)
    assert shelf.stored["policy"] == scope.policies[-1]
    # what is removed is put back, too
    shelf.publish("charter", b"")
    shelf.run(REPAIR_MS)
    assert shelf.stored["charter"] == scope.charter


def junk(site: Site, chance: random.Random) -> list[tuple[str, bytes]]:
    """Messages of a hostile client."""
    scope, other = site.scope, AttackedScope()
    policy = scope.policies[-1]
    head = scope.state.head()
    gap = capsule.build(capsule.POLICY, [3, bytes(6), [], [], [], {}], iat=1)
    gap2 = capsule.build(capsule.AMENDMENT, [9, bytes(6), bytes(8)])
    return [
        ("policy", b"x"),
        ("policy", chance.randbytes(CAPSULE_BYTES_MAX)),
        ("policy", bytes(CAPSULE_BYTES_MAX + 1)),
        ("policy", bytes(8000)),
        ("policy", b"\x81" * 1000),
        ("policy", b"\xa1\x01" * 600),
        ("policy", b'{"a": ' * 200),
        ("policy", flipped(policy, -1)),
        ("policy", flipped(policy, len(policy) // 2)),
        ("policy", scope.charter),
        ("policy", other.policies[0]),
        ("policy", capsule.assemble(gap, bytes(64))),
        ("policy", scope.policies[0]),
        ("charter", other.charter),
        ("charter", policy),
        ("beacon", scope.action(bytes(8), b"open")),
        ("beacon", capsule.assemble(capsule.build(4, [2, head], iat=2**32 - 1), bytes(64))),
        ("amendment/9", capsule.assemble(gap2, bytes(64))),
        ("amendment/0", policy),
        ("amendment/-1", policy),
        ("amendment/99999999999", policy),
        ("member/" + "0" * 16, policy),
        ("member/x", policy),
        ("", policy),
        ("policy/1", policy),
        ("../policy", policy),
        ("release/1", policy),
    ]


def test_hostile_messages_change_nothing_and_make_no_table_grow(site: Site) -> None:
    scope, shelf, chance = site.scope, Shelf(), random.Random(3)
    scope.amend(bytes(8))
    authority = site.authority("a", scope.policies[-1], scope.beacon())
    carrier = shelf.join(authority)
    shelf.run(10_000)
    state = authority.epoch, authority.head, authority.beacon.raw, dict(authority.peers)
    for slot, raw in junk(site, chance):
        shelf.publish(slot, raw)
        shelf.run(STEP_MS)
    names = {"TooLarge", "BadTopic", "WrongSlot", "RolledBack", "BadSignature", "WrongScope"}
    assert names <= set(carrier.refused), carrier.refused
    before = carrier.published
    for n in range(5000):
        slot = chance.choice([f"amendment/{n + 1}", f"succession/{n + 1}", f"member/{n:016x}"])
        carrier.receive(slot, chance.randbytes(chance.randrange(1500)), True, shelf.now_ms)
        if n % 50 == 0:
            carrier.tick(shelf.now_ms, True)
    assert state == (authority.epoch, authority.head, authority.beacon.raw, dict(authority.peers))
    assert carrier.published - before <= REPAIRS
    assert set(carrier._stored) <= set(carrier._held)
    assert set(carrier._repaired_ms) <= set(carrier._held)
    shelf.run(3 * REPAIR_MS)
    for slot, raw in held.held(authority, True, shelf.now_ms).items():
        assert shelf.stored[slot] == raw


def test_a_flood_of_signatures_is_limited_and_what_is_true_arrives_after_it(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    authority = site.authority("a", scope.policies[0])
    carrier = shelf.join(authority)
    shelf.run(10_000)
    head = scope.state.head()
    true = scope.amend(bytes(8))
    for n in range(200):
        payload = capsule.build(capsule.BEACON, [1, head], iat=2_000_000_000 + n)
        carrier.receive("beacon", capsule.assemble(payload, bytes(64)), True, shelf.now_ms)
    assert carrier.refused["RateLimited"] > 100
    shelf.publish("amendment/2", true)
    shelf.run(120_000)
    assert authority.epoch == 2


def test_a_missed_succession_comes_first(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    first = scope.policies[0]
    ahead, behind = site.authority("a", first), site.authority("b", first)
    key = PlainKey()
    succession = scope.succession(key, 2, scope.state.head())
    ahead.receive(succession, 0)
    body = [3, ahead.head, [[1, 1, "temp", 1]], [], [], {}]
    payload = capsule.build(capsule.POLICY, body, iat=capsule.parse(first).claims[6] + 9)
    policy = capsule.assemble(payload, key.sign(capsule.signing_input(payload)))
    ahead.receive(policy, 0)
    shelf.join(ahead)
    shelf.run(10_000)
    assert "succession/2" in shelf.stored
    shelf.join(behind)
    shelf.run(60_000)
    assert (behind.epoch, behind.group_key) == (3, key.public)
    assert shelf.stored["policy"] == policy


def test_two_encodings_of_one_capsule_do_not_make_two_bridges_compete(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    plain = scope.policies[0]
    parsed = capsule.parse(plain)
    hinted = capsule.assemble(parsed.payload, parsed.signature, hint=scope.id[:4])
    assert hinted != plain
    one, two = shelf.join(site.authority("a", plain)), shelf.join(site.authority("b", hinted))
    shelf.run(10_000)
    before = one.published + two.published
    shelf.run(10 * REPAIR_MS)
    assert one.published + two.published == before


def test_a_spoiled_signature_of_a_known_capsule_is_repaired(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    beacon = scope.beacon()
    carrier = shelf.join(site.authority("a", scope.policies[0], beacon))
    shelf.run(10_000)
    good = dict(shelf.stored)
    for slot, raw in good.items():
        # each is known by its payload, which is checked before the signature
        shelf.publish(slot, flipped(raw, -1))
    shelf.run(2_000)
    assert shelf.stored == good
    assert carrier.refused == {"BadSignature": len(good)}
    # another node that begins now is not kept from them
    blank = site.authority("b")
    shelf.join(blank)
    shelf.run(30_000)
    assert (blank.epoch, blank.beacon.raw) == (1, beacon)


def test_members_are_carried_only_if_they_are_to_be(site: Site) -> None:
    scope, shelf = site.scope, Shelf()
    carrier = shelf.join(site.authority("a", scope.policies[0]), with_members=False)
    shelf.run(10_000)
    assert set(shelf.stored) == {"charter", "policy"}
    assert carrier.published == 2


def test_no_revoked_or_expired_member_is_published(site: Site) -> None:
    scope = site.scope
    authority = site.authority("a", scope.policies[0])
    eve = scope.member(crypto.sha256(b"eve"), "eve", 999, SENSOR)
    authority.receive(eve, 0)
    slot = held.slot_of(eve)
    assert held.held(authority, True, 0)[slot] == eve
    assert slot not in held.held(authority, False, 0)
    assert slot not in held.held(authority, True, 10 * 86_400_000)
    authority.receive(scope.amend(capsule.Member(capsule.parse(eve)).node_id), 0)
    assert slot not in held.held(authority, True, 0)


def test_nothing_is_published_before_the_broker_has_sent_what_it_has(site: Site) -> None:
    shelf = Shelf()
    carrier = shelf.join(site.authority("a", site.scope.policies[0]))
    shelf.run(SETTLE_MS - STEP_MS)
    assert carrier.published == 0
    carrier.disconnected()
    shelf.run(10_000)
    assert carrier.published == 0
    carrier.connected(shelf.now_ms)
    shelf.run(10_000)
    assert carrier.published == 3


def test_kept_members_are_checked_again_at_the_start(site: Site, tmp_path: Path) -> None:
    scope = site.scope
    names = ("one", "two", "eve")
    raws = {name: scope.member(crypto.sha256(name.encode()), name, 900, SENSOR) for name in names}
    before = site.authority("a", scope.policies[0])
    for raw in raws.values():
        before.receive(raw, 0)
    spool = Spool(tmp_path / "spool.db", 1 << 20, 60)
    KeptMembers(before, spool).update(held.held(before, True, 0))
    spool.keep("member/" + "0" * 16, flipped(raws["one"], -1))
    spool.commit(0)
    assert len(spool.kept()) == 4
    ids = {name: capsule.Member(capsule.parse(raw)).node_id for name, raw in raws.items()}
    # a node that starts again, and has heard of a revocation first
    after = site.authority("a", scope.policies[0], scope.amend(ids["eve"]))
    kept = KeptMembers(after, spool)
    kept.restore(0)
    assert {one.name for one in after.peers.values()} == {"one", "two"}
    kept.update(held.held(after, True, 0))
    spool.commit(0)
    assert set(spool.kept()) == {held.slot_of(raws["one"]), held.slot_of(raws["two"])}
    # without a charter nothing can be judged, and nothing is forgotten
    KeptMembers(site.authority("b"), spool).restore(0)
    spool.commit(0)
    assert len(spool.kept()) == 2
    spool.close()
