"""EDHOC under attack: order, secrets, limits, forged messages (RFC 9528)."""

import vectors_edhoc as v
from edhoc_more import key_update, read_4
from edhoc_rig import KID_I, KID_R, answered, initiator, paired, responder, started
from harness import raises

from writ import cbor, crypto
from writ.errors import (
    BadMac,
    BadPoint,
    BadShape,
    DecryptionFailed,
    OutOfOrder,
    Rejection,
    TooLarge,
    TrailingBytes,
    Truncated,
    UsageError,
)
from writ.limits import DATAGRAM_BYTES_MAX
from writ.wire import edhoc

# --- order, secrets, limits ---------------------------------------------------------------------


def test_steps_only_in_order():
    steps_i = [
        ("message_1", ()),
        ("read_2", (v.MESSAGE_2,)),
        ("verify_2", (v.CRED_R, v.PK_R)),
        ("message_3", (KID_I, v.CRED_I)),
        (read_4, (v.MESSAGE_4,)),
    ]
    steps_r = [
        ("read_1", (v.MESSAGE_1,)),
        ("message_2", (KID_R, v.CRED_R)),
        ("read_3", (v.MESSAGE_3,)),
        ("verify_3", (v.CRED_I, v.PK_I)),
        ("message_4", ()),
    ]
    for side, steps in ((initiator(), steps_i), (responder(), steps_r)):
        for now in range(6):
            # every step but the next one is refused, without harm
            for n in range(5):
                if n != now:
                    raises(OutOfOrder, _step(side, steps[n][0]), *steps[n][1])
            if now < 4:
                raises(OutOfOrder, side.oscore)
                raises(OutOfOrder, side.exporter, 0, b"", 16)
                raises(OutOfOrder, key_update, side, b"")
            else:
                assert side.oscore() == (v.MASTER_SECRET, v.MASTER_SALT)
            if now < 5:
                _step(side, steps[now][0])(*steps[now][1])


def _step(side, step):
    # a method by its name, or a function of edhoc_more.py
    if isinstance(step, str):
        return getattr(side, step)
    return lambda *arguments: step(side, *arguments)


def test_failure_ends_session_and_drops_secrets():
    side = started()
    side.read_2(v.MESSAGE_2)
    raises(BadMac, side.verify_2, v.CRED_R + b"", v.PK_I)
    check_dropped(side)
    raises(OutOfOrder, side.verify_2, v.CRED_R, v.PK_R)
    side, _ = answered()
    raises(DecryptionFailed, side.read_3, b"\x52" + bytes(18))
    check_dropped(side)
    raises(OutOfOrder, side.read_3, v.MESSAGE_3)
    i, _ = paired()
    raises(DecryptionFailed, read_4, i, b"\x48" + bytes(8))
    check_dropped(i)
    raises(OutOfOrder, i.oscore)
    side = responder()
    raises(Truncated, side.read_1, b"")
    check_dropped(side)
    i, r = paired()
    r.drop()
    check_dropped(r)


def check_dropped(side):
    for secret in (side._private, side._ephemeral, side._prk, side._prk_out, side._plaintext):
        assert secret is None


def test_keys_are_wiped_after_use():
    i = started()
    r, message_2 = answered()
    # the static key is in PRK_3e2m now; the ephemeral one still waits for G_I
    assert r._private is None and r._ephemeral == v.Y
    i.read_2(message_2)
    i.verify_2(v.CRED_R, v.PK_R)
    assert i._ephemeral is None and i._plaintext is None and i._private == v.SK_I
    r.read_3(i.message_3(KID_I, v.CRED_I))
    assert i._private is None
    r.verify_3(v.CRED_I, v.PK_I)
    assert r._ephemeral is None and r._plaintext is None
    read_4(i, r.message_4())
    assert i._prk is None and r._prk is None and i._prk_out == r._prk_out == v.PRK_OUT


def test_ephemeral_keys_are_fresh():
    messages = [edhoc.Initiator(v.SK_I, v.C_I).message_1() for _ in range(2)]
    assert messages[0] != messages[1]
    messages = []
    for _ in range(2):
        side = edhoc.Responder(v.SK_R, v.C_R)
        side.read_1(v.MESSAGE_1)
        messages.append(side.message_2(KID_R, v.CRED_R))
    assert messages[0][2:34] != messages[1][2:34]


def test_ephemeral_keys_are_fresh_though_the_random_generator_repeats_itself():
    plain = crypto.random_bytes
    crypto.random_bytes = lambda count: bytes(count)
    try:
        test_ephemeral_keys_are_fresh()
        points = set()
        for private in (v.SK_I, v.SK_R):
            # two nodes with the same broken generator
            crypto._pool = b""
            points.add(edhoc.Initiator(private, v.C_I).message_1())
    finally:
        crypto.random_bytes = plain
    assert len(points) == 2


def test_size_limits():
    # two heads of 3 bytes: the EAD label is one, the value's head the other
    room = DATAGRAM_BYTES_MAX - len(v.MESSAGE_1) - 4
    message = initiator().message_1([(7, False, bytes(room))])
    assert len(message) == DATAGRAM_BYTES_MAX
    responder().read_1(message)
    raises(UsageError, initiator().message_1, [(7, False, bytes(room + 1))])
    raises(TooLarge, responder().read_1, message + b"\x00")
    raises(TooLarge, started().read_2, bytes(DATAGRAM_BYTES_MAX + 1))
    side, _ = answered()
    raises(TooLarge, side.read_3, b"\x59\x05\x00" + bytes(DATAGRAM_BYTES_MAX))
    side = responder()
    side.read_1(v.MESSAGE_1)
    raises(UsageError, side.message_2, KID_R, v.CRED_R, [(7, False, bytes(DATAGRAM_BYTES_MAX))])


