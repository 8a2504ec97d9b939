"""OSCORE (RFC 8613): object security for CoAP, AES-CCM-16-64-128 and HKDF SHA-256.

One `Context` is one security context. Sans-IO: `reserve` is a function that writes a limit of
sequence numbers to flash and then returns. A number is used only if it is below a written limit.
"""

from .. import cbor, crypto
from ..errors import BadMessage, BadOption, Replayed, SequenceExhausted, UsageError
from ..limits import REPLAY_WINDOW_BITS, SEQUENCE_MAX, SEQUENCE_RESERVE
from . import coap

# Class U options stay outside (RFC 8613, figure 5); all others are encrypted. Observe is both.
_OUTER = (coap.URI_HOST, coap.URI_PORT, coap.OSCORE, coap.EDHOC)
_NONCE_BYTES = 13


def _piv_bytes(sequence):
    # minimal big-endian, zero being one byte (RFC 8613, section 6.1)
    return coap.uint(sequence) or b"\x00"


def encode_option(kid=None, piv=b"", kid_context=None):
    """The OSCORE option's value (RFC 8613, section 6.1): bytes."""
    flags = len(piv)
    value = piv
    if kid_context is not None:
        flags |= 0x10
        value += bytes((len(kid_context),)) + kid_context
    if kid is not None:
        flags |= 0x08
        value += kid
    return bytes((flags,)) + value if flags else b""


def decode_option(value):
    """(kid or None, partial IV bytes, kid context or None). Raises `BadOption`."""
    if not value:
        return None, b"", None
    flags = value[0]
    size = flags & 7
    if flags & 0xE0 or size > 5 or len(value) < 1 + size:
        raise BadOption()
    piv = value[1 : 1 + size]
    # the partial IV has one form only
    if size > 1 and piv[0] == 0:
        raise BadOption()
    rest = value[1 + size :]
    kid_context = None
    if flags & 0x10:
        if not rest or len(rest) < 1 + rest[0]:
            raise BadOption()
        kid_context = rest[1 : 1 + rest[0]]
        rest = rest[1 + rest[0] :]
    if flags & 0x08:
        return rest, piv, kid_context
    # without the kid flag nothing may follow, and an option of one zero byte is not minimal
    if rest or flags == 0:
        raise BadOption()
    return None, piv, kid_context


