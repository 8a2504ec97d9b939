"""Actions: certified for one node, one command and some hours, and executed at most once."""

import signer
from action_rig import EXP, RULES, Request, action_raw
from authority_rig import OWN_X, PEER_X, Counter, Rig, beacon_raw, members_raw, resigned
from harness import raises

from writ.authority import capsule
from writ.authority.capsule import Action
from writ.authority.store import Store
from writ.errors import (
    ActionSpent,
    AlreadyKnown,
    BadShape,
    BadSignature,
    Expired,
    NeedsAction,
    NotCanonical,
    NotFresh,
    Rejection,
    StoreFailed,
    TableFull,
    TooDeep,
    TooLarge,
    TrailingBytes,
    Truncated,
    UnknownKind,
    Unsupported,
    WrongTarget,
)
from writ.limits import ACTIONS_MAX, ACTIONS_SPENT_MAX
from writ.wire import coap

# The rejections for one changed bit, by the signature check or before it
ALTERED = (BadSignature, BadShape, NotCanonical, Truncated, TrailingBytes, TooLarge, TooDeep)
ALTERED += (Unsupported, UnknownKind, WrongTarget, Expired)


def ready():
    """A Rig with members and a policy that requires actions."""
    rig = Rig()
    rig.with_policy(rules=RULES)
    rig.receive(members_raw(OWN_X, name="me"))
    rig.receive(members_raw())
    return rig


def spend(rig, **changes):
    """As a node does before it executes a request."""
    if rig.authority.actions is None:
        raise NeedsAction()
    rig.authority.actions.spend(Request(**changes), rig.authority.now_s(rig.now_ms))


def test_an_action_is_used_up_by_the_request_that_fits():
    rig = ready()
    raises(NeedsAction, spend, rig)
    rig.receive(action_raw())
    for changes in (
        {"method": coap.POST},
        {"path": "gat"},
        {"path": "gate/"},
        {"payload": b""},
        {"payload": b"open "},
    ):
        raises(NeedsAction, lambda changes=changes: spend(rig, **changes))
    spend(rig)
    raises(NeedsAction, spend, rig)
    rig.refuses(ActionSpent, action_raw())
    # the same command, certified again by other governors
    twice = action_raw(hint=signer.scope())
    rig.refuses(ActionSpent, twice)
    rig.boot()
    rig.refuses(ActionSpent, action_raw())
    rig.receive(action_raw(nonce=2))
    spend(rig)


def test_a_request_with_a_query_fits_no_action():
    # the query is not under the digest: "open" was approved, and executed with angle=90
    rig = ready()
    rig.receive(action_raw())
    request = Request()
    request.peer = rig.authority.peer(capsule.node_id(PEER_X))
    for query in (["angle=90"], [""]):
        request.query = query
        raises(NeedsAction, rig.authority.authorise_by_action, request, NeedsAction(), rig.now_ms)
    request.query = []
    rig.authority.authorise_by_action(request, NeedsAction(), rig.now_ms)
    assert request.has_action


def test_an_action_with_another_signature_is_known():
    # governors that certify one payload twice make two signatures
    rig = ready()
    rig.receive(action_raw())
    with Counter() as counter:
        rig.refuses(AlreadyKnown, signer.forge(action_raw()))
        assert counter.count == 0


def test_a_member_or_beacon_with_another_signature_is_known():
    # it was RolledBack: an operator took a delivery of the same capsule for a refusal
    rig = ready()
    beacon = beacon_raw(1, rig.authority.head, 60)
    rig.receive(beacon)
    with Counter() as counter:
        for raw in (members_raw(OWN_X, name="me"), members_raw(), beacon):
            rig.refuses(AlreadyKnown, signer.forge(raw))
        assert counter.count == 0


def test_each_wrong_action_has_its_name():
    rig = ready()
    rig.refuses(WrongTarget, action_raw(target=capsule.node_id(PEER_X)))
    rig.refuses(Expired, action_raw(exp=signer.FOUNDED))
    rig.refuses(BadSignature, signer.forge(action_raw()))
    rig.refuses(BadSignature, resigned(action_raw(nonce=3)))
    raw = action_raw(nonce=4)
    payload = capsule.parse(raw).payload
    for at in range(len(payload)):
        for bit in (1, 128):
            altered = payload[:at] + bytes((payload[at] ^ bit,)) + payload[at + 1 :]
            changed = capsule.assemble(altered, capsule.parse(raw).signature)
            try:
                rig.receive(changed)
            except Rejection as error:
                assert type(error) in ALTERED, (at, error)
            else:
                raise AssertionError(at)
    raises(NeedsAction, spend, rig)
    rig.receive(raw)
    rig.refuses(AlreadyKnown, raw)


def test_shapes():
    node = capsule.node_id(OWN_X)
    good = [node, 3, "gate", bytes(32), bytes(8)]
    assert Action(capsule.parse(unsigned(good))).path == "gate"
    for place, values in (
        (0, (node[:7], node + b"1", "12345678", None)),
        (1, (0, 8, True, "3")),
        (2, ("", "x" * 49, b"gate", None)),
        (3, (bytes(31), bytes(33), "", None)),
        (4, (bytes(7), bytes(9), 8)),
    ):
        for value in values:
            body = list(good)
            body[place] = value
            raises(BadShape, Action, capsule.parse(unsigned(body)))
    raises(BadShape, Action, capsule.parse(unsigned(good[:4])))
    raises(BadShape, Action, capsule.parse(unsigned(good + [1])))
    raises(BadShape, Action, capsule.parse(members_raw()))
    # exactly the claims of its kind
    raises(BadShape, capsule.build, capsule.ACTION, good)


