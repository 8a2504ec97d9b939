"""Fragments: every loss and every order of a small message, and every kind of liar."""

from fragment_rig import ACK_MS, TIMEOUT_MS, Link, body, tiles
from harness import raises

from writ.errors import BadMessage, TableFull, UsageError
from writ.limits import (
    FRAGMENT_SENDS_MAX,
    FRAGMENT_TRIES_MAX,
    MESH_MESSAGE_BYTES_MAX,
)
from writ.mesh.fragment import Reassembly, Sender


def table(size=2):
    return Reassembly(TIMEOUT_MS, size)


def give(reassembly, payloads, source=1, now_ms=0):
    """What `receive` returns for each payload: (message or None, ack or None)."""
    return [reassembly.receive(source, payload, now_ms) for payload in payloads]


def test_a_message_of_three_tiles_byte_by_byte():
    sender = Sender(5, b"abcdefgh", 5, ACK_MS, TIMEOUT_MS)
    frames = [sender.next_frame(0) for _ in range(4)]
    # number 5, index 0 to 2, count - 1 = 2
    assert frames == [b"\x14\x02abc", b"\x14\x22def", b"\x14\x42gh", None]
    reassembly = table()
    assert give(reassembly, frames[:2]) == [(None, None), (None, None)]
    assert give(reassembly, frames[2:3]) == [(b"abcdefgh", b"\x05")]
    sender.acknowledged(b"\x05", 0)
    assert sender.is_done and not sender.is_failed
    assert sender.next_frame(0) is None and sender.next_ms(0) is None


def test_an_ack_names_what_is_missing_and_only_that_is_sent_again():
    sender = Sender(63, body(30), 5, ACK_MS, TIMEOUT_MS)
    frames = [sender.next_frame(0) for _ in range(10)]
    reassembly = table()
    answers = give(reassembly, [frames[i] for i in (0, 2, 3, 4, 5, 6, 7, 9)])
    assert [answer for answer in answers if answer != (None, None)] == [(None, b"\x3f\x02\x01")]
    sender.acknowledged(b"\x3f\x02\x01", 1)
    again = [sender.next_frame(1) for _ in range(3)]
    assert again == [frames[1], frames[8], None]
    assert give(reassembly, again[:2]) == [(None, None), (body(30), b"\x3f")]


def test_two_nodes_that_send_each_other_fragments_part():
    # a fragment takes 400 ms on air, and who sends hears nothing
    senders = [Sender(1, body(9), 5, ACK_MS, TIMEOUT_MS) for _ in range(2)]
    sent = [[], []]
    for now_ms in range(0, 60000, 10):
        for sender, times in zip(senders, sent):
            if sender.next_ms(now_ms) == 0 and (not times or now_ms - times[-1] >= 400):
                sender.next_frame(now_ms)
                times.append(now_ms)
    both = [one for one in sent[0] if not [other for other in sent[1] if abs(one - other) < 400]]
    # three tiles each, then repetitions
    assert sent[0][:3] == sent[1][:3] and both


def test_silence_repeats_the_last_tile_which_asks_for_the_ack():
    sender = Sender(1, body(9), 5, ACK_MS, TIMEOUT_MS)
    frames = [sender.next_frame(0) for _ in range(3)]
    assert sender.next_ms(0) == ACK_MS and sender.next_frame(ACK_MS - 1) is None
    assert sender.next_ms(ACK_MS) == 0
    assert sender.next_frame(ACK_MS) == frames[2]
    reassembly = table()
    # the first acknowledgement was lost: the repetition gets another one
    assert give(reassembly, (frames[0], frames[2], frames[2]))[1:] == [(None, b"\x01\x02")] * 2


def test_every_loss_of_three_tiles_and_their_acks():
    # bit n of the pattern: whether transmission n, of either side, is lost
    for pattern in range(1 << 9):
        link = Link(body(8), 5, lost=lambda n, pattern=pattern: pattern >> n & 1)
        assert link.run() == [body(8)] and link.sender.is_done, pattern


