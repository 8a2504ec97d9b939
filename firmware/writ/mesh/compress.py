"""Header compression: datagrams of CoAP, OSCORE and EDHOC to fewer bytes and back, byte for byte.

A static context in the spirit of SCHC for CoAP (RFC 8724, section 7; RFC 8824, section 7 for
OSCORE): rules that both sides know. A rule is how a datagram begins. What is fixed in it is not
sent, the rest is: message id, token, partial IV, kid... A compressed datagram is a byte with the
type of the message (2 bits) and the rule (6 bits), the values that the rule leaves open, and the
rest of the datagram. Rule 0 is the escape: the datagram follows as it is.

Rules work on bytes, know nothing of CoAP, and so restore any datagram, also a malformed one. They
do not change the order of options or the length of a value. docs/wire.md lists them.
"""

from ..compat import const
from ..errors import BadMessage, TooLarge
from ..limits import DATAGRAM_BYTES_MAX

# In a rule: as many bytes of the datagram are sent as the next byte says
_OPEN = const(0x2A)
# The first byte of a datagram without the type of the message
_UNTYPED = const(0xCF)

# Each rule: the number of the rule that it continues, or 0, then bytes, then "|". "A" is version 1
# and a token of one byte, "*\x03" (_OPEN and 3) are message id and token.
_RULES = (
    # 1: empty acknowledgement, reset, ping; 2: any other message; 3: its payload; 4: Block1
    b"\x00@\x00*\x02|"
    b"\x00A*\x04|"
    b"\x02\xff|"
    b"\x02\xd1\x0e*\x01|"
    # 5: POST; 6 to 8: OSCORE with a kid of one byte; 9: the same with message_3 in front
    b"\x00A\x02*\x03|"
    b"\x05\x93\x09*\x02\xff|"
    b"\x05\x94\x0a*\x03\xff|"
    b"\x05\x95\x0b*\x04\xff|"
    b"\x05\x93\x09\x00*\x01\xc0\xffX|"
    # 10: FETCH with Observe, registration; 11 to 14: OSCORE likewise; 15 to 18: deregistration
    b"\x00A\x05*\x03`|"
    b"\x0a3\x09*\x02\xff|"
    b"\x0a4\x0a*\x03\xff|"
    b"\x0a5\x0b*\x04\xff|"
    b"\x0a3\x09\x00*\x01\xc0\xffX|"
    b"\x00A\x05*\x03a\x01|"
    b"\x0f3\x09*\x02\xff|"
    b"\x0f4\x0a*\x03\xff|"
    b"\x0f5\x0b*\x04\xff|"
    # 19: 2.04; 20: OSCORE; 21 to 23: the same with a partial IV; 24: message_2
    b"\x00AD*\x03|"
    b"\x13\x90\xff|"
    b"\x13\x92\x01*\x01\xff|"
    b"\x13\x93\x02*\x02\xff|"
    b"\x13\x94\x03*\x03\xff|"
    b"\x13\xc1@\xffX|"
    # 25: 2.05; 26 to 29: notifications in OSCORE; 30: payload; 31: capsule
    b"\x00AE*\x03|"
    b"\x19a*\x012\x01*\x01\xff|"
    b"\x19a*\x013\x02*\x02\xff|"
    b"\x19b*\x023\x02*\x02\xff|"
    b"\x19b*\x024\x03*\x03\xff|"
    b"\x19\xff|"
    b"\x1e\x84C\xa1\x01'\xa0X|"
    # 32: POST .well-known/edhoc, Content-Format 65; 33: payload; 34 to 36: message_1 of method 3
    # and suite 2, with EAD_1, which asks for a capsule by value, or does not
    b"\x05\xbb.well-known\x05edhoc\x11A|"
    b"\x20\xff|"
    b"\x21\xf5\x03\x02X *\x21\x19\xfd\xe8|"
    b"\x22E*\x04\x01|"
    b"\x22D*\x04|"
    # 37 to 39: the same with an Echo
    b"\x20\xd8\xe3*\x08\xff\xf5\x03\x02X *\x21\x19\xfd\xe8|"
    b"\x25E*\x04\x01|"
    b"\x25D*\x04|"
    # 40: an EDHOC error; 41: 4.01; 42, 43: two of its kinds
    b"\x00A\x80*\x03\xc1@\xff|"
    b"\x00A\x81*\x03|"
    b"\x29\xd8\xef*\x08\xff63 EchoRequired|"
    b"\x29\xff60 UnknownContext|"
    # 44: POST writ; 45: capsule; 46: block; 47: first block of a capsule
    b"\x05\xb4writ|"
    b"\x2c\xff\x84C\xa1\x01'\xa0X|"
    b"\x2c\xd1\x03*\x01\xff|"
    b"\x2c\xd1\x03\x0c\xff\x84C\xa1\x01'\xa0|"
    # 48: GET writ; 49: ?i=, 16 digits; 50: writ/request
    b"\x00A\x01*\x03\xb4writ|"
    b"\x30M\x05i=|"
    b"\x30\x07request|"
)


