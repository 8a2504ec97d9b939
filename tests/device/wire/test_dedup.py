"""The message layer: duplicates get the first answer again, and what is remembered is limited."""

from exchange_rig import empty, half

from writ.limits import DEDUP_MAX
from writ.wire.coap import ACK, CHANGED, CON, CONTENT, GET, NON, RST, Message, decode
from writ.wire.exchange import Exchanges


def test_server_answers_in_the_acknowledgement_and_repeats_it():
    server = Exchanges(half)
    asked = Message(CON, GET, 0x1111, b"\x42")
    assert server.receive(asked, "client", 0) == ("new", [])
    # a duplicate before the answer: nothing to repeat, and not handled twice
    assert server.receive(asked, "client", 1) == ("duplicate", [])
    answers = server.answer(asked, Message(CON, CHANGED, None, b"", b"x"), "client", 2)
    assert [(a, d.hex()) for a, d in answers] == [("client", "6144111142ff78")]
    assert server.receive(asked, "client", 3) == ("duplicate", answers)
    # the same id from elsewhere, or another id, is another message, with its own answer
    assert server.receive(asked, "other", 3) == ("new", [])
    assert server.receive(Message(CON, GET, 0x1112, b"\x42"), "client", 3) == ("new", [])
    server.answer(asked, Message(CON, CHANGED, None, b"", b"y"), "other", 4)
    assert server.receive(asked, "client", 5) == ("duplicate", answers)
    assert server.receive(Message(CON, GET, 0x1112, b"\x42"), "client", 5) == ("duplicate", [])


def test_server_answers_a_non_with_a_non():
    server = Exchanges(half)
    asked = Message(NON, GET, 0x1111, b"\x42")
    assert server.receive(asked, "client", 0) == ("new", [])
    ((_, datagram),) = server.answer(asked, Message(CON, CONTENT, 0x1111), "client", 0)
    assert datagram.hex() == "5145808142"
    # RFC 7252, section 4.3: a duplicate NON is ignored
    assert server.receive(asked, "client", 1) == ("duplicate", [])


def test_server_answers_later():
    server = Exchanges(half)
    asked = Message(CON, GET, 0x1111, b"\x42")
    server.receive(asked, "client", 0)
    acks = server.acknowledge(asked, "client")
    assert server.receive(asked, "client", 3) == ("duplicate", acks)
    later = Message(CON, CONTENT, None, asked.token)
    assert decode(server.send(later, "client", 5000)[0][1]).type == CON
    assert server.receive(empty(ACK, later.mid), "client", 5001) == ("done", [])
    assert server.next_ms(5001) is None


def test_duplicates_are_forgotten_in_time():
    for kind, lifetime_ms in ((CON, 247000), (NON, 145000)):
        exchanges = Exchanges(half)
        asked = Message(kind, GET, 7, b"")
        exchanges.receive(asked, "peer", 0)
        assert exchanges.receive(asked, "peer", lifetime_ms - 1)[0] == "duplicate"
        # a duplicate does not prolong it
        assert exchanges.receive(asked, "peer", lifetime_ms)[0] == "new"


def test_the_least_recent_message_is_forgotten_first():
    exchanges = Exchanges(half)
    for mid in range(DEDUP_MAX):
        assert exchanges.receive(Message(CON, GET, mid), "peer", 0)[0] == "new"
    # duplicates of one message displace no other message
    for _ in range(DEDUP_MAX):
        assert exchanges.receive(Message(CON, GET, 0), "peer", 1)[0] == "duplicate"
    assert exchanges.receive(Message(CON, GET, 1), "peer", 1)[0] == "duplicate"
    assert exchanges.receive(Message(CON, GET, 100), "peer", 2)[0] == "new"
    assert exchanges.receive(Message(CON, GET, 0), "peer", 3)[0] == "duplicate"
    assert exchanges.receive(Message(CON, GET, 2), "peer", 3)[0] == "new"


