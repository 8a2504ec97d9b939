"""Messages and random bytes for tests of the message layer."""

from writ.wire.coap import EMPTY, Message


def half(count):
    """Random bytes that make the first timeout 2,500 ms, the first id 0x8081, the token 0x81."""
    return b"\x80" * count


def empty(kind, mid):
    return Message(kind, EMPTY, mid)
