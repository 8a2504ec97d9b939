"""EDHOC against lakers, an independent implementation, in both roles.

lakers holds messages in 256 bytes, so the credentials here are short.
"""

from typing import Any

import lakers
import pytest
from edhoc_more import key_update, read_4
from lakers import CredentialTransfer, EADItem, EdhocInitiator, EdhocResponder

from writ import cbor, crypto
from writ.errors import BadMac, CriticalEad, PeerFailed, Rejection, WrongSuite
from writ.wire import edhoc

Ead = list[tuple[int, bool, bytes | None]]

LABELS = (1000, 65000)
EAD: Ead = [(1000, True, b"..."), (65000, False, None), (12, False, b"")]
TRANSFERS = {"kid": CredentialTransfer.ByReference, "kccs": CredentialTransfer.ByValue}


def ccs(private: bytes, kid: bytes, subject: str) -> bytes:
    """The CCS of a P-256 key, as lakers wants it."""
    x, y_is_odd = crypto.p256_public(private)
    key = {1: 2, 2: kid, -1: 1, -2: x, -3: crypto.p256_y(x, y_is_odd)}
    return cbor.encode({2: subject, 8: {1: key}})


OUR_KEY = crypto.p256_generate()
OUR_X = crypto.p256_public(OUR_KEY)[0]
OUR_CRED = ccs(OUR_KEY, b"\x2b", "w")
PEER_KEY = crypto.p256_generate()
PEER_X = crypto.p256_public(PEER_KEY)[0]
# a kid that is not an integer of one byte
PEER_CRED = ccs(PEER_KEY, b"\xa0", "")


def to_lakers(ead: Ead) -> list[EADItem]:
    return [EADItem(label, critical, value) for label, critical, value in ead]


def from_lakers(items: list[EADItem]) -> Ead:
    return [(item.label(), item.is_critical(), item.value()) for item in items]


def own_id(form: str) -> tuple[str, bytes | None]:
    return (form, b"\x2b") if form == "kid" else (form, None)


def expect_peer(told: tuple[str, bytes], form: str) -> None:
    assert told == (form, b"\xa0" if form == "kid" else PEER_CRED)


def check_keys(ours: Any, theirs: Any) -> None:
    """Both sides export the same keys, before and after a key update."""
    for _ in range(2):
        secret, salt = ours.oscore()
        assert secret == theirs.edhoc_exporter(0, [], 16)
        assert salt == theirs.edhoc_exporter(1, [], 8)
        assert ours.exporter(5, b"context", 40) == theirs.edhoc_exporter(5, list(b"context"), 40)
        key_update(ours, b"new context")
        theirs.edhoc_key_update(list(b"new context"))


@pytest.mark.parametrize("ead", [[], EAD], ids=["plain", "ead"])
@pytest.mark.parametrize("theirs", ["kid", "kccs"])
@pytest.mark.parametrize("own", ["kid", "kccs"])
def test_we_initiate(own: str, theirs: str, ead: Ead) -> None:
    us = edhoc.Initiator(OUR_KEY, b"\x18", LABELS)
    peer = EdhocResponder(PEER_KEY, PEER_CRED)

    c_i, ead_1 = peer.process_message_1(us.message_1(ead))
    assert (c_i, from_lakers(ead_1)) == (b"\x18", ead)
    assert us.h_message_1 is not None
    told = us.read_2(peer.prepare_message_2(TRANSFERS[theirs], [0x27], to_lakers(ead)))
    expect_peer(told, theirs)
    assert (us.c_r, us.ead_2) == (b"\x27", ead)
    us.verify_2(PEER_CRED, PEER_X)

    id_cred_i, ead_3 = peer.parse_message_3(us.message_3(own_id(own), OUR_CRED, ead))
    assert from_lakers(ead_3) == ead
    peer.verify_message_3(lakers.credential_check_or_fetch(id_cred_i, OUR_CRED))
    read_4(us, peer.prepare_message_4(to_lakers(ead)))
    assert us.ead_4 == ead
    check_keys(us, peer)


