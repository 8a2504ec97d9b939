"""Observers: the bookkeeping of RFC 7641."""

from writ.limits import OBSERVE_CON_EVERY, OBSERVE_CON_MS, OBSERVERS_MAX
from writ.wire.observe import Observers


def test_register_and_cancel():
    observers = Observers()
    one = observers.register("temp", "ann", "a1", b"\x01", "binding")
    two = observers.register("temp", "bob", "a2", b"\x01")
    led = observers.register("led", "ann", "a1", b"\x02")
    assert (one.path, one.peer, one.address, one.token) == ("temp", "ann", "a1", b"\x01")
    assert one.context == "binding" and two.context is None
    assert observers.for_path("temp") == [one, two]
    assert observers.for_path("led") == [led]
    assert observers.for_path("") == []
    assert observers.cancel("a1", b"\x09") == 0
    assert observers.cancel("a2", b"\x02") == 0
    assert observers.cancel("a1", b"\x01") == 1
    assert observers.for_path("temp") == [two]
    assert observers.entries == [two, led]


def test_registering_again_keeps_the_entry_and_its_sequence():
    observers = Observers()
    entry = observers.register("temp", "ann", "a1", b"\x01", "old")
    first, _ = entry.next(0)
    # another token and address: the client moved
    again = observers.register("temp", "ann", "a9", b"\x05", "new")
    assert again is entry and observers.entries == [entry]
    assert (entry.address, entry.token, entry.context) == ("a9", b"\x05", "new")
    second, _ = entry.next(0)
    assert second == first + 1
    # the same token: refreshed
    assert observers.register("temp", "ann", "a9", b"\x05") is entry
    assert observers.entries == [entry]


def test_token_used_again_for_another_path_moves():
    observers = Observers()
    observers.register("temp", "ann", "a1", b"\x01")
    led = observers.register("led", "ann", "a1", b"\x01")
    assert observers.entries == [led]


def test_a_full_table_registers_no_new_observer():
    observers = Observers()
    for i in range(OBSERVERS_MAX):
        assert observers.register("temp", i, i, b"\x01")
    assert observers.register("temp", "new", "new", b"\x01") is None
    assert len(observers.entries) == OBSERVERS_MAX
    # a registered observer may register again
    assert observers.register("temp", 0, "moved", b"\x02")
    observers.cancel(1, b"\x01")
    assert observers.register("temp", "new", "new", b"\x01")


def test_one_notification_in_so_many_is_confirmable():
    entry = Observers().register("temp", "ann", "a1", b"\x01")
    kinds = [entry.next(0)[1] for _ in range(3 * OBSERVE_CON_EVERY)]
    assert kinds.count(True) == 3
    assert kinds[OBSERVE_CON_EVERY - 1] is True and kinds[0] is False


def test_a_notification_is_confirmable_within_a_day():
    # RFC 7641, section 4.5
    assert OBSERVE_CON_MS < 86400000
    entry = Observers().register("temp", "ann", "a1", b"\x01")
    entry.confirmed_ms = 5
    assert entry.next(OBSERVE_CON_MS + 4)[1] is False
    assert entry.next(OBSERVE_CON_MS + 5)[1] is True
    # until it was sent as one
    assert entry.next(OBSERVE_CON_MS + 6)[1] is True
    entry.confirmed_ms = OBSERVE_CON_MS + 6
    assert entry.next(OBSERVE_CON_MS + 7)[1] is False


def test_sequence_has_24_bits():
    entry = Observers().register("temp", "ann", "a1", b"\x01")
    entry._sequence = 0xFFFFFE
    assert [entry.next(0)[0] for _ in range(3)] == [0xFFFFFF, 0, 1]
