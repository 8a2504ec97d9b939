"""EDHOC against the RFC's trace, against itself, and against forged and reordered messages."""

import vectors_edhoc as v
from edhoc_more import key_update, read_4
from edhoc_rig import (
    CWT,
    KID_I,
    KID_R,
    answered,
    forged_2,
    forged_3,
    initiator,
    paired,
    responder,
    run,
    started,
)
from harness import raises

from writ import cbor
from writ.errors import (
    BadMac,
    BadShape,
    CriticalEad,
    NotCanonical,
    PeerFailed,
    TooLarge,
    TrailingBytes,
    Truncated,
    UnknownCredential,
    UsageError,
    WrongSuite,
)
from writ.limits import DATAGRAM_BYTES_MAX, EAD_ITEMS_MAX
from writ.wire import edhoc

# --- the trace ----------------------------------------------------------------------------------


def test_responder_refuses_suite_6_as_in_trace():
    error = raises(WrongSuite, responder().read_1, v.MESSAGE_1_SUITE_6)
    assert edhoc.to_error(error) == v.ERROR_SUITE_2


def test_initiator_side_of_trace():
    side = initiator()
    assert side.message_1() == v.MESSAGE_1
    assert side.h_message_1 == v.H_MESSAGE_1
    assert side.read_2(v.MESSAGE_2) == KID_R
    assert side.c_r == v.C_R and side.ead_2 == []
    assert side._peer == v.G_Y
    assert side._th == v.TH_2 and side._prk == v.PRK_2E and side._plaintext == v.PLAINTEXT_2
    assert side._claim == (v.C_R + v.ID_CRED_R, v.MAC_2, b"")
    side.verify_2(v.CRED_R, v.PK_R)
    assert side._th == v.TH_3 and side._prk == v.PRK_3E2M
    key, nonce, aad = side._aead(3)
    assert (key, nonce, aad) == (v.K_3, v.IV_3, v.A_3)
    assert side.message_3(KID_I, v.CRED_I) == v.MESSAGE_3
    assert side._th == v.TH_4 and side._prk == v.PRK_4E3M and side._prk_out == v.PRK_OUT
    key, nonce, aad = side._aead(8)
    assert (key, nonce, aad) == (v.K_4, v.IV_4, v.A_4)
    assert side.oscore() == (v.MASTER_SECRET, v.MASTER_SALT)
    read_4(side, v.MESSAGE_4)
    assert side.ead_4 == []
    check_key_update(side)


def test_responder_side_of_trace():
    side = responder()
    side.read_1(v.MESSAGE_1)
    assert side.c_i == v.C_I and side.ead_1 == [] and side.h_message_1 == v.H_MESSAGE_1
    assert side._peer == v.G_X
    assert side.message_2(KID_R, v.CRED_R) == v.MESSAGE_2
    assert side._th == v.TH_3 and side._prk == v.PRK_3E2M
    assert side.read_3(v.MESSAGE_3) == KID_I
    assert side.ead_3 == [] and side._plaintext == v.PLAINTEXT_3
    assert side._claim == (v.ID_CRED_I, v.MAC_3, b"")
    side.verify_3(v.CRED_I, v.PK_I)
    assert side._th == v.TH_4 and side._prk == v.PRK_4E3M and side._prk_out == v.PRK_OUT
    assert side.oscore() == (v.MASTER_SECRET, v.MASTER_SALT)
    assert side.message_4() == v.MESSAGE_4
    check_key_update(side)


def check_key_update(side):
    assert side.oscore() == (v.MASTER_SECRET, v.MASTER_SALT)
    assert side.exporter(0, b"", 16) == v.MASTER_SECRET
    assert side.exporter(2, b"", 16) != v.MASTER_SECRET
    assert side.exporter(0, b"x", 16) != v.MASTER_SECRET
    key_update(side, v.UPDATE_CONTEXT)
    assert side._prk_out == v.PRK_OUT_UPDATED
    assert side.oscore() == (v.MASTER_SECRET_UPDATED, v.MASTER_SALT_UPDATED)


