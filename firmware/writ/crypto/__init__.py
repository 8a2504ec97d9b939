"""The cryptographic primitives, and the choice of the backend that provides them.

Devices run `pure`, which needs SHA-256 and AES from `compat` and Python's integers. `pycryptodome`
is the same interface over C code, for CPython; `openssl` is faster and needs the package
`cryptography`. All backends give the same bytes and accept the same signatures. Callers write
`crypto.f(...)` and never import a function from here, because `use` may switch it. A native module
for a device would be one more name for `use`.
"""

import os

from .. import compat
from ..compat import random_bytes, sha256
from ..errors import UsageError

_NAMES = (
    "sha512 hmac_sha256 link_mac hkdf_extract hkdf_expand ed25519_verify p256_public "
    "p256_y p256_ecdh es256_sign es256_verify aes_ccm_encrypt aes_ccm_decrypt"
)

# "pure", "pycryptodome" or "openssl"
backend = None
# What `p256_generate` mixes with random bytes. It never returns to an earlier value.
_pool = b""


# The last public key of Ed25519, and its comb: None for a bad key
_last = [(None, None)]


# The code for keys and signatures is loaded for each use: a node that has joined seldom needs it


def _forget():
    compat.unload("crypto.p256_verify")
    compat.unload("crypto.p256")
    compat.unload("crypto.ed25519")
    compat.unload("crypto.sha2")


def _sha512(data):
    from .sha2 import sha512

    _forget()
    return compat.compute(sha512, data)


def _ed25519_verify(public, message, signature):
    # the code of SHA-512 is gone before the other is loaded
    digest = _sha512(signature[:32] + public + message)
    from .ed25519 import ed25519_verify

    _forget()
    return ed25519_verify(public, digest, signature, _last)


def _p256_public(private):
    from .p256 import p256_public

    _forget()
    return p256_public(private)


def _p256_y(x, y_is_odd):
    from .p256 import p256_y

    _forget()
    return p256_y(x, y_is_odd)


def _p256_ecdh(private, x):
    from .p256 import p256_ecdh

    _forget()
    return p256_ecdh(private, x)


def _es256_sign(private, message):
    from .p256 import es256_sign

    _forget()
    return es256_sign(private, message)


def _es256_verify(x, y_is_odd, message, signature):
    from .p256_verify import es256_verify

    _forget()
    return es256_verify(x, y_is_odd, message, signature)


def use(name):
    """Take all primitives from the backend `name` from now on."""
    global backend
    if name == "pure":
        from . import aead, hashes

        modules = (hashes, aead)
        globals().update(
            sha512=_sha512,
            ed25519_verify=_ed25519_verify,
            p256_public=_p256_public,
            p256_y=_p256_y,
            p256_ecdh=_p256_ecdh,
            es256_sign=_es256_sign,
            es256_verify=_es256_verify,
        )
    elif name == "pycryptodome" and compat.HAVE_PYCRYPTODOME:
        from . import pycryptodome

        modules = (pycryptodome,)
    elif name == "openssl" and compat.HAVE_OPENSSL:
        from . import openssl, pycryptodome

        # openssl overrides the functions that it has
        modules = (pycryptodome, openssl)
    else:
        raise UsageError("no crypto backend " + name)
    for function in _NAMES.split():
        for module in modules:
            if hasattr(module, function):
                globals()[function] = getattr(module, function)
    backend = name


def stir(data):
    """Mix `data` (bytes, secret or known) into all keys that are generated from now on."""
    global _pool
    # returned, so that two threads never use the same
    pool = _pool = sha256(_pool + data)
    return pool


def p256_generate(secret=b""):
    """A new P-256 private key, 32 bytes: uniform, by rejection (FIPS 186-5, A.2.2).

    secret: bytes, such as the node's own private key. With it, a random generator that is guessed
    or repeats itself gives no key away and no key twice, as in RFC 8937: the pool is a counter.
    """
    while True:
        private = hmac_sha256(secret, stir(random_bytes(32)))  # noqa: F821
        # one key in 2**64 begins like this and is less than the order; it is not missed
        if bytes(32) < private < b"\xff\xff\xff\xff":
            return private


if compat.HAVE_PYCRYPTODOME:
    use(os.getenv("WRIT_CRYPTO") or ("openssl" if compat.HAVE_OPENSSL else "pycryptodome"))
else:
    use("pure")
