"""`inspect_capsule` explains any bytes and never raises."""

from pathlib import Path

import pytest
import signer
from hypothesis import given, settings
from hypothesis import strategies as st
from node_rig import amendment, member, policy
from succession_rig import NEW, by_new, succession_raw

from writ import cbor, crypto
from writ.authority import capsule
from writ.errors import Rejection
from writ.node.statement import member_request
from writ_host.scope.cbordump import Field, diagnostic, take_apart
from writ_host.scope.folder import ScopeFolder
from writ_host.scope.inspection import inspect_capsule

SAMPLES = [
    signer.charter(),
    policy(),
    amendment(2, bytes(6), bytes(8), [0, bytes(8)], [1, bytes(8), 4], [2, [1, 1, "a", 1]]),
    amendment(2, bytes(6), [4, 3, [2, [1, 0, 6, 1]]], [4, 4, bytes(8)]),
    signer.certify(
        signer.policy_payload(2, bytes(6), params={3: [1, [4, 0, 0, 0], [1, 0, 6, 1]], 4: bytes(8)})
    ),
    member("t1", 3, 4),
    signer.certify(
        capsule.build(capsule.ACTION, [bytes(8), 3, "gate", bytes(32), bytes(8)], exp=9)
    ),
    signer.certify(capsule.build(capsule.SUCCESSION, [2, bytes(6), bytes(32), bytes(32)], iat=9)),
    member_request(crypto.sha256(b"t1"), "t1"),
]


@pytest.mark.parametrize("raw", SAMPLES)
def test_every_byte_has_a_meaning(raw: bytes) -> None:
    found = inspect_capsule(raw)
    assert found.problem is None and found.problem_at is None
    covered: set[int] = set()
    for part in found.parts:
        assert part.meaning or part.diagnostic.startswith(("map", "bytes"))
        assert "not defined here" not in part.meaning and not part.flaw
        covered.update(range(part.offset, part.offset + part.size))
    assert covered == set(range(len(raw)))


@settings(max_examples=150)
@given(st.sampled_from(SAMPLES), st.data())
def test_damage_is_explained(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for one in (bytes(damaged), bytes(damaged[:cut]), bytes(damaged) + b"\x00"):
        found = inspect_capsule(one)
        try:
            capsule.parse(one)
        except Rejection as error:
            if found.kind != "request":
                assert found.problem and type(error).__name__ in found.problem


@given(st.binary(max_size=80))
def test_any_bytes_are_explained(raw: bytes) -> None:
    found = inspect_capsule(raw)
    assert found.problem
    parts, stopped = take_apart(raw, Field())
    try:
        cbor.decode(raw, 64)
    except Rejection:
        assert stopped or any(part.flaw for part in parts)
    else:
        assert stopped is None and not any(part.flaw for part in parts)


def test_diagnostic_notation() -> None:
    value = {1: b"\x01", "a": [True, False, None, -1], b"k": {}}
    assert diagnostic(value) == "{1: h'01', \"a\": [true, false, null, -1], h'6b': {}}"


@pytest.mark.parametrize(
    ("raw", "offset", "reason"),
    [
        ("9f01ff", 0, "indefinite"),
        ("8301", 0, "an array of 3"),
        ("830102", 0, "an array of 3"),
        ("5818aa", 0, "a string of 24"),
        ("a201010100", 3, "keys out of order"),
        ("f93c00", 0, "float"),
        ("c101", 0, "tag"),
        ("0000", 1, "after the end"),
        ("", 0, "end where"),
    ],
)
def test_the_offset_of_the_break_is_shown(raw: str, offset: int, reason: str) -> None:
    _, stopped = take_apart(bytes.fromhex(raw), Field())
    assert stopped is not None and stopped.offset == offset and reason in str(stopped)


def test_a_head_longer_than_necessary_is_a_flaw() -> None:
    parts, stopped = take_apart(bytes.fromhex("1801"), Field())
    assert stopped is None and "longer than necessary" in parts[0].flaw


def test_after_a_succession_the_new_key_counts(tmp_path: Path) -> None:
    folder = ScopeFolder.create(tmp_path / "farm", signer.charter())
    old = signer.certify(signer.member_payload(bytes(31) + b"\x05", "pump-1"))
    assert inspect_capsule(old, folder).signature == "valid"
    folder.receive(succession_raw(1, signer.charter_head()))
    new = by_new(signer.certify(signer.member_payload(bytes(31) + b"\x05", "pump-1")), NEW)
    found = inspect_capsule(new, folder)
    assert (found.signature, found.signature_text) == (
        "valid",
        "by the group key of farm (Ed25519)",
    )
    found = inspect_capsule(old, folder)
    assert found.signature == "valid" and "a former group key of farm" in found.signature_text
    # the succession itself is signed by the key that it replaces
    found = inspect_capsule(succession_raw(1, signer.charter_head()), folder)
    assert found.signature == "valid"
    found = inspect_capsule(signer.forge(new), folder)
    assert found.signature == "invalid"
