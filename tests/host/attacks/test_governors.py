"""Attacks with the keys of governors, which run as processes: rows of docs/security.md."""

import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack_council import (
    POLICY,
    CommitteeField,
    CommitteeScope,
    StolenGovernor,
    accusations,
    counters,
    decide,
    is_up,
    known,
    propose,
)
from attack_rig import node_id, own_member, post, sealed, wait
from interop_rig import PlainKey
from measure.committee import Committee, Governor

from writ import crypto
from writ.authority import capsule
from writ.authority.capsule import BEACON, SUCCESSION
from writ.authority.policy import Policy
from writ.node.statement import member_request
from writ.wire import coap
from writ_host import codec
from writ_host.consensus.cosign import ASK, OFFER, REFUSE
from writ_host.errors import HostError
from writ_host.governor.proposals.approval import Approval
from writ_host.governor.proposals.messages import APPROVE, CAPSULES, PROPOSE
from writ_host.governor.proposals.proposal import Proposal
from writ_host.governor.proposals.statement import RENEW, Statement
from writ_host.scope.revocation import replaced

ANNA, BEN, CARL, DORA = range(4)
YEAR_S = 365 * 86400
EVERYTHING = [1, 1, "*", 127]
WRONG_SHARE = "dora sent a wrong signature share"


@pytest.fixture
def committee() -> Iterator[Committee]:
    with Committee(4, ["soil", "tank"], POLICY) as committee:
        yield committee


@pytest.fixture
def field(tmp_path: Path, tree: Path, committee: Committee) -> Iterator[CommitteeField]:
    field = CommitteeField(tmp_path, tree, committee)
    yield field
    field.stop()


def down(committee: Committee, index: int) -> None:
    """Kill the process of a governor."""
    process = committee.governors[index].process
    assert process is not None
    process.kill()
    process.wait()


def greedy(before: Policy) -> bytes:
    """The payload of a valid policy that allows every role everything."""
    rules = [rule for rule in before.rules if rule != EVERYTHING] + [EVERYTHING]
    body = [before.epoch + 1, before.head(), rules, [], [], before.params]
    payload: bytes = capsule.build(capsule.POLICY, body, iat=int(time.time()))
    return payload


def test_one_stolen_governor_decides_nothing(field: CommitteeField, committee: Committee) -> None:
    device, scope = field.device("soil"), field.scope
    honest = committee.governors[:DORA]
    down(committee, DORA)
    now_s = int(time.time())
    with StolenGovernor(committee, DORA) as thief:
        identity, group_key = thief.local.identity, scope.public
        # the thief proposes, and approves for itself and in the names of others
        made = Proposal((greedy(scope.state),), "nothing much", b"", 4, now_s)
        said = [
            Approval.make(identity, group_key, number, made.id, True, "", now_s).to_item(made.id)
            for number in (4, 1, 2, 3, 4)
        ]
        thief.say(PROPOSE, [[4, *made.to_item()]])
        thief.say(APPROVE, said)
        thief.listen(lambda: all(counters(one).get("BadSignature", 0) >= 3 for one in honest))
        for one in honest:
            found = known(one, made.id.hex())
            assert [approval["governor"] for approval in found["approvals"]] == ["dora"]
            assert (found["state"], found["operators"]) == ("open", 2)
        # it requests signatures for future beacons, and for a member and an action not proposed
        eve = crypto.p256_public(crypto.p256_generate())
        wishes = [
            capsule.build(BEACON, [1, scope.state.head()], iat=now_s + 10 * YEAR_S),
            capsule.build(capsule.MEMBER, [77, 2], sub="eve", exp=now_s + 99, key=eve),
            capsule.build(
                capsule.ACTION,
                [node_id(device.path), coap.POST, "note", crypto.sha256(b"dose"), bytes(8)],
                exp=now_s + 600,
            ),
            # a step that certified beacons may make, by a clock that differs from the others'
            capsule.build(BEACON, [1, scope.state.head()], iat=now_s + 86400),
        ]
        for number, wish in enumerate(wishes):
            thief.say(ASK, bytes(15) + bytes((number,)), [wish])

        def refused() -> set[tuple[int, int]]:
            listed = [(number, items) for number, items in thief.heard if items[0] == REFUSE]
            return {(number, items[1][-1]) for number, items in listed}

        thief.listen(lambda: len(refused()) == 3 * len(wishes))
        # neither governors nor devices accept what it signed alone
        alone = capsule.assemble(wishes[0], identity.sign(capsule.signing_input(wishes[0])))
        thief.say(CAPSULES, None, [alone])
        thief.listen(lambda: all(counters(one)["BadSignature"] >= 4 for one in honest))
        assert post(device.address, alone) == ["BadSignature"]
        assert post(honest[0].listen, alone) == ["BadSignature"]
    states = [one.ask("state") for one in honest]
    assert {state["epoch"] for state in states} == {1}
    # the others decide without it
    found = decide(committee, committee.revocation(bytes(8)), ANNA, BEN)
    assert found["state"] == "certified"
    raws = [bytes.fromhex(raw) for raw in found["capsules"]]
    assert post(device.address, *raws[:1]) == ["taken"]


