"""The airtime budget: no hour holds more than the duty cycle, whatever the pattern of traffic."""

from harness import raises

from writ.errors import ClassAirtime, DutyCycle, NeighbourAirtime, Rejection
from writ.limits import AIRTIME_NEIGHBOURS_MAX
from writ.mesh.budget import Budget, used_us_of
from writ.mesh.kept import dump_budget, load_budget

HOUR_MS = 3600000
MINUTE_MS = 60000
YEAR_MS = 366 * 24 * HOUR_MS
EVERYTHING = ((0, 1000), (1, 1000), (2, 1000))


class Numbers:
    """Pseudo-random numbers, the same on both interpreters (Numerical Recipes, section 7.1)."""

    def __init__(self, seed):
        self._state = seed

    def below(self, end):
        """The next number, 0 to end - 1."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self._state >> 8) % end


def a_budget(permille=10, classes=EVERYTHING):
    """A budget of 1 % by default, in which each class may take all."""
    budget = Budget(permille)
    budget.set_classes(classes)
    return budget


def is_sent(budget, now_ms, airtime_us, route_class=0, neighbour=None):
    """Whether the budget allows a frame, which is charged if so."""
    try:
        budget.check(now_ms, airtime_us, route_class, neighbour)
    except Rejection:
        return False
    budget.charge(now_ms, airtime_us, route_class, neighbour)
    return True


def send_all(budget, now_ms, airtime_us, route_class=0, neighbour=None):
    """Send frames of that airtime until the budget refuses one; returns how many."""
    count = 0
    while is_sent(budget, now_ms, airtime_us, route_class, neighbour):
        count += 1
    return count


def most_in_an_hour(sent):
    """The largest airtime in µs that any hour holds; sent: [(start in µs, airtime in µs)...]."""
    most = 0
    for start_us, airtime_us in sent:
        # the worst hour ends with a frame
        end_us = start_us + airtime_us
        begin_us = end_us - HOUR_MS * 1000
        total_us = 0
        for other_us, its_us in sent:
            if other_us <= start_us and other_us + its_us > begin_us:
                total_us += its_us - max(0, begin_us - other_us)
        most = max(most, total_us)
    return most


def test_an_hour_at_1_percent_has_36000_ms():
    budget = a_budget()
    assert send_all(budget, 0, 1000000) == 36
    assert budget.used_us(0) == 36000000
    assert raises(DutyCycle, budget.check, 0, 1, 0, None).code == DutyCycle.code
    for permille, count in ((1, 3), (100, 360)):
        assert send_all(a_budget(permille), 0, 1000000) == count


def test_an_hour_later_the_budget_is_whole_again():
    budget = a_budget()
    assert send_all(budget, 5000, 1000000) == 36
    assert not is_sent(budget, 5000 + HOUR_MS, 1000)
    assert send_all(budget, 5000 + HOUR_MS + 2 * MINUTE_MS, 1000000) == 36


def test_no_hour_holds_more_than_the_duty_cycle():
    for seed in range(6):
        numbers = Numbers(seed)
        budget = a_budget()
        now_us, sent = 0, []
        while now_us < 3 * HOUR_MS * 1000:
            airtime_us = 20000 + numbers.below(2500000)
            if is_sent(budget, now_us // 1000, airtime_us):
                sent.append((now_us, airtime_us))
                now_us += airtime_us
            # bursts, pauses of seconds and of many minutes
            pause_ms = numbers.below((10, 1000, 30000, 600000)[numbers.below(4)])
            now_us = (now_us // 1000 + pause_ms) * 1000
        assert len(sent) > 15
        most_us = most_in_an_hour(sent)
        assert most_us <= 36000000, (seed, most_us)


def test_a_sender_that_always_has_frames_gets_almost_all_of_the_duty_cycle():
    budget = a_budget()
    now_ms, total_us = 0, 0
    while now_ms < 5 * HOUR_MS:
        if is_sent(budget, now_ms, 500000):
            total_us += 500000
            now_ms += 500
        else:
            now_ms += budget.wait_ms(now_ms, 500000)
    # 62 minutes for an hour, and the first hour's budget at once
    assert 5 * 36000000 * 60 // 62 <= total_us <= 6 * 36000000


def test_the_wait_ends_when_the_frame_may_be_sent_and_not_before():
    numbers = Numbers(3)
    budget = a_budget()
    now_ms = 7777
    for _ in range(200):
        airtime_us = 100000 + numbers.below(3000000)
        wait_ms = budget.wait_ms(now_ms, airtime_us)
        if wait_ms:
            raises(DutyCycle, budget.check, now_ms, airtime_us, 0, None)
            raises(DutyCycle, budget.check, now_ms + wait_ms - 1, airtime_us, 0, None)
        now_ms += wait_ms
        assert budget.wait_ms(now_ms, airtime_us) == 0
        assert is_sent(budget, now_ms, airtime_us)
        now_ms += numbers.below(40000)


def test_a_frame_that_the_duty_cycle_never_allows_has_no_wait():
    budget = a_budget(1)
    assert budget.wait_ms(0, 3600001) is None
    assert budget.wait_ms(0, 3600000) == 0
    # a frame beyond a minute would reach out of the bucket that counts it
    assert a_budget(100).wait_ms(0, 60000001) is None
    raises(DutyCycle, a_budget(100).check, 0, 60000001, 0, None)
    raises(DutyCycle, a_budget(1000).check, 0, 60000001, 0, None)


def test_without_a_duty_cycle_only_the_classes_limit():
    budget = a_budget(1000, ((0, 1000), (1, 500)))
    for now_ms in range(0, 2 * HOUR_MS, 10000):
        assert is_sent(budget, now_ms, 10000000)
        assert budget.wait_ms(now_ms, 10000000) == 0
    raises(ClassAirtime, a_budget(1000).check, 0, 1000, 3, None)


def test_a_class_has_its_thousandths_of_an_hour():
    budget = a_budget(100, ((1, 2), (2, 1000)))
    assert send_all(budget, 0, 100000, 1) == 72
    raises(ClassAirtime, budget.check, 0, 100000, 1, None)
    budget.check(0, 100000, 2, None)
    # it is whole again after at most 65 minutes
    assert not is_sent(budget, HOUR_MS - 1, 100000, 1)
    assert send_all(budget, 65 * MINUTE_MS, 100000, 1) == 72


def test_a_class_without_a_row_sends_nothing():
    budget = a_budget(100, ((1, 2),))
    raises(ClassAirtime, budget.check, 0, 1, 0, None)
    raises(ClassAirtime, Budget(10).check, 0, 1, 0, None)
    raises(ClassAirtime, a_budget(100, ((0, 0),)).check, 0, 1, 0, None)


def test_a_new_policy_forgets_no_airtime():
    budget = a_budget(100, ((1, 2), (2, 3)))
    assert send_all(budget, 0, 100000, 1) == 72
    budget.set_classes(((2, 3),))
    raises(ClassAirtime, budget.check, 0, 100000, 1, None)
    budget.set_classes(((1, 3), (2, 3)))
    assert send_all(budget, 0, 100000, 1) == 108 - 72


def test_a_class_with_all_airtime_cannot_break_the_duty_cycle():
    budget = a_budget(10, ((7, 1000),))
    assert send_all(budget, 0, 1000000, 7) == 36
    raises(DutyCycle, budget.check, 0, 1000000, 7, None)


def test_one_neighbour_gets_half_of_the_duty_cycle_and_others_the_rest():
    budget = a_budget()
    assert send_all(budget, 0, 1000000, 0, 0x1A2B) == 18
    raises(NeighbourAirtime, budget.check, 0, 1000000, 1, 0x1A2B)
    assert send_all(budget, 0, 1000000, 0, 0x1A2C) == 18
    raises(DutyCycle, budget.check, 0, 1000000, 0, 0x1A2D)
    # and own frames
    budget = a_budget()
    assert send_all(budget, 0, 1000000, 0, 0x1A2B) == 18
    assert send_all(budget, 0, 1000000) == 18


def test_a_neighbour_is_limited_where_no_duty_cycle_applies():
    budget = a_budget(1000)
    assert send_all(budget, 0, 10000000, 0, 1) == 180
    raises(NeighbourAirtime, budget.check, 0, 10000000, 0, 1)


def test_forged_neighbours_share_what_is_left_and_displace_none():
    budget = a_budget(100)
    for address in range(AIRTIME_NEIGHBOURS_MAX):
        assert is_sent(budget, 0, 1000, 0, address)
    assert send_all(budget, 0, 60000000, 0, 0) == 2
    count = 0
    for address in range(1000, 3000):
        count += send_all(budget, 0, 1000000, 1, address)
    # all that have no row share one neighbour's part
    assert count == 180
    raises(NeighbourAirtime, budget.check, 0, 1000000, 0, 5000)
    assert is_sent(budget, 0, 1000, 0, 1)
    # the first ones are still known
    raises(NeighbourAirtime, budget.check, 0, 60000000, 0, 0)


def test_a_neighbour_that_was_silent_for_an_hour_makes_room():
    budget = a_budget(100)
    for address in range(AIRTIME_NEIGHBOURS_MAX):
        assert is_sent(budget, 0, 1000, 0, address)
    now_ms = 66 * MINUTE_MS
    assert send_all(budget, now_ms, 1000000, 0, 500) == 180
    assert send_all(budget, now_ms, 1000000, 0, 501) == 180


def test_time_may_be_large_or_stand_still_and_a_long_pause_empties_all():
    budget = a_budget()
    for now_ms in (YEAR_MS, 50 * YEAR_MS, (1 << 30) - 1, 1 << 62):
        budget = a_budget()
        assert send_all(budget, now_ms, 1000000) == 36
        assert send_all(budget, now_ms + YEAR_MS, 1000000) == 36
        assert budget.used_us(now_ms + YEAR_MS) == 36000000
    # a clock that goes back frees nothing
    assert not is_sent(budget, 0, 1000000)
    assert not is_sent(budget, now_ms, 1000000)


def test_what_is_charged_without_a_check_counts():
    budget = a_budget()
    for _ in range(40):
        budget.charge(0, 1000000, 3, 9)
    assert budget.used_us(0) == 40000000
    raises(DutyCycle, budget.check, 0, 1000, 0, None)


def test_a_deep_sleep_forgets_no_airtime():
    budget = a_budget()
    assert send_all(budget, 100000, 1000000) == 36
    kept = dump_budget(budget, 130000)
    assert len(kept[0]) == 126
    woken = a_budget()
    load_budget(woken, kept, 50, 600000)
    assert woken.used_us(50) == 36000000
    raises(DutyCycle, woken.check, 50, 1000, 0, None)
    # sent at 100 s, now at 730 s and 50 ms: it expires at 61 to 62 minutes after its start
    last_ms = 50 + 61 * MINUTE_MS - 630000 - 1000
    assert not is_sent(woken, last_ms, 1000)
    assert send_all(woken, last_ms + 61000, 1000000) == 36


def test_a_deep_sleep_forgets_no_airtime_of_a_class():
    budget = a_budget(100, ((1, 2), (2, 1000)))
    assert send_all(budget, 290000, 7000000, 1) == 1
    for _ in range(20):
        assert is_sent(budget, 299000, 100100, 2)
    woken = a_budget(100, ((1, 2), (2, 1000)))
    load_budget(woken, dump_budget(budget, 599000), 0, 3000)
    assert used_us_of(woken.classes[1], 0) == 7000000
    assert used_us_of(woken.classes[2], 0) >= used_us_of(budget.classes[2], 599000)
    assert 0 <= woken.used_us(0) - budget.used_us(599000) < 1000
    # now it is at 602 s: the class is whole again 60 to 65 minutes after the frame
    assert not is_sent(woken, HOUR_MS - 312000 - 1, 500000, 1)
    assert is_sent(woken, 65 * MINUTE_MS - 302000, 500000, 1)


def test_no_hour_of_a_node_that_sleeps_holds_more_than_the_duty_cycle():
    for awake_ms, sleep_ms in ((3000, 20000), (500, 61000), (2000, 900000), (100, 59999)):
        real_ms, sent, kept = 0, [], None
        while real_ms < 3 * HOUR_MS:
            # the clock of each wake begins anew
            budget = a_budget()
            if kept is not None:
                load_budget(budget, kept, 7, sleep_ms)
            now_ms = 7
            while now_ms < 7 + awake_ms and is_sent(budget, now_ms, 300000):
                sent.append(((real_ms + now_ms - 7) * 1000, 300000))
                now_ms += 300
            kept = dump_budget(budget, now_ms)
            real_ms += now_ms - 7 + sleep_ms
        assert most_in_an_hour(sent) <= 36000000
        # nor does it end up with none
        assert sent[-1][0] > 2 * HOUR_MS * 1000


def test_a_damaged_record_of_a_sleep_counts_as_a_spent_hour():
    for kept in (b"", bytes(125), bytes(127)):
        budget = a_budget()
        load_budget(budget, [kept, []], 1000, 0)
        raises(DutyCycle, budget.check, 1000, 1000, 0, None)
        assert send_all(budget, 1000 + 62 * MINUTE_MS, 1000000) == 36


def test_a_wire_needs_no_accounts():
    budget = Budget(1000)
    budget.set_classes([(1, 1000)])
    for neighbour in range(1, 100):
        budget.check(0, 0, 1, neighbour)
        budget.charge(0, 0, 1, neighbour)
    assert not budget.classes and not budget.neighbours and budget.used_us(0) == 0
