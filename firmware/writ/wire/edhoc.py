"""EDHOC (RFC 9528): method 3 (static Diffie-Hellman keys), cipher suite 2. Bytes in, bytes out.

Suite 2 is P-256, SHA-256, AES-CCM-16-64-128 and MACs of 8 bytes. A session makes its steps in one
order, each once: a step out of order is `OutOfOrder` and changes nothing; a step that fails ends
the session and drops its secrets. Between `read_n` and `verify_n` the caller finds the owner of the
credential. An ID_CRED and an EAD are not authenticated before `verify_n` has returned.
This module does no I/O and knows no CoAP. An EAD is a list of (label, critical, value), where the
value is bytes or None; padding (label 0) may be sent and is dropped when read.
"""

from .. import cbor, crypto
from ..errors import BadMac, BadShape, OutOfOrder, UsageError, WrongSuite
from ..limits import CONNECTION_ID_BYTES_MAX
from . import edhoc_codec
from .edhoc_codec import SUITE, error_message, parse_error, to_error  # noqa: F401

# ["Encrypt0", h'', TH] up to the 32 bytes of the transcript hash (RFC 9052, section 5.3)
_ENC_STRUCTURE = b"\x83\x68Encrypt0\x40\x58\x20"


def _kdf(prk, label, context, length):
    # EDHOC_KDF (4.1.2); the labels 0..11 are those of figure 6
    info = cbor.encode(label) + cbor.encode(context) + cbor.encode(length)
    return crypto.hkdf_expand(prk, info, length)


def _crypt_2(prk, th, data):
    # XOR with KEYSTREAM_2
    data = bytearray(data)
    stream = _kdf(prk, 0, th, len(data))
    for i in range(len(data)):
        data[i] ^= stream[i]
    return bytes(data)


def _same(a, b):
    # compare in a time that does not depend on where they differ
    difference = len(a) ^ len(b)
    for i in range(min(len(a), len(b))):
        difference |= a[i] ^ b[i]
    return difference == 0


class _Session:
    # The common part of both roles. `_step` counts the completed steps, 0..5; -1: a failed session.

    def __init__(self, private, c_i, c_r, ead_labels, ephemeral):
        self.c_i = c_i
        self.c_r = c_r
        self.h_message_1 = None
        self._private = private
        self._ephemeral = ephemeral
        self._labels = ead_labels
        self._peer = None  # the peer's ephemeral key: G_X or G_Y
        self._th = None  # the newest of TH_2, TH_3, TH_4
        self._prk = None  # the newest of PRK_2e, PRK_3e2m, PRK_4e3m
        self._prk_out = None
        self._plaintext = None  # of message 2 or 3, until verified
        self._claim = None  # what verify_n checks: (start of the MAC's context, MAC, EAD)
        self._step = 0

    def drop(self):
        """Forget all secrets: the end of the session."""
        self._step = -1
        self._private = self._ephemeral = self._plaintext = self._claim = None
        self._prk = self._prk_out = None

    def _at(self, step):
        # `with self._at(n):` holds the body of step n
        if self._step != step:
            raise OutOfOrder()
        return self

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self._step += 1
        else:
            self.drop()

    def _agree(self, g_y):
        # TH_2 (5.3.2) and PRK_2e (4.1.1.1)
        transcript = cbor.encode(g_y) + cbor.encode(self.h_message_1)
        self._th = crypto.sha256(transcript)
        self._prk = crypto.hkdf_extract(self._th, crypto.p256_ecdh(self._ephemeral, self._peer))

    def _aead(self, label):
        # (key, nonce, AAD) of message 3 (labels 3 and 4) or 4 (8 and 9)
        key = _kdf(self._prk, label, self._th, 16)
        return key, _kdf(self._prk, label + 1, self._th, 13), _ENC_STRUCTURE + self._th

    def _mac(self, label, private, x, head, cred, ead):
        # MAC_2 (label 2) or MAC_3 (6), after PRK_3e2m or PRK_4e3m from the salt before it (1, 5)
        salt = _kdf(self._prk, label - 1, self._th, 32)
        self._prk = crypto.hkdf_extract(salt, crypto.p256_ecdh(private, x))
        return _kdf(self._prk, label, head + cbor.encode(self._th) + cred + ead, 8)

    def _extend(self, plaintext, cred):
        # TH_3 or TH_4
        self._th = crypto.sha256(cbor.encode(self._th) + plaintext + cred)

    def _prove(self, label, private, c_r, id_cred, cred, ead):
        # PLAINTEXT_2 or PLAINTEXT_3 with this side's MAC; c_r is b"" in message 3
        form, value = id_cred
        if form == "kid":
            full, short = edhoc_codec.KID + cbor.encode(bytes(value)), edhoc_codec.write_id(value)
        elif form in edhoc_codec.BY_VALUE:
            full = short = edhoc_codec.BY_VALUE[form] + cred
        else:
            raise UsageError("ID_CRED form")
        ead = edhoc_codec.write_ead(ead)
        mac = self._mac(label, private, self._peer, c_r + full, cred, ead)
        plaintext = c_r + short + cbor.encode(mac) + ead
        self._extend(plaintext, cred)
        return plaintext

    def _claims(self, start):
        # (id_cred, ead) of the plaintext, whose C_R, if any, ends at `start`
        data = self._plaintext
        id_cred, full, end = edhoc_codec.read_id_cred(data, start)
        mac, end = edhoc_codec.read_item(data, end, edhoc_codec.BYTES)
        if len(mac) != 8:
            raise BadShape()
        self._claim = (data[:start] + full, mac, data[end:])
        return id_cred, edhoc_codec.read_ead(data, end, self._labels)

    def _verify(self, label, private, x, cred):
        head, mac, ead = self._claim
        if not _same(mac, self._mac(label, private, x, head, cred, ead)):
            raise BadMac()
        self._extend(self._plaintext, cred)
        self._plaintext = self._claim = None

    def _finish(self):
        self._prk_out = _kdf(self._prk, 7, self._th, 32)
        self._private = self._ephemeral = None

    def exporter(self, label, context, length):
        """`length` bytes of key for `label` (uint) and `context` (bytes), section 4.2.1."""
        if self._prk_out is None:
            raise OutOfOrder()
        return _kdf(_kdf(self._prk_out, 10, b"", 32), label, context, length)

    def oscore(self):
        """(master secret of 16, master salt of 8 bytes), appendix A.1.

        The initiator's sender id is `c_r`, the responder's `c_i`.
        """
        return self.exporter(0, b"", 16), self.exporter(1, b"", 8)