class Context:
    """A security context: common, sender and recipient part (RFC 8613, section 3).

    sequence: the next sender sequence number; limit: the first that is not reserved in flash.
    window_valid: False after a reboot, until the peer has proved freshness with an Echo; numbers
    seen since then are replays none the less.
    """

    def __init__(
        self, secret, salt, sender_id, recipient_id, id_context=None, sequence=0, reserve=None
    ):
        # a nonce of 13 bytes leaves 7 for an id (RFC 8613, section 3.3)
        if len(sender_id) > 7 or len(recipient_id) > 7 or sender_id == recipient_id:
            raise UsageError("OSCORE ids: two different ones of at most 7 bytes")
        self.sender_id = sender_id
        self.recipient_id = recipient_id
        self.id_context = id_context
        prk = crypto.hkdf_extract(salt, secret)
        self._sender_key = self._derive(prk, sender_id, "Key", 16)
        self._recipient_key = self._derive(prk, recipient_id, "Key", 16)
        self._common_iv = self._derive(prk, b"", "IV", _NONCE_BYTES)
        self.sequence = sequence
        self.limit = sequence
        self.reserve = reserve
        self.window_valid = True
        # (newest number, bits of those seen up to it): one value, so that it can be put back
        self.window = (-1, 0)

    def _derive(self, prk, identity, kind, length):
        # RFC 8613, section 3.2.1; 10 is AES-CCM-16-64-128
        info = cbor.encode([identity, self.id_context, 10, kind, length])
        return crypto.hkdf_expand(prk, info, length)

    # --- nonces ---------------------------------------------------------------------------------

    def _nonce(self, identity, piv):
        # RFC 8613, section 5.2
        left = bytes((len(identity),)) + bytes(7 - len(identity)) + identity
        left += bytes(5 - len(piv)) + piv
        return bytes([a ^ b for a, b in zip(left, self._common_iv)])

    def next_piv(self):
        """A sender partial IV never used before, a reset included. Raises `SequenceExhausted`."""
        number = self.sequence
        if number >= SEQUENCE_MAX:
            raise SequenceExhausted()
        if number >= self.limit:
            limit = number + SEQUENCE_RESERVE
            if self.reserve:
                self.reserve(limit)
            self.limit = limit
        self.sequence = number + 1
        return _piv_bytes(number)

    # --- replay window (RFC 8613, section 7.4) ----------------------------------------------------

    def check_replay(self, number):
        """Raises `Replayed` if this sequence number was seen or is older than the window."""
        top, seen = self.window
        behind = top - number
        if behind >= REPLAY_WINDOW_BITS or (behind >= 0 and seen >> behind & 1):
            raise Replayed()

    def accept(self, number):
        """Mark a sequence number as seen; only after its message was authenticated."""
        top, seen = self.window
        ahead = number - top
        if ahead > 0:
            # a far jump empties the window; shifting by it would ask for 2**40 bits
            ahead = min(ahead, REPLAY_WINDOW_BITS)
            self.window = number, (seen << ahead | 1) & ((1 << REPLAY_WINDOW_BITS) - 1)
        else:
            self.window = top, seen | 1 << -ahead

    def restart_window(self, number):
        """After a reboot: nothing up to this proven-fresh number is accepted (B.1.2)."""
        self.window = number, (1 << REPLAY_WINDOW_BITS) - 1
        self.window_valid = True

    # --- protection -------------------------------------------------------------------------------

    def _aad(self, kid, piv):
        # RFC 8613, section 5.4: ["Encrypt0", h'', << [1, [10], kid, piv, h''] >>], no class I
        # options; all that varies is short, so that heads have one byte
        external = b"\x85\x01\x81\x0a" + bytes((0x40 | len(kid),)) + kid
        external += bytes((0x40 | len(piv),)) + piv + b"\x40"
        return b"\x83\x68Encrypt0\x40" + bytes((0x40 | len(external),)) + external

    def _seal(self, message, option, nonce, kid, piv, code):
        inner = []
        outer = []
        for number, value in message.options:
            if number in _OUTER:
                outer.append((number, value))
            elif number == coap.OBSERVE:
                # outside for proxies; empty inside, since a notification's number is its partial IV
                outer.append((number, value))
                inner.append((number, value if message.code < 32 else b""))
            else:
                inner.append((number, value))
        plain = bytes((message.code,)) + coap.encode_options(inner)
        if message.payload:
            plain += b"\xff" + message.payload
        sealed = coap.Message(message.type, code, message.mid, message.token)
        sealed.options = outer
        sealed.add(coap.OSCORE, option)
        sealed.payload = crypto.aes_ccm_encrypt(self._sender_key, nonce, self._aad(kid, piv), plain)
        return sealed

    def _open(self, message, nonce, kid, piv):
        # a code and a tag at the least
        if len(message.payload) < 9:
            raise BadMessage()
        plain = crypto.aes_ccm_decrypt(
            self._recipient_key, nonce, self._aad(kid, piv), message.payload
        )
        opened = coap.Message(message.type, plain[0], message.mid, message.token)
        opened.options, opened.payload = coap.decode_options(plain, 1)
        for number, _ in opened.options:
            if number in _OUTER:
                raise BadOption()
        return opened

    def protect_request(self, message, with_context=False):
        """(protected message, binding). The binding is needed to open the answer."""
        piv = self.next_piv()
        option = encode_option(self.sender_id, piv, self.id_context if with_context else None)
        nonce = self._nonce(self.sender_id, piv)
        observe = message.option(coap.OBSERVE) is not None
        code = coap.FETCH if observe else coap.POST
        sealed = self._seal(message, option, nonce, self.sender_id, piv, code)
        return sealed, (self.sender_id, piv, nonce)

    def unprotect_request(self, message):
        """(inner message, binding, sequence number). The caller `accept`s, then decides on Echo.

        Raises `BadOption`, `BadMessage`, `Replayed` or `DecryptionFailed`. The window is checked
        before the decryption, and changed by `accept` and `restart_window` alone.
        """
        kid, piv, _ = decode_option(message.option(coap.OSCORE))
        if kid != self.recipient_id or not piv:
            raise BadOption()
        number = int.from_bytes(piv, "big")
        self.check_replay(number)
        nonce = self._nonce(kid, piv)
        opened = self._open(message, nonce, kid, piv)
        if not opened.is_request():
            raise BadMessage()
        return opened, (kid, piv, nonce), number

    def protect_response(self, message, binding, own_piv=False):
        """The protected response. own_piv: use a number of our own, as each notification must."""
        kid, piv, nonce = binding
        option = b""
        if own_piv:
            mine = self.next_piv()
            option = encode_option(None, mine)
            nonce = self._nonce(self.sender_id, mine)
        observe = message.option(coap.OBSERVE) is not None
        code = coap.CONTENT if observe else coap.CHANGED
        return self._seal(message, option, nonce, kid, piv, code)

    def unprotect_response(self, message, binding):
        """(inner message, sequence number or None where the answer shares the request's nonce).

        Raises `BadOption`, `BadMessage` or `DecryptionFailed`.
        """
        kid, piv, nonce = binding
        _, mine, _ = decode_option(message.option(coap.OSCORE))
        number = None
        if mine:
            number = int.from_bytes(mine, "big")
            nonce = self._nonce(self.recipient_id, mine)
        opened = self._open(message, nonce, kid, piv)
        if opened.code >> 5 not in (2, 4, 5):
            raise BadMessage()
        return opened, number