# --- identifiers and credentials ----------------------------------------------------------------


def test_one_byte_identifiers_travel_as_integers():
    # RFC 9528, section 3.3.2
    for raw, wire in (
        (b"\x21", b"\x21"),
        (b"\x0d", b"\x0d"),
        (b"\x18", b"\x41\x18"),
        (b"\x38", b"\x41\x38"),
        (b"\x1f", b"\x41\x1f"),
        (b"\x17", b"\x17"),
        (b"\x20", b"\x20"),
        (b"\xab\xcd", b"\x42\xab\xcd"),
        (b"", b"\x40"),
        (b"\x00" * 7, b"\x47" + bytes(7)),
    ):
        message = edhoc.Initiator(v.SK_I, raw, (), (2,), v.X).message_1()
        assert message == b"\x03\x02\x58\x20" + v.G_X + wire
        side = responder()
        side.read_1(message)
        assert side.c_i == raw


def test_identifiers_have_one_encoding():
    start = b"\x03\x02\x58\x20" + v.G_X
    raises(NotCanonical, responder().read_1, start + b"\x41\x21")
    raises(NotCanonical, responder().read_1, start + b"\x58\x01\xff")
    # -25, 24, a text, a map, true
    for wire in (b"\x38\x18", b"\x18\x18", b"\x61a", b"\xa0", b"\xf5"):
        raises(BadShape, responder().read_1, start + wire)
    raises(TooLarge, responder().read_1, start + b"\x48" + bytes(8))
    raises(Truncated, responder().read_1, start)
    raises(UsageError, edhoc.Initiator, v.SK_I, bytes(8))


def test_equal_connection_ids_are_refused():
    side = edhoc.Initiator(v.SK_I, v.C_R, (), (2,), v.X)
    peer = responder()
    peer.read_1(side.message_1())
    raises(BadShape, peer.message_2, KID_R, v.CRED_R)
    # a responder that does not check
    side = started()
    raises(BadShape, side.read_2, forged_2(v.C_I + v.PLAINTEXT_2[1:]))


def test_connection_id_may_be_chosen_after_message_1():
    side = responder()
    side.c_r = b""
    side.read_1(v.MESSAGE_1)
    side.c_r = b"abcdefg"
    peer = started()
    peer.read_2(side.message_2(KID_R, v.CRED_R))
    assert peer.c_r == b"abcdefg"
    side = edhoc.Responder(v.SK_R, bytes(8))
    side.read_1(v.MESSAGE_1)
    raises(UsageError, side.message_2, KID_R, v.CRED_R)


def test_credentials_by_value():
    _, _, told_i, told_r = run(("kccs", None), v.CRED_I, ("kcwt", None), CWT)
    assert told_i == ("kcwt", CWT) and told_r == ("kccs", v.CRED_I)
    _, _, told_i, told_r = run(("kcwt", None), CWT, ("kccs", None), v.CRED_R)
    assert told_i == ("kccs", v.CRED_R) and told_r == ("kcwt", CWT)


def test_kids_of_any_length():
    for kid in (b"", b"\x18", b"\x00\x01", bytes(40)):
        _, _, told_i, told_r = run(("kid", kid), v.CRED_I, ("kid", kid), CWT)
        assert told_i == told_r == ("kid", kid)


def test_unknown_id_cred_form_is_the_callers_fault():
    side = responder()
    side.read_1(v.MESSAGE_1)
    raises(UsageError, side.message_2, ("x5t", b""), v.CRED_R)


