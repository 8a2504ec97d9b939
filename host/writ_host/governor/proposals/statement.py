"""Statements: a member's signed request to its governors.

    statement = COSE_Sign1 [ h'a10126', {}, payload, signature ]     ; untagged, ES256
    payload = bstr .cbor { 6: iat, -65537: operation }               ; iat: by the member's clock
    operation = [ 16, head ]                                         ; renew me
          / [ 17, head, reason: tstr ]                               ; revoke me: tampered with
          / [ 18, head, request: bstr, voucher: bstr .size (0..64) ]     ; admit this neighbour
          / [ 19, head, target: node-id, method, path,
              payload: bstr .size (0..512), random: bstr .size 8 ]   ; an action
    head = ( node-id, scope: bstr .size 8, epoch )                   ; the member, where and when

A statement has the form of a capsule but a kind that no capsule has. It proves what the member
asked for, whichever governor presents it. The judge decides what follows from it. Its payload
identifies it: a member can sign one payload in many ways. Therefore, and since (r, n - s) is as
valid as (r, s), only the lower s is accepted.
"""

from dataclasses import dataclass
from functools import lru_cache

from writ import cbor, crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import (
    ES256,
    IAT,
    NODE_ID_BYTES,
    SCOPE_ID_BYTES,
    TIME_MAX,
    WRIT,
    check,
    check_bytes,
    check_uint,
)
from writ.errors import BadShape, BadSignature, TooLarge, UnknownKind
from writ.limits import (
    ACTION_PAYLOAD_BYTES_MAX,
    PATH_BYTES_MAX,
    REASON_BYTES_MAX,
    VOUCHER_BYTES_MAX,
)

from ...scope.admission import MembershipRequest, is_signed, read_request

RENEW, REVOKE, ADMIT, ACT = range(16, 20)
# An action with a payload of 512 bytes and a path of 48 has 698.
STATEMENT_BYTES_MAX = 768
METHOD_MAX = 7
NONCE_BYTES = 8
RANDOM_BYTES = 8
# A statement is verified when it arrives and at each judgement; the cache avoids repeated checks.
SIGNATURES_KEPT = 1024
_PROTECTED = b"\xa1\x01" + cbor.encode(ES256)
_SIZES = {RENEW: 4, REVOKE: 5, ADMIT: 6, ACT: 9}


@dataclass(frozen=True)
class Statement:
    """A statement of checked shape. `check_signature` verifies its signature.

    op: RENEW, REVOKE, ADMIT or ACT; node_id: the member that claims to have signed it (8 B);
    scope: for which scope (8 B); epoch: in force at the member when it signed; issued: Unix
    seconds, by its clock; arguments: the items after the epoch in the list above.
    """

    raw: bytes
    op: int
    node_id: bytes
    scope: bytes
    epoch: int
    issued: int
    arguments: tuple[object, ...]
    payload: bytes
    signature: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Statement":
        """Read a statement and check its shape.

        Raises `TooLarge`, the rejections of `cbor.decode`, `BadShape`, `UnknownKind` and, for
        ADMIT, those of `read_request`, which checks the request.
        """
        if len(raw) > STATEMENT_BYTES_MAX:
            raise TooLarge()
        outer = cbor.decode(raw)
        check(isinstance(outer, list) and len(outer) == 4)
        protected, unprotected, payload, signature = outer
        check(protected == _PROTECTED and unprotected == {} and isinstance(payload, bytes))
        check_bytes(signature, 64)
        claims = cbor.decode(payload)
        check(isinstance(claims, dict) and set(claims) == {IAT, WRIT})
        body = claims[WRIT]
        check(isinstance(body, list) and len(body) >= 2)
        op = check_uint(body[0], 255)
        if op not in _SIZES:
            raise UnknownKind()
        check(len(body) == _SIZES[op])
        arguments = tuple(body[4:])
        _check_arguments(op, arguments)
        return cls(
            bytes(raw),
            op,
            check_bytes(body[1], NODE_ID_BYTES),
            check_bytes(body[2], SCOPE_ID_BYTES),
            check_uint(body[3], TIME_MAX),
            check_uint(claims[IAT], TIME_MAX),
            arguments,
            payload,
            signature,
        )

    @classmethod
    def make(
        cls, private: bytes, op: int, *arguments: object, scope: bytes, epoch: int, issued: int
    ) -> "Statement":
        """Sign a statement as the member with this P-256 private key (32 B). Raises as `parse`."""
        node = capsules.node_id(crypto.p256_public(private)[0])
        payload = cbor.encode({IAT: issued, WRIT: [op, node, scope, epoch, *arguments]})
        signature = crypto.es256_sign(private, capsules.signing_input(payload, ES256))
        return cls.parse(capsules.assemble(payload, signature, ES256))

    def check_signature(self, x: bytes, y_is_odd: bool) -> None:
        """Raise `BadSignature` unless this key is the named member's and signed the statement."""
        if capsules.node_id(x) != self.node_id or not _is_signed(
            bytes(x), y_is_odd, self.payload, self.signature
        ):
            raise BadSignature()

    @property
    def request(self) -> MembershipRequest:
        """The membership request of the node to admit, its proof of possession checked."""
        check(self.op == ADMIT)
        return read_request(self._bytes(0))

    @property
    def voucher(self) -> bytes:
        """What the neighbour showed as its identity, for operators to compare; 0 to 64 bytes."""
        return self._bytes(1)

    @property
    def nonce(self) -> bytes:
        """The nonce (8 B) of the action that this statement asks for.

        It is the same in every proposal of this payload, whatever its signature, so the target
        executes the action once.
        """
        return bytes(crypto.sha256(self.payload)[:NONCE_BYTES])

    @property
    def command(self) -> tuple[bytes, int, str, bytes]:
        """What an action does: target (node id), method, path, payload."""
        check(self.op == ACT)
        target, method, path, payload, _ = self.arguments
        return target, method, path, payload  # type: ignore[return-value]

    def _bytes(self, place: int) -> bytes:
        found = self.arguments[place]
        assert isinstance(found, bytes)
        return found


@lru_cache(SIGNATURES_KEPT)
def _is_signed(x: bytes, y_is_odd: bool, payload: bytes, signature: bytes) -> bool:
    return is_signed(x, y_is_odd, payload, signature)


def _check_arguments(op: int, arguments: tuple[object, ...]) -> None:
    if op == REVOKE:
        _check_text(arguments[0], 0, REASON_BYTES_MAX)
    elif op == ADMIT:
        request, voucher = arguments
        check(isinstance(voucher, bytes) and len(voucher) <= VOUCHER_BYTES_MAX)
        if not isinstance(request, bytes):
            raise BadShape()
        read_request(request)
    elif op == ACT:
        target, method, path, payload, random = arguments
        check_bytes(target, NODE_ID_BYTES)
        check(check_uint(method, METHOD_MAX) >= 1)
        # a whole path, not a rule's pattern
        check("*" not in _check_text(path, 1, PATH_BYTES_MAX))
        check(isinstance(payload, bytes) and len(payload) <= ACTION_PAYLOAD_BYTES_MAX)
        check_bytes(random, RANDOM_BYTES)


def _check_text(value: object, least: int, most: int) -> str:
    # safe to show on a terminal
    if not isinstance(value, str) or not value.isprintable():
        raise BadShape()
    check(least <= len(value.encode()) <= most)
    return value