@pytest.mark.parametrize("ead", [[], EAD], ids=["plain", "ead"])
@pytest.mark.parametrize("theirs", ["kid", "kccs"])
@pytest.mark.parametrize("own", ["kid", "kccs"])
def test_we_respond(own: str, theirs: str, ead: Ead) -> None:
    us = edhoc.Responder(OUR_KEY, b"", LABELS)
    peer = EdhocInitiator()

    us.read_1(peer.prepare_message_1([0xAB, 0xCD], to_lakers(ead)))
    assert (us.c_i, us.ead_1) == (b"\xab\xcd", ead)
    assert us.h_message_1 == peer.get_h_message_1()
    c_r, id_cred_r, ead_2 = peer.parse_message_2(us.message_2(own_id(own), OUR_CRED, ead))
    assert (c_r, from_lakers(ead_2)) == (b"", ead)
    peer.verify_message_2(
        PEER_KEY, PEER_CRED, lakers.credential_check_or_fetch(id_cred_r, OUR_CRED)
    )

    message_3, prk_out = peer.prepare_message_3(TRANSFERS[theirs], to_lakers(ead))
    expect_peer(us.read_3(message_3), theirs)
    assert us.ead_3 == ead
    us.verify_3(PEER_CRED, PEER_X)
    assert us._prk_out == prk_out
    ead_4 = peer.process_message_4(us.message_4(ead))
    assert from_lakers(ead_4) == ead
    check_keys(us, peer)


def test_padding_from_and_to_lakers() -> None:
    padding: Ead = [(0, False, b"12345")]
    us = edhoc.Responder(OUR_KEY, b"")
    us.read_1(EdhocInitiator().prepare_message_1([5], to_lakers(padding)))
    assert us.ead_1 == []
    _, ead_1 = EdhocResponder(PEER_KEY, PEER_CRED).process_message_1(
        edhoc.Initiator(OUR_KEY, b"").message_1(padding)
    )
    assert from_lakers(ead_1) == padding


def test_critical_ead_that_we_do_not_know() -> None:
    message_1 = EdhocInitiator().prepare_message_1([5], to_lakers([(1000, True, b"")]))
    with pytest.raises(CriticalEad):
        edhoc.Responder(OUR_KEY, b"").read_1(message_1)


def test_wrong_suite() -> None:
    # lakers takes suite 2 after one that it does not speak, and refuses another one
    us = edhoc.Initiator(OUR_KEY, b"\x05", (), (6, 2))
    peer = EdhocResponder(PEER_KEY, PEER_CRED)
    peer.process_message_1(us.message_1())
    us.read_2(peer.prepare_message_2(CredentialTransfer.ByReference, [0x27]))
    us.verify_2(PEER_CRED, PEER_X)
    message_1 = edhoc.Initiator(OUR_KEY, b"\x05").message_1()
    assert message_1[:2] == b"\x03\x02"
    with pytest.raises(ValueError, match="UnsupportedCipherSuite"):
        EdhocResponder(PEER_KEY, PEER_CRED).process_message_1(b"\x03\x03" + message_1[2:])

    message_1 = EdhocInitiator().prepare_message_1([5])
    assert message_1[:2] == b"\x03\x02"
    with pytest.raises(WrongSuite) as caught:
        edhoc.Responder(OUR_KEY, b"").read_1(b"\x03\x03" + message_1[2:])
    assert edhoc.to_error(caught.value) == b"\x02\x02"
    with pytest.raises(WrongSuite):
        us = edhoc.Initiator(OUR_KEY, b"\x05")
        us.message_1()
        us.read_2(b"\x02\x03")


def flips(length: int, key_start: int | None = None) -> list[tuple[int, int]]:
    """(index, mask) for each byte of a message, but for a key of 32 bytes at `key_start`.

    lakers 0.6.2 panics on a key that is not on the curve, so what it gets has its keys whole.
    """
    key = range(0) if key_start is None else range(key_start, key_start + 32)
    return [(i, 1 << i % 8) for i in range(length) if i not in key]


def flip(message: bytes, at: int, mask: int) -> bytes:
    return message[:at] + bytes([message[at] ^ mask]) + message[at + 1 :]


def pair_1() -> tuple[Any, Any, bytes]:
    """We wait for message 2, and lakers has sent it."""
    us = edhoc.Initiator(OUR_KEY, b"\x05")
    peer = EdhocResponder(PEER_KEY, PEER_CRED)
    peer.process_message_1(us.message_1())
    message_2 = peer.prepare_message_2(CredentialTransfer.ByReference, [0x27], to_lakers(EAD[1:]))
    return us, peer, message_2


def test_each_flipped_byte_of_their_message_2() -> None:
    for at, mask in flips(len(pair_1()[2])):
        us, _, message_2 = pair_1()
        with pytest.raises(Rejection):
            us.read_2(flip(message_2, at, mask))
            us.verify_2(PEER_CRED, PEER_X)


