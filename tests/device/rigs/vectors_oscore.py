"""RFC 8613, appendix C: OSCORE with AES-CCM-16-64-128 and HKDF SHA-256."""


def _hex(*lines):
    return bytes.fromhex("".join(lines))


# name: (master secret, master salt, id context, sender id, recipient id, sender key,
# recipient key, common IV, sender nonce and recipient nonce for partial IV 0)
DERIVATION = {
    "C.1.1": (
        _hex("0102030405060708090a0b0c0d0e0f10"),
        _hex("9e7ca92223786340"),
        None,
        _hex(""),
        _hex("01"),
        _hex("f0910ed7295e6ad4b54fc793154302ff"),
        _hex("ffb14e093c94c9cac9471648b4f98710"),
        _hex("4622d4dd6d944168eefb54987c"),
        _hex("4622d4dd6d944168eefb54987c"),
        _hex("4722d4dd6d944169eefb54987c"),
    ),
    "C.2.1": (
        _hex("0102030405060708090a0b0c0d0e0f10"),
        None,
        None,
        _hex("00"),
        _hex("01"),
        _hex("321b26943253c7ffb6003b0b64d74041"),
        _hex("e57b5635815177cd679ab4bcec9d7dda"),
        _hex("be35ae297d2dace910c52e99f9"),
        _hex("bf35ae297d2dace910c52e99f9"),
        _hex("bf35ae297d2dace810c52e99f9"),
    ),
    "C.3.1": (
        _hex("0102030405060708090a0b0c0d0e0f10"),
        _hex("9e7ca92223786340"),
        _hex("37cbf3210017a2d3"),
        _hex(""),
        _hex("01"),
        _hex("af2a1300a5e95788b356336eeecd2b92"),
        _hex("e39a0c7c77b43f03b4b39ab9a268699f"),
        _hex("2ca58fb85ff1b81c0b7181b85e"),
        _hex("2ca58fb85ff1b81c0b7181b85e"),
        _hex("2da58fb85ff1b81d0b7181b85e"),
    ),
}

# (name, context, sequence number, whether the kid context is sent, unprotected, protected)
REQUESTS = (
    (
        "C.4",
        "C.1.1",
        20,
        False,
        _hex("44015d1f00003974396c6f63616c686f737483747631"),
        _hex("44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e"),
    ),
    (
        "C.5",
        "C.2.1",
        20,
        False,
        _hex("440171c30000b932396c6f63616c686f737483747631"),
        _hex("440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0"),
    ),
    (
        "C.6",
        "C.3.1",
        20,
        True,
        _hex("44012f8eef9bbf7a396c6f63616c686f737483747631"),
        _hex(
            "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45c",
            "ffbe55c3",
        ),
    ),
)

# (name, the request it answers, the server's sequence number or None, unprotected, protected)
RESPONSES = (
    (
        "C.7",
        "C.4",
        None,
        _hex("64455d1f00003974ff48656c6c6f20576f726c6421"),
        _hex("64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106"),
    ),
    (
        "C.8",
        "C.4",
        0,
        _hex("64455d1f00003974ff48656c6c6f20576f726c6421"),
        _hex("64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e"),
    ),
)
