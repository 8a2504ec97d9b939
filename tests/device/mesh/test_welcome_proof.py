"""Who has made a link key: a relay that lies hands on no key of its own."""

import signer
from fakeflash import MemoryFlash
from harness import raises
from mesh_rig import RELAY, ROUTES, SENSOR, air_policy

from writ import cbor, crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.errors import BadSignature, Expired, NotRouted, Revoked, UnknownOrigin
from writ.mesh.keymaker import prove
from writ.mesh.linkkey import LinkKeys, stamp_of, statement
from writ.mesh.welcome import take_key
from writ.node.call import Answer
from writ.node.session import Sessions
from writ.wire import coap

GATEWAY = 8
KEY = b"k" * 16
# relays answer those who join, and gateways make the key
MADE_BY_GATEWAYS = ROUTES[:2] + ([15, GATEWAY, RELAY | GATEWAY, 6, 0, 100, 0],)


class Join:
    """What `take_key` notes."""

    is_stale = True


class Member:
    """A node and its mesh, as far as a link key needs them."""

    routing = None

    def __init__(self, number, roles, others=(), expires=signer.EXPIRES):
        self.private = crypto.sha256(b"member %d" % number)
        x, odd = crypto.p256_public(self.private)
        name = "n%d" % number
        payload = signer.member_payload(x, name, number, roles, expires, odd=odd)
        self.capsule = signer.certify(payload)
        self.authority = Authority(Store(MemoryFlash()), x, signer.scope())
        self.take(signer.charter(), air_policy(1, signer.charter_head(), MADE_BY_GATEWAYS))
        self.take(self.capsule, *[other.capsule for other in others])
        self.keys = LinkKeys(Store(MemoryFlash()))
        self.sessions = Sessions(Store(MemoryFlash()), self.authority)
        self.join = Join()

    def take(self, *raws):
        """Receive capsules."""
        for raw in raws:
            self.authority.receive(raw, 0)

    def make(self, key=KEY):
        """Put an own key in force."""
        policy, epoch = self.authority.policy, self.authority.epoch
        self.keys.offer(policy, epoch, key, 0, prove(self, epoch, key, stamp_of(policy)))

    def hear(self, giver, payload):
        """`take_key` of an answer of `giver`."""
        me = giver.authority.me
        return take_key(self, self, Answer(coap.CONTENT, payload, me), 0)[0]


def three(expires=signer.EXPIRES):
    """(gateway, relay, sensor): the gateway has made a key, and the relay has it."""
    gateway = Member(1, GATEWAY, expires=expires)
    relay = Member(2, RELAY, [gateway])
    sensor = Member(3, SENSOR, [gateway, relay])
    gateway.make()
    assert relay.hear(gateway, gateway.keys.payload(gateway.authority, 0))
    return gateway, relay, sensor


def fields(member):
    """What a member answers, decoded."""
    return cbor.decode(member.keys.payload(member.authority, 0))


def test_a_relay_hands_on_the_key_with_the_proof_of_its_maker():
    gateway, relay, sensor = three()
    assert fields(relay)[5:] == gateway.keys.proof and gateway.keys.proof[0] == 1
    assert sensor.hear(relay, relay.keys.payload(relay.authority, 0))
    assert sensor.keys.key == KEY and not sensor.join.is_stale
    # over a restart too
    again = LinkKeys(relay.keys._store)
    assert again.proof == gateway.keys.proof


def test_a_relay_that_lies_hands_on_no_key_of_its_own():
    _, relay, sensor = three()
    true = fields(relay)
    policy = sensor.authority.policy
    made_up = statement(sensor.authority.scope, 1, b"\xff" * 16, stamp_of(policy))
    mine = crypto.es256_sign(relay.private, made_up)
    for key, proof, error in (
        (b"\xff" * 16, [], NotRouted),
        (KEY, [], NotRouted),
        # by itself, and in the name of the gateway
        (b"\xff" * 16, [2, mine], NotRouted),
        (b"\xff" * 16, [1, mine], BadSignature),
        (b"\xff" * 16, true[5:], BadSignature),
        (b"\xff" * 16, [1, bytes(64)], BadSignature),
    ):
        body = cbor.encode([1, key, stamp_of(policy), 600, b""] + proof)
        raises(error, sensor.hear, relay, body)
        assert sensor.keys.key is None and sensor.join.is_stale
    # the signature of a true key makes no other epoch's
    head = sensor.authority.head
    later = air_policy(2, head, MADE_BY_GATEWAYS)
    sensor.take(later)
    raises(BadSignature, sensor.hear, relay, cbor.encode([2] + true[1:]))


