"""The parts of EDHOC messages (RFC 9528): identifiers, ID_CRED, EAD, suites, error messages.

They need no keys. Reading raises `Rejection`s only. Pure functions.
"""

from .. import cbor
from ..errors import (
    BadShape,
    CriticalEad,
    NotCanonical,
    PeerFailed,
    TooLarge,
    TrailingBytes,
    UnknownCredential,
    UsageError,
    WrongSuite,
)
from ..limits import CONNECTION_ID_BYTES_MAX, DATAGRAM_BYTES_MAX, EAD_ITEMS_MAX

SUITE = 2
# CBOR major types, for read_item
INT = (0, 1)
BYTES = (2,)
KID = b"\xa1\x04"
BY_VALUE = {"kcwt": b"\xa1\x0d", "kccs": b"\xa1\x0e"}


def check_input(data):
    """`data` as bytes. Raises `TooLarge`."""
    if len(data) > DATAGRAM_BYTES_MAX:
        raise TooLarge()
    return bytes(data)


def check_output(message):
    """`message` itself. Raises `UsageError` where it fits no datagram."""
    if len(message) > DATAGRAM_BYTES_MAX:
        raise UsageError("EDHOC message too long")
    return message


def read_item(data, start, majors):
    """(value, end) of the CBOR item at `start`, its major type one of `majors`."""
    # an item of another type is not decoded
    if start < len(data) and data[start] >> 5 not in majors:
        raise BadShape()
    return cbor.decode_item(data, start)


def _is_short(first):
    # the one-byte CBOR integers -24..23
    return first < 0x18 or 0x20 <= first < 0x38


def write_id(raw):
    """A connection id or kid: bytes that look like a one-byte integer go as that one (3.3.2)."""
    return raw if len(raw) == 1 and _is_short(raw[0]) else cbor.encode(raw)


def _read_id(data, start):
    if start < len(data) and _is_short(data[start]):
        return data[start : start + 1], start + 1
    raw, end = read_item(data, start, BYTES)
    if len(raw) == 1 and _is_short(raw[0]):
        raise NotCanonical()
    return raw, end


def read_connection_id(data, start):
    """(C_I or C_R as bytes, end), at most 7 bytes, as OSCORE needs it (3.3.3)."""
    raw, end = _read_id(data, start)
    if len(raw) > CONNECTION_ID_BYTES_MAX:
        raise TooLarge()
    return raw, end


def read_id_cred(data, start):
    """((form, value), the bytes of ID_CRED_x for the transcript, end), section 3.5.3.

    form and value are "kid" and the kid, or "kcwt" or "kccs" and the raw credential. Raises
    `UnknownCredential` for another header parameter.
    """
    if start >= len(data) or data[start] >> 5 != 5:
        kid, end = _read_id(data, start)
        return ("kid", kid), KID + cbor.encode(kid), end
    header, end = cbor.decode_item(data, start)
    if len(header) == 1 and isinstance(header.get(13), list):
        form = "kcwt"
    elif len(header) == 1 and isinstance(header.get(14), dict):
        form = "kccs"
    elif len(header) == 1 and 4 in header:
        # a kid alone must take its compact form (3.5.3.2)
        raise BadShape()
    else:
        raise UnknownCredential()
    return (form, data[start + 2 : end]), data[start:end], end


def write_ead(items):
    """The bytes of an EAD field (3.8); items: (label >= 0, critical, bytes or None)."""
    data = b""
    for label, critical, value in items:
        if label < 0 or (critical and not label):
            raise UsageError("EAD label")
        data += cbor.encode(-label if critical else label)
        if value is not None:
            data += cbor.encode(bytes(value))
    return data


def read_ead(data, start, known):
    """The items from `start` to the end, as `write_ead` takes them, without padding (3.8).

    Raises `CriticalEad` for a critical label that is not in `known`.
    """
    items = []
    while start < len(data):
        label, start = read_item(data, start, INT)
        value = None
        if start < len(data) and data[start] >> 5 == 2:
            value, start = cbor.decode_item(data, start)
        if label < 0 and -label not in known:
            raise CriticalEad()
        if label:
            if len(items) == EAD_ITEMS_MAX:
                raise TooLarge()
            items.append((abs(label), label < 0, value))
    return items


def read_suites(value):
    """Suites (a tuple of ints) from the decoded `value`: [2* int] / int (5.2.1)."""
    if type(value) is int:
        return (value,)
    if not isinstance(value, list) or len(value) < 2:
        raise BadShape()
    for suite in value:
        if type(suite) is not int:
            raise BadShape()
    return tuple(value)


def error_message(code, info):
    """An EDHOC error message, bytes (RFC 9528, section 6).

    code, info: 1 and a text, 2 and SUITES_R (an int or a list of ints), 3 and True.
    """
    if code == 2 and not isinstance(info, int) and len(info) == 1:
        info = info[0]
    return check_output(cbor.encode(code) + cbor.encode(info))


def parse_error(data):
    """(code, info) of an EDHOC error message; info as `error_message` takes it.

    Raises a `Rejection` where `data` is no such message.
    """
    data = check_input(data)
    code, start = read_item(data, 0, INT)
    info, end = cbor.decode_item(data, start)
    if end != len(data):
        raise TrailingBytes()
    if code == 2:
        read_suites(info)
    elif code == 0 or (code == 1 and not isinstance(info, str)) or (code == 3 and info is not True):
        raise BadShape()
    return code, info


def text_of(rejection):
    """The name of a rejection, and its text if it has one."""
    return (type(rejection).__name__ + " " + str(rejection)).strip()


def to_error(rejection):
    """The error message (bytes) that reports `rejection` to the peer.

    b"" for `PeerFailed`: an error is never answered with an error. The caller must not answer the
    `WrongSuite` that `read_2` of an initiator raises either.
    """
    if isinstance(rejection, PeerFailed):
        return b""
    if isinstance(rejection, WrongSuite):
        return error_message(2, SUITE)
    if isinstance(rejection, UnknownCredential):
        return error_message(3, True)
    return error_message(1, text_of(rejection))


def read_body(data):
    """The byte string that message 2, 3 or 4 consists of. An error message is raised:

    `WrongSuite` with `suites`, or `PeerFailed` with `error` = (code, info).
    """
    data = check_input(data)
    if data and data[0] >> 5 < 2:
        code, info = parse_error(data)
        if code == 2:
            wrong_suite = WrongSuite()
            wrong_suite.suites = read_suites(info)
            raise wrong_suite
        failed = PeerFailed()
        failed.error = (code, info)
        raise failed
    body, end = read_item(data, 0, BYTES)
    if end != len(data):
        raise TrailingBytes()
    return body
