"""OSCORE numbers: each is accepted once and used once (RFC 8613, sections 7.2 and 7.4)."""

from harness import raises

from writ.errors import DecryptionFailed, Replayed, SequenceExhausted, StoreFailed
from writ.limits import REPLAY_WINDOW_BITS, SEQUENCE_MAX, SEQUENCE_RESERVE
from writ.wire import coap
from writ.wire.coap import Message
from writ.wire.oscore import Context

SECRET = bytes(range(16))
PIV_MAX = (1 << 40) - 1


def pair(sequence=0):
    """(client, server): two contexts that belong together."""
    return (
        Context(SECRET, b"", b"\x01", b"\x02", None, sequence),
        Context(SECRET, b"", b"\x02", b"\x01"),
    )


def get():
    """A GET request."""
    message = Message(coap.CON, coap.GET, 1, b"t")
    message.add_path("temp")
    return message


def copy(message):
    """The message after encoding and decoding."""
    return coap.decode(message.encode())


def see(context, number):
    """Whether a number passes, and then mark it as seen."""
    try:
        context.check_replay(number)
    except Replayed:
        return False
    context.accept(number)
    return True


def test_a_number_passes_once():
    _, server = pair()
    for number in (0, 1, 2, 5, 3, 4, 31, 32, 33, 30):
        assert see(server, number) and not see(server, number)


def test_edges_of_the_window():
    _, server = pair()
    top = 1000
    assert see(server, top)
    for number in (top - REPLAY_WINDOW_BITS, top - REPLAY_WINDOW_BITS - 1, 0):
        assert not see(server, number)
    assert see(server, top - REPLAY_WINDOW_BITS + 1)
    assert not see(server, top - REPLAY_WINDOW_BITS + 1)
    # one step ahead: the oldest number leaves the window, all others stay
    assert see(server, top - 1) and see(server, top + 1)
    for number in (top - REPLAY_WINDOW_BITS + 1, top - 1, top, top + 1):
        assert not see(server, number)
    assert see(server, top - REPLAY_WINDOW_BITS + 2)


def test_a_jump_by_the_window_and_more_forgets_nothing_that_could_pass():
    for jump in (REPLAY_WINDOW_BITS - 1, REPLAY_WINDOW_BITS, REPLAY_WINDOW_BITS + 1, 5000):
        _, server = pair()
        passed = [number for number in range(10) if see(server, number)]
        assert len(passed) == 10 and see(server, 9 + jump)
        for number in passed:
            assert not see(server, number)
        assert not see(server, 9 + jump)
        assert see(server, 9 + jump - 1) == (jump > 1)


def test_a_jump_to_the_last_number_costs_no_memory():
    # a member may send any partial IV; shifting a window by 2**40 bits would end the node
    _, server = pair()
    assert see(server, 0)
    assert see(server, PIV_MAX)
    assert not see(server, PIV_MAX) and not see(server, 0)
    assert see(server, PIV_MAX - 1) and see(server, PIV_MAX - REPLAY_WINDOW_BITS + 1)
    assert not see(server, PIV_MAX - REPLAY_WINDOW_BITS)


def test_the_window_agrees_with_a_set_of_all_numbers():
    _, server = pair()
    seen = set()
    number = 1
    for _ in range(2000):
        number = (number * 1103515245 + 12345) & 0x7FFFFFFF
        guess = number >> 8 & 127
        top = max(seen) if seen else -1
        fresh = guess not in seen and guess > top - REPLAY_WINDOW_BITS
        assert see(server, guess) == fresh
        if fresh:
            seen.add(guess)


def test_only_an_accepted_number_counts_as_seen():
    client, server = pair()
    sealed, _ = client.protect_request(get())
    forged = copy(sealed)
    forged.payload = forged.payload[:-1] + bytes((forged.payload[-1] ^ 1,))
    raises(DecryptionFailed, server.unprotect_request, forged)
    _, _, number = server.unprotect_request(copy(sealed))
    server.accept(number)
    raises(Replayed, server.unprotect_request, copy(sealed))


def test_after_a_restart_nothing_up_to_the_proven_number_passes():
    _, server = pair()
    server.window_valid = False
    server.restart_window(50)
    assert server.window_valid
    for number in (0, 19, 50 - REPLAY_WINDOW_BITS, 49, 50):
        assert not see(server, number)
    assert see(server, 51)


# --- sequence numbers -----------------------------------------------------------------------------


def test_numbers_are_reserved_before_they_are_used():
    client, _ = pair()
    reserved = []
    client.reserve = lambda limit: reserved.append((client.sequence, limit))
    for i in range(2 * SEQUENCE_RESERVE + 1):
        piv = client.next_piv()
        assert int.from_bytes(piv, "big") == i < reserved[-1][1]
        assert len(piv) == 1 or piv[0]
    starts = [0, SEQUENCE_RESERVE, 2 * SEQUENCE_RESERVE]
    assert reserved == [(start, start + SEQUENCE_RESERVE) for start in starts]


def test_no_number_is_used_when_its_reservation_fails():
    client, _ = pair()

    def fail(limit):
        raise OSError(28)

    client.reserve = fail
    raises(OSError, client.protect_request, get())
    client.reserve = lambda limit: None
    assert client.next_piv() == b"\x00"


def test_the_last_number_is_used_and_none_beyond():
    client, server = pair(SEQUENCE_MAX - 1)
    sealed, binding = client.protect_request(get())
    assert binding[1] == b"\x7f\xff\xfe"
    assert server.unprotect_request(copy(sealed))[2] == SEQUENCE_MAX - 1
    for _ in range(3):
        raises(SequenceExhausted, client.protect_request, get())
        raises(SequenceExhausted, client.protect_response, get(), binding, True)
    # an answer that shares the request's nonce needs no number
    assert server.protect_response(get(), binding)


def test_numbers_have_one_form():
    for number, piv in ((0, "00"), (1, "01"), (255, "ff"), (256, "0100"), (65536, "010000")):
        client, _ = pair(number)
        assert client.next_piv().hex() == piv


def test_a_reservation_that_failed_gives_no_number():
    written = []
    is_broken = True

    def reserve(limit):
        if is_broken:
            raise StoreFailed()
        written.append(limit)

    context = Context(SECRET, b"", b"\x01", b"\x02", None, 64, reserve)
    for _ in range(2):
        # the second time too: nothing of a failed reservation may count
        raises(StoreFailed, context.next_piv)
    assert (context.sequence, context.limit) == (64, 64)
    is_broken = False
    assert context.next_piv() == b"\x40" and written == [64 + SEQUENCE_RESERVE]
    is_broken = True
    for number in range(1, SEQUENCE_RESERVE):
        assert context.next_piv() == bytes((64 + number,))
    raises(StoreFailed, context.next_piv)
    raises(StoreFailed, context.next_piv)
