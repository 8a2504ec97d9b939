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


def test_a_check_of_es256_leaves_no_code_behind():
    before = set(sys.modules)
    private = b"\1" * 32
    x, odd = crypto.p256_public(private)
    signature = crypto.es256_sign(private, b"m")
    assert crypto.es256_verify(x, odd, b"m", signature)
    assert not crypto.es256_verify(x, odd, b"n", signature)
    assert not compat.MICROPYTHON or set(sys.modules) == before


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