def test_a_forged_message_does_not_shadow_the_true_one():
    exchanges = Exchanges(half)
    forged = Message(CON, GET, 7, b"t", b"forged")
    exchanges.receive(forged, "peer", 0)
    exchanges.answer(forged, Message(CON, CHANGED, None, b"", b"no"), "peer", 0)
    true = Message(CON, GET, 7, b"t")
    assert exchanges.receive(true, "peer", 1) == ("new", [])
    answers = exchanges.answer(true, Message(CON, CONTENT, None, b"", b"yes"), "peer", 1)
    assert exchanges.receive(true, "peer", 2) == ("duplicate", answers)
    # nor does it take the acknowledgement of a notification
    exchanges.receive(Message(CON, CONTENT, 9, b"x"), "peer", 3)
    assert exchanges.receive(Message(CON, CONTENT, 9, b"y"), "peer", 4) == ("new", [])


def test_strangers_do_not_displace_what_members_sent():
    exchanges = Exchanges(half)
    answers = []
    for mid in range(DEDUP_MAX):
        asked = Message(CON, GET, mid)
        exchanges.receive(asked, "member", 0)
        exchanges.trust(asked, 0)
        answers.append(exchanges.answer(asked, Message(CON, CONTENT), "member", 0))
    for mid in range(DEDUP_MAX):
        for kind in (CON, NON):
            asked = Message(kind, GET, mid, b"s")
            exchanges.receive(asked, "member" if mid & 1 else "stranger", 1)
            exchanges.answer(asked, Message(CON, CONTENT), "stranger", 1)
    for mid in range(DEDUP_MAX):
        assert exchanges.receive(Message(CON, GET, mid), "member", 2) == ("duplicate", answers[mid])
    # members displace each other, the least recent first
    asked = Message(CON, GET, 99)
    exchanges.receive(asked, "member", 3)
    exchanges.trust(asked, 3)
    assert exchanges.receive(Message(CON, GET, 1), "member", 3)[0] == "duplicate"
    assert exchanges.receive(Message(CON, GET, 0), "member", 3)[0] == "new"


def test_answers_to_strangers_do_not_displace_the_record_of_a_notification():
    exchanges = Exchanges(half)
    notification = Message(NON, CONTENT, None, b"\x33")
    exchanges.send(notification, "peer", 0)
    for mid in range(2 * DEDUP_MAX):
        exchanges.answer(Message(NON, GET, mid), Message(NON, CONTENT), "stranger", 0)
    exchanges.receive(empty(RST, notification.mid), "peer", 1)
    assert exchanges.tick(1) == ([], [("peer", b"\x33", None)])


def test_ping_is_answered_with_a_reset():
    # RFC 7252, section 4.3
    exchanges = Exchanges(half)
    assert exchanges.receive(empty(CON, 0x0102), "peer", 0) == (
        "done",
        [("peer", bytes.fromhex("70000102"))],
    )


def test_unknown_answer_is_reset():
    exchanges = Exchanges(half)
    notification = Message(CON, CONTENT, 0x0102, b"\x09")
    assert exchanges.receive(notification, "peer", 0) == ("new", [])
    assert exchanges.match(notification, "peer") is None
    resets = exchanges.reset(notification, "peer")
    assert resets == [("peer", bytes.fromhex("70000102"))]
    assert exchanges.receive(notification, "peer", 1) == ("duplicate", resets)


def test_stray_acknowledgements_are_ignored():
    exchanges = Exchanges(half)
    for message in (empty(ACK, 1), empty(RST, 1), Message(ACK, CONTENT, 1, b"\x01")):
        assert exchanges.receive(message, "peer", 0) == ("done", [])
    assert exchanges.tick(0) == ([], [])


def test_forgotten_message_is_new_when_it_comes_again():
    exchanges = Exchanges(half)
    message = Message(CON, GET, 7, b"t")
    assert exchanges.receive(message, "peer", 0)[0] == "new"
    assert exchanges.receive(message, "peer", 1)[0] == "duplicate"
    exchanges.forget(message)
    assert exchanges.receive(message, "peer", 2)[0] == "new"
