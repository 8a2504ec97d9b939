"""P-256: points, ECDH by x, ES256."""

from harness import raises
from vectors_p256 import BAD_X, ECDH, ECDH_RFC5903, RFC6979, RFC6979_KEY

from writ import crypto
from writ.errors import BadPoint, UsageError

_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_rfc_5903_keys_and_shared_secret():
    i, i_x, i_y, r, r_x, r_y, shared = [bytes.fromhex(field) for field in ECDH_RFC5903]
    for private, x, y in ((i, i_x, i_y), (r, r_x, r_y)):
        assert crypto.p256_public(private) == (x, y[-1] & 1 == 1)
        assert crypto.p256_y(x, y[-1] & 1 == 1) == y
    assert crypto.p256_ecdh(i, r_x) == shared
    assert crypto.p256_ecdh(r, i_x) == shared


def test_ecdh_nist_and_wycheproof():
    assert len(ECDH) > 10
    for private, x, shared in ECDH:
        assert crypto.p256_ecdh(bytes.fromhex(private), bytes.fromhex(x)).hex() == shared


def test_x_off_the_curve_or_out_of_range_is_a_bad_point():
    private = bytes.fromhex(RFC6979_KEY[0])
    assert len(BAD_X) == 7
    for x in BAD_X:
        x = bytes.fromhex(x)
        raises(BadPoint, crypto.p256_ecdh, private, x)
        raises(BadPoint, crypto.p256_y, x, True)
        raises(BadPoint, crypto.p256_y, x, False)
    raises(BadPoint, crypto.p256_ecdh, private, b"")


def test_both_signs_of_y_sum_to_p():
    x = bytes.fromhex(RFC6979_KEY[1])
    even = int.from_bytes(crypto.p256_y(x, False), "big")
    odd = int.from_bytes(crypto.p256_y(x, True), "big")
    assert even & 1 == 0
    assert odd & 1 == 1
    assert even + odd == 2**256 - 2**224 + 2**192 + 2**96 - 1


def test_private_keys_at_the_ends_of_the_range():
    # 1 and n - 1 give G and -G; 0 and n are no keys
    one = (1).to_bytes(32, "big")
    x, odd = crypto.p256_public(one)
    assert x.hex() == "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    assert crypto.p256_public((_N - 1).to_bytes(32, "big")) == (x, not odd)
    assert crypto.p256_ecdh((_N - 1).to_bytes(32, "big"), x) == x
    for private in (bytes(32), _N.to_bytes(32, "big"), b"\xff" * 32, b"", one[1:], b"\x00" + one):
        raises(UsageError, crypto.p256_public, private)
        raises(UsageError, crypto.p256_ecdh, private, x)
        raises(UsageError, crypto.es256_sign, private, b"")


def test_small_scalars_count_up():
    # 2G + G = 3G through every path of the addition: k * (jG) == j * (kG)
    for k in (2, 3, 4, 7, 8, 9, 15, 16, 17):
        x, _ = crypto.p256_public(k.to_bytes(32, "big"))
        other, _ = crypto.p256_public((33).to_bytes(32, "big"))
        assert crypto.p256_ecdh((33).to_bytes(32, "big"), x) == crypto.p256_ecdh(
            k.to_bytes(32, "big"), other
        )


def test_generated_keys_agree():
    a = crypto.p256_generate()
    b = crypto.p256_generate()
    assert len(a) == 32
    assert a != b
    assert crypto.p256_ecdh(a, crypto.p256_public(b)[0]) == crypto.p256_ecdh(
        b, crypto.p256_public(a)[0]
    )


def test_keys_differ_though_the_random_generator_repeats_itself():
    plain = crypto.random_bytes
    crypto.random_bytes = lambda count: bytes(count)
    try:
        keys = {crypto.p256_generate(b"static") for _ in range(4)}
        # after a restart the pool is empty: the static key, and what is on flash, make them differ
        for stirred in (b"record 1", b"record 2"):
            for secret in (b"", b"static", b"another"):
                crypto._pool = b""
                crypto.stir(stirred)
                keys.add(crypto.p256_generate(secret))
    finally:
        crypto.random_bytes = plain
    assert len(keys) == 10
    assert {len(key) for key in keys} == {32}


def test_a_known_pool_and_known_random_bytes_do_not_give_a_key():
    # what an attacker can compute who knows everything but the static key
    plain = crypto.random_bytes
    crypto.random_bytes = lambda count: bytes(count)
    crypto._pool = b""
    try:
        key = crypto.p256_generate(crypto.sha256(b"static"))
    finally:
        crypto.random_bytes = plain
    pool = crypto.sha256(bytes(32))
    assert crypto._pool == pool
    assert key not in (pool, crypto.hmac_sha256(b"", pool), crypto.sha256(pool))
    assert key == crypto.hmac_sha256(crypto.sha256(b"static"), pool)


def test_rfc_6979_signatures():
    private, _, _ = RFC6979_KEY
    for message, signature in RFC6979:
        signature = bytes.fromhex(signature)
        # of the vector's s and the order less s, the lower one
        s = int.from_bytes(signature[32:], "big")
        lower = signature[:32] + min(s, _N - s).to_bytes(32, "big")
        assert crypto.es256_sign(bytes.fromhex(private), message) == lower
