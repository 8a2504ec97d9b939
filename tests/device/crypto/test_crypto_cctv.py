"""One rule for Ed25519 signatures, over the 914 edge cases of CCTV."""

from cctv import COUNT, vectors

from writ import crypto


def test_only_the_plain_signature_of_cctv_is_accepted():
    # each other one has a point outside the prime-order subgroup, or the neutral point
    count = plain = 0
    for public, message, signature, flags in vectors():
        count += 1
        plain += flags == "-"
        assert crypto.ed25519_verify(public, message, signature) is (flags == "-"), (count, flags)
    assert count == COUNT
    assert plain == 1
