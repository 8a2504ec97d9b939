"""CoAP messages as bytes and back (RFC 7252, section 3): the codec, no state and no I/O.

Retransmission is in exchange.py, blocks in blockwise.py. The option codec also serves the inner
message of OSCORE (RFC 8613, section 5.3).
"""

from .. import cbor
from ..errors import BadMessage, BadOption, NotCanonical, TooLarge, UsageError
from ..limits import DATAGRAM_BYTES_MAX, OPTION_BYTES_MAX, OPTIONS_MAX, TOKEN_BYTES_MAX

# Types (RFC 7252, section 3)
CON = 0
NON = 1
ACK = 2
RST = 3

# Codes (RFC 7252, section 12.1; RFC 7959; RFC 8132; RFC 8516)
EMPTY = 0
GET = 1
POST = 2
PUT = 3
DELETE = 4
FETCH = 5
PATCH = 6
IPATCH = 7
CREATED = 0x41
DELETED = 0x42
VALID = 0x43
CHANGED = 0x44
CONTENT = 0x45
CONTINUE = 0x5F
BAD_REQUEST = 0x80
UNAUTHORIZED = 0x81
BAD_OPTION = 0x82
FORBIDDEN = 0x83
NOT_FOUND = 0x84
METHOD_NOT_ALLOWED = 0x85
INCOMPLETE = 0x88
TOO_LARGE = 0x8D
UNSUPPORTED_FORMAT = 0x8F
TOO_MANY = 0x9D
INTERNAL = 0xA0
UNAVAILABLE = 0xA3

METHOD_NAMES = ("", "GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH")  # by code

# Options (RFC 7252, section 5.10; RFC 7641; RFC 7959; RFC 8613; RFC 9175; RFC 9668)
URI_HOST = 3
ETAG = 4
OBSERVE = 6
URI_PORT = 7
OSCORE = 9
URI_PATH = 11
CONTENT_FORMAT = 12
MAX_AGE = 14
URI_QUERY = 15
ACCEPT = 17
EDHOC = 21
BLOCK2 = 23
BLOCK1 = 27
SIZE2 = 28
SIZE1 = 60
ECHO = 252
# Writ's own: elective, experimental range, only inside OSCORE
EPOCH = 65000

# Sizes of option values: the tables of the RFCs above, as numbers, least and most sizes
_SIZED = b"\x01\x03\x04\x05\x06\x07\x08\x09\x0b\x0c\x0e\x0f\x11\x14\x15\x17\x1b\x1c\x27\x3c\xfc"
_LEAST = b"\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"
_MOST = b"\x08\xff\x08\x00\x03\x02\xff\xff\xff\x02\x04\xff\x02\xff\x00\x03\x03\x04\xff\x04\x28"


def is_critical(number):
    """True when an endpoint that does not know this option must refuse (RFC 7252, 5.4.6)."""
    return number & 1 == 1


def check_response(code):
    """`code` if it is one that answers a request (2.xx, 4.xx, 5.xx); raises `UsageError`."""
    if not isinstance(code, int) or code >> 5 not in (2, 4, 5):
        raise UsageError("not a code of a response")
    return code


def code_text(code):
    """The code as people write it: 0x45 -> "2.05"."""
    return f"{code >> 5}.{code & 31:02d}"


def uint(value):
    """The shortest big-endian bytes of an int >= 0; 0 is b"" (RFC 7252, section 3.2)."""
    if value < 0:
        raise UsageError("negative option value")
    size = 0
    while value >> 8 * size:
        size += 1
    return value.to_bytes(size, "big")


class Message:
    """One CoAP message.

    `type`: CON, NON, ACK or RST; `code`: int, class << 5 | detail; `mid`: 0..65535, or None until
    exchange.py gives one; `token`: 0 to 8 bytes; `options`: list of (number, bytes) in the order
    of their numbers, changed by `add` only; `payload`: bytes.
    """

    def __init__(self, type, code, mid=None, token=b"", payload=b""):
        self.type = type
        self.code = code
        self.mid = mid
        self.token = token
        self.options = []
        self.payload = payload
        self.seen = None  # what exchange.py remembers of a received message

    def is_request(self):
        """True for a code 0.01 to 0.31."""
        return 0 < self.code < 32

    def option(self, number):
        """The first value of an option as bytes, or None."""
        for n, value in self.options:
            if n == number:
                return value
        return None

    def option_uint(self, number):
        """The first value of an option as an int, or None."""
        value = self.option(number)
        return None if value is None else int.from_bytes(value, "big")

    def options_all(self, number):
        """All values of an option, in order."""
        return [value for n, value in self.options if n == number]

    def add(self, number, value=b""):
        """Add an option after those of the same number; an int or str is encoded."""
        if isinstance(value, int):
            value = uint(value)
        elif isinstance(value, str):
            value = value.encode()
        at = len(self.options)
        while at and self.options[at - 1][0] > number:
            at -= 1
        self.options.insert(at, (number, value))

    def add_path(self, path):
        """Add Uri-Path options for "a/b"; nothing for ""."""
        for segment in path.split("/") if path else ():
            self.add(URI_PATH, segment)

    def path(self):
        """The Uri-Path as "a/b", "" when there is none.

        Raises `BadOption` for a segment ".", ".." or with a "/" in it: no two different lists of
        segments may look like one path to the policy (RFC 7252, 5.10.1).
        """
        segments = [value.decode() for value in self.options_all(URI_PATH)]
        for segment in segments:
            if segment in (".", "..") or "/" in segment:
                raise BadOption()
        return "/".join(segments)

    def query(self):
        """The Uri-Query options as a list of str."""
        return [value.decode() for value in self.options_all(URI_QUERY)]

    def encode(self):
        """The datagram. Raises `UsageError` for a message that cannot be sent."""
        size = len(self.token)
        if size > TOKEN_BYTES_MAX or self.mid is None:
            raise UsageError("token too long or no message id")
        head = bytes((0x40 | self.type << 4 | size, self.code, self.mid >> 8, self.mid & 255))
        data = head + self.token + encode_options(self.options)
        if self.payload:
            data += b"\xff" + self.payload
        if len(data) > DATAGRAM_BYTES_MAX:
            raise UsageError("message over DATAGRAM_BYTES_MAX")
        return data


