"""The brief form of an amendment in PARTs: without the bytes that its receiver knows.

The receiver has the epoch and the head that the amendment follows. So the form has the first byte
of the claim's list, the operations, and the signature. All other bytes of a capsule are the same in
each amendment. The signature is checked over the whole capsule, as ever: a wrong byte shows there.
A capsule that is no such amendment travels whole: its second byte, the start of a byte string of 3
bytes, begins no operation (docs/wire.md). Loaded while a capsule is sent or received in parts.
"""

from .. import cbor
from ..authority.capsule import assemble
from ..compat import const
from ..limits import HEAD_BYTES

# The first two bytes of a whole capsule
_WHOLE = b"\x84\x43"
# A map of one claim, -65537, in front of the list; and the kind of capsule behind its first byte
_CLAIM = b"\xa1\x3a\x00\x01\x00\x00"
_KIND = b"\x03"
_SIGNATURE_BYTES = const(64)


def _start(epoch, head):
    # of the list, behind its first byte
    return _KIND + cbor.encode(epoch) + cbor.encode(head)


def shorten(raw, base):
    """The form (bytes) in which the capsule `raw` (bytes) travels. base: the epoch before it."""
    at = raw.find(_CLAIM)
    start = at + len(_CLAIM) + 1
    end = start + len(_start(base + 1, bytes(HEAD_BYTES)))
    # its head is whatever the receiver has, too
    head = raw[end - HEAD_BYTES : end]
    # a byte string of 64 bytes has 2 bytes in front
    brief = raw[start - 1 : start] + raw[end : -_SIGNATURE_BYTES - 2] + raw[-_SIGNATURE_BYTES:]
    return brief if at > 0 and restore(brief, base, head) == raw else raw


def restore(form, base, head):
    """The whole capsule (bytes) of a form that `shorten` has made. Checks nothing.

    base, head: epoch and head (HEAD_BYTES bytes) in force at the receiver.
    """
    if form[:2] == _WHOLE or len(form) <= _SIGNATURE_BYTES:
        return form
    at = len(form) - _SIGNATURE_BYTES
    payload = _CLAIM + form[:1] + _start(base + 1, head) + form[1:at]
    return assemble(payload, form[at:])
