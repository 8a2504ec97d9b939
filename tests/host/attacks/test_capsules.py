"""Attacks with capsules, on a device over real sockets: rows of docs/security.md."""

import contextlib
import itertools
import socket
import time
from pathlib import Path
from typing import Any

from attack_rig import (
    FOUNDED,
    RULES,
    AttackedField,
    AttackedScope,
    Member,
    flipped,
    post,
    sealed,
    send,
    wait,
)
from field_rig import GUEST, OPERATOR, SENSOR
from interop_rig import HOST, PlainKey, ping
from node_hostile import FIRST_MESSAGES, capsule_post, message_1

from writ import cbor, crypto
from writ.authority import capsule
from writ.authority.policy import OP_ADD_RULE
from writ.authority.store import FileFlash, Store
from writ.limits import (
    BODY_BYTES_MAX,
    CAPSULE_BYTES_MAX,
    HANDSHAKE_BURST,
    TRANSFER_TIMEOUT_MS,
    TRANSFERS_MAX,
)
from writ.startup import load_key
from writ.wire import coap
from writ.wire.blockwise import block_encode
from writ_host.node.plainclient import PlainClient

STATE = ("epoch", "head", "policy", "beacon")
# Blocks of 256 bytes in a body
BLOCKS_MAX = BODY_BYTES_MAX // 256


class Later:
    """A clock that is ahead of another one."""

    def __init__(self, clock: Any, ahead_ms: int) -> None:
        self._clock, self._ahead_ms = clock, ahead_ms

    def now_ms(self) -> int:
        now_ms: int = self._clock.now_ms() + self._ahead_ms
        return now_ms


def test_an_arbitrary_capsule_is_not_believed(field: AttackedField) -> None:
    device, scope, eve = field.device("soil"), field.scope, PlainKey()
    before = field.status(device)
    forged = [sealed(eve, payload) for payload in scope.wishes()]
    assert set(post(device.address, *forged)) == {"BadSignature"}
    # a repeated capsule costs no signature check
    assert set(post(device.address, *forged)) == {"KnownBad"}
    # a member's signature does not certify
    insider = field.member("insider", GUEST)
    payload = scope.wishes()[0]
    signature = crypto.es256_sign(insider.private, capsule.signing_input(payload, capsule.ES256))
    own = capsule.assemble(payload, signature, capsule.ES256)
    assert post(device.address, own) == ["BadShape"]
    # a certified capsule with one bit flipped: in its framing, epoch, rules or signature
    true = scope.amend([OP_ADD_RULE, [OPERATOR, SENSOR, "level/*", 1]])
    said = post(device.address, *(flipped(true, at) for at in (0, 2, 8, 20, 30, -60, -1)))
    assert not {"taken", "known"} & {*said} and said[-2:] == ["BadSignature", "BadSignature"]
    # a node that signs its own membership is no member
    eves = crypto.p256_generate()
    key = crypto.p256_public(eves)
    member = capsule.build(capsule.MEMBER, [9, OPERATOR], sub="eve", exp=FOUNDED + 99, key=key)
    stranger = field.member("stranger", 0)
    stranger.private = stranger.handshaker.private = eves
    stranger.authority.me = capsule.Member(capsule.parse(sealed(eve, member)))
    assert stranger.say(device.address, "temp") == "BadSignature"
    after = field.status(device)
    assert {key: after[key] for key in STATE} == {key: before[key] for key in STATE}
    assert post(device.address, true) == ["taken"]