def has_oscore(datagram):
    """Whether a CoAP message of at least 4 bytes has an OSCORE option; nothing else is checked."""
    at = 4 + (datagram[0] & 15)
    number = 0
    # the deltas of the options up to it are below 13: no extended ones (RFC 7252, section 3.1)
    while number < OSCORE and at < len(datagram) and datagram[at] >> 4 < 13:
        number += datagram[at] >> 4
        length = datagram[at] & 15
        at += 1 + length
        if length == 13 and at - 12 < len(datagram):
            # a length of 13 to 268 has a byte of its own; longer options are refused anyway
            at += 1 + datagram[at - 13]
    return number == OSCORE


def is_plain(datagram):
    """Whether a datagram is no CoAP, or a request without an OSCORE option.

    Acknowledgements and resets are not plain: they end what this node has sent.
    """
    size = len(datagram)
    if size < 4 or datagram[0] >> 6 != 1 or size < 4 + (datagram[0] & 15):
        return True
    is_request = datagram[1] < 32 and datagram[0] >> 4 & 3 < ACK
    return is_request and not has_oscore(datagram)


def decode(datagram):
    """The `Message` in `datagram` (bytes). Raises `BadMessage` or `TooLarge`."""
    size = len(datagram)
    if size > DATAGRAM_BYTES_MAX:
        raise TooLarge()
    if size < 4:
        raise BadMessage()
    first = datagram[0]
    kind = first >> 4 & 3
    code = datagram[1]
    start = 4 + (first & 15)
    if first >> 6 != 1 or start > 4 + TOKEN_BYTES_MAX or start > size:
        raise BadMessage()
    if code == EMPTY:
        if size > 4 or kind == NON:
            raise BadMessage()
    # classes 1, 6 and 7 are reserved; a reset is empty; an acknowledgement holds no request
    elif code >> 5 in (1, 6, 7) or kind == RST or (kind == ACK and code < 32):
        raise BadMessage()
    message = Message(kind, code, datagram[2] << 8 | datagram[3], datagram[4:start])
    message.options, message.payload = decode_options(datagram, start)
    return message


def _extended(value):
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def encode_options(options):
    """Options [(number, bytes)] in the order of their numbers as bytes (RFC 7252, 3.1)."""
    data = bytearray()
    previous = 0
    for number, value in options:
        if not previous <= number < 65536 or len(value) > OPTION_BYTES_MAX:
            raise UsageError("options out of order or too long")
        delta, delta_more = _extended(number - previous)
        size, size_more = _extended(len(value))
        data.append(delta << 4 | size)
        data += delta_more + size_more + value
        previous = number
    return bytes(data)


def _read_extended(data, start, nibble):
    if nibble < 13:
        return nibble, start
    end = start + nibble - 12
    if nibble == 15 or end > len(data):
        raise BadMessage()
    return int.from_bytes(data[start:end], "big") + (13 if nibble == 13 else 269), end


def decode_options(data, start=0):
    """(options, payload) of `data` (bytes) from `start` to its end.

    Raises `BadMessage` for anything malformed, values of the wrong size or not UTF-8 among them,
    and `TooLarge`.
    """
    options = []
    number = 0
    while start < len(data):
        head = data[start]
        start += 1
        if head == 0xFF:
            if start == len(data):
                raise BadMessage()
            return options, data[start:]
        delta, start = _read_extended(data, start, head >> 4)
        size, start = _read_extended(data, start, head & 15)
        number += delta
        if len(options) >= OPTIONS_MAX or size > OPTION_BYTES_MAX:
            raise TooLarge()
        value = data[start : start + size]
        start += size
        if number > 65535 or len(value) != size:
            raise BadMessage()
        _check_value(number, value)
        options.append((number, value))
    return options, b""


def _check_value(number, value):
    i = _SIZED.find(bytes((number,))) if number < 256 else -1
    if i >= 0 and not _LEAST[i] <= len(value) <= _MOST[i]:
        raise BadMessage()
    if number in (URI_PATH, URI_QUERY) and value and max(value) > 127:
        # the strict check of UTF-8 is in cbor: a byte string's head becomes a text string's
        item = cbor.encode(value)
        try:
            cbor.decode(bytes((item[0] | 0x20,)) + item[1:])
        except NotCanonical:
            raise BadMessage() from None


def check_critical(options, known):
    """Raise `BadOption` for a critical option that is not in `known` (numbers), or that is there
    twice and may not be (RFC 7252, sections 5.4.1 and 5.4.5)."""
    previous = None
    for number, _ in options:
        if is_critical(number) and (
            number not in known or (number == previous and number not in (URI_PATH, URI_QUERY))
        ):
            raise BadOption()
        previous = number