def test_id_cred_shapes():
    mac = b"\x48" + bytes(8)
    kid_in_map = b"\xa1\x04\x41\x32"
    for id_cred, rejection in (
        (kid_in_map, BadShape),
        (b"\x41\x05", NotCanonical),
        (b"\x18\x20", BadShape),
        (b"\x61a", BadShape),
        (b"\x80", BadShape),
        (b"\xa0", UnknownCredential),
        (b"\xa1\x18\x22\x82\x2e\x41\x00", UnknownCredential),
        (b"\xa1\x0d\xa0", UnknownCredential),
        (b"\xa1\x0e\x80", UnknownCredential),
        (b"\xa2\x04\x40\x0d\x80", UnknownCredential),
        (b"\xa2\x04\x40\x0e\xa0", UnknownCredential),
        (b"\xa2\x0e\xa0\x0d\x80", NotCanonical),
        (b"\xa1\x0e\xa2\x02\x01\x01\x02", NotCanonical),
        (b"\xbf\x0e\xa0\xff", NotCanonical),
    ):
        raises(rejection, started().read_2, forged_2(v.C_R + id_cred + mac))
        side, message_3 = forged_3(id_cred + mac)
        raises(rejection, side.read_3, message_3)


def test_mac_shapes():
    for mac in (b"\x47" + bytes(7), b"\x49" + bytes(9), b"\x40", b"\x00", b"\x68aaaaaaaa"):
        raises(BadShape, started().read_2, forged_2(v.C_R + b"\x05" + mac))
        side, message_3 = forged_3(b"\x05" + mac)
        raises(BadShape, side.read_3, message_3)
    raises(Truncated, started().read_2, forged_2(v.C_R + b"\x05"))


# --- external authorization data ----------------------------------------------------------------


def test_ead_in_all_messages():
    eads = []
    for n in range(4):
        eads.append([(7, False, None), (65000, True, bytes([n])), (9, False, b""), (7, True, None)])
    i, r, _, _ = run(KID_I, v.CRED_I, KID_R, v.CRED_R, eads)
    assert [r.ead_1, i.ead_2, r.ead_3, i.ead_4] == eads


def test_ead_encoding():
    message = initiator().message_1([(1, False, None), (65000, True, b"\x05")])
    assert message == v.MESSAGE_1 + b"\x01" + b"\x39\xfd\xe7\x41\x05"


def test_padding_is_dropped():
    side = responder()
    side.read_1(v.MESSAGE_1 + b"\x00\x40\x00" + b"\x07" + b"\x00" * 100 + b"\x00\x43abc")
    assert side.ead_1 == [(7, False, None)]
    eads = [[(0, False, bytes(9)), (7, False, b"x"), (0, False, None)]] * 4
    i, r, _, _ = run(KID_I, v.CRED_I, KID_R, v.CRED_R, eads)
    assert r.ead_1 == i.ead_2 == r.ead_3 == i.ead_4 == [(7, False, b"x")]


def test_unknown_critical_ead_is_refused_in_each_message():
    ead = b"\x08\x26\x41\x00"  # 8, and critical 7
    raises(CriticalEad, responder((8, 65000)).read_1, v.MESSAGE_1 + ead)
    raises(CriticalEad, started((8,)).read_2, forged_2(v.PLAINTEXT_2 + ead))
    side, message_3 = forged_3(v.PLAINTEXT_3 + ead)
    raises(CriticalEad, side.read_3, message_3)
    i, r = paired()
    raises(CriticalEad, read_4, i, r.message_4([(7, True, b"\x00")]))


def test_ead_shapes():
    for ead, rejection in (
        (b"\x40", BadShape),
        (b"\x07\x40\x40", BadShape),
        (b"\x61a", BadShape),
        (b"\xf6", BadShape),
        (b"\x07\x80", BadShape),
        (b"\x18", Truncated),
        (b"\x18\x07", NotCanonical),
        (b"\x07\x42a", Truncated),
        (b"\x07\x58\x01a", NotCanonical),
        (b"\x07" * (EAD_ITEMS_MAX + 1), TooLarge),
    ):
        raises(rejection, responder().read_1, v.MESSAGE_1 + ead)
    side = responder()
    side.read_1(v.MESSAGE_1 + b"\x07" * EAD_ITEMS_MAX)
    assert len(side.ead_1) == EAD_ITEMS_MAX


def test_wrong_ead_is_the_callers_fault():
    raises(UsageError, initiator().message_1, [(-1, False, None)])
    raises(UsageError, initiator().message_1, [(0, True, None)])


# --- suites and error messages ------------------------------------------------------------------


