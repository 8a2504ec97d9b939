"""What a node signs with its own key: requests for membership and statements to host peers."""

from .. import cbor, crypto
from ..authority import capsule


def signed(private, claims):
    """The statement (bytes) with these claims: COSE_Sign1 by the node's own key, ES256."""
    payload = cbor.encode(claims)
    signature = crypto.es256_sign(private, capsule.signing_input(payload, capsule.ES256))
    return capsule.assemble(payload, signature, capsule.ES256)


def member_request(private, name):
    """A request for membership (bytes): claims sub and cnf, signed by the key itself (ES256).

    It proves possession of the key, and the governors decide about the admission. It is no capsule.
    """
    x, odd = crypto.p256_public(private)
    key = {1: 2, -1: 1, -2: x, -3: odd}
    return signed(private, {capsule.SUB: capsule.check_name(name), capsule.CNF: {1: key}})