def test_a_gateway_that_has_lost_its_key_takes_its_own_one_back():
    gateway, relay, _ = three()
    gateway.take(relay.capsule)
    gateway.keys = LinkKeys(Store(MemoryFlash()))
    assert gateway.hear(relay, relay.keys.payload(relay.authority, 0))
    assert gateway.keys.key == KEY


def test_a_gateway_that_is_no_maker_makes_no_key():
    relay = Member(2, RELAY)
    raises(NotRouted, relay.make)


def test_a_key_of_a_maker_that_is_unknown_or_past_is_not_taken():
    gateway, relay, sensor = three(signer.FOUNDED + 5000)
    stranger = Member(4, SENSOR)
    body = relay.keys.payload(relay.authority, 0)
    assert raises(UnknownOrigin, stranger.hear, relay, body).address == 1
    beacon = signer.certify(signer.beacon_payload(1, sensor.authority.head, signer.FOUNDED + 6000))
    sensor.take(beacon)
    raises(Expired, sensor.hear, relay, body)
    # with its revocation the key is stale. One that it makes afterwards does not count either
    revoked = [capsule.node_id(gateway.authority.own_x)]
    policy = air_policy(2, sensor.authority.head, MADE_BY_GATEWAYS, revoked=revoked)
    sensor.take(policy)
    assert not sensor.hear(relay, body)
    stamp = stamp_of(sensor.authority.policy)
    body = cbor.encode([2, KEY, stamp, 0, b""] + prove(gateway, 2, KEY, stamp))
    raises(Revoked, sensor.hear, relay, body)
    assert sensor.keys.key is None


def test_a_giver_whose_membership_has_ended_hands_on_no_key():
    # a session outlives the membership, and a request for the key is open to each member
    gateway, _, sensor = three(signer.FOUNDED + 5000)
    body = gateway.keys.payload(gateway.authority, 0)
    head = sensor.authority.head
    sensor.take(signer.certify(signer.beacon_payload(1, head, signer.FOUNDED + 6000)))
    raises(Expired, sensor.hear, gateway, body)
    # a relay with a true key, and a gateway with one that it has made since its revocation
    for giver in (1, 0):
        nodes = three()
        maker, sensor = nodes[0], nodes[2]
        revoked = [capsule.node_id(nodes[giver].authority.own_x)]
        policy = air_policy(2, sensor.authority.head, MADE_BY_GATEWAYS, revoked=revoked)
        sensor.take(policy)
        stamp = stamp_of(sensor.authority.policy)
        proof = prove(maker, 2, KEY, stamp) if giver else []
        raises(Revoked, sensor.hear, nodes[giver], cbor.encode([2, KEY, stamp, 0, b""] + proof))
        assert sensor.keys.key is None and sensor.join.is_stale


def test_a_relay_without_a_proof_gives_no_key_until_it_has_one():
    gateway, relay, sensor = three()
    # a node that joins at the gateway gets none: the session proves the key, and airtime is dear
    joined = Member(5, RELAY)
    assert joined.hear(gateway, gateway.keys.payload(gateway.authority, 0, b"w" * 12))
    assert joined.keys.key == KEY and not joined.keys.proof
    assert joined.keys.payload(joined.authority, 0) is None and joined.keys.is_proof_missing
    assert joined.hear(gateway, gateway.keys.payload(gateway.authority, 0))
    assert not joined.keys.is_proof_missing
    assert sensor.hear(joined, joined.keys.payload(joined.authority, 0, b"w" * 12))
    # it is no news then
    assert not sensor.hear(relay, relay.keys.payload(relay.authority, 0))