def test_suite_must_be_the_first_in_common():
    rest = b"\x58\x20" + v.G_X + v.C_I
    for suites in (2, [0, 2], [6, 3, 2], [24, 65535, -21, 2]):
        responder().read_1(b"\x03" + cbor.encode(suites) + rest)
    for suites in (0, 3, -2, 65536, [2, 3], [2, 2], [2, 6, 2], [0, 1], [0, 2, 3]):
        error = raises(WrongSuite, responder().read_1, b"\x03" + cbor.encode(suites) + rest)
        assert edhoc.to_error(error) == b"\x02\x02"
    for suites in ([], [2], [0, True], [True, 2], [b"", 2], [[0], 2], b"\x02", "2", None, True, {}):
        raises(BadShape, responder().read_1, b"\x03" + cbor.encode(suites) + rest)


def test_a_wrong_suite_is_reported_before_the_key_is_checked():
    raises(WrongSuite, responder().read_1, b"\x03\x18\x18\x58\x30" + bytes(48) + v.C_I)


def test_other_methods_are_refused():
    for method in (b"\x00", b"\x01", b"\x02", b"\x04", b"\x22", b"\x40", b"\xf5"):
        raises(BadShape, responder().read_1, method + v.MESSAGE_1[1:])


def test_initiator_speaks_suite_2_only():
    raises(UsageError, edhoc.Initiator, v.SK_I, v.C_I, (), (6,))
    raises(UsageError, edhoc.Initiator, v.SK_I, v.C_I, (), (2, 6))


def test_error_messages():
    for code, info, wire in (
        (1, "no", b"\x01\x62no"),
        (2, 2, b"\x02\x02"),
        (2, [2, 3], b"\x02\x82\x02\x03"),
        (3, True, b"\x03\xf5"),
        (-25, {1: b"x"}, b"\x38\x18\xa1\x01\x41x"),
    ):
        assert edhoc.error_message(code, info) == wire
        assert edhoc.parse_error(wire) == (code, info)
    assert edhoc.error_message(2, (2,)) == b"\x02\x02"
    assert edhoc.error_message(2, (2, 3)) == b"\x02\x82\x02\x03"


def test_malformed_error_messages():
    for wire, rejection in (
        (b"", Truncated),
        (b"\x01", Truncated),
        (b"\x01\x40", BadShape),
        (b"\x01\x62no\x00", TrailingBytes),
        (b"\x02\x81\x02", BadShape),
        (b"\x02\xf5", BadShape),
        (b"\x02\x62no", BadShape),
        (b"\x03\x01", BadShape),
        (b"\x03\xf4", BadShape),
        (b"\x00\x60", BadShape),
        (b"\x41\x01\x60", BadShape),
        (b"\x01\x78\x02no", NotCanonical),
        (b"\x01" + cbor.encode("x" * DATAGRAM_BYTES_MAX), TooLarge),
    ):
        raises(rejection, edhoc.parse_error, wire)


def test_rejections_as_error_messages():
    assert edhoc.parse_error(edhoc.to_error(BadMac())) == (1, "BadMac")
    assert edhoc.parse_error(edhoc.to_error(UnknownCredential())) == (3, True)
    assert edhoc.parse_error(edhoc.to_error(WrongSuite())) == (2, 2)
    assert edhoc.to_error(PeerFailed()) == b""


def test_peers_error_instead_of_a_message():
    error = raises(PeerFailed, started().read_2, b"\x01\x62no")
    assert error.error == (1, "no")
    error = raises(WrongSuite, started().read_2, b"\x02\x06")
    assert error.suites == (6,)
    error = raises(WrongSuite, started().read_2, b"\x02\x82\x00\x06")
    assert error.suites == (0, 6)
    side, _ = answered()
    error = raises(PeerFailed, side.read_3, b"\x03\xf5")
    assert error.error == (3, True)
    i, _ = paired()
    error = raises(PeerFailed, read_4, i, b"\x20\xf6")
    assert error.error == (-1, None)
    raises(BadShape, started().read_2, b"\x02\x81\x02")
