"""Keys of governors and scopes: FROST, key generation, re-sharing, identities, encrypted files.

group       the Ed25519 group: scalars and points
frost       signing with key shares
dkg         key generation without a dealer
reshare     new key shares of the same key, for changed governors
identity    a governor's own keys, and signed envelopes of ceremonies
hpke        encryption to one governor
roster      the governors of a scope; a governor's seat
keyfile     files encrypted with a passphrase or a key file
"""
