"""Capsules: CWT claims in an untagged COSE_Sign1, parsed strictly and assembled bytewise.

This is the format only (RFC 9052 section 4.2, RFC 8392, docs/wire.md). No signature is checked and
no state is kept here: authority.py decides what a capsule may change.
"""

from .. import cbor, compat
from ..errors import BadShape, TooLarge, UnknownKind
from ..limits import (
    CAPSULE_BYTES_MAX,
    GOVERNORS_MAX,
    HEAD_BYTES,
    NAME_BYTES_MAX,
    PATH_BYTES_MAX,
    ROLES_MAX,
)

CHARTER = 0
MEMBER = 1
POLICY = 2
AMENDMENT = 3
BEACON = 4
SUCCESSION = 5
ACTION = 6
RELEASE = 7
GRANT = 8
KIND_NAMES = (
    "charter",
    "member",
    "policy",
    "amendment",
    "beacon",
    "succession",
    "action",
    "release",
    "grant",
)

EDDSA = -8
ES256 = -7

# CWT claim keys (RFC 8392, RFC 8747, RFC 9237) and Writ's private-use claim
SUB = 2
EXP = 4
NBF = 5
IAT = 6
CNF = 8
WRIT = -65537

NODE_ID_BYTES = 8
SCOPE_ID_BYTES = 8
ROLES_MASK = (1 << ROLES_MAX) - 1
TIME_MAX = 0xFFFFFFFF


def check(condition):
    """Raise `BadShape` unless `condition` holds."""
    if not condition:
        raise BadShape()


def check_uint(value, most):
    """`value` if it is an integer from 0 to `most`; raises `BadShape`."""
    if not isinstance(value, int) or value is True or value is False or not 0 <= value <= most:
        raise BadShape()
    return value


def check_bytes(value, size):
    """`value` if it is a byte string of `size` bytes; raises `BadShape`."""
    if not isinstance(value, bytes) or len(value) != size:
        raise BadShape()
    return value


def check_name(value):
    """`value` if it is a name, of a-z first, then 0-9, "-", "_", "." too; else `BadShape`."""
    check(isinstance(value, str) and len(value) <= NAME_BYTES_MAX and "a" <= value[:1] <= "z")
    for letter in value:
        check("a" <= letter <= "z" or "0" <= letter <= "9" or letter in "-_.")
    return value


def node_id(x):
    """The node id (8 bytes) of the P-256 public key with x coordinate `x` (32 bytes)."""
    return compat.sha256(x)[:NODE_ID_BYTES]


def scope_id(charter_payload):
    """The scope id (8 bytes): SHA-256 over a charter's payload."""
    return compat.sha256(charter_payload)[:SCOPE_ID_BYTES]


def head(payload):
    """The head (HEAD_BYTES bytes) of an ordered payload, which its successor names as previous."""
    return compat.sha256(payload)[:HEAD_BYTES]


def digest(raw):
    """SHA-256 of a whole capsule: the name by which it is remembered."""
    return compat.sha256(raw)


def same_payload(one, other):
    """Whether two capsules without hint differ in their signatures at most.

    Governors who certify a payload twice make two signatures.
    """
    return one[:-64] == other[:-64]


class Capsule:
    """One parsed capsule. `claims` and `body` are decoded CBOR; nothing of it is verified.

    raw (without the hint), payload, signature: bytes; alg: EDDSA or ES256; hint: a scope id prefix
    or None; kind: 0..8; body: the writ claim's list, its first item the kind.
    """

    def __init__(self, raw, alg, hint, payload, signature, claims):
        self.raw = raw
        self.alg = alg
        self.hint = hint
        self.payload = payload
        self.signature = signature
        self.claims = claims
        self.body = claims[WRIT]
        self.kind = self.body[0]

    def signing_input(self):
        """The bytes that the signature covers."""
        return signing_input(self.payload, self.alg)

    def digest(self):
        """SHA-256 of the whole capsule."""
        return digest(self.raw)


def _protected(alg):
    # {1: alg}; -8 and -7 are in one byte each
    return bytes((0xA1, 0x01, 0x1F - alg))


def signing_input(payload, alg=EDDSA):
    """The COSE Sig_structure (RFC 9052, section 4.4) over `payload` with an empty external_aad."""
    return cbor.encode(["Signature1", _protected(alg), b"", payload])


def assemble(payload, signature, alg=EDDSA, hint=None):
    """The capsule's bytes from its payload and its 64-byte signature."""
    return cbor.encode([_protected(alg), {} if hint is None else {4: hint}, payload, signature])


