"""Capsules are CWTs: read, verified and made by python-cwt, and by cbor2 with `cryptography`."""

from typing import Any

import cbor2
import cwt
import interop_rig as rig
import pytest
from Crypto.PublicKey import ECC
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cwt import COSE, CWT, COSEKey

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import FileFlash, Store
from writ.errors import Rejection

SIGN1_TAG = b"\xd2"  # tag 18, which a capsule goes without


class Made:
    """A capsule of each kind, by name, and the public key."""

    def __init__(self, scope: rig.Scope) -> None:
        self.scope = scope
        reader = scope.admit("reader", rig.READER)
        head = capsule.head(capsule.parse(scope.policy_1).payload)
        amendment = capsule.build(capsule.AMENDMENT, [2, head, reader.node_id])
        beacon = capsule.build(capsule.BEACON, [1, head], iat=rig.FOUNDED + 60)
        self.capsules = {
            "charter": scope.charter,
            "member": reader.capsule,
            "policy": scope.policy_1,
            "beacon": scope.certify(beacon),
            "amendment": scope.certify(amendment),
        }
        self.claims = {name: capsule.parse(raw).claims for name, raw in self.capsules.items()}

    def key(self, kid: bytes | None = None) -> COSEKey:
        """python-cwt's public key; CWT.decode insists on a kid."""
        key = {1: 1, -1: 6, -2: self.scope.public, 3: -8}
        return COSEKey.new(key if kid is None else {**key, 2: kid})


KINDS = ["charter", "member", "policy", "amendment", "beacon"]


@pytest.fixture(scope="module")
def made() -> Made:
    return Made(rig.Scope())


