"""The messages of governors besides consensus: proposals, approvals, capsules, reservations.

    propose  = [ 32, [+ [ proposer, [+ payload], title: tstr, evidence: bstr, created: uint ]] ]
    approve  = [ 33, [+ [ id: bstr .size 16, number, yes: bool, reason: tstr, time, signature ]] ]
    capsules = [ 34, cursor: uint / null, [* capsule] ]   ; the answer to a pull, or news (null)
    pull     = [ 35, cursor: uint ]
    want     = [ 36, [+ id] ]                             ; a request for these proposals
    summary  = [ 37, cursor: uint, [* [ id, operators: uint, said: uint ]] ]
               ; how far the sender's ledger has grown, and the proposals that are open there: how
               ; many operators must approve, and whose answers are known (bit mask of numbers)
    ask-reservations = [ 38, ... ], reservations = [ 39, ... ]    ; core/reservations.py

The sender of a message is known from its session. Approvals also carry a signature, since governors
pass them on. `type_of` reads only the head, for routing; the part that receives the message
decodes it, once.
"""

from writ.limits import CAPSULE_BYTES_MAX, GOVERNORS_MAX

from ... import codec

PROPOSE, APPROVE, CAPSULES, PULL, WANT, SUMMARY, ASK_RESERVATIONS, RESERVATIONS = range(32, 40)
# Smaller types belong to consensus. From each of these on they belong to another part.
COSIGNING_TYPE_MIN, CORE_TYPE_MIN, CEREMONY_TYPE_MIN = 16, 32, 48
TYPE_MAX = 63
NO_TYPE = -1

ID_BYTES = 16
# One answer to a pull. A governor pulls again for what did not fit.
CAPSULES_BYTES_MAX = 24000
CAPSULES_MAX = 64
ITEMS_MAX = 64
CURSOR_MAX = 2**53
TITLE_BYTES_MAX = 120
# One statement or request for each payload.
EVIDENCE_BYTES_MAX = 32 * 800
_SIZES = {PROPOSE: 2, APPROVE: 2, CAPSULES: 3, PULL: 2, WANT: 2, SUMMARY: 3}
_SIZES |= {ASK_RESERVATIONS: 2, RESERVATIONS: 3}


def type_of(data: bytes) -> int:
    """The type of a message between governors, from its first 3 bytes; NO_TYPE if it is none."""
    # a CBOR array of at most 23 items, and its first item an unsigned integer below 256
    if len(data) < 2 or not 0x81 <= data[0] <= 0x97:
        return NO_TYPE
    if data[1] < 24:
        return data[1]
    if data[1] == 24 and len(data) > 2 and 24 <= data[2] <= TYPE_MAX:
        return data[2]
    return NO_TYPE


def read(data: bytes) -> list[object]:
    """Decode a message of the core: its items, type first. Checks their number. `Malformed`."""
    items = codec.a_list(codec.load(data))
    kind = codec.an_int(items[0] if items else None, PROPOSE, RESERVATIONS)
    return codec.a_list(items, _SIZES[kind])


def read_ids(item: object) -> list[bytes]:
    """Read a list of proposal ids. Raises `Malformed`."""
    return [codec.some_bytes(one, ID_BYTES) for one in codec.a_list(item, size_max=ITEMS_MAX)]


def read_summary(item: object) -> dict[bytes, tuple[int, int]]:
    """Read the open proposals of a summary: (operators, said) by id. Raises `Malformed`."""
    listed = [codec.a_list(one, 3) for one in codec.a_list(item, size_max=ITEMS_MAX)]
    return {
        codec.some_bytes(id, ID_BYTES): (
            codec.an_int(operators, 0, GOVERNORS_MAX),
            codec.an_int(said, 0, (2 << GOVERNORS_MAX) - 1),
        )
        for id, operators, said in listed
    }


def read_capsules(item: object) -> list[bytes]:
    """Read a list of capsules, of which only the size is checked. Raises `Malformed`."""
    listed = codec.a_list(item, size_max=CAPSULES_MAX)
    return [codec.some_bytes(one, size_max=CAPSULE_BYTES_MAX) for one in listed]