def parse(raw):
    """The `Capsule` in `raw` (bytes). Checks size, canonical CBOR, kind and shape; no signature.

    Raises `TooLarge`, the rejections of `cbor.decode`, `BadShape` or `UnknownKind`.
    """
    # a caller that found it inside another message need not check its type
    check(isinstance(raw, (bytes, bytearray)))
    if len(raw) > CAPSULE_BYTES_MAX:
        raise TooLarge()
    outer = cbor.decode(raw)
    check(isinstance(outer, list) and len(outer) == 4)
    protected, unprotected, payload, signature = outer
    check(isinstance(protected, bytes))
    if protected == _protected(EDDSA):
        alg = EDDSA
    else:
        check(protected == _protected(ES256))
        alg = ES256
    check(isinstance(unprotected, dict) and isinstance(payload, bytes))
    check_bytes(signature, 64)
    hint = None
    if unprotected:
        hint = unprotected.get(4)
        check(len(unprotected) == 1 and isinstance(hint, bytes) and 0 < len(hint) <= SCOPE_ID_BYTES)
    claims = parse_claims(payload)
    kind = claims[WRIT][0]
    # only a grant is signed by a member; all else is the group key's
    check((alg == ES256) == (kind == GRANT))
    # the signature does not cover the hint. Without it a capsule has one form and one digest, and a
    # node that passes it on cannot make new capsules of it
    raw = bytes(raw) if hint is None else assemble(payload, signature, alg)
    return Capsule(raw, alg, hint, payload, signature, claims)


def parse_claims(payload):
    """The claims of a payload as a dict, shape-checked for their kind. Raises as `parse` does."""
    claims = cbor.decode(payload)
    check(isinstance(claims, dict) and WRIT in claims)
    for key in claims:
        check(key in (SUB, EXP, NBF, IAT, CNF, WRIT))
        if key in (EXP, NBF, IAT):
            check_uint(claims[key], TIME_MAX)
    body = claims[WRIT]
    check(isinstance(body, list) and len(body) > 0)
    kind = check_uint(body[0], 255)
    if kind > GRANT:
        raise UnknownKind()
    wanted = _CLAIMS.get(kind)
    if wanted is not None:
        # exactly the claims of the kind: a claim that is not understood must not be certified
        optional = 1 if kind == MEMBER and NBF in claims else 0
        check(len(claims) == len(wanted) + optional)
        for key in wanted:
            check(key in claims)
    return claims


_CLAIMS = {
    CHARTER: (IAT, WRIT),
    MEMBER: (SUB, EXP, CNF, WRIT),
    POLICY: (IAT, WRIT),
    AMENDMENT: (WRIT,),
    BEACON: (IAT, WRIT),
    SUCCESSION: (IAT, WRIT),
    ACTION: (EXP, WRIT),
}


def build(kind, body, sub=None, exp=None, nbf=None, iat=None, key=None):
    """The payload (bytes) with these claims; `body` follows the kind in the writ claim.

    key: (x, y_is_odd) of the member's P-256 key. The result is checked as `parse` would.
    """
    claims = {WRIT: [kind] + list(body)}
    for name, value in ((SUB, sub), (EXP, exp), (NBF, nbf), (IAT, iat)):
        if value is not None:
            claims[name] = value
    if key is not None:
        claims[CNF] = {1: {1: 2, -1: 1, -2: key[0], -3: bool(key[1])}}
    payload = cbor.encode(claims)
    parse_claims(payload)
    return payload


class Charter:
    """The founding facts of a scope, from a parsed charter capsule. Raises `BadShape`.

    scope: 8 bytes; name: str; threshold: int; governors: list of 32-byte Ed25519 keys;
    group_key: 32 bytes; beacon_age_max_s, clock_skew_max_s: int; founded: Unix seconds.
    """

    def __init__(self, capsule):
        check(capsule.kind == CHARTER and len(capsule.body) == 6)
        _, name, threshold, governors, group_key, params = capsule.body
        self.scope = scope_id(capsule.payload)
        self.head = head(capsule.payload)
        self.name = check_name(name)
        check(isinstance(governors, list) and 0 < len(governors) <= GOVERNORS_MAX)
        for key in governors:
            check_bytes(key, 32)
            check(governors.count(key) == 1)
        self.governors = governors
        self.threshold = check_uint(threshold, len(governors))
        check(threshold > 0)
        self.group_key = check_bytes(group_key, 32)
        check(isinstance(params, dict) and len(params) == 2 and 1 in params and 2 in params)
        self.beacon_age_max_s = check_uint(params[1], TIME_MAX)
        self.clock_skew_max_s = check_uint(params[2], TIME_MAX)
        self.founded = capsule.claims[IAT]


