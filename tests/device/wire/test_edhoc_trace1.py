"""RFC 9529, section 2: the key schedule is checked with a suite that is not supported here."""

import vectors_edhoc_trace1 as v
from edhoc_more import key_update
from harness import raises

from writ import cbor, crypto
from writ.errors import BadShape
from writ.wire import edhoc


def kdf(prk, label, context, length):
    info = cbor.encode(label) + cbor.encode(context) + cbor.encode(length)
    return crypto.hkdf_expand(prk, info, length)


def sealed(label, th, plaintext):
    key = kdf(v.PRK_2E, label, th, 16)
    nonce = kdf(v.PRK_2E, label + 1, th, 13)
    return crypto.aes_ccm_encrypt(key, nonce, cbor.encode(["Encrypt0", b"", th]), plaintext)


def test_method_0_is_refused():
    responder = edhoc.Responder(bytes(31) + b"\x01", b"\x18")
    raises(BadShape, responder.read_1, v.MESSAGE_1)


def test_transcript_hashes():
    assert crypto.sha256(v.MESSAGE_1) == v.H_MESSAGE_1
    assert crypto.sha256(cbor.encode(v.G_Y) + cbor.encode(v.H_MESSAGE_1)) == v.TH_2
    assert crypto.sha256(cbor.encode(v.TH_2) + v.PLAINTEXT_2 + v.CRED_R) == v.TH_3
    assert crypto.sha256(cbor.encode(v.TH_3) + v.PLAINTEXT_3 + v.CRED_I) == v.TH_4


def test_message_2():
    assert crypto.hkdf_extract(v.TH_2, v.G_XY) == v.PRK_2E
    assert kdf(v.PRK_2E, 2, v.CONTEXT_2, 32) == v.MAC_2
    stream = kdf(v.PRK_2E, 0, v.TH_2, len(v.PLAINTEXT_2))
    assert bytes([a ^ b for a, b in zip(stream, v.PLAINTEXT_2)]) == v.CIPHERTEXT_2


def test_messages_3_and_4():
    # method 0: PRK_4e3m is PRK_3e2m is PRK_2e
    assert kdf(v.PRK_2E, 6, v.CONTEXT_3, 32) == v.MAC_3
    assert sealed(3, v.TH_3, v.PLAINTEXT_3) == v.CIPHERTEXT_3
    assert sealed(8, v.TH_4, b"") == v.CIPHERTEXT_4


def test_signatures():
    assert crypto.ed25519_verify(v.PK_R, v.SIGNED_2, v.SIGNATURE_2)
    assert crypto.ed25519_verify(v.PK_I, v.SIGNED_3, v.SIGNATURE_3)
    assert not crypto.ed25519_verify(v.PK_R, v.SIGNED_3, v.SIGNATURE_2)
    assert not crypto.ed25519_verify(v.PK_I, v.SIGNED_2, v.SIGNATURE_3)


def test_exporter_and_key_update():
    assert kdf(v.PRK_2E, 7, v.TH_4, 32) == v.PRK_OUT
    side = edhoc.Responder(bytes(31) + b"\x01", b"\x18")
    side._prk_out = v.PRK_OUT
    assert side.oscore() == (v.MASTER_SECRET, v.MASTER_SALT)
    key_update(side, v.UPDATE_CONTEXT)
    assert side._prk_out == v.UPDATED_PRK_OUT
    assert side.oscore() == (v.UPDATED_SECRET, v.UPDATED_SALT)