def test_an_older_state_does_not_come_back(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    lost = field.member("lost")
    assert lost.say(device.address, "temp").startswith("21.")
    old = [scope.policies[0], scope.beacon()]
    assert post(device.address, old[1]) == ["taken"]
    old.append(scope.amend(lost.node_id))
    old.append(scope.policies[1])
    old.append(scope.beacon())
    scope.amend([OP_ADD_RULE, [*RULES[0][:2], "level/*", 1]])
    store = Store(FileFlash(str(device.path)))
    # an older beacon of the same epoch, and an older membership of this node
    old += [scope.beacon(), store.load("member")]
    mine = capsule.Member(capsule.parse(old[-1]))
    later = scope.member(load_key(store), mine.name, mine.address, mine.roles, days=2)
    newest = [scope.policies[2], scope.beacon(), later]
    assert post(device.address, *newest) == ["taken", "taken", "taken"]
    assert lost.say(device.address, "temp") == "Revoked"
    for _ in range(2):
        assert set(post(device.address, *old)) == {"RolledBack"}
        assert lost.say(device.address, "temp") == "Revoked"
        status = field.status(device)
        assert (status["epoch"], status["head"]) == (3, scope.state.head())
        device.kill()
        device.start()
    # a member that is behind does not draw the device back
    behind = field.member("behind")
    behind.authority.epoch = 1
    assert behind.say(device.address, "temp").startswith("21.")
    assert field.status(device)["epoch"] == 3


def test_pieces_of_different_states_do_not_mix(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    rival = scope.rival()
    # two certified states of one epoch: a rule for one path, and a fork's rule for another
    rule = [OP_ADD_RULE, [OPERATOR, SENSOR, "level/*", 1]]
    first, second = scope.amend(rule), scope.amend(bytes(8))
    other = rival.amend([OP_ADD_RULE, [OPERATOR, SENSOR, "missing", 1]])
    after = rival.amend(bytes(8))
    assert post(device.address, second) == ["EpochGap"]
    assert post(device.address, first) == ["taken"]
    assert post(device.address, after, rival.policies[2]) == ["WrongPrevious", "WrongPrevious"]
    assert post(device.address, other) == ["Forked"]
    assert post(device.address, rival.policies[1], rival.beacon(2)) == ["Forked", "Forked"]
    # the signature of one capsule on the claims of another
    parts = [capsule.parse(raw) for raw in (second, scope.policies[2])]
    mixed = capsule.assemble(parts[0].payload, parts[1].signature)
    assert post(device.address, mixed) == ["BadSignature"]
    # the membership of one node with the key of another
    thief = field.member("thief", GUEST)
    thief.authority.me = field.operator.authority.me
    assert thief.say(device.address, "temp") == "BadMac"
    assert post(device.address, second) == ["taken"]
    assert field.status(device)["head"] == scope.state.head()


def test_capsules_of_another_scope_are_refused(field: AttackedField, tmp_path: Path) -> None:
    device, scope, other = field.device("soil"), field.scope, AttackedScope()
    assert post(device.address, other.charter) == ["WrongScope"]
    other.enact(RULES)
    raws = [other.beacon(), other.member(crypto.p256_generate(), "eve", 9, OPERATOR)]
    other.policies += [other.policies[-1]] * 5
    raws.append(other.enact(RULES))
    assert set(post(device.address, *raws)) == {"BadSignature"}
    parsed = capsule.parse(scope.amend(bytes(8)))
    hinted = capsule.assemble(parsed.payload, parsed.signature, hint=other.id)
    assert post(device.address, hinted) == ["WrongScope"]
    # a member of another scope is no member here
    (tmp_path / "there").mkdir()
    there = AttackedField(tmp_path / "there", tmp_path)
    there.scope = other
    visitor = field.keep(Member.of(there, "visitor", OPERATOR))
    assert visitor.say(device.address, "temp") == "WrongScope"
    # a device without a charter takes only the charter of its scope
    blank = field.blank("blank")
    assert post(blank.address, scope.policies[0], other.charter) == ["NoScope", "WrongScope"]
    assert post(blank.address, scope.charter, scope.policies[0]) == ["taken", "taken"]


def test_a_false_newer_epoch_is_not_believed(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    forged = sealed(PlainKey(), scope.wishes()[3])
    malicious = field.member("malicious", OPERATOR)
    malicious.authority.epoch = capsule.TIME_MAX
    served = {"writ/policy": scope.policies[0], "writ/beacon": forged}
    malicious.lie(lambda request: request.path in served and (coap.CONTENT, served[request.path]))
    before = field.status(device)
    for _ in range(3):
        assert malicious.say(device.address, "temp").startswith("21.")
    # the device asks it, gets nothing valid, and does not ask it again at once
    assert malicious.asked.count("writ/policy") == 1
    assert post(device.address, forged) == ["BadSignature"]
    # news from another member arrive meanwhile
    for raw in (scope.amend(bytes(8)), scope.beacon()):
        field.operator.authority.receive(raw, 0)
    wait(lambda: field.status(device)["epoch"] == 2)
    after = field.status(device)
    assert after["head"] == scope.state.head()
    # the device's time comes from the certified beacon
    assert before["time"] <= after["time"] < FOUNDED + 3600


def test_a_peer_that_does_not_deliver_is_asked_at_growing_intervals(field: AttackedField) -> None:
    victim, malicious = field.member("victim", SENSOR), field.member("malicious", OPERATOR)
    malicious.authority.epoch = capsule.TIME_MAX
    forged = sealed(PlainKey(), field.scope.wishes()[0])
    malicious.lie(lambda request: request.path == "writ/policy" and (coap.CONTENT, forged))
    clock, asked = victim.clock, []
    with victim.background():
        for minutes in range(64):
            victim.clock = Later(clock, 60000 * minutes)
            before = malicious.asked.count("writ/policy")
            malicious.call(victim.address, "temp")
            for _ in range(3):
                malicious.step(10)
            if malicious.asked.count("writ/policy") > before:
                asked.append(minutes)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert len(pauses) >= 3 and pauses == sorted(pauses) and pauses[-1] >= 8


def test_data_without_end_is_cut_off(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    # a stranger with an endless upload, a capsule that is too long, a datagram that is too long
    with PlainClient(device.address) as stranger:
        assert stranger.post("writ", bytes(4 * BODY_BYTES_MAX)).code == coap.TOO_LARGE
    assert post(device.address, bytes(CAPSULE_BYTES_MAX + 1)) == ["TooLarge"]
    message = coap.Message(coap.CON, coap.POST, 1, b"\x01", b"x")
    message.add_path("writ")
    answer = send(device.address, message.encode() + bytes(1400))
    assert answer is not None and answer.code == coap.TOO_LARGE
    # a member that serves an endless policy
    malicious = field.member("malicious", OPERATOR)
    malicious.authority.epoch = 7
    malicious.lie(lambda request: request.path == "writ/policy" and (coap.CONTENT, bytes(1 << 20)))
    before = field.refused(device)["TooLarge"]
    assert malicious.say(device.address, "temp").startswith("21.")
    wait(lambda: malicious.step(20) or field.refused(device)["TooLarge"] > before)
    assert malicious.asked.count("writ/policy") <= 1 + BODY_BYTES_MAX // 256
    # an upload is refused at the block that exceeds the limit, before a capsule is looked at
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        codes = [upload(device.address, number, link) for number in range(BLOCKS_MAX + 1)]
    assert codes == [coap.CONTINUE] * BLOCKS_MAX + [coap.TOO_LARGE]
    # strangers that begin uploads and never end them: the table has a limit, and the latest places
    with contextlib.ExitStack() as stack:
        links = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(6)
        ]
        for link in links:
            assert upload(device.address, 0, link) == coap.CONTINUE
            # the order counts milliseconds
            time.sleep(0.01)
        codes = [upload(device.address, 1, link) for link in links]
    assert codes == [coap.INCOMPLETE] * (6 - TRANSFERS_MAX) + [coap.CONTINUE] * TRANSFERS_MAX
    assert post(device.address, scope.amend(bytes(8))) == ["taken"]
    assert field.status(device)["epoch"] == 2


def upload(address: str, number: int = 0, link: socket.socket | None = None) -> int:
    """Send one block of an upload that never ends, from `link` or a new address; the answer."""
    begun = coap.Message(coap.CON, coap.POST, 3000 + number, b"\x02", bytes(256))
    begun.add_path("writ")
    begun.add(coap.BLOCK1, block_encode(number, True, 4))
    with contextlib.ExitStack() as stack:
        link = link or stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        for _ in range(5):
            # a node that falls behind drops some messages of strangers
            if answer := send(address, begun.encode(), 1.0, link):
                code: int = answer.code
                return code
    raise AssertionError("no answer")


def test_a_full_table_and_a_full_heap_become_free_again(field: AttackedField) -> None:
    victim, guest = field.member("victim", SENSOR), field.member("guest", GUEST)
    for one in (guest, field.operator):
        with victim.background():
            one.call(victim.address, "writ/status")
    clock = victim.clock
    with victim.background(), contextlib.ExitStack() as stack:
        link = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        assert upload(victim.address, 0, link) == coap.CONTINUE
        # a minute later the unfinished upload is forgotten
        victim.clock = Later(clock, TRANSFER_TIMEOUT_MS)
        assert upload(victim.address, 1, link) == coap.INCOMPLETE
        # the heap is full: strangers' uploads are forgotten, and then the member is served
        handle, full = victim.receive, list[bytes]()

        def receive(*datagram: Any) -> object:
            if full:
                full.pop()
                raise MemoryError
            return handle(*datagram)

        victim.receive = receive
        link = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        assert upload(victim.address, 0, link) == coap.CONTINUE
        full.append(b"full")
        assert field.operator.call(victim.address, "writ/status").is_success()
        assert len(victim.sessions) == 2
        assert upload(victim.address, 1, link) == coap.INCOMPLETE
        # a stranger's datagrams that find no room end no session
        full.extend([b"full"] * 20)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            for number in range(200):
                # one by one: a node that falls behind drops some of them unread
                if full:
                    link.sendto(message_1(number), (HOST, int(victim.address.rpartition(":")[2])))
                    time.sleep(0.05)
            assert not full
        assert len(victim.sessions) == 2
        # a member that finds no room even without them ends the least recently used session
        full.extend([b"full"] * 2)
        assert field.operator.call(victim.address, "writ/status").is_success()
        assert [session.peer.name for session in victim.sessions] == ["operator"]


def test_a_frozen_device_reports_how_old_its_state_is(tmp_path: Path, tree: Path) -> None:
    field = AttackedField(tmp_path, tree, beacon_age_s=2)
    try:
        device, scope, operator = field.device("soil"), field.scope, field.operator
        beacon = scope.beacon()
        assert operator.say(device.address, "blob") == "NotFresh"
        assert post(device.address, beacon) == ["taken"]
        assert operator.say(device.address, "blob") == "\xff\x00"
        # the scope goes on without the device; an attacker repeats the beacon that it has
        news = [scope.amend(field.member("lost").node_id), scope.beacon(time_s=FOUNDED + 600)]
        said = set()
        deadline = time.monotonic() + 20
        while operator.say(device.address, "blob") != "NotFresh":
            said |= set(post(device.address, beacon))
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert said == {"known"}
        # rules without `fresh` still allow, and the status reports the age
        assert operator.say(device.address, "temp").startswith("21.")
        status = field.status(device)
        assert status["epoch"] == 1 and status["beacon_age_s"] > 2
        # a restart makes nothing fresh
        device.kill()
        device.start()
        assert operator.say(device.address, "blob") == "NotFresh"
        assert field.status(device)["beacon_age_s"] is None
        # the first news from outside ends the freeze
        assert post(device.address, *news) == ["taken", "taken"]
        assert operator.say(device.address, "blob") == "\xff\x00"
        # so does any member that has news and speaks with the device
        for raw in (*news, scope.amend(bytes(8)), scope.beacon(time_s=FOUNDED + 1200)):
            operator.authority.receive(raw, 0)
        wait(lambda: field.status(device)["epoch"] == 3)
        wait(lambda: field.status(device)["beacon"] == FOUNDED + 1200)
    finally:
        field.stop()


def test_a_slow_peer_does_not_hold_up_the_device(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    raw = scope.amend(*(bytes(7) + bytes((number,)) for number in range(1, 17)))
    slow, quick = field.member("slow"), field.member("quick")
    # sixteen bytes at a time, each delayed to just before its timeout
    slow.szx, slow.delay_ms = 0, 1500
    slow.lie(lambda request: None)
    assert slow.say(device.address, "temp").startswith("21.")
    with slow.background():
        wait(lambda: "writ/policy" in slow.asked)
        wait(lambda: _epoch(quick, device.address) == 2, every_s=0.2)
    # the whole transfer would have taken much longer
    assert slow.asked.count("writ/policy") < len(raw) // 16
    assert slow.asked.count("writ/policy") > 1


def test_a_flood_leaves_room_for_members(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    assert field.operator.say(device.address, "temp").startswith("21.")
    payload = scope.wishes()[0]
    host, _, port = device.address.rpartition(":")
    for number, greeting in enumerate(FIRST_MESSAGES):
        # from many addresses: unanswered handshakes, forged capsules, unfinished uploads
        raw = capsule.assemble(payload, crypto.sha512(bytes((number,))))
        forged = capsule_post(raw, 1000 + number)
        begun = coap.Message(coap.NON, coap.POST, 2000 + number, b"\x02", bytes(256))
        begun.add_path("writ")
        begun.add(coap.BLOCK1, block_encode(0, True, 4))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            for datagram in (greeting, forged, begun.encode()):
                link.sendto(datagram, (host, int(port)))
        if number % 10 == 9:
            assert field.operator.say(device.address, "temp").startswith("21.")
    counted = field.refused(device)
    # in a flood the device drops most datagrams of strangers before it reads them: RateLimited
    assert counted["EchoRequired"] > 3 and counted["RateLimited"] > 10
    assert counted["EchoRequired"] + counted["RateLimited"] > 60
    # a stranger with a verified address gets the limited rate, and no more
    said = [greet(device.address, number) for number in range(60, 70)]
    assert said.count(coap.TOO_MANY) >= 10 - HANDSHAKE_BURST
    assert said[-1] == coap.TOO_MANY
    # open sessions are served at once; a new member waits for its turn
    late = field.member("late")
    wait(lambda: late.say(device.address, "temp").startswith("21."), every_s=1)
    assert field.status(device)["epoch"] == 1


def test_a_revocation_gets_through_a_flood_of_strangers_capsules(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    payload = scope.wishes()[0]
    assert field.operator.say(device.address, "temp").startswith("21.")
    # members and strangers have separate limits
    for number in range(6):
        flood(device.address, payload, 60 if number == 0 else 10, number)
        revocation = scope.amend(lost(number))
        assert field.operator.say(device.address, "writ", coap.POST, revocation) == ""
    assert field.refused(device)["RateLimited"] > 20
    assert field.status(device)["epoch"] == 7


def flood(address: str, payload: bytes, count: int, seed: int) -> None:
    """Post forged capsules, each from a new address, as fast as the node can read them."""
    host, _, port = address.rpartition(":")
    for number in range(count):
        raw = capsule.assemble(payload, crypto.sha512(bytes((seed, number, 1))))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.sendto(capsule_post(raw, 5000 + number), (host, int(port)))
        # a node that falls behind would drop the next ones unread
        while number % 8 == 7 and not ping(int(port)):
            continue


def lost(number: int) -> bytes:
    """The id of a node that was lost."""
    return bytes(7) + bytes((number,))


def greet(address: str, number: int) -> int:
    """Begin a handshake from a new address and return the requested Echo; the answer's code."""
    answer = coap.Message(0, coap.UNAUTHORIZED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        for mid in (number, 1000 + number):
            found = None
            # repeated as a CON is: a device in a flood drops it unread
            for _ in range(5):
                greeting = message_1(mid, answer.option(coap.ECHO))
                found = found or send(address, greeting, 2, link)
            assert found is not None
            answer = found
            if answer.code != coap.UNAUTHORIZED:
                break
    code: int = answer.code
    return code


def _epoch(member: Member, address: str) -> int:
    found: int = cbor.decode(member.call(address, "writ/status").payload)["epoch"]
    return found