@pytest.mark.parametrize("kind", KINDS)
def test_python_cwt_verifies_it(made: Made, kind: str) -> None:
    raw = made.capsules[kind]
    payload = COSE.new().decode(SIGN1_TAG + raw, made.key())
    assert cbor2.loads(payload) == made.claims[kind]
    # with the scope's hint as kid, as CWT.decode wants it
    parsed = capsule.parse(raw)
    hint = made.scope.id[:4]
    hinted = capsule.assemble(parsed.payload, parsed.signature, hint=hint)
    assert cwt.decode(SIGN1_TAG + hinted, made.key(hint)) == made.claims[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_python_cwt_refuses_what_was_altered(made: Made, kind: str) -> None:
    raw = made.capsules[kind]
    other = COSEKey.new({1: 1, -1: 6, -2: rig.Scope().public, 3: -8})
    with pytest.raises(cwt.VerifyError):
        COSE.new().decode(SIGN1_TAG + raw, other)
    altered = raw[:-1] + bytes([raw[-1] ^ 1])
    with pytest.raises(cwt.VerifyError):
        COSE.new().decode(SIGN1_TAG + altered, made.key())


@pytest.mark.parametrize("kind", KINDS)
def test_cbor2_and_cryptography_verify_it(made: Made, kind: str) -> None:
    """RFC 9052, section 4.4, spelled out with software that knows nothing of Writ."""
    protected, unprotected, payload, signature = cbor2.loads(made.capsules[kind])
    assert (cbor2.loads(protected), unprotected) == ({1: -8}, {})
    assert cbor2.loads(payload) == made.claims[kind]
    assert cbor2.dumps(cbor2.loads(payload), canonical=True) == payload
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key = Ed25519PublicKey.from_public_bytes(made.scope.public)
    key.verify(signature, signed)
    with pytest.raises(InvalidSignature):
        key.verify(signature, signed + b"\x00")


# --- made by python-cwt ---------------------------------------------------------------------------


class Governor:
    """A scope whose governors use python-cwt."""

    def __init__(self) -> None:
        secret = ECC.generate(curve="ed25519")
        self.public: bytes = secret.public_key().export_key(format="raw")
        self._key = {1: 1, -1: 6, -2: self.public, -4: secret.seed, 3: -8}

    def key(self, kid: bytes | None = None) -> COSEKey:
        return COSEKey.new(self._key if kid is None else {**self._key, 2: kid})

    def certify(self, claims: dict[int, Any]) -> bytes:
        """An untagged COSE_Sign1 over the claims in the order given."""
        cose = COSE.new(alg_auto_inclusion=True)
        tagged = cose.encode_and_sign(cbor2.dumps(claims), self.key())
        assert tagged[:1] == SIGN1_TAG
        return tagged[1:]

    def charter(self) -> dict[int, Any]:
        body = [capsule.CHARTER, "field", 1, [bytes(32)], self.public, {1: 3600, 2: 60}]
        return {capsule.IAT: rig.FOUNDED, capsule.WRIT: body}

    def member(self, name: str = "reader") -> dict[int, Any]:
        x, y_is_odd = crypto.p256_public(crypto.p256_generate())
        return {
            capsule.SUB: name,
            capsule.EXP: rig.FOUNDED + 86400,
            capsule.CNF: {1: {1: 2, -1: 1, -2: x, -3: y_is_odd}},
            capsule.WRIT: [capsule.MEMBER, 7, rig.READER],
        }


@pytest.fixture
def governor() -> Governor:
    return Governor()


@pytest.fixture
def authority(governor: Governor, tmp_path: Any) -> Authority:
    charter = governor.certify(governor.charter())
    scope = capsule.scope_id(cbor2.loads(charter)[2])
    found = Authority(Store(FileFlash(str(tmp_path))), b"o" * 32, scope)
    found.receive(charter, 0)
    return found


def test_ours_accepts_what_python_cwt_makes(governor: Governor, authority: Authority) -> None:
    authority.receive(governor.certify(governor.member()), 0)
    assert authority.peer_by(name="reader")
    previous = authority.charter.head
    body = [capsule.POLICY, 1, previous, rig.RULES, [], [], {}]
    authority.receive(governor.certify({capsule.IAT: rig.FOUNDED, capsule.WRIT: body}), 0)
    assert authority.epoch == 1
    beacon = {capsule.IAT: rig.FOUNDED + 9, capsule.WRIT: [capsule.BEACON, 1, authority.head]}
    authority.receive(governor.certify(beacon), 0)
    amendment = [capsule.AMENDMENT, 2, authority.head, authority.peer_by(name="reader").node_id]
    authority.receive(governor.certify({capsule.WRIT: amendment}), 0)
    assert authority.epoch == 2


def test_both_make_the_same_bytes(governor: Governor) -> None:
    """Ed25519 is deterministic: same claims, same capsule."""
    claims = governor.member()
    theirs = governor.certify(claims)
    key = claims[capsule.CNF][1]
    payload = capsule.build(
        capsule.MEMBER,
        claims[capsule.WRIT][1:],
        sub=claims[capsule.SUB],
        exp=claims[capsule.EXP],
        key=(key[-2], key[-3]),
    )
    assert capsule.assemble(payload, capsule.parse(theirs).signature) == theirs


def test_the_kid_of_a_cwt_is_taken_for_the_scopes_hint(
    governor: Governor, authority: Authority
) -> None:
    def with_kid(kid: bytes) -> bytes:
        cose = COSE.new(alg_auto_inclusion=True, kid_auto_inclusion=True)
        return cose.encode_and_sign(cbor2.dumps(governor.member()), governor.key(kid))[1:]

    authority.receive(with_kid(authority.scope[:4]), 0)
    with pytest.raises(Rejection) as refusal:
        authority.receive(with_kid(b"else"), 0)
    assert type(refusal.value).__name__ == "WrongScope"


def test_ours_refuses_what_is_not_canonical(governor: Governor, authority: Authority) -> None:
    """python-cwt writes what it is given in any order, tagged, with claims of its own."""

    def refused(raw: bytes) -> str:
        with pytest.raises(Rejection) as refusal:
            authority.receive(raw, 0)
        return type(refusal.value).__name__

    claims = governor.member()
    assert refused(SIGN1_TAG + governor.certify(claims)) == "Unsupported"
    assert refused(governor.certify(dict(reversed(claims.items())))) == "NotCanonical"
    # a time as a float, as RFC 8392 allows
    assert refused(governor.certify({**claims, capsule.EXP: 1.9e9})) == "Unsupported"
    # nbf and iat, which CWT.encode_and_sign adds, stand at the end of the map
    made = CWT.new().encode_and_sign(dict(claims), governor.key())
    assert list(cbor2.loads(cbor2.loads(made).value[2])) == [*claims, 5, 6]
    assert refused(made[1:]) == "NotCanonical"
    # where it stands right, it is one claim more than a member has
    in_order = {key: {**claims, capsule.IAT: 1}[key] for key in (2, 4, 6, 8, capsule.WRIT)}
    assert refused(governor.certify(in_order)) == "BadShape"
    assert authority.peers == {}