def test_each_flipped_byte_of_our_message_1() -> None:
    length = len(edhoc.Initiator(OUR_KEY, b"\x05").message_1())
    for at, mask in flips(length, 4):
        us = edhoc.Initiator(OUR_KEY, b"\x05")
        peer = EdhocResponder(PEER_KEY, PEER_CRED)
        try:
            peer.process_message_1(flip(us.message_1(), at, mask))
            message_2 = peer.prepare_message_2(CredentialTransfer.ByReference, [0x27])
        except ValueError:
            continue
        with pytest.raises(Rejection):
            us.read_2(message_2)
            us.verify_2(PEER_CRED, PEER_X)


def pair_2() -> tuple[Any, Any, bytes]:
    """We wait for message 3, and lakers has sent it."""
    us = edhoc.Responder(OUR_KEY, b"")
    peer = EdhocInitiator()
    us.read_1(peer.prepare_message_1([5]))
    _, id_cred_r, _ = peer.parse_message_2(us.message_2(("kid", b"\x2b"), OUR_CRED))
    peer.verify_message_2(
        PEER_KEY, PEER_CRED, lakers.credential_check_or_fetch(id_cred_r, OUR_CRED)
    )
    return us, peer, peer.prepare_message_3(CredentialTransfer.ByReference)[0]


def test_each_flipped_byte_of_their_message_3() -> None:
    for at, mask in flips(len(pair_2()[2])):
        us, _, message_3 = pair_2()
        with pytest.raises(Rejection):
            us.read_3(flip(message_3, at, mask))


def test_each_flipped_byte_of_their_message_1() -> None:
    for at, mask in flips(len(EdhocInitiator().prepare_message_1([5]))):
        us = edhoc.Responder(OUR_KEY, b"")
        peer = EdhocInitiator()
        try:
            us.read_1(flip(peer.prepare_message_1([5]), at, mask))
            message_2 = us.message_2(("kid", b"\x2b"), OUR_CRED)
        except Rejection:
            continue
        with pytest.raises(ValueError):
            peer.parse_message_2(message_2)
            peer.verify_message_2(PEER_KEY, PEER_CRED, OUR_CRED)


def test_each_flipped_byte_of_our_messages_2_and_3() -> None:
    for at, mask in flips(45, 2):
        us = edhoc.Responder(OUR_KEY, b"\x27")
        peer = EdhocInitiator()
        us.read_1(peer.prepare_message_1([5]))
        message_2 = us.message_2(("kid", b"\x2b"), OUR_CRED)
        assert len(message_2) == 45
        with pytest.raises(ValueError):
            peer.parse_message_2(flip(message_2, at, mask))
            peer.verify_message_2(PEER_KEY, PEER_CRED, OUR_CRED)
    # a length beyond the end of message 3 makes lakers 0.6.2 panic too
    for at, mask in flips(19)[1:]:
        us, peer, message_2 = pair_1()
        us.read_2(message_2)
        us.verify_2(PEER_CRED, PEER_X)
        message_3 = us.message_3(("kid", b"\x2b"), OUR_CRED)
        assert len(message_3) == 19
        with pytest.raises(ValueError):
            peer.parse_message_3(flip(message_3, at, mask))


def test_each_flipped_byte_of_their_message_4() -> None:
    for at, mask in flips(9):
        us, peer, message_2 = pair_1()
        us.read_2(message_2)
        us.verify_2(PEER_CRED, PEER_X)
        id_cred_i, _ = peer.parse_message_3(us.message_3(("kid", b"\x2b"), OUR_CRED))
        peer.verify_message_3(lakers.credential_check_or_fetch(id_cred_i, OUR_CRED))
        message_4 = peer.prepare_message_4()
        assert len(message_4) == 9
        with pytest.raises(Rejection):
            read_4(us, flip(message_4, at, mask))


def test_wrong_key_on_either_side() -> None:
    us, _, message_2 = pair_1()
    us.read_2(message_2)
    with pytest.raises(BadMac):
        us.verify_2(PEER_CRED, OUR_X)
    us, _, message_3 = pair_2()
    us.read_3(message_3)
    with pytest.raises(BadMac):
        us.verify_3(PEER_CRED, OUR_X)


def test_our_error_ends_their_session() -> None:
    peer = EdhocInitiator()
    peer.prepare_message_1([5])
    with pytest.raises(ValueError):
        peer.parse_message_2(edhoc.error_message(1, "no"))
    us, _, _ = pair_1()
    with pytest.raises(PeerFailed):
        us.read_2(edhoc.error_message(1, "no"))