def unsigned(body):
    return capsule.assemble(capsule.build(capsule.ACTION, body, exp=EXP), bytes(64))


def test_few_actions_wait_and_the_oldest_is_dropped():
    rig = ready()
    for nonce in range(ACTIONS_MAX + 1):
        rig.receive(action_raw(nonce=nonce, payload=bytes((nonce,))))
    raises(NeedsAction, lambda: spend(rig, payload=b"\x00"))
    for nonce in range(1, ACTIONS_MAX + 1):
        spend(rig, payload=bytes((nonce,)))
    # the dropped action was not executed, so it may be handed over again
    rig.receive(action_raw(nonce=0, payload=b"\x00"))
    spend(rig, payload=b"\x00")


def test_a_command_certified_twice_waits_once():
    rig = ready()
    rig.receive(action_raw())
    # governors sign with new nonces each time: another signature, the same command
    other = action_raw(exp=EXP + 1)
    rig.receive(other)
    spend(rig)
    raises(NeedsAction, spend, rig)
    rig.refuses(ActionSpent, action_raw())
    rig.refuses(ActionSpent, other)


def test_a_waiting_action_may_expire():
    rig = ready()
    rig.receive(action_raw())
    rig.now_ms = 3599999
    assert rig.authority.actions.find(coap.PUT, "gate", rig.authority.now_s(rig.now_ms))
    rig.now_ms = 3600000
    raises(NeedsAction, spend, rig)
    rig.refuses(Expired, action_raw(nonce=2))


def test_the_table_of_spent_actions_is_full_until_one_expires():
    rig = ready()
    for nonce in range(ACTIONS_SPENT_MAX):
        rig.receive(action_raw(nonce=nonce, exp=EXP + nonce))
        spend(rig)
    rig.receive(action_raw(nonce=100, exp=EXP + 100))
    raises(TableFull, spend, rig)
    rig.now_ms = 3599999
    raises(TableFull, spend, rig)
    rig.now_ms = 3600000
    spend(rig)
    rig.refuses(ActionSpent, action_raw(nonce=100, exp=EXP + 100))


def test_a_clock_set_back_by_a_restart_brings_no_action_back():
    rig = ready()
    old = [action_raw(nonce=nonce, exp=EXP + nonce) for nonce in range(ACTIONS_SPENT_MAX)]
    for raw in old:
        rig.receive(raw)
        spend(rig)
    # a day later all are expired, and forgotten when the next one is used up
    rig.now_ms = 86400000
    late = action_raw(nonce=50, exp=EXP + 90000)
    rig.receive(late)
    spend(rig)
    size = len(Store(rig.flash).load("acts"))
    assert size < 64
    # no beacon came that day: the clock starts where it started then
    rig.boot()
    assert rig.authority.now_s(0) == signer.FOUNDED
    for raw in old:
        rig.refuses(Expired, raw)
    rig.refuses(ActionSpent, late)
    # another action that expires before a forgotten one is refused, too
    rig.refuses(Expired, action_raw(nonce=51, exp=EXP + ACTIONS_SPENT_MAX - 1))
    rig.receive(action_raw(nonce=52, exp=EXP + ACTIONS_SPENT_MAX))
    spend(rig)


def test_an_action_does_not_make_a_rule_fresh():
    rig = ready()
    rig.receive(action_raw(path="lock"))
    peer = rig.authority.peer(capsule.node_id(PEER_X))
    ask = rig.authority.authorise
    raises(NotFresh, ask, peer, coap.PUT, "lock", 0, True)
    rig.receive(beacon_raw(1, rig.authority.head, 60))
    raises(NeedsAction, ask, peer, coap.PUT, "lock", 0)
    assert ask(peer, coap.PUT, "lock", 0, True) == 1
    # and the beacon is no action
    raises(NeedsAction, ask, peer, coap.PUT, "gate", 0)
    assert ask(peer, coap.PUT, "gate", 0, True) == 0


def test_an_action_is_not_executed_unless_flash_has_its_nonce():
    rig = ready()
    rig.receive(action_raw())
    write = rig.flash.write

    def fail(name, data):
        raise OSError(28)

    rig.flash.write = fail
    raises(StoreFailed, spend, rig)
    rig.flash.write = write
    spend(rig)
    raises(NeedsAction, spend, rig)


def test_the_cheap_checks_come_before_the_signature():
    rig = ready()
    rig.receive(action_raw())
    with Counter() as counter:
        rig.refuses(WrongTarget, action_raw(target=b"12345678"))
        rig.refuses(Expired, action_raw(exp=1))
        rig.refuses(AlreadyKnown, action_raw())
        assert counter.count == 0
    # the module is not loaded and nothing is written before the first action
    rig = Rig()
    assert rig.authority.actions is None and "acts.a" not in rig.flash.files
