"""SHA-512, HMAC and HKDF against NIST and RFC vectors."""

from harness import raises
from vectors_hashes import HKDF_SHA256, HMAC_SHA256, SHA512, SHA512_LONG

from writ import crypto
from writ.errors import UsageError


def test_sha256_is_32_bytes_of_fips_180():
    assert crypto.sha256(b"abc").hex() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_sha512_nist_vectors():
    assert len(SHA512) == 8
    for message, digest in SHA512 + SHA512_LONG:
        assert crypto.sha512(bytes.fromhex(message)).hex() == digest


def test_sha512_takes_bytes_like_input():
    message = bytes.fromhex(SHA512_LONG[0][0])
    assert crypto.sha512(bytearray(message)).hex() == SHA512_LONG[0][1]


def test_sha512_every_length_around_two_blocks_differs():
    # padding that drops or doubles a byte makes two of these collide
    digests = set()
    for size in range(100, 260, 3):
        digests.add(crypto.sha512(bytes(size)))
    assert len(digests) == 54


def test_hmac_rfc_4231():
    assert len(HMAC_SHA256) == 6
    for key, data, tag in HMAC_SHA256:
        assert crypto.hmac_sha256(bytes.fromhex(key), bytes.fromhex(data)).hex() == tag


def test_hmac_key_of_one_block_is_not_hashed():
    # 64 bytes are used as they are; 65 are hashed first
    tag = crypto.hmac_sha256(bytes(64), b"x")
    assert tag == crypto.hmac_sha256(b"", b"x")
    assert tag != crypto.hmac_sha256(bytes(65), b"x")
    assert crypto.hmac_sha256(bytes(65), b"x") == crypto.hmac_sha256(crypto.sha256(bytes(65)), b"x")


def test_the_mac_of_each_of_many_link_keys_is_its_hmac():
    # more keys than a host keeps, and each of them again
    keys = [bytes((number,)) * 16 for number in range(9)]
    for key in keys + keys:
        for data in (b"", b"a frame", bytes(255)):
            assert crypto.link_mac(key, data) == crypto.hmac_sha256(key, data)


def test_hkdf_rfc_5869():
    assert len(HKDF_SHA256) == 3
    for ikm, salt, info, prk, okm in HKDF_SHA256:
        assert crypto.hkdf_extract(bytes.fromhex(salt), bytes.fromhex(ikm)).hex() == prk
        okm = bytes.fromhex(okm)
        info = bytes.fromhex(info)
        assert crypto.hkdf_expand(bytes.fromhex(prk), info, len(okm)) == okm


def test_hkdf_lengths():
    prk = bytes(32)
    whole = crypto.hkdf_expand(prk, b"i", 97)
    for length in (0, 1, 31, 32, 33, 64, 96):
        assert crypto.hkdf_expand(prk, b"i", length) == whole[:length]
    assert len(crypto.hkdf_expand(prk, b"", 8160)) == 8160
    raises(UsageError, crypto.hkdf_expand, prk, b"", 8161)


def test_random_bytes():
    assert len(crypto.random_bytes(0)) == 0
    assert len(crypto.random_bytes(33)) == 33
    assert crypto.random_bytes(16) != crypto.random_bytes(16)
