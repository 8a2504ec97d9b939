"""COBS, which removes all zeros from a string of bytes, and the CRC of frames.

COBS: S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on
Networking 7 (2), 1999. A block is a code n (1 to 255), n - 1 bytes without a zero, and a zero that
is not sent; a block with n = 255 has no zero, nor has the last block.
"""

from ..compat import MICROPYTHON

# The longest run of bytes that one block takes
RUN_BYTES = 254

if MICROPYTHON:

    def crc16(data):
        """CRC-16/CCITT-FALSE: polynomial 0x1021, first value 0xFFFF, not reflected, not inverted.

        It is listed as CRC-16/IBM-3740 in the catalogue of CRC algorithms (reveng.sourceforge.io),
        and finds each burst of at most 16 bits.
        """
        crc = 0xFFFF
        for byte in data:
            # the remainder of eight steps of the division, without a table of 512 bytes
            byte ^= crc >> 8
            byte ^= byte >> 4
            crc = (crc << 8 ^ byte << 12 ^ byte << 5 ^ byte) & 0xFFFF
        return crc
else:
    from binascii import crc_hqx

    def crc16(data):
        """CRC-16/CCITT-FALSE, as above, in C."""
        return crc_hqx(data, 0xFFFF)


def encode(data):
    """`data` (bytes) without zeros: one byte longer, and one more for each full run of 254.

    A last block that would be empty after a full one is left out.
    """
    coded = bytearray(len(data) + len(data) // RUN_BYTES + 1)
    begin = at = 0
    while begin <= len(data):
        zero = data.find(b"\0", begin)
        end = len(data) if zero < 0 else zero
        is_full = False
        while end - begin >= RUN_BYTES:
            coded[at] = RUN_BYTES + 1
            coded[at + 1 : at + RUN_BYTES + 1] = data[begin : begin + RUN_BYTES]
            at += RUN_BYTES + 1
            begin += RUN_BYTES
            is_full = True
        if zero >= 0 or begin < end or not is_full:
            coded[at] = end - begin + 1
            coded[at + 1 : at + 1 + end - begin] = data[begin:end]
            at += end - begin + 1
        begin = end + 1
    return bytes(memoryview(coded)[:at])


def decode(buffer, length):
    """Decode the first `length` bytes of a bytearray in place; they have no zero.

    Returns the length of the result, or -1 if the last block is not complete. An empty last block
    after a full one is accepted: the paper's own encoder makes one.
    """
    read = written = 0
    while read < length:
        stop = read + buffer[read]
        if stop > length:
            return -1
        count = stop - read - 1
        buffer[written : written + count] = buffer[read + 1 : stop]
        written += count
        read = stop
        if count < RUN_BYTES and read < length:
            buffer[written] = 0
            written += 1
    return written
