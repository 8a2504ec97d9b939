"""FROST keys dealt by one who knows the secret, and honest runs of signing."""

from writ_host.keys import group
from writ_host.keys.frost import KeyPackage, PublicKeyPackage, SigningPackage, commit, sign

MESSAGE = b"open the gate"


def deal(threshold, count):
    """Keys for tests, dealt by one who knows the secret (RFC 9591, appendix C)."""
    coefficients = [group.random_scalar() for _ in range(threshold)]
    group_key = group.point_to_bytes(group.base(coefficients[0]))
    keys = {}
    for i in range(1, count + 1):
        share = sum(c * i**k for k, c in enumerate(coefficients)) % group.ORDER
        keys[i] = KeyPackage(i, share, group_key, threshold)
    shares = {i: key.verifying_share for i, key in keys.items()}
    return keys, PublicKeyPackage(group_key, shares, threshold)


def sign_all(keys, public, signers, message=MESSAGE):
    """(package, shares) of an honest run."""
    nonces = {i: commit(keys[i]) for i in signers}
    commitments = [item.commitment for item in nonces.values()]
    package = SigningPackage(public.group_key, public.threshold, message, commitments)
    return package, {i: sign(keys[i], nonces[i], package) for i in signers}


def fixed(*values):
    """A random source that gives these bytes, once, and nothing else."""
    left = list(values)
    return lambda count: left.pop(0)
