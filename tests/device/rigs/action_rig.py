"""Actions for one node, and the requests that they are for."""

import signer
from authority_rig import OWN_X

from writ import crypto
from writ.authority import capsule
from writ.authority.policy import FRESH, QUORUM
from writ.wire import coap

RULES = [[1, 1, "gate", 4, QUORUM], [1, 1, "lock", 4, QUORUM | FRESH], [1, 1, "temp", 1]]
EXP = signer.FOUNDED + 3600


def action_raw(
    target=None, method=coap.PUT, path="gate", payload=b"open", nonce=1, exp=EXP, **changes
):
    """A certified action; nonce: a number."""
    body = [target or capsule.node_id(OWN_X), method, path, crypto.sha256(payload)]
    body.append(nonce.to_bytes(8, "big"))
    return signer.certify(capsule.build(capsule.ACTION, body, exp=exp), **changes)


class Request:
    """The part of a `server.Request` that an action reads."""

    peer = None

    def __init__(self, method=coap.PUT, path="gate", payload=b"open", query=()):
        self.method = method
        self.path = path
        self.payload = payload
        self.query = query
