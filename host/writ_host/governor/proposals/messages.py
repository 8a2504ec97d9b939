"""What governors say to each other besides consensus: proposals, approvals, capsules.

    propose  = [ 32, [+ [ proposer, [+ payload], title: tstr, evidence: bstr, created: uint ]] ]
    approve  = [ 33, [+ [ id: bstr .size 16, number, yes: bool, reason: tstr, time, signature ]] ]
    capsules = [ 34, cursor: uint / null, [* capsule] ]   ; the answer to a pull, or news (null)
    pull     = [ 35, cursor: uint ]
    want     = [ 36, [+ id] ]                             ; proposals that only others know
    summary  = [ 37, cursor: uint, [* [ id, operators: uint, said: uint ]] ]
               ; how far we are, and what is open here: how many operators must agree to it, and
               ; whose word is here (bit mask of numbers)
    ask-pledges = [ 38, ... ], pledges = [ 39, ... ]      ; core/reservations.py

Types below 32 are consensus's, those from 48 the ceremonies'. Who sends is known from the session;
approvals are signed besides, since they are passed on.
"""

from writ.limits import CAPSULE_BYTES_MAX, GOVERNORS_MAX

from ... import codec

PROPOSE, APPROVE, CAPSULES, PULL, WANT, SUMMARY, ASK_RESERVATIONS, RESERVATIONS = range(32, 40)
COSIGNING_TYPE_MIN, CORE_TYPE_MIN, CEREMONY_TYPE_MIN = 16, 32, 48
TYPE_MAX = 63

ID_BYTES = 16
# A governor that was away asks again for what did not fit.
CAPSULES_BYTES_MAX = 24000
CAPSULES_MAX = 64
ITEMS_MAX = 64
CURSOR_MAX = 2**53
TITLE_BYTES_MAX = 120
# One statement or request a payload; the longest are those of devices.
EVIDENCE_BYTES_MAX = 32 * 800
_SIZES = {PROPOSE: 2, APPROVE: 2, CAPSULES: 3, PULL: 2, WANT: 2, SUMMARY: 3}
_SIZES |= {ASK_RESERVATIONS: 2, RESERVATIONS: 3}


def type_of(data: bytes) -> int:
    """The type of any message between governors, -1 for what is none; reads two or three bytes."""
    # a CBOR array of at most 23 items, and its first item an unsigned integer below 256
    if len(data) < 2 or not 0x81 <= data[0] <= 0x97:
        return -1
    if data[1] < 24:
        return data[1]
    return data[2] if data[1] == 24 and len(data) > 2 and 24 <= data[2] <= TYPE_MAX else -1


def read(data: bytes) -> list[object]:
    """The items of a message of the core, type first, their number checked. Raises `Malformed`."""
    items = codec.a_list(codec.load(data))
    kind = codec.an_int(items[0] if items else None, PROPOSE, RESERVATIONS)
    return codec.a_list(items, _SIZES[kind])


def read_ids(item: object) -> list[bytes]:
    """Ids of proposals. Raises `Malformed`."""
    return [codec.some_bytes(one, ID_BYTES) for one in codec.a_list(item, size_max=ITEMS_MAX)]


def read_summary(item: object) -> dict[bytes, tuple[int, int]]:
    """Of a summary: (operators, said) by a proposal's id. Raises `Malformed`."""
    listed = [codec.a_list(one, 3) for one in codec.a_list(item, size_max=ITEMS_MAX)]
    return {
        codec.some_bytes(id, ID_BYTES): (
            codec.an_int(operators, 0, GOVERNORS_MAX),
            codec.an_int(said, 0, (2 << GOVERNORS_MAX) - 1),
        )
        for id, operators, said in listed
    }


def read_capsules(item: object) -> list[bytes]:
    """Capsules, of which only the size is checked. Raises `Malformed`."""
    listed = codec.a_list(item, size_max=CAPSULES_MAX)
    return [codec.some_bytes(one, size_max=CAPSULE_BYTES_MAX) for one in listed]
