"""ES256 verification, which hosts do and devices do not: every backend."""

import pytest
from vectors_p256 import BAD_X, ES256, RFC6979, RFC6979_KEY

from writ import crypto

pytestmark = pytest.mark.usefixtures("backend")

_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _odd(y):
    return bool(int(y[-1], 16) & 1)


def test_rfc_6979_signatures_verify():
    _, x, y = RFC6979_KEY
    for message, signature in RFC6979:
        signature = bytes.fromhex(signature)
        x_bytes = bytes.fromhex(x)
        assert crypto.es256_verify(x_bytes, _odd(y), message, signature) is True
        assert crypto.es256_verify(x_bytes, not _odd(y), message, signature) is False
        assert crypto.es256_verify(x_bytes, _odd(y), message + b"!", signature) is False


def test_a_key_that_is_no_point_verifies_nothing():
    for x in BAD_X:
        signature = bytes(31) + b"\x01" + bytes(31) + b"\x01"
        assert crypto.es256_verify(bytes.fromhex(x), False, b"m", signature) is False


def test_wycheproof_es256():
    assert len(ES256) > 20
    for x, y, message, signature, valid in ES256:
        verdict = crypto.es256_verify(
            bytes.fromhex(x), _odd(y), bytes.fromhex(message), bytes.fromhex(signature)
        )
        assert verdict is valid


def test_es256_out_of_range_fails():
    _, x, y = RFC6979_KEY
    x = bytes.fromhex(x)
    good = bytes.fromhex(RFC6979[0][1])
    r, s = good[:32], good[32:]
    zero = bytes(32)
    order = _N.to_bytes(32, "big")
    for bad in (zero + s, r + zero, zero + zero, order + s, r + order, order + order):
        assert crypto.es256_verify(x, _odd(y), b"sample", bad) is False
    for size in (0, 32, 63):
        assert crypto.es256_verify(x, _odd(y), b"sample", good[:size]) is False
    assert crypto.es256_verify(x, _odd(y), b"sample", good + b"\x00") is False


def test_es256_takes_both_values_of_s():
    # RFC 9053 does not ask for the lower one
    _, x, y = RFC6979_KEY
    good = bytes.fromhex(RFC6979[0][1])
    other = _N - int.from_bytes(good[32:], "big")
    twin = good[:32] + other.to_bytes(32, "big")
    assert crypto.es256_verify(bytes.fromhex(x), _odd(y), b"sample", twin) is True
