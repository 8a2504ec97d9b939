"""The message layer: retransmission, resets, and the matching of answers to requests."""

from exchange_rig import empty, half
from harness import raises

from writ.errors import TableFull
from writ.limits import DEDUP_MAX, OBSERVERS_MAX, REQUESTS_MAX
from writ.wire.coap import ACK, CON, CONTENT, GET, NON, RST, Message, decode
from writ.wire.exchange import Exchanges


def request(exchanges, address="peer", kind=CON, context="context"):
    message = Message(kind, GET)
    message.add_path("temp")
    exchanges.begin(message, address, context)
    return message


def test_request_is_given_an_id_and_a_token():
    exchanges = Exchanges(half)
    first = request(exchanges)
    ((address, datagram),) = exchanges.send(first, "peer", 0)
    assert address == "peer"
    assert decode(datagram).mid == first.mid == 0x8081
    assert decode(datagram).token == first.token == b"\x81"
    second = request(exchanges, "other")
    exchanges.send(second, "other", 0)
    assert second.mid == 0x8082 and second.token == b"\x82"


def test_ids_and_tokens_wrap():
    exchanges = Exchanges(lambda count: b"\xff" * count)
    first = request(exchanges)
    exchanges.send(first, "peer", 0)
    assert first.mid == 0 and first.token == b"\0"


def test_token_in_use_is_not_given_again():
    exchanges = Exchanges(half)
    kept = request(exchanges)
    for _ in range(255):
        message = request(exchanges)
        assert message.token != kept.token
        exchanges.end("peer", message.token)
    assert request(exchanges).token == b"\x82"


def test_confirmable_is_sent_five_times_then_fails():
    # RFC 7252, section 4.8: ACK_TIMEOUT doubles, MAX_RETRANSMIT is 4
    exchanges = Exchanges(half)
    message = request(exchanges, context="mine")
    sent = exchanges.send(message, "peer", 1000)
    now_ms = 1000
    for wait_ms in (2500, 5000, 10000, 20000):
        assert exchanges.next_ms(now_ms) == wait_ms
        assert exchanges.tick(now_ms + wait_ms - 1) == ([], [])
        now_ms += wait_ms
        assert exchanges.next_ms(now_ms) == 0
        assert exchanges.tick(now_ms) == (sent, [])
    assert exchanges.next_ms(now_ms) == 40000
    assert exchanges.tick(now_ms + 40000) == ([], [("peer", message.token, "mine")])
    assert exchanges.tick(now_ms + 40000) == ([], [])
    assert exchanges.next_ms(now_ms) is None
    assert exchanges.match(Message(ACK, CONTENT, 0, message.token), "peer") is None


def test_first_timeout_is_2_to_3_seconds():
    for random, timeout_ms in ((b"\0", 2000), (b"\xff", 2996)):
        exchanges = Exchanges(lambda count, byte=random: byte * count)
        exchanges.send(request(exchanges), "peer", 0)
        assert exchanges.next_ms(0) == timeout_ms


def test_piggybacked_answer():
    exchanges = Exchanges(half)
    message = request(exchanges)
    exchanges.send(message, "peer", 0)
    response = Message(ACK, CONTENT, message.mid, message.token)
    assert exchanges.receive(response, "peer", 100) == ("new", [])
    assert exchanges.match(response, "other") is None
    assert exchanges.match(response, "peer") == "context"
    exchanges.end("peer", message.token)
    assert exchanges.match(response, "peer") is None
    assert exchanges.next_ms(100) is None
    # again: no request waits for it any more
    assert exchanges.receive(response, "peer", 200) == ("done", [])


def test_answer_with_another_token_id_or_address_is_ignored():
    exchanges = Exchanges(half)
    message = request(exchanges)
    exchanges.send(message, "peer", 0)
    for mid, token, address in (
        (message.mid, b"\x01", "peer"),
        (message.mid, b"", "peer"),
        (message.mid + 1, message.token, "peer"),
        (message.mid, message.token, "other"),
    ):
        response = Message(ACK, CONTENT, mid, token)
        assert exchanges.receive(response, address, 1) == ("done", [])
        assert len(exchanges.tick(2500)[0]) == 1
        exchanges = Exchanges(half)
        message = request(exchanges)
        exchanges.send(message, "peer", 0)


def test_false_answer_does_not_close_the_request():
    exchanges = Exchanges(half)
    message = request(exchanges)
    exchanges.send(message, "peer", 0)
    forged = Message(NON, CONTENT, 77, message.token)
    assert exchanges.receive(forged, "peer", 1)[0] == "new"
    # decryption fails, so the caller does not call `end`
    assert exchanges.match(forged, "peer") == "context"
    assert len(exchanges.tick(2500)[0]) == 1


