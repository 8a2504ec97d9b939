"""The test signer makes the signatures of RFC 8032."""

import signer

from writ import crypto


def test_signs_as_rfc_8032_section_7_1_test_3():
    seed = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    public = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    assert signer.public_key(seed).hex() == public
    assert signer.sign(b"\xaf\x82", seed).hex() == (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )


def test_a_signature_verifies_and_a_changed_one_does_not():
    message = b"message"
    signature = signer.sign(message)
    assert crypto.ed25519_verify(signer.public_key(), message, signature)
    assert not crypto.ed25519_verify(signer.public_key(), message, signer.forge(signature))
    assert not crypto.ed25519_verify(signer.public_key(signer.OTHER_SEED), message, signature)
