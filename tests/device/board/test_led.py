from chip_rig import Pin

from writ.board.led import PATTERNS, Led, look


def course(state, end_ms):
    """[(ms, level)] of the changes until `end_ms`, as a loop sees them that waits as told."""
    found = []
    now_ms = 0
    while now_ms < end_ms:
        is_on, wait_ms = look(state, now_ms)
        assert wait_ms > 0
        found.append((now_ms, is_on))
        now_ms += wait_ms
    return found


def test_patterns_of_the_page():
    assert course("safe mode", 400) == [(0, True), (100, False), (200, True), (300, False)]
    assert course("no member", 1500) == [(0, True), (500, False), (1000, True)]
    expected = [(0, True), (60, False), (260, True), (320, False), (2000, True), (2060, False)]
    assert course("no link", 2100) == expected
    assert course("member", 5100) == [(0, True), (40, False), (5000, True), (5040, False)]
    assert course("start", 3000) == [(0, True), (1000, True), (2000, True)]


def test_no_two_patterns_are_the_same():
    courses = [str(course(state, 10000)) for state in PATTERNS]
    assert len(set(courses)) == len(PATTERNS) == 5


def test_an_led_that_a_low_level_lights():
    pin = Pin(35, Pin.OUT)
    for active_low, levels in ((False, [1, 0]), (True, [0, 1])):
        pin.values.clear()
        led = Led(pin, active_low)
        wait_ms = led.tick("no member", 0)
        assert wait_ms == 500
        assert led.tick("no member", wait_ms) == 500
        assert pin.values == levels
