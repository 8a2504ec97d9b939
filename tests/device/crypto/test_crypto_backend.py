"""The chooser: `crypto.use` and the names that it fills."""

import sys

from harness import raises

from writ import compat, crypto
from writ.errors import UsageError

_NAMES = (
    "sha256 random_bytes sha512 hmac_sha256 link_mac hkdf_extract hkdf_expand "
    "ed25519_verify p256_generate p256_public p256_y p256_ecdh es256_sign es256_verify "
    "aes_ccm_encrypt aes_ccm_decrypt"
)


def test_every_backend_has_every_name():
    before = crypto.backend
    for name in ("pure",) if compat.MICROPYTHON else ("pure", "pycryptodome", "openssl"):
        crypto.use(name)
        assert crypto.backend == name
        for function in _NAMES.split():
            assert callable(getattr(crypto, function))
    crypto.use(before)


def test_use_switches_the_functions():
    before = crypto.backend
    crypto.use("pure")
    pure = crypto.ed25519_verify
    crypto.use(before)
    assert (crypto.ed25519_verify is pure) == (before == "pure")


def test_keys_and_signatures_leave_no_code_behind():
    left = crypto.backend == "pure" and compat.MICROPYTHON
    private = b"\1" * 32
    x, odd = crypto.p256_public(private)
    assert crypto.p256_ecdh(private, x) == crypto.p256_ecdh(private, x)
    assert int.from_bytes(crypto.p256_y(x, odd), "big") & 1 == odd
    signature = crypto.es256_sign(private, b"m")
    assert crypto.es256_verify(x, odd, b"m", signature)
    assert not crypto.es256_verify(x, odd, b"n", signature)
    assert not crypto.ed25519_verify(x, b"m", signature)
    assert len(crypto.sha512(b"m")) == 64
    for name in ("p256", "p256_verify", "ed25519", "sha2"):
        assert not (left and "writ.crypto." + name in sys.modules), name


def test_the_comb_of_the_last_key_outlives_the_code():
    before = crypto.backend
    crypto.use("pure")
    public = b"\x58" + b"\x66" * 31
    crypto.ed25519_verify(public, b"", public + bytes(32))
    last = crypto._last[0]
    # the base point as a key: its comb is the one in the source
    from writ.crypto import ed25519

    assert last == (public, ed25519._BASE)
    crypto.ed25519_verify(public, b"m", public + bytes(32))
    assert crypto._last[0] is last
    crypto.ed25519_verify(b"\x01" * 32, b"m", public + bytes(32))
    assert crypto._last[0] is not last
    crypto.use(before)


def test_an_unknown_backend_changes_nothing():
    before = crypto.backend
    verify = crypto.ed25519_verify
    raises(UsageError, crypto.use, "none")
    assert crypto.backend == before
    assert crypto.ed25519_verify is verify


def test_a_device_has_the_pure_backend():
    if compat.MICROPYTHON:
        assert crypto.backend == "pure"
        for name in ("pycryptodome", "openssl"):
            raises(UsageError, crypto.use, name)
