"""The list of short addresses in front of a message: relays that it has passed, or has to pass."""

from ..errors import BadMessage
from ..limits import HOPS_MAX


def write_way(addresses):
    """The bytes of a list of short addresses: their number, and 2 bytes for each."""
    parts = [bytes((len(addresses),))]
    for address in addresses:
        parts.append(address.to_bytes(2, "big"))
    return b"".join(parts)


def read_way(message):
    """([short addresses], rest) of a message with a list in front. Raises `BadMessage`."""
    count = message[0] if message else 0
    end = 1 + 2 * count
    # a gateway and its relays
    if count > HOPS_MAX + 1 or len(message) <= end:
        raise BadMessage()
    addresses = [message[at] << 8 | message[at + 1] for at in range(1, end, 2)]
    return addresses, message[end:]