# --- forgery ------------------------------------------------------------------------------------


def test_every_flipped_byte_of_message_2_is_refused():
    for i in range(len(v.MESSAGE_2)):
        message = bytearray(v.MESSAGE_2)
        message[i] ^= 1 << i % 8
        raises(Rejection, take_2, started(), message)
    take_2(started(), bytearray(v.MESSAGE_2))


def take_2(side, message):
    side.read_2(message)
    side.verify_2(v.CRED_R, v.PK_R)


def test_every_flipped_byte_of_message_3_is_refused():
    for i in range(len(v.MESSAGE_3)):
        side, _ = answered()
        message = bytearray(v.MESSAGE_3)
        message[i] ^= 1 << i % 8
        raises(Rejection, side.read_3, message)


def test_every_flipped_byte_of_message_4_is_refused():
    for i in range(len(v.MESSAGE_4)):
        side, _ = paired()
        message = bytearray(v.MESSAGE_4)
        message[i] ^= 1 << i % 8
        raises(Rejection, read_4, side, message)


def test_flipped_message_1_fails_at_the_initiator():
    # a change that the responder accepts must break the transcript: suites, G_X, C_I, an added EAD
    suites = b"\x03\x82\x05" + v.MESSAGE_1[3:]
    c_i = v.MESSAGE_1[:-1] + b"\x36"
    for message in (suites, c_i, v.MESSAGE_1 + b"\x00", v.MESSAGE_1 + b"\x07"):
        peer = responder()
        peer.read_1(message)
        raises(Rejection, take_2, started(), peer.message_2(KID_R, v.CRED_R))


def test_truncated_and_extended_messages_are_refused():
    for length in range(len(v.MESSAGE_1)):
        raises(Rejection, responder().read_1, v.MESSAGE_1[:length])
    for length in (0, 1, 2, 33, 34, 35, len(v.MESSAGE_2) - 1):
        raises(Rejection, started().read_2, v.MESSAGE_2[:length])
    raises(TrailingBytes, started().read_2, v.MESSAGE_2 + b"\x00")
    # no room for any ciphertext
    raises(BadShape, started().read_2, b"\x58\x20" + v.G_Y)
    side, _ = answered()
    raises(TrailingBytes, side.read_3, v.MESSAGE_3 + b"\x00")
    side, _ = answered()
    raises(DecryptionFailed, side.read_3, b"\x40")


def test_ephemeral_key_must_be_on_the_curve():
    off = bytes(31) + b"\x01"  # 1 - 3 + b is no square
    raises(BadPoint, crypto.p256_y, off, False)
    for x in (off, b"\xff" * 32):
        side = responder()
        side.read_1(b"\x03\x02\x58\x20" + x + v.C_I)
        raises(BadPoint, side.message_2, KID_R, v.CRED_R)
        check_dropped(side)
        raises(BadPoint, started().read_2, b"\x58\x2b" + x + v.MESSAGE_2[34:])
    for size in (0, 31, 33):
        wire = cbor.encode(bytes(size))
        raises(BadShape, responder().read_1, b"\x03\x02" + wire + v.C_I)


def test_static_key_must_be_on_the_curve():
    for x in (bytes(31) + b"\x01", b"\xff" * 32, b"", v.PK_R[:31], v.PK_R + b"\x00"):
        side = started()
        side.read_2(v.MESSAGE_2)
        raises(BadPoint, side.verify_2, v.CRED_R, x)
        side, _ = answered()
        side.read_3(v.MESSAGE_3)
        raises(BadPoint, side.verify_3, v.CRED_I, x)


def test_another_credential_or_key_fails_the_mac():
    for cred, x in ((v.CRED_I, v.PK_R), (v.CRED_R, v.PK_I), (v.CRED_R[:-1], v.PK_R)):
        side = started()
        side.read_2(v.MESSAGE_2)
        raises(BadMac, side.verify_2, cred, x)
    for cred, x in ((v.CRED_R, v.PK_I), (v.CRED_I, v.PK_R), (v.CRED_I + b"\x00", v.PK_I)):
        side, _ = answered()
        side.read_3(v.MESSAGE_3)
        raises(BadMac, side.verify_3, cred, x)


def test_impostor_without_the_static_key():
    # it holds the right credential and another private key
    impostor = edhoc.Responder(v.SK_I, v.C_R, (), v.Y)
    impostor.read_1(v.MESSAGE_1)
    raises(BadMac, take_2, started(), impostor.message_2(KID_R, v.CRED_R))
    impostor = edhoc.Initiator(v.SK_R, v.C_I, (), (6, 2), v.X)
    impostor.message_1()
    side, message_2 = answered()
    take_2(impostor, message_2)
    assert side.read_3(impostor.message_3(KID_I, v.CRED_I)) == KID_I
    raises(BadMac, side.verify_3, v.CRED_I, v.PK_I)


def test_messages_of_another_session_are_refused():
    other = edhoc.Initiator(v.SK_I, v.C_I)
    other.message_1()
    raises(Rejection, take_2, other, v.MESSAGE_2)
    side = edhoc.Responder(v.SK_R, v.C_R)
    side.read_1(v.MESSAGE_1)
    side.message_2(KID_R, v.CRED_R)
    raises(DecryptionFailed, side.read_3, v.MESSAGE_3)
    i, _ = paired()
    raises(DecryptionFailed, read_4, i, v.MESSAGE_3)
    side, _ = answered()
    raises(DecryptionFailed, side.read_3, v.MESSAGE_2)
