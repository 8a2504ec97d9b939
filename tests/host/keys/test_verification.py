"""One rule for Ed25519 signatures: hosts and devices, whatever library is underneath."""

import cctv
import ed25519_reference
import pytest

from writ import crypto
from writ_host.keys.frost import is_valid
from writ_host.keys.identity import Identity, PublicIdentity

ANNA = Identity.generate("anna").public


def governor(key: bytes) -> PublicIdentity:
    return PublicIdentity("anna", key, ANNA.seal_key, ANNA.node_key)


@pytest.mark.usefixtures("backend")
def test_governors_and_devices_decide_alike_over_all_cctv_vectors() -> None:
    count = 0
    for public, message, signature, flags in cctv.vectors():
        verdicts = {
            "device": crypto.ed25519_verify(public, message, signature),
            "group": is_valid(public, message, signature),
            "governor": governor(public).verifies(message, signature),
        }
        assert set(verdicts.values()) == {flags == "-"}, (public.hex(), flags, verdicts)
        count += 1
    assert count == cctv.COUNT


@pytest.mark.slow
def test_the_textbook_decides_alike_over_all_cctv_vectors() -> None:
    for public, message, signature, flags in cctv.vectors():
        assert ed25519_reference.verify(public, message, signature) is (flags == "-")


@pytest.mark.usefixtures("backend")
def test_the_neutral_point_as_r_is_refused_by_devices_too() -> None:
    key = bytes.fromhex("ef75b20e7540e3dff77404193652ba2bd13df99c1508eee1515e27ae25f28076")
    signature = bytes.fromhex(
        "01" + 31 * "00" + "330b30d6c1f07511e2208d233b6a34d4ed7109da2dea615bcd97daee3a842704"
    )
    message = bytes.fromhex("65643235353139766563746f72732037")
    assert crypto.ed25519_verify(key, message, signature) is False
    assert is_valid(key, message, signature) is False


@pytest.mark.usefixtures("backend")
def test_wrong_sizes_are_refused_without_an_error() -> None:
    signed = Identity.generate("ben")
    key, signature = signed.public.verify_key, signed.sign(b"m")
    assert is_valid(key, b"m", signature)
    for size in (0, 1, 31, 32, 63, 65):
        assert not is_valid(key, b"m", (signature * 2)[:size])
        assert not is_valid((key * 3)[: min(size, 33) if size != 32 else 33], b"m", signature)