def test_separate_answer():
    client = Exchanges(half)
    message = request(client, "server")
    client.send(message, "server", 0)
    assert client.receive(empty(ACK, message.mid), "server", 10) == ("done", [])
    assert client.tick(100000) == ([], [])
    response = Message(CON, CONTENT, 5, message.token)
    assert client.receive(response, "server", 110000) == ("new", [])
    assert client.match(response, "server") == "context"
    client.end("server", message.token)
    acks = client.acknowledge(response, "server")
    assert [(a, d.hex()) for a, d in acks] == [("server", "60000005")]
    # the ACK was lost: it is given again, the response is not handled again
    assert client.receive(response, "server", 112000) == ("duplicate", acks)
    assert client.acknowledge(Message(NON, CONTENT, 6, b""), "server") == []


def test_separate_answer_stops_the_request_whose_ack_was_lost():
    exchanges = Exchanges(half)
    message = request(exchanges)
    exchanges.send(message, "peer", 0)
    exchanges.end("peer", message.token)
    assert exchanges.tick(2500) == ([], [])


def test_request_never_answered_expires():
    exchanges = Exchanges(half)
    message = request(exchanges)
    exchanges.send(message, "peer", 0)
    exchanges.receive(empty(ACK, message.mid), "peer", 10)
    assert exchanges.next_ms(10) == 247000 - 10
    assert exchanges.tick(246999) == ([], [])
    assert exchanges.tick(247000) == ([], [("peer", message.token, "context")])
    assert exchanges.next_ms(247000) is None


def test_observation_stays_open():
    exchanges = Exchanges(half)
    message = request(exchanges)
    exchanges.send(message, "peer", 0)
    exchanges.receive(Message(ACK, CONTENT, message.mid, message.token), "peer", 1)
    exchanges.end("peer", message.token, 20000000)
    assert exchanges.next_ms(1) == 20000000 - 1
    assert exchanges.tick(10000000) == ([], [])
    later = Message(NON, CONTENT, 9, message.token)
    assert exchanges.receive(later, "peer", 10000000) == ("new", [])
    assert exchanges.match(later, "peer") == "context"
    assert exchanges.tick(19999999) == ([], [])
    # deregistering takes the same token again (RFC 7641, section 3.6)
    cancel = Message(CON, GET, None, message.token)
    exchanges.begin(cancel, "peer", "cancelled")
    assert cancel.token == message.token
    assert exchanges.match(later, "peer") == "cancelled"
    # without a notification in time the observation has failed
    exchanges.end("peer", cancel.token, 20000000)
    assert exchanges.tick(20000000) == ([], [("peer", cancel.token, "cancelled")])
    assert exchanges.match(later, "peer") is None


def test_requests_are_limited():
    exchanges = Exchanges(half)
    for i in range(REQUESTS_MAX):
        request(exchanges, i)
    raises(TableFull, request, exchanges)
    exchanges.end(0, b"\x81")
    request(exchanges)


def test_confirmable_messages_are_limited():
    exchanges = Exchanges(half)
    for i in range(REQUESTS_MAX + OBSERVERS_MAX):
        exchanges.send(Message(CON, CONTENT), i, 0)
    raises(TableFull, exchanges.send, Message(CON, CONTENT), 99, 0)
    assert len(exchanges.send(Message(NON, CONTENT), 99, 0)) == 1


def test_one_confirmable_at_a_time_to_one_address():
    # NSTART 1 (RFC 7252, section 4.7)
    exchanges = Exchanges(half)
    first = request(exchanges)
    second = request(exchanges)
    assert len(exchanges.send(first, "peer", 0)) == 1
    assert exchanges.send(second, "peer", 0) == []
    assert len(exchanges.send(request(exchanges, "other"), "other", 0)) == 1
    # a message that was not sent cannot be acknowledged or reset
    assert exchanges.receive(empty(ACK, second.mid), "peer", 1) == ("done", [])
    assert exchanges.receive(empty(RST, second.mid), "peer", 1) == ("done", [])
    assert exchanges.tick(1) == ([], [])
    exchanges.receive(Message(ACK, CONTENT, first.mid, first.token), "peer", 2)
    exchanges.end("peer", first.token)
    assert exchanges.next_ms(2) == 0
    datagrams, failed = exchanges.tick(2)
    assert [decode(d).mid for _, d in datagrams] == [second.mid] and failed == []
    # its own timeout begins when it is sent
    assert exchanges.next_ms(2) == 2498
    exchanges.receive(empty(ACK, second.mid), "peer", 3)
    assert exchanges.tick(2500)[0][0][0] == "other"


def test_next_in_turn_is_sent_when_one_times_out():
    exchanges = Exchanges(half)
    exchanges.send(Message(CON, CONTENT, None, b"1"), "peer", 0)
    second = Message(CON, CONTENT, None, b"2")
    exchanges.send(second, "peer", 0)
    now_ms = 0
    failed = []
    while not failed:
        now_ms += exchanges.next_ms(now_ms)
        _, failed = exchanges.tick(now_ms)
    assert failed == [("peer", b"1", None)] and now_ms == 77500
    assert exchanges.next_ms(now_ms) == 0
    assert [decode(d).token for _, d in exchanges.tick(now_ms)[0]] == [b"2"]


