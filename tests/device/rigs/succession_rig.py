"""Successions: from the test scope's group key to another one, and to a third."""

import signer

from writ.authority import capsule

NEW = signer.OTHER_SEED
THIRD = b"group key of the third governors"
DIGEST = bytes(32)


def succession_payload(epoch, previous, seed=NEW, iat=signer.FOUNDED):
    """The payload of a succession to the key of `seed`."""
    body = [epoch, previous, DIGEST, signer.public_key(seed)]
    return capsule.build(capsule.SUCCESSION, body, iat=iat)


def succession_raw(epoch, previous, seed=NEW, by=signer.GROUP_SEED, iat=signer.FOUNDED):
    """A succession to the key of `seed`, certified by that of `by`."""
    return signer.certify(succession_payload(epoch, previous, seed, iat), by)


def by_new(raw, seed=NEW):
    """The same claims, certified by the new key."""
    return signer.certify(capsule.parse(raw).payload, seed)
