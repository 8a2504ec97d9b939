"""The group key of a test scope: one Ed25519 key that certifies the capsules of the tests.

Plain integers, neither fast nor constant-time (RFC 8032, section 5.1.6); for tests only.
"""

from writ import crypto
from writ.authority import capsule

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
_D2 = 2 * -121665 * pow(121666, P - 2, P) % P
_BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)
GROUP_SEED = b"group key of the test scope....."
OTHER_SEED = b"group key of some other scope..."

# Unix seconds at which the test scope was founded
FOUNDED = 1700000000
# Expiry of test members: far beyond every time the tests reach
EXPIRES = FOUNDED + 100000000


def _add(one, two):
    # extended coordinates, RFC 8032, section 5.1.4
    a = (one[1] - one[0]) * (two[1] - two[0]) % P
    b = (one[1] + one[0]) * (two[1] + two[0]) % P
    c = one[3] * two[3] * _D2 % P
    d = 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _point(scalar):
    # the encoding of scalar times the base point
    x, y = _BASE
    step = (x, y, 1, x * y % P)
    point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            point = _add(point, step)
        step = _add(step, step)
        scalar >>= 1
    inverse = pow(point[2], P - 2, P)
    return (point[1] * inverse % P | (point[0] * inverse % P & 1) << 255).to_bytes(32, "little")


_keys = {}


def _expand(seed):
    # (scalar, prefix, public key) of a seed, computed once
    if seed not in _keys:
        wide = crypto.sha512(seed)
        scalar = int.from_bytes(wide[:32], "little") & (2**254 - 8) | 2**254
        _keys[seed] = (scalar, wide[32:], _point(scalar))
    return _keys[seed]


def public_key(seed=GROUP_SEED):
    """The Ed25519 public key (32 bytes) of a 32-byte seed."""
    return _expand(seed)[2]


def sign(message, seed=GROUP_SEED):
    """The 64-byte signature of RFC 8032, section 5.1.6."""
    scalar, prefix, public = _expand(seed)
    r = int.from_bytes(crypto.sha512(prefix + message), "little") % L
    head = _point(r)
    k = int.from_bytes(crypto.sha512(head + public + message), "little") % L
    return head + ((r + k * scalar) % L).to_bytes(32, "little")


def certify(payload, seed=GROUP_SEED, hint=None):
    """The certified capsule (bytes) with this payload."""
    return capsule.assemble(payload, sign(capsule.signing_input(payload), seed), hint=hint)


def forge(raw):
    """The same capsule with an invalid signature (bytes)."""
    return raw[:-1] + bytes((raw[-1] ^ 1,))


# Payloads. Each has the smallest useful defaults; a test names what it is about.


def charter_payload(name="farm", beacon_age_max_s=3600, seed=GROUP_SEED):
    """The payload of a charter with four governors and threshold 3."""
    governors = [bytes((i,)) * 32 for i in range(1, 5)]
    params = {1: beacon_age_max_s, 2: 120}
    return capsule.build(
        capsule.CHARTER, [name, 3, governors, public_key(seed), params], iat=FOUNDED
    )


def member_payload(x, name="pump-1", address=1, roles=0, exp=EXPIRES, nbf=None, odd=False, epoch=0):
    """The payload of a member capsule for the P-256 key with x coordinate `x`."""
    body = [address, roles] + ([epoch] if epoch else [])
    return capsule.build(capsule.MEMBER, body, sub=name, exp=exp, nbf=nbf, key=(x, odd))


def policy_payload(epoch, previous, rules=(), routes=(), revoked=(), params=None, iat=FOUNDED):
    """The payload of a whole policy; `previous` is a head of 6 bytes."""
    body = [epoch, previous, list(rules), list(routes), list(revoked), params or {}]
    return capsule.build(capsule.POLICY, body, iat=iat)


def amendment_payload(epoch, previous, *ops):
    """The payload of an amendment."""
    return capsule.build(capsule.AMENDMENT, [epoch, previous] + list(ops))


def beacon_payload(epoch, head, time):
    """The payload of a beacon; `time` is in Unix seconds."""
    return capsule.build(capsule.BEACON, [epoch, head], iat=time)


_cache = {}


def charter(**changes):
    """The certified charter of the test scope."""
    key = str(sorted(changes.items()))
    if key not in _cache:
        seed = changes.get("seed", GROUP_SEED)
        _cache[key] = certify(charter_payload(**changes), seed)
    return _cache[key]


def scope():
    """The scope id (8 bytes) of the test scope."""
    return capsule.scope_id(charter_payload())


def charter_head():
    """What the first policy of the test scope names as previous (6 bytes)."""
    return capsule.head(charter_payload())
