"""ES256 verification in Python integers. Loaded for a check, and forgotten after it.

A device checks the maker of a link key (mesh/welcome.py); governors check statements.
"""

from ..compat import sha256
from ..errors import BadPoint
from . import p256


def es256_verify(x, y_is_odd, message, signature):
    """Whether `signature` (64 bytes) by the key (`x` of 32 bytes, sign of y) fits `message`.

    Never raises; both values of s are accepted, as RFC 9053 says (FIPS 186-5, section 6.4.2).
    """
    if len(signature) != 64:
        return False
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if not (0 < r < p256._N and 0 < s < p256._N):
        return False
    try:
        public = p256._point(x, y_is_odd)
    except BadPoint:
        return False
    s = pow(s, p256._N - 2, p256._N)
    e = int.from_bytes(sha256(message), "big")
    point = p256._multiply(r * s % p256._N, public)
    if e % p256._N:
        point = p256._add(p256._multiply(e * s % p256._N, p256._G), point)
    # infinity gives x = 0, which is no valid r
    return p256._affine(point)[0] % p256._N == r