def compress(datagram):
    """The shortest form of `datagram` (bytes) that the rules give: one byte more at the most."""
    if not datagram:
        return b"\x00"
    untyped = bytes((datagram[0] & _UNTYPED,)) + datagram[1:]
    # rules that fit, by number: (bytes of the datagram that it stands for, bytes sent for them)
    fits = {0: (0, b"")}
    best = number = at = saved = 0
    while at < len(_RULES):
        number += 1
        end = _RULES.find(b"|", at + 1)
        parent = fits.get(_RULES[at])
        fit = parent and _match(at + 1, end, untyped, parent[0], parent[1])
        if fit:
            fits[number] = fit
            if fit[0] - len(fit[1]) > saved:
                best = number
                saved = fit[0] - len(fit[1])
        at = end + 1
    if not best:
        return b"\x00" + datagram
    start, sent = fits[best]
    return bytes(((datagram[0] & 0x30) << 2 | best,)) + sent + datagram[start:]


def _match(at, end, untyped, start, sent):
    # (start, sent) after the bytes of a rule, or None if the datagram has others
    while at < end:
        if _RULES[at] == _OPEN:
            at += 1
            sent += untyped[start : start + _RULES[at]]
            start += _RULES[at]
        elif start >= len(untyped) or _RULES[at] != untyped[start]:
            return None
        else:
            start += 1
        at += 1
    return (start, sent) if start <= len(untyped) else None


def expand(data):
    """The datagram of which `data` (bytes) is a compressed form.

    Raises `BadMessage` for an unknown rule or missing bytes, and `TooLarge` for a datagram beyond
    DATAGRAM_BYTES_MAX.
    """
    if not data:
        raise BadMessage()
    number = data[0] & 63
    rule = b""
    # rules from the last one to the first; an unknown one ends the search
    while number:
        end = -1
        for _ in range(number):
            at = end + 1
            end = _RULES.find(b"|", at)
            if end < 0:
                raise BadMessage()
        number = _RULES[at]
        rule = _RULES[at + 1 : end] + rule
    if not rule:
        if data[0]:
            raise BadMessage()
        datagram = data[1:]
    else:
        datagram, start = _fill(rule, data)
        datagram[0] |= data[0] >> 2 & 0x30
        datagram = bytes(datagram + data[start:])
    if len(datagram) > DATAGRAM_BYTES_MAX:
        raise TooLarge()
    return datagram


def _fill(rule, data):
    # (the part of the datagram that the rule stands for, where the rest begins in `data`)
    filled = bytearray()
    start = 1
    at = 0
    while at < len(rule):
        if rule[at] == _OPEN:
            at += 1
            filled += data[start : start + rule[at]]
            start += rule[at]
        else:
            filled.append(rule[at])
        at += 1
    if start > len(data):
        raise BadMessage()
    return filled, start
