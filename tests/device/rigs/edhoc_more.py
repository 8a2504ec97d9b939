"""The parts of EDHOC that no Writ node uses, so that no device carries them: for the tests.

They complete the traces of RFC 9529 and the handshakes with other libraries.
"""

from writ import cbor, crypto
from writ.errors import OutOfOrder
from writ.wire import edhoc_codec


def read_4(side, message_4):
    """Check message_4 and set `ead_4` of an `Initiator` (5.5.3). Raises a `Rejection`."""
    with side._at(4):
        plaintext = crypto.aes_ccm_decrypt(*side._aead(8), edhoc_codec.read_body(message_4))
        side.ead_4 = edhoc_codec.read_ead(plaintext, 0, side._labels)
        side._prk = None


def key_update(side, context):
    """Replace what `exporter` derives from, with `context` (bytes), appendix H."""
    if side._prk_out is None:
        raise OutOfOrder()
    info = cbor.encode(11) + cbor.encode(context) + cbor.encode(32)
    side._prk_out = crypto.hkdf_expand(side._prk_out, info, 32)