class Initiator(_Session):
    """message_1, read_2, verify_2, message_3. No node asks for a message_4.

    private: the static P-256 key, 32 bytes; c_i: at most 7 bytes; ead_labels: those understood,
    so that they may be critical; suites: in order of preference, the last one is 2, the only one
    supported here; ephemeral: 32 bytes, given in tests only.
    """

    def __init__(self, private, c_i, ead_labels=(), suites=(SUITE,), ephemeral=None):
        super().__init__(private, c_i, None, ead_labels, ephemeral)
        if suites[-1] != SUITE or len(c_i) > CONNECTION_ID_BYTES_MAX:
            raise UsageError("suites or C_I")
        self._suites = suites
        self.ead_2 = None

    def message_1(self, ead=()):
        """message_1 (bytes), without the `true` that CoAP puts before it (5.2.2)."""
        with self._at(0):
            suites = self._suites
            if self._ephemeral is None:
                self._ephemeral = crypto.p256_generate(self._private)
            message = edhoc_codec.check_output(
                b"\x03"
                + cbor.encode(SUITE if len(suites) == 1 else suites)
                + cbor.encode(crypto.p256_public(self._ephemeral)[0])
                + edhoc_codec.write_id(self.c_i)
                + edhoc_codec.write_ead(ead)
            )
            self.h_message_1 = crypto.sha256(message)
        return message

    def read_2(self, message_2):
        """id_cred_r: ("kid", bytes), ("kcwt", raw array) or ("kccs", raw map); 5.3.3.

        Sets `c_r` and `ead_2`. Raises a `Rejection`: `PeerFailed` with `error` = (code, info), or
        `WrongSuite` with `suites`, where the peer sent an error message.
        """
        with self._at(1):
            body = edhoc_codec.read_body(message_2)
            if len(body) < 33:
                raise BadShape()
            self._peer = body[:32]
            self._agree(self._peer)
            self._plaintext = _crypt_2(self._prk, self._th, body[32:])
            self.c_r, end = edhoc_codec.read_connection_id(self._plaintext, 0)
            # equal OSCORE ids would be one key with one nonce in both directions (3.3.3)
            if self.c_r == self.c_i:
                raise BadShape()
            id_cred, self.ead_2 = self._claims(end)
        return id_cred

    def verify_2(self, cred_r, x_r):
        """Check the MAC: cred_r is CRED_R (bytes, as encoded), x_r its key's x, 32 bytes.

        Raises `BadMac`, `BadPoint`.
        """
        with self._at(2):
            self._verify(2, self._ephemeral, x_r, cred_r)
            self._ephemeral = None

    def message_3(self, id_cred_i, cred_i, ead=()):
        """message_3 (bytes); id_cred_i is ("kid", bytes), ("kcwt", None) or ("kccs", None).

        cred_i is CRED_I (bytes, as encoded). `exporter` and `oscore` work from here on, but only
        message_4, or an OSCORE message from the peer, shows that the peer has the keys (5.4.2).
        """
        with self._at(3):
            key = self._aead(3)
            plaintext = self._prove(6, self._private, b"", id_cred_i, cred_i, ead)
            message = edhoc_codec.check_output(cbor.encode(crypto.aes_ccm_encrypt(*key, plaintext)))
            self._finish()
        return message