def test_no_node_believes_a_byzantine_governor(field: CommitteeField, committee: Committee) -> None:
    dora = committee.governors[DORA]
    down(committee, DORA)
    committee.start(dora, ("-m", "writ_host.demo.byzantine_governor"))
    wait(lambda: is_up(dora))
    peers = [dora.listen, committee.governors[ANNA].listen]
    device = field.device("soil", governors=peers, renew_days=365)
    before = own_member(device.path).expires
    wait(lambda: own_member(device.path).expires > before)
    # the device refused the renewal that the Byzantine governor signed alone, and took a valid one
    assert field.refused(device)["BadSignature"] >= 1
    assert own_member(device.path).expires < time.time() + YEAR_S + 60
    # its wrong shares, double votes and second proposals do not stop the others
    found = decide(committee, committee.revocation(bytes(8)), ANNA, BEN)
    assert found["state"] == "certified"
    honest = committee.governors[:DORA]
    wait(lambda: {one.ask("state")["head"] for one in honest} == {committee.policy.head().hex()})
    # while an honest governor is offline, its share is needed: it is wrong, and it is excluded
    down(committee, CARL)
    anna, ben = honest[:CARL]
    id = propose(committee, committee.revocation(bytes(7) + b"1"), ANNA, BEN)
    wait(lambda: WRONG_SHARE in accusations(anna) | accusations(ben), seconds=60)
    assert known(anna, id)["state"] == known(ben, id)["state"] == "open"
    # the honest ones decide as soon as they are a quorum, and accuse no other governor
    committee.start(committee.governors[CARL])
    wait(lambda: known(anna, id)["state"] == known(ben, id)["state"] == "certified", seconds=60)
    accused = accusations(anna) | accusations(ben) | accusations(committee.governors[CARL])
    assert {text.partition(" ")[0] for text in accused} == {"dora"}
    assert "dora voted twice in a round" in accused


def test_a_revoked_device_does_not_return(field: CommitteeField, committee: Committee) -> None:
    """A thief has a device renewed before its revocation, and publishes that after a clean-up."""
    device, scope, honest = field.device("tank"), field.scope, committee.governors[:DORA]
    private, exp = crypto.p256_generate(), int(time.time()) + 30
    key = crypto.p256_public(private)
    node = bytes(capsule.node_id(key[0]))
    mine = scope.certify(capsule.build(capsule.MEMBER, [77, 4], sub="eve", exp=exp, key=key))
    assert post(device.address, mine) == ["taken"]
    down(committee, DORA)
    with StolenGovernor(committee, DORA) as thief:
        thief.say(CAPSULES, None, [mine])
        thief.listen(lambda: all(mine.hex() in capsules_of(one) for one in honest))
        epochs = {number: renewal(scope, private, number) for number in (2, 1)}
        for number, (wish, evidence) in epochs.items():
            made = Proposal((wish,), "renew eve", evidence, 4, int(time.time()))
            thief.say(PROPOSE, [[4, *made.to_item()]], to=[1, 2])
            thief.say(ASK, bytes(15) + bytes((number,)), [wish], to=[1, 2])

        def answers(kind: int, number: int) -> set[int]:
            job = bytes(15) + bytes((number,))
            return {sender for sender, items in thief.heard if items[:2] == [kind, job]}

        # a membership of the epoch of the revocation would survive the clean-up
        thief.listen(lambda: answers(REFUSE, 2) == {1, 2} == answers(OFFER, 1))
    # what the thief completes with their shares, and holds back
    held = scope.certify(epochs[1][0])
    found = decide(committee, committee.revocation(node), ANNA, BEN)
    assert found["state"] == "certified"
    assert post(device.address, *map(bytes.fromhex, found["capsules"][:1])) == ["taken"]
    wait(lambda: time.time() > exp)
    state = committee.policy
    after = state.epoch + 1, state.head(), int(time.time())
    unlisted = replaced(state, *after, []).payload()
    for index in (ANNA, BEN):
        with pytest.raises(HostError, match=f"leaves out eve .{node.hex()}., which is revoked"):
            propose(committee, [unlisted], index)
    assert post(device.address, held) == ["Revoked"]
    cleaned = replaced(state, *after, [], void_before=state.epoch).payload()
    found = decide(committee, [cleaned], ANNA, BEN)
    assert found["state"] == "certified"
    assert post(device.address, *map(bytes.fromhex, found["capsules"])) == ["taken"]
    assert post(device.address, held) == ["NotMember"]