class Member:
    """The identity of a node, from a parsed member capsule. Raises `BadShape`.

    node_id: 8 bytes; x: 32 bytes, y_is_odd: bool (P-256 key); name: str; address: 1..65534;
    roles: bit mask; expires: Unix seconds; not_before: Unix seconds or 0; epoch: in force when it
    was drafted, 0 if it names none; key_epoch: the epoch since which the group key that certified
    it is in force, as far as it is known.
    """

    key_epoch = 0

    def __init__(self, capsule):
        body = capsule.body
        check(capsule.kind == MEMBER and 3 <= len(body) <= 4)
        claims = capsule.claims
        self.raw = capsule.raw
        self.name = check_name(claims[SUB])
        self.expires = claims[EXP]
        self.not_before = claims.get(NBF, 0)
        self.x, self.y_is_odd = confirmation_key(claims[CNF])
        self.node_id = node_id(self.x)
        self.address = check_uint(body[1], 65534)
        check(self.address > 0)
        self.roles = check_uint(body[2], ROLES_MASK)
        # epoch 0 has one encoding: no field
        self.epoch = check_uint(body[3], TIME_MAX) if body[3:] else 0
        check(self.epoch or not body[3:])

    def kid(self):
        """The key identifier in EDHOC: the short address, 2 bytes."""
        return self.address.to_bytes(2, "big")


def confirmation_key(cnf):
    """(x, y_is_odd) of a cnf claim (RFC 8747) with a compact EC2 P-256 key. Raises `BadShape`."""
    check(isinstance(cnf, dict) and len(cnf) == 1 and isinstance(cnf.get(1), dict))
    key = cnf[1]
    check(len(key) == 4 and check_uint(key.get(1), 2) == 2 and check_uint(key.get(-1), 1) == 1)
    odd = key.get(-3)
    check(odd is True or odd is False)
    return check_bytes(key.get(-2), 32), odd


class Beacon:
    """A certified time and newest epoch, from a parsed beacon capsule. Raises `BadShape`."""

    def __init__(self, capsule):
        check(capsule.kind == BEACON and len(capsule.body) == 3)
        self.raw = capsule.raw
        self.time = capsule.claims[IAT]
        self.epoch = check_uint(capsule.body[1], TIME_MAX)
        self.head = check_bytes(capsule.body[2], HEAD_BYTES)


class Succession:
    """A new group key, certified by the old one, from a parsed capsule. Raises `BadShape`.

    epoch: int; previous: 6 bytes; charter_digest: 32 bytes, of the new governors' charter;
    group_key: 32 bytes; issued: Unix seconds; head: what the next policy names as previous.
    """

    def __init__(self, capsule):
        check(capsule.kind == SUCCESSION and len(capsule.body) == 5)
        _, epoch, previous, charter_digest, group_key = capsule.body
        self.raw = capsule.raw
        self.head = head(capsule.payload)
        self.epoch = check_uint(epoch, TIME_MAX)
        check(epoch > 0)
        self.previous = check_bytes(previous, HEAD_BYTES)
        self.charter_digest = check_bytes(charter_digest, 32)
        self.group_key = check_bytes(group_key, 32)
        self.issued = capsule.claims[IAT]


class Action:
    """A command that its target executes once, from a parsed capsule. Raises `BadShape`.

    target: node id, 8 bytes; method: CoAP code 1..7; path: str; digest: SHA-256 of the payload;
    nonce: 8 bytes; expires: Unix seconds.
    """

    def __init__(self, capsule):
        check(capsule.kind == ACTION and len(capsule.body) == 6)
        _, target, method, path, payload_digest, nonce = capsule.body
        self.raw = capsule.raw
        self.target = check_bytes(target, NODE_ID_BYTES)
        self.method = check_uint(method, 7)
        check(method > 0)
        check(isinstance(path, str) and 0 < len(path.encode()) <= PATH_BYTES_MAX)
        self.path = path
        self.digest = check_bytes(payload_digest, 32)
        self.nonce = check_bytes(nonce, 8)
        self.expires = capsule.claims[EXP]