class Responder(_Session):
    """read_1, message_2, read_3, verify_3, and message_4 where the peers have agreed on it.

    private: the static P-256 key, 32 bytes; c_r: at most 7 bytes, not `c_i`, may be set after
    `read_1`; ead_labels, ephemeral: as in `Initiator`.
    """

    def __init__(self, private, c_r, ead_labels=(), ephemeral=None):
        super().__init__(private, None, c_r, ead_labels, ephemeral)
        self.ead_1 = self.ead_3 = None

    def read_1(self, message_1):
        """Set `c_i` and `ead_1` (5.2.3). Raises a `Rejection`; costs no curve arithmetic."""
        with self._at(0):
            data = edhoc_codec.check_input(message_1)
            method, end = edhoc_codec.read_item(data, 0, edhoc_codec.INT)
            if method != 3:
                raise BadShape()
            suites, end = edhoc_codec.read_item(data, end, (0, 1, 4))
            suites = edhoc_codec.read_suites(suites)
            # the last one is selected; a 2 before it should have been selected instead
            if suites[-1] != SUITE or SUITE in suites[:-1]:
                raise WrongSuite()
            self._peer, end = edhoc_codec.read_item(data, end, edhoc_codec.BYTES)
            if len(self._peer) != 32:
                raise BadShape()
            self.c_i, end = edhoc_codec.read_connection_id(data, end)
            self.ead_1 = edhoc_codec.read_ead(data, end, self._labels)
            self.h_message_1 = crypto.sha256(data)

    def message_2(self, id_cred_r, cred_r, ead=()):
        """message_2 (bytes); arguments as in `Initiator.message_3` (5.3.2).

        Raises `BadPoint` if the peer's ephemeral key is no point, `BadShape` if its `c_i` is our
        `c_r` (3.3.3).
        """
        with self._at(1):
            if len(self.c_r) > CONNECTION_ID_BYTES_MAX:
                raise UsageError("C_R too long")
            if self.c_r == self.c_i:
                raise BadShape()
            if self._ephemeral is None:
                self._ephemeral = crypto.p256_generate(self._private)
            g_y = crypto.p256_public(self._ephemeral)[0]
            self._agree(g_y)
            prk_2e, th_2 = self._prk, self._th
            c_r = edhoc_codec.write_id(self.c_r)
            plaintext = self._prove(2, self._private, c_r, id_cred_r, cred_r, ead)
            message = edhoc_codec.check_output(cbor.encode(g_y + _crypt_2(prk_2e, th_2, plaintext)))
            self._private = None
        return message

    def read_3(self, message_3):
        """id_cred_i, as `Initiator.read_2` gives it (5.4.3); sets `ead_3`. Raises a `Rejection`."""
        with self._at(2):
            self._plaintext = crypto.aes_ccm_decrypt(
                *self._aead(3), edhoc_codec.read_body(message_3)
            )
            id_cred, self.ead_3 = self._claims(0)
        return id_cred

    def verify_3(self, cred_i, x_i):
        """As `Initiator.verify_2`; `exporter` and `oscore` work from here on."""
        with self._at(3):
            self._verify(6, self._ephemeral, x_i, cred_i)
            self._finish()

    def message_4(self, ead=()):
        """message_4 (bytes), section 5.5.2."""
        with self._at(4):
            ciphertext = crypto.aes_ccm_encrypt(*self._aead(8), edhoc_codec.write_ead(ead))
            message = edhoc_codec.check_output(cbor.encode(ciphertext))
            self._prk = None
        return message