def capsules_of(one: Governor) -> list[str]:
    """The capsules in a governor's ledger, in hex."""
    found: list[str] = one.ask("capsules", cursor=0)["capsules"]
    return found


def renewal(scope: CommitteeScope, private: bytes, epoch: int) -> tuple[bytes, bytes]:
    """Payload and evidence of a renewal of eve that names an epoch."""
    now_s = int(time.time())
    statement = Statement.make(private, RENEW, scope=scope.id, epoch=1, issued=now_s)
    body, key = [77, 4, epoch], crypto.p256_public(private)
    wish = capsule.build(capsule.MEMBER, body, sub="eve", exp=now_s + YEAR_S, key=key)
    return bytes(wish), codec.dump([statement.raw])


def test_a_malformed_message_ends_no_governor(committee: Committee) -> None:
    """A charter without a body as evidence of a succession, and every other shape of its key."""
    honest = committee.governors[:DORA]
    down(committee, DORA)
    state = honest[0].ask("state")
    body = [state["epoch"] + 1, bytes.fromhex(state["head"]), bytes(32), bytes(32)]
    succession = capsule.build(capsule.SUCCESSION, body, iat=int(time.time()))
    keys = (-1, None, "x", 2**63, 4_000_000_000, b"")
    claims = [{6: 0, capsule.WRIT: [0]}]
    claims += [{6: 0, capsule.WRIT: [0, "farm", 1, [bytes(32)], key, {}]} for key in keys]
    items = []
    for number, one in enumerate(claims):
        evidence = codec.dump([capsule.assemble(codec.dump(one), bytes(64))])
        items.append([4, [succession], f"a new key {number}", evidence, 0])
    with StolenGovernor(committee, DORA) as thief:
        thief.say(PROPOSE, items)
        thief.listen(lambda: all(counters(one).get("BadShape", 0) == 7 for one in honest))
    found = decide(committee, committee.revocation(crypto.random_bytes(8)), ANNA, BEN)
    assert found["state"] == "certified"


def test_a_flooding_governor_does_not_delay_the_others(committee: Committee) -> None:
    honest = committee.governors[:DORA]
    down(committee, DORA)
    # each of these proposals costs the check of a device's signature
    false = []
    for number in range(16):
        private = crypto.p256_generate()
        name, key = f"eve-{number}", crypto.p256_public(private)
        until = int(time.time()) + 86400
        wish = capsule.build(capsule.MEMBER, [900 + number, 4], sub=name, exp=until, key=key)
        request = bytearray(member_request(private, name))
        request[-1] ^= 1
        false.append(Proposal((wish,), "eve", codec.dump([bytes(request)]), 4, 0))
    message = [PROPOSE, [[4, *one.to_item()] for one in false]]
    with StolenGovernor(committee, DORA) as thief, thief.repeating(*message):
        wait(lambda: all(counters(one).get("NotAccepted", 0) > 500 for one in honest))
        for _ in range(2):
            found = decide(committee, committee.revocation(crypto.random_bytes(8)), ANNA, BEN)
            assert found["state"] == "certified"
        for one in honest:
            text = urllib.request.urlopen(f"http://{one.metrics}/metrics").read().decode()
            listed = re.findall(r'datagrams_unread_total{governor="(.+)"} (\S+)', text)
            unread = {name for name, count in listed if float(count)}
            assert unread == {"dora"} and 'peering_total{name="RateLimited"}' in text


