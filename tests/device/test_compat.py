"""What differs between the interpreters: garbage collection around long arithmetic."""

import gc

from harness import raises

from writ import compat, crypto

_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def _threshold():
    # CPython has none of this kind
    return gc.threshold() if compat.MICROPYTHON else -1


def test_garbage_is_not_collected_during_long_arithmetic():
    compat.save_heap()
    before = _threshold()
    assert before == (16384 if compat.MICROPYTHON else -1)
    assert compat.compute(_threshold) == -1
    assert _threshold() == before


def test_an_error_in_long_arithmetic_leaves_the_collection_as_it_was():
    compat.save_heap()
    before = _threshold()
    raises(ZeroDivisionError, compat.compute, lambda: 1 // 0)
    raises(MemoryError, compat.compute, _fail)
    assert _threshold() == before


def _fail():
    raise MemoryError()


def test_signature_checks_and_multiplications_are_long_arithmetic():
    from writ.crypto import ed25519, p256

    # a public key, an agreement, a signature; a check with a new key, and with a known one
    calls = []

    def compute(function, *arguments):
        calls.append(function)
        return function(*arguments)

    saved = ed25519.compute, p256.compute, crypto._last[0]
    ed25519.compute = p256.compute = compute
    try:
        key = bytes(31) + b"\x05"
        x, _ = p256.p256_public(key)
        assert len(calls) == 1
        p256.p256_ecdh(key, x)
        assert len(calls) == 2
        p256.es256_sign(key, b"message")
        assert len(calls) == 3
        ed25519.ed25519_verify(_KEY, bytes(64), b"\x02" + bytes(63), crypto._last)
        count = len(calls)
        assert count >= 6
        ed25519.ed25519_verify(_KEY, bytes(64), b"\x02" + bytes(63), crypto._last)
        assert len(calls) == count + 1
    finally:
        ed25519.compute, p256.compute, crypto._last[0] = saved
    assert crypto.ed25519_verify(_KEY, b"", b"\x02" + bytes(63)) is False
