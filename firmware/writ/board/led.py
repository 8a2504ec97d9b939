"""The patterns of the status LED: how long it is on and off, in ms, again and again."""

PATTERNS = {
    "start": (1000, 0),
    "safe mode": (100, 100),
    "no member": (500, 500),
    "no link": (60, 200, 60, 1680),
    # a short flash needs little current
    "member": (40, 4960),
}


def look(state, now_ms):
    """(whether the LED is on, ms until that changes) in a state of `PATTERNS`."""
    times = PATTERNS[state]
    left_ms = now_ms % sum(times)
    for index in range(len(times)):
        if left_ms < times[index]:
            return index % 2 == 0, times[index] - left_ms
        left_ms -= times[index]
    return False, 1


class Led:
    """An LED at a pin. pin: a `machine.Pin` that is an output; active_low: whether 0 lights it."""

    def __init__(self, pin, active_low=False):
        self._pin = pin
        self._active_low = active_low

    def show(self, is_on):
        """Switch it."""
        self._pin.value(int(is_on != self._active_low))

    def tick(self, state, now_ms):
        """Show the pattern of `state`; ms until the next change."""
        is_on, wait_ms = look(state, now_ms)
        self.show(is_on)
        return wait_ms
