"""Ed25519 verification: RFC 8032, Wycheproof, and points of small and of mixed order."""

from vectors_ed25519 import EDGES, INVALID, SMALL_ORDER, VALID

from writ import crypto

_ORDER = 2**252 + 27742317777372353535851937790883648493


def test_rfc_8032_signatures_verify():
    assert len(VALID) == 5
    for vector in VALID:
        public, message, signature = [bytes.fromhex(field) for field in vector]
        assert crypto.ed25519_verify(public, message, signature) is True


def test_another_message_key_or_signature_fails():
    public, message, signature = [bytes.fromhex(field) for field in VALID[2]]
    assert crypto.ed25519_verify(public, message + b"\x00", signature) is False
    assert crypto.ed25519_verify(public, message[:-1], signature) is False
    assert crypto.ed25519_verify(bytes.fromhex(VALID[0][0]), message, signature) is False
    for i in (0, 7, 248, 255, 256, 263, 500, 511):
        forged = bytearray(signature)
        forged[i // 8] ^= 1 << i % 8
        assert crypto.ed25519_verify(public, message, bytes(forged)) is False


def test_s_plus_the_order_is_malleable_and_fails():
    for vector in VALID:
        public, message, signature = [bytes.fromhex(field) for field in vector]
        s = int.from_bytes(signature[32:], "little") + _ORDER
        while s < 2**256:
            forged = signature[:32] + s.to_bytes(32, "little")
            assert crypto.ed25519_verify(public, message, forged) is False
            s += _ORDER


def test_wrong_sizes_fail():
    public, message, signature = [bytes.fromhex(field) for field in VALID[0]]
    for size in (0, 31, 32, 63):
        assert crypto.ed25519_verify(public, message, signature[:size]) is False
    assert crypto.ed25519_verify(public, message, signature + b"\x00") is False
    assert crypto.ed25519_verify(public[:31], message, signature) is False
    assert crypto.ed25519_verify(public + b"\x00", message, signature) is False
    assert crypto.ed25519_verify(b"", message, signature) is False


def test_wycheproof_invalid_signatures_fail():
    assert len(INVALID) > 20
    for vector in INVALID:
        public, message, signature = [bytes.fromhex(field) for field in vector]
        assert crypto.ed25519_verify(public, message, signature) is False


def test_points_of_mixed_order_and_the_neutral_point_are_refused():
    assert [valid for _, _, valid in EDGES].count(True) == 1
    for public, signature, valid in EDGES:
        verdict = crypto.ed25519_verify(bytes.fromhex(public), b"writ", bytes.fromhex(signature))
        assert verdict is valid


def test_a_key_of_small_order_signs_nothing():
    # With such a key and S = 0, R = the neutral point, one message in eight would verify.
    neutral = b"\x01" + bytes(31)
    assert len(SMALL_ORDER) == 14
    for public in SMALL_ORDER:
        for message in (b"a", b"b", b"c", b"d", b"e", b"f"):
            assert (
                crypto.ed25519_verify(bytes.fromhex(public), message, neutral + bytes(32)) is False
            )


def test_a_key_that_is_no_point_fails():
    signature = bytes.fromhex(VALID[0][2])
    # y = 2 is on no point; p + 3 has an alias below p that is one
    for y in (2, 2**255 - 19 + 3, 2**255 - 1):
        for sign in (0, 1):
            public = (y | sign << 255).to_bytes(32, "little")
            assert crypto.ed25519_verify(public, b"", signature) is False


def test_keys_taken_in_turn_do_not_disturb_each_other():
    # the last key is cached: good, bad, good again, another
    for i in (0, 0, 1, None, 1, 0, None, None, 2, 0):
        if i is None:
            public = bytes.fromhex(SMALL_ORDER[3])
            assert crypto.ed25519_verify(public, b"", bytes(64)) is False
        else:
            public, message, signature = [bytes.fromhex(field) for field in VALID[i]]
            assert crypto.ed25519_verify(public, message, signature) is True
            assert crypto.ed25519_verify(public, message + b"!", signature) is False


def test_a_changed_bytearray_is_not_mistaken_for_the_cached_key():
    public, message, signature = [bytes.fromhex(field) for field in VALID[1]]
    key = bytearray(public)
    assert crypto.ed25519_verify(key, message, signature) is True
    public, message, signature = [bytes.fromhex(field) for field in VALID[2]]
    key[:] = public
    assert crypto.ed25519_verify(key, message, signature) is True
