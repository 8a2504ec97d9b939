"""The lines by which a device introduces itself over serial (docs/boot.md).

The request for membership costs a signature, so it is made once. The module is unloaded after that.
"""

import binascii

from .. import crypto
from ..authority.capsule import node_id
from ..compat import sha256


def member_line(node):
    """`writ-node: NAME ID SCOPE EPOCH` of a member; ids in hex."""
    authority = node.authority
    own_id, scope = authority.me.node_id, authority.scope
    return "writ-node: %s %s %s %d" % (
        authority.me.name,
        own_id.hex(),
        scope.hex(),
        authority.epoch,
    )


def request_lines(node):
    """The lines of a node that is no member: name, node id, fingerprint and request.

    The fingerprint is SHA-256 over the x coordinate of the node's key, in groups of four hex
    digits; the node id is its beginning. The request is base64url without padding (RFC 4648, 5).
    """
    from ..node.statement import member_request

    x = crypto.p256_public(node.private)[0]
    digits = sha256(x).hex()
    groups = [digits[at : at + 4] for at in range(0, len(digits), 4)]
    raw = member_request(node.private, node.name)
    text = binascii.b2a_base64(raw).decode().rstrip("=\n")
    return (
        "writ-name: " + node.name,
        "writ-id: " + node_id(x).hex(),
        "writ-fingerprint: " + " ".join(groups),
        "writ-request: " + text.replace("+", "-").replace("/", "_"),
    )
