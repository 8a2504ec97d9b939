"""Sessions with keys from the operator: they are never dropped, and never reuse a number."""

import signer
from authority_rig import OWN_X, Remembered, members_raw
from fakeflash import MemoryFlash
from harness import raises

from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.errors import BadSignature, StoreDamaged, TableFull, UsageError
from writ.limits import PRESHARED_MAX, SEQUENCE_RESERVE, SESSIONS_MAX
from writ.node.session import Sessions

RAW = members_raw(name="stock")


def keys(i=1, own=b"\x0d", peer=None, context=None):
    """(secret, salt, own id, peer's id, id context), different for each `i`."""
    return bytes((i,)) * 16, b"salt", own, bytes((i, i)) if peer is None else peer, context


def start(flash):
    """Sessions as they are after a start on this flash; the charter is there."""
    authority = Authority(Store(flash), OWN_X, signer.scope())
    if authority.charter is None:
        authority.receive(signer.charter(), 0)
    return Sessions(Store(flash), authority)


def stranger(i):
    """Another `Member`."""
    payload = signer.member_payload(bytes((i,)) * 32, name="n%d" % i, address=i + 1)
    return capsule.Member(capsule.parse(capsule.assemble(payload, bytes(64))))


def piv(session):
    """The next sender sequence number."""
    return int.from_bytes(session.context.next_piv(), "big")


def test_a_preshared_session_is_never_dropped():
    sessions = start(MemoryFlash())
    kept = sessions.preshare(RAW, keys())
    for i in range(2 * SESSIONS_MAX):
        opened = sessions.open(stranger(i), keys(i + 100), "address")
        assert len(sessions) <= SESSIONS_MAX
        assert kept in list(sessions) and opened in list(sessions)
    # neither for sessions with the same peer nor for an unprotected error
    for i in range(3):
        sessions.open(kept.peer, keys(i + 50), "address")
    sessions.drop(kept)
    assert sessions.by_kid(b"\x01\x01") is kept


def test_there_is_always_room_for_handshakes():
    sessions = start(MemoryFlash())
    with Remembered():
        for i in range(PRESHARED_MAX):
            sessions.preshare(RAW, keys(i))
        raises(TableFull, sessions.preshare, RAW, keys(PRESHARED_MAX))
    assert len(sessions) == PRESHARED_MAX < SESSIONS_MAX
    session = sessions.open(stranger(1), keys(100), "address")
    assert session in list(sessions)


def test_another_session_is_dropped_for_a_preshared_one():
    flash = MemoryFlash()
    sessions = start(flash)
    for i in range(SESSIONS_MAX):
        sessions.open(stranger(i), keys(i + 100), "address")
    sessions = start(flash)
    assert len(sessions) == SESSIONS_MAX
    kept = sessions.preshare(RAW, keys())
    assert kept in list(sessions) and len(sessions) == SESSIONS_MAX


def test_it_is_on_flash_before_its_first_answer():
    # an answer takes its nonce from the request: a replay after a cut would use one nonce twice
    flash = MemoryFlash()
    sessions = start(flash)
    session = sessions.preshare(RAW, keys())
    assert session.context.window_valid
    again = start(flash).preshare(RAW, keys())
    assert not again.context.window_valid and again.echo
    # the reserved numbers, and as many again in case a write was lost
    assert piv(again) == 2 * SEQUENCE_RESERVE


def test_sequence_numbers_belong_to_the_sender_key():
    # the peer's id is in no key of ours: a change of it must not bring back used numbers
    flash = MemoryFlash()
    assert piv(start(flash).preshare(RAW, keys())) == 0
    assert piv(start(flash).preshare(RAW, keys(peer=b"\x07"))) == 2 * SEQUENCE_RESERVE
    renamed = members_raw(b"q" * 32, name="renamed")
    assert piv(start(flash).preshare(renamed, keys())) == 4 * SEQUENCE_RESERVE
    # each of these makes another key
    for changed in (keys(2), keys(own=b"\x0e"), keys(context=b""), keys(context=b"c")):
        assert piv(start(flash).preshare(RAW, changed)) == 0


def test_an_entry_that_returns_to_the_config_continues_its_numbers():
    flash = MemoryFlash()
    piv(start(flash).preshare(RAW, keys()))
    for i in range(SESSIONS_MAX + 1):
        start(flash).open(stranger(i), keys(i + 100), "address")
    assert piv(start(flash).preshare(RAW, keys())) == 2 * SEQUENCE_RESERVE


def test_a_damaged_preshared_record_is_not_replaced():
    flash = MemoryFlash()
    session = start(flash).preshare(RAW, keys())
    for _ in range(SEQUENCE_RESERVE + 1):
        piv(session)
    for name in list(flash.files):
        if name[0] == "p":
            flash.files[name] = b"W" + bytes(40)
    raises(StoreDamaged, start(flash).preshare, RAW, keys())


def test_its_member_is_verified():
    flash = MemoryFlash()
    sessions = start(flash)
    forged = signer.certify(capsule.parse(RAW).payload, signer.OTHER_SEED)
    before = dict(flash.files)
    raises(BadSignature, sessions.preshare, forged, keys())
    assert len(sessions) == 0 and flash.files == before
    # an existing record vouches for its own capsule only
    sessions.preshare(RAW, keys())
    other = signer.certify(signer.member_payload(b"q" * 32, name="other"), signer.OTHER_SEED)
    raises(BadSignature, start(flash).preshare, other, keys())
    longer = signer.member_payload(b"p" * 32, name="stock", exp=signer.EXPIRES + 1)
    longer = signer.certify(longer, signer.OTHER_SEED)
    raises(BadSignature, start(flash).preshare, longer, keys())


def test_an_id_belongs_to_one_preshared_session():
    flash = MemoryFlash()
    sessions = start(flash)
    sessions.open(stranger(1), keys(100, peer=b"\x05"), "address")
    # the config is newer than that handshake
    sessions = start(flash)
    kept = sessions.preshare(RAW, keys(peer=b"\x05"))
    assert sessions.by_kid(b"\x05") is kept and len(sessions) == 1
    raises(UsageError, sessions.preshare, RAW, keys(2, peer=b"\x05"))
    assert sessions.by_kid(b"\x05") is kept and len(sessions) == 1
    for _ in range(64):
        assert sessions.new_id([]) != b"\x05"


def test_no_ids_that_oscore_forbids():
    flash = MemoryFlash()
    sessions = start(flash)
    for wrong in (keys(peer=b"\x0d"), keys(own=bytes(8)), keys(peer=bytes(8))):
        before = dict(flash.files)
        raises(UsageError, sessions.preshare, RAW, wrong)
        assert len(sessions) == 0 and flash.files == before


def test_one_secret_for_two_sessions_is_refused():
    # one secret for all peers, with different ids: both would begin with the same numbers
    sessions = start(MemoryFlash())
    kept = sessions.preshare(RAW, keys(peer=b"\x05"))
    raises(UsageError, sessions.preshare, RAW, keys(peer=b"\x06"))
    assert list(sessions) == [kept]
