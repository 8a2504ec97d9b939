"""CCS credentials (RFC 9528, section 3.5.2) for stock peers, loaded for the first one."""

from .. import cbor, crypto
from ..authority.capsule import CNF, SUB, check, check_bytes


def ccs_of(member):
    """The CCS of a member's key: bytes."""
    y = crypto.p256_y(member.x, member.y_is_odd)
    key = {1: 2, 2: member.kid(), -1: 1, -2: member.x, -3: y}
    return cbor.encode({SUB: member.name, CNF: {1: key}})


def ccs_key(raw):
    """The x coordinate (32 bytes) that a CCS (bytes) names. Raises a `Rejection`."""
    claims = cbor.decode(raw)
    check(isinstance(claims, dict) and isinstance(claims.get(CNF), dict))
    key = claims[CNF].get(1)
    check(isinstance(key, dict) and key.get(1) == 2 and key.get(-1) == 1)
    return check_bytes(key.get(-2), 32)