def test_messages_to_addresses_that_are_gone_fail_at_once():
    exchanges = Exchanges(half)
    first = request(exchanges, "join:0002", context="first")
    exchanges.send(first, "join:0002", 0)
    second = request(exchanges, "join:0002", context="second")
    assert exchanges.send(second, "join:0002", 0) == []
    kept = request(exchanges, "mesh:0002")
    exchanges.send(kept, "mesh:0002", 0)
    exchanges.give_up("join:")
    assert exchanges.next_ms(0) == 0 and not exchanges.is_idle()
    failed = [("join:0002", first.token, "first"), ("join:0002", second.token, "second")]
    assert exchanges.tick(0) == ([], failed)
    assert exchanges.is_waiting("mesh:0002") and list(exchanges.pending) == [
        ("mesh:0002", kept.token)
    ]


def test_the_reset_of_a_request_is_reported():
    for kind in (CON, NON):
        exchanges = Exchanges(half)
        message = request(exchanges, kind=kind)
        exchanges.send(message, "peer", 0)
        assert exchanges.receive(empty(RST, message.mid), "other", 1) == ("done", [])
        assert exchanges.next_ms(1) != 0
        assert exchanges.receive(empty(RST, message.mid), "peer", 1) == ("done", [])
        assert exchanges.next_ms(1) == 0
        assert exchanges.tick(1) == ([], [("peer", message.token, "context")])
        # reported once, and not sent again
        exchanges.receive(empty(RST, message.mid), "peer", 2)
        assert exchanges.tick(100000) == ([], [])


def test_the_reset_of_a_notification_is_reported():
    for kind in (CON, NON):
        exchanges = Exchanges(half)
        notification = Message(kind, CONTENT, None, b"\x33")
        exchanges.send(notification, "peer", 0)
        exchanges.receive(empty(RST, notification.mid), "peer", 1)
        assert exchanges.tick(1) == ([], [("peer", b"\x33", None)])


def test_failed_notification_leaves_our_request_with_the_same_token():
    exchanges = Exchanges(half)
    mine = request(exchanges, kind=NON)
    exchanges.send(mine, "peer", 0)
    notification = Message(CON, CONTENT, None, mine.token)
    exchanges.send(notification, "peer", 0)
    exchanges.receive(empty(RST, notification.mid), "peer", 1)
    assert exchanges.tick(1) == ([], [("peer", mine.token, None)])
    assert exchanges.match(Message(NON, CONTENT, 1, mine.token), "peer") == "context"
    # and an answer to our request does not stop the notification
    exchanges.send(Message(CON, CONTENT, None, mine.token), "peer", 2)
    exchanges.end("peer", mine.token)
    assert len(exchanges.tick(2502)[0]) == 1


def test_acknowledgement_of_a_notification_holds_no_response():
    exchanges = Exchanges(half)
    notification = Message(CON, CONTENT, None, b"\x33")
    exchanges.send(notification, "peer", 0)
    odd = Message(ACK, CONTENT, notification.mid, b"\x33")
    assert exchanges.receive(odd, "peer", 1) == ("done", [])
    assert len(exchanges.tick(2500)[0]) == 1


def test_non_is_not_acknowledged():
    exchanges = Exchanges(half)
    message = request(exchanges, kind=NON)
    assert len(exchanges.send(message, "peer", 0)) == 1
    answer = Message(ACK, CONTENT, message.mid, message.token)
    assert exchanges.receive(answer, "peer", 1) == ("done", [])
    assert exchanges.tick(2500) == ([], [])


def test_resets_find_only_the_newest_non_messages():
    exchanges = Exchanges(half)
    sent = []
    for i in range(DEDUP_MAX + 1):
        sent.append(Message(NON, CONTENT, None, bytes((i,))))
        exchanges.send(sent[-1], "peer", 0)
    exchanges.receive(empty(RST, sent[0].mid), "peer", 1)
    assert exchanges.tick(1) == ([], [])
    exchanges.receive(empty(RST, sent[1].mid), "peer", 1)
    assert exchanges.tick(1) == ([], [("peer", b"\x01", None)])


def test_an_answer_that_was_not_verified_does_not_stop_the_request():
    exchanges = Exchanges(half)
    message = request(exchanges)
    exchanges.send(message, "peer", 0)
    forged = Message(ACK, CONTENT, message.mid, message.token, b"forged")
    assert exchanges.receive(forged, "peer", 1) == ("new", [])
    assert len(exchanges.tick(2500)[0]) == 1
    exchanges.end("peer", message.token)
    assert exchanges.tick(100000) == ([], [])