def test_stolen_threshold_shares_control_the_scope_until_a_succession(
    field: CommitteeField, committee: Committee
) -> None:
    scope = field.scope
    early, late, fooled = field.device("soil"), field.device("tank"), field.device("third")
    anna, ben = committee.governors[ANNA], committee.governors[BEN]
    guest = field.member("guest", 8)
    assert guest.say(late.address, "temp") == "NotAllowed"
    # with three shares a thief certifies anything, and no device can tell
    first = greedy(scope.state)
    stolen = scope.certify(first)
    assert post(late.address, stolen) == ["taken"]
    assert guest.say(late.address, "temp").startswith("21.")
    # the operators still have their shares, and certify a succession to a new key
    true, rival = PlainKey(), PlainKey()
    now_s = int(time.time())

    def succession(key: PlainKey, epoch: int, previous: bytes) -> bytes:
        body = [epoch, previous, crypto.sha256(key.public), key.public]
        return scope.certify(capsule.build(SUCCESSION, body, iat=now_s))

    ours = succession(true, 3, capsule.head(first))
    theirs = succession(rival, 3, capsule.head(first))
    assert post(early.address, ours) == ["taken"]
    assert post(late.address, ours) == ["taken"]
    # a device that has the succession accepts nothing more of the old key
    later = scope.certify(capsule.build(capsule.BEACON, [3, bytes(6)], iat=now_s))
    policy = greedy(Policy(capsule.parse(stolen).claims))
    body = [4, capsule.head(capsule.parse(ours).payload), [EVERYTHING], [], [], {}]
    fourth = scope.certify(capsule.build(capsule.POLICY, body, iat=now_s + 1))
    member = scope.member(crypto.p256_generate(), "eve", 78, 2)
    assert post(early.address, stolen, scope.certify(policy)) == ["RolledBack", "Forked"]
    assert post(early.address, theirs, later) == ["Forked", "Forked"]
    assert post(early.address, fourth, member) == ["BadSignature", "BadSignature"]
    # memberships of the old key do not count: the new key must certify them again
    assert guest.say(late.address, "temp") == "NotMember"
    assert field.operator.say(early.address, "temp") == "BadSignature"
    until = now_s + YEAR_S
    for node in (field.operator, guest):
        own = node.authority.me
        for raw in (ours, sealed(true, again(own, until))):
            node.authority.receive(raw, 0)
        for device in (early, late):
            assert post(device.address, node.authority.me.raw) == ["taken"]
    for device in (early, late):
        renewed = again(own_member(device.path), until)
        assert post(device.address, sealed(true, renewed)) == ["taken"]
    assert field.operator.say(early.address, "temp").startswith("21.")
    assert guest.say(early.address, "temp") == "NotAllowed"
    # a device that took the thief's policy keeps it until the first policy of the new key
    assert guest.say(late.address, "temp").startswith("21.")
    body = [4, capsule.head(capsule.parse(ours).payload), scope.state.rules, [], [], {}]
    mended = sealed(true, capsule.build(capsule.POLICY, body, iat=now_s + 1))
    assert post(early.address, mended) == post(late.address, mended) == ["taken"]
    assert guest.say(late.address, "temp") == "NotAllowed"
    # a device that receives the thief's succession first follows that one
    assert post(fooled.address, theirs, ours) == ["taken", "Forked"]
    # governors that know either succession no longer sign with the old key
    down(committee, DORA)
    with StolenGovernor(committee, DORA) as thief:
        for number, raw in ((1, ours), (2, theirs)):
            thief.say(CAPSULES, None, [stolen], to=[number])
            thief.say(CAPSULES, None, [raw], to=[number])
        thief.listen(lambda: all(one.ask("status")["state"] == "retired" for one in (anna, ben)))


def again(member: capsule.Member, exp: int) -> bytes:
    """The payload that renews a member without changes."""
    key, body = (member.x, member.y_is_odd), [member.address, member.roles]
    payload: bytes = capsule.build(capsule.MEMBER, body, sub=member.name, exp=exp, key=key)
    return payload