def test_every_order_of_three_tiles_each_of_them_doubled():
    frames = tiles(7, body(8), 3)
    for number in range(3**6):
        order = [number // 3**i % 3 for i in range(6)]
        if set(order) == {0, 1, 2}:
            reassembly = table()
            found = [message for message, _ in give(reassembly, [frames[i] for i in order])]
            assert [message for message in found if message] == [body(8)], order


def test_sizes_from_one_byte_to_the_largest():
    for size, room in ((1, 5), (2, 3), (3, 5), (4, 5), (32, 3), (640, 35), (641, 23), (641, 220)):
        link = Link(body(size), room)
        assert link.run() == [body(size)], (size, room)


def test_what_cannot_be_sent_is_the_callers_error():
    for number, size, room in ((64, 9, 5), (-1, 9, 5), (0, 0, 5), (0, 9, 2), (0, 33, 3)):
        raises(UsageError, Sender, number, bytes(size), room, ACK_MS, TIMEOUT_MS)
    raises(UsageError, Sender, 0, bytes(MESH_MESSAGE_BYTES_MAX + 1), 220, ACK_MS, TIMEOUT_MS)


# --- what ends a sender ---------------------------------------------------------------------------


def drain(sender, answer=None, step_ms=1):
    """The number of frames that a sender sends until it ends, with an ack after each."""
    now_ms = count = 0
    while not sender.is_failed and not sender.is_done:
        frame = sender.next_frame(now_ms)
        if frame:
            count += 1
            assert count < 999
            if answer:
                sender.acknowledged(answer(count), now_ms)
        now_ms += sender.next_ms(now_ms) or step_ms
    assert sender.next_frame(now_ms) is None and sender.next_ms(now_ms) is None
    return count


def test_a_silent_neighbour_is_given_up():
    sender = Sender(1, body(9), 5, ACK_MS, 10**9)
    assert drain(sender) == 3 + FRAGMENT_TRIES_MAX and sender.is_failed


def test_a_sender_ends_at_its_time():
    sender = Sender(1, body(9), 5, ACK_MS, 2 * ACK_MS)
    # three tiles at 0, one more after ACK_MS, none at 2 * ACK_MS
    assert drain(sender) == 4 and sender.is_failed


def test_a_neighbour_that_misses_everything_for_ever_is_given_up():
    sender = Sender(1, body(9), 5, ACK_MS, 10**9)
    assert drain(sender, lambda count: b"\x01\x07") <= 3 + FRAGMENT_TRIES_MAX
    assert sender.is_failed


def test_a_neighbour_that_misses_now_this_and_now_that_is_given_up():
    sender = Sender(1, body(9), 5, ACK_MS, 10**9)
    # after tiles 0, 1, 2 all but tile 0 is there, after tile 0 nothing: progress each other time
    count = drain(sender, lambda count: b"\x01\x01" if count % 4 == 3 else b"\x01\x07")
    assert sender.is_failed and count == FRAGMENT_SENDS_MAX * (3 + FRAGMENT_TRIES_MAX)


def test_a_receiver_that_has_restarted_gets_everything_again():
    sender = Sender(1, body(9), 5, ACK_MS, TIMEOUT_MS)
    frames = [sender.next_frame(0) for _ in range(3)]
    sender.acknowledged(b"\x01\x02", 0)
    assert sender.next_frame(0) == frames[1]
    sender.acknowledged(b"\x01\x05", 0)
    assert [sender.next_frame(0) for _ in range(3)] == [frames[0], frames[2], None]


def test_acks_of_other_messages_and_of_an_earlier_round_change_nothing():
    sender = Sender(1, body(9), 5, ACK_MS, TIMEOUT_MS)
    first = sender.next_frame(0)
    for ack in (b"\x02", b"\x02\x01", b"\x01\x01"):
        # another number, or in the middle of a round
        sender.acknowledged(ack, 0)
    assert [first[:2]] + [sender.next_frame(0)[:2] for _ in range(2)] == [
        b"\x04\x02",
        b"\x04\x22",
        b"\x04\x42",
    ]
    assert not sender.is_done and sender.next_frame(0) is None
    # the same ack twice
    sender.acknowledged(b"\x01\x01", 0)
    sender.acknowledged(b"\x01\x01", 0)
    assert sender.next_frame(0) == first and sender.next_frame(0) is None
    sender.acknowledged(b"\x01\x01", 0)
    assert sender.next_frame(0) is None


def test_malformed_acks_are_refused():
    # none; number over 63; a zero at the end; a tile beyond the last; more than 32 bits
    for ack in (b"", b"\x41", b"\x01\x00", b"\x01\x02\x00", b"\x01\x08", b"\x01\0\0\0\0\x01"):
        sender = Sender(1, body(9), 5, ACK_MS, TIMEOUT_MS)
        raises(BadMessage, sender.acknowledged, ack, 0)


# --- liars among the senders ----------------------------------------------------------------------


def test_malformed_tiles_are_refused_and_take_no_place():
    reassembly = table(1)
    # no head, no tile, index beyond count, a first tile that makes the message too large
    for payload in (b"", b"\x04", b"\x04\x02", b"\x04\x41a", b"\x04\x1f" + bytes(22)):
        raises(BadMessage, reassembly.receive, 1, payload, 0)
    assert len(reassembly) == 0
    assert give(reassembly, tiles(1, body(9), 3), 2)[-1] == (body(9), b"\x01")


def test_a_tile_that_contradicts_the_first_ones_is_refused_and_changes_nothing():
    frames = tiles(1, body(11), 3)
    wrong = (
        b"\x04\x22" + body(3),  # count of 3 instead of 4
        b"\x04\x23" + body(2),  # a shorter tile
        b"\x04\x23" + body(4),  # a longer one
        b"\x04\x63" + body(4),  # a last tile longer than the others
    )
    reassembly = table()
    reassembly.receive(1, frames[0], 0)
    for payload in wrong:
        raises(BadMessage, reassembly.receive, 1, payload, 0)
    reassembly.receive(1, frames[3], 0)
    raises(BadMessage, reassembly.receive, 1, b"\x04\x63" + body(1), 0)
    assert give(reassembly, frames[1:3])[-1] == (body(11), b"\x01")
    # a last tile that was there first makes shorter ones impossible
    reassembly = table()
    reassembly.receive(1, frames[3][:2] + body(3), 0)
    raises(BadMessage, reassembly.receive, 1, b"\x04\x23" + body(2), 0)
    # and one that makes the message too large, whichever comes first
    half = bytes(MESH_MESSAGE_BYTES_MAX // 2 + 1)
    for first, second in ((b"\x04\x01", b"\x04\x21"), (b"\x04\x21", b"\x04\x01")):
        reassembly = table()
        reassembly.receive(1, first + half, 0)
        raises(BadMessage, reassembly.receive, 1, second + half, 0)


def test_an_overlapping_tile_does_not_replace_the_first():
    frames = tiles(1, body(9), 3)
    reassembly = table()
    reassembly.receive(1, frames[0], 0)
    assert reassembly.receive(1, frames[0][:2] + b"xyz", 0) == (None, b"\x01\x06")
    assert give(reassembly, frames[1:])[-1][0] == body(9)


def test_a_source_replaces_its_own_message_only():
    reassembly = table(2)
    reassembly.receive(1, tiles(1, body(9), 3)[0], 0)
    for number in range(2, 64):
        # a flood of half messages
        reassembly.receive(2, tiles(number, body(9), 3)[0], 0)
        raises(TableFull, reassembly.receive, 3, tiles(number, body(9), 3)[0], 0)
    assert len(reassembly) == 2
    assert give(reassembly, tiles(1, body(9), 3)[1:])[-1] == (body(9), b"\x01")
    # the place is free again
    assert give(reassembly, tiles(9, body(9), 3), 3)[-1][0] == body(9)
    assert give(reassembly, tiles(63, body(9), 3)[1:], 2)[-1][0] == body(9)


def test_a_place_is_free_after_the_timeout():
    reassembly = table(1)
    frames = tiles(1, body(9), 3)
    reassembly.receive(1, frames[0], 0)
    # a new tile begins the time anew, a repeated one does not
    reassembly.receive(1, frames[1], 100)
    reassembly.receive(1, frames[1], TIMEOUT_MS)
    reassembly.expire(TIMEOUT_MS + 99)
    assert len(reassembly) == 1
    reassembly.expire(TIMEOUT_MS + 100)
    assert len(reassembly) == 0


def test_a_newcomer_evicts_the_message_that_was_idle_for_the_longest_time():
    # a sender that never goes on would keep its place for the whole time
    reassembly = table(2)
    frames = tiles(1, body(9), 3)
    idle_ms = TIMEOUT_MS // 10
    reassembly.receive(1, frames[0], 0)
    reassembly.receive(2, frames[0], 1)
    # a new tile keeps the place, a repeated one does not
    reassembly.receive(1, frames[1], 2)
    reassembly.receive(2, frames[0], idle_ms)
    raises(TableFull, reassembly.receive, 3, frames[0], idle_ms)
    # a malformed tile evicts nothing
    too_long = frames[0] + b"x" * MESH_MESSAGE_BYTES_MAX
    raises(BadMessage, reassembly.receive, 3, too_long, idle_ms + 1)
    assert len(reassembly) == 2
    assert reassembly.receive(3, frames[0], idle_ms + 1) == (None, None)
    assert len(reassembly) == 2
    assert reassembly.receive(1, frames[2], idle_ms + 1) == (body(9), b"\x01")
    # a sender whose message was evicted begins again
    assert reassembly.receive(2, frames[2], idle_ms + 1) == (None, b"\x01\x03")


def test_a_message_is_delivered_once_and_acknowledged_a_few_times_more():
    reassembly = table()
    frames = tiles(1, body(9), 3)
    assert give(reassembly, frames)[-1] == (body(9), b"\x01")
    answers = give(reassembly, [frames[2]] * (FRAGMENT_TRIES_MAX + 9))
    assert answers == [(None, b"\x01")] * FRAGMENT_TRIES_MAX + [(None, None)] * 9
    # the next message does not bring the last one back
    assert give(reassembly, tiles(2, body(8), 3)[:1] + frames[:1]) == [(None, None)] * 2
    assert give(reassembly, tiles(2, body(8), 3)[1:])[-1] == (body(8), b"\x02")
    # after the time, or with another count, the number is a new message's
    assert give(reassembly, tiles(2, body(5), 3))[-1] == (body(5), b"\x02")
    assert give(reassembly, tiles(2, body(5), 3), now_ms=TIMEOUT_MS)[-1] == (body(5), b"\x02")


def test_a_tile_repeated_for_ever_gets_few_acks():
    reassembly = table()
    frames = tiles(1, body(9), 3)
    answers = give(reassembly, [frames[0]] * 99)
    assert answers.count((None, b"\x01\x06")) == FRAGMENT_TRIES_MAX
    # progress earns new ones
    assert give(reassembly, [frames[1], frames[1]])[1] == (None, b"\x01\x04")


def test_completed_messages_of_many_sources_are_remembered_in_a_bounded_table():
    reassembly = table(2)
    for source in range(99):
        assert give(reassembly, tiles(1, body(9), 3), source, source)[-1][0] == body(9)
    # of the oldest ones nothing is known
    assert reassembly.receive(98, tiles(1, body(9), 3)[0], 99) == (None, b"\x01")
    assert reassembly.receive(0, tiles(1, body(9), 3)[0], 99) == (None, None)
