"""How much of a link's airtime a node may use.

Rules of the budget:
1. The regulator's duty cycle is a hard limit: no hour holds more airtime than it allows, whatever a
   policy, a class or a priority says. A channel without one has no such limit.
2. Each route class has the airtime of its row in the policy. A class without a row sends nothing.
3. Frames of one neighbour, relayed or answered, get a share of the airtime (limits.py), so that a
   neighbour that floods leaves the rest to others and to this node.
4. Every frame is charged, those of the mesh itself too.

Airtime is an integer in microseconds. Time is `now_ms` of `compat.Clock`, which never wraps.
"""

from ..compat import const
from ..errors import ClassAirtime, DutyCycle, NeighbourAirtime
from ..limits import AIRTIME_NEIGHBOUR_PARTS, AIRTIME_NEIGHBOURS_MAX

# Beyond it a frame could reach out of the bucket that counts it.
_FRAME_US = const(60000000)
# The hour of the duty cycle, and a bucket more at each end: the one that has begun, and the one in
# which a frame began that ends within the hour.
_BUCKETS = const(62)
_BUCKET_MS = const(60000)
# Classes and neighbours: less exact, 60 to 65 minutes, so that they take little memory.
_COARSE_BUCKETS = const(13)
_COARSE_MS = const(300000)


class _Window:
    # Airtime of about an hour in a ring of buckets, which is allocated once. A clock that goes back
    # frees nothing.

    def __init__(self, count, bucket_ms):
        self._buckets = [0] * count
        self._bucket_ms = bucket_ms
        self._newest = 0  # number of the bucket that `now_ms` lies in
        self._shift_ms = 0  # from `now_ms` to the time that numbers the buckets
        self.used_us = 0

    def advance(self, now_ms):
        # free the buckets that are older than the window
        number = (now_ms + self._shift_ms) // self._bucket_ms
        if number <= self._newest:
            return
        buckets = self._buckets
        for i in range(min(number - self._newest, len(buckets))):
            at = (number - i) % len(buckets)
            self.used_us -= buckets[at]
            buckets[at] = 0
        self._newest = number

    def add(self, now_ms, airtime_us):
        self.advance(now_ms)
        self._buckets[self._newest % len(self._buckets)] += airtime_us
        self.used_us += airtime_us

    def wait_ms(self, now_ms, excess_us):
        # until so much has left the window
        count = len(self._buckets)
        i = 0
        while excess_us > 0:
            i += 1
            excess_us -= self._buckets[(self._newest + i) % count]
        return (self._newest + i) * self._bucket_ms - now_ms - self._shift_ms if i else 0


def _coarse():
    return _Window(_COARSE_BUCKETS, _COARSE_MS)


class Budget:
    """The airtime of one link: what a node may send now, and what it has sent.

    duty_cycle_permille: thousandths of an hour, see `duty_cycle_permille`; 1000: no duty cycle.

    For reports: limit_us, allowed_us, classes and neighbours, whose windows `used_us_of` reads.
    """

    def __init__(self, duty_cycle_permille):
        self._all = _Window(_BUCKETS, _BUCKET_MS)
        self.limit_us = duty_cycle_permille * 3600000
        self._has_limit = duty_cycle_permille < 1000
        self._share_us = self.limit_us // AIRTIME_NEIGHBOUR_PARTS
        self.allowed_us = {}  # route class -> µs an hour, None: all of it
        self.classes = {}  # route class -> _Window
        self.neighbours = {}  # short address -> _Window
        self._others = _coarse()  # of the neighbours beyond the table

    def set_classes(self, airtimes):
        """Take the classes of a policy: (number, thousandths of an hour) pairs.

        The airtime that a class has used stays charged to it.
        """
        self.allowed_us = {}
        for route_class, permille in airtimes:
            self.allowed_us[route_class] = permille * 3600000 if permille < 1000 else None

    def check(self, now_ms, airtime_us, route_class, neighbour):
        """Raise a rejection if a frame may not be sent now.

        neighbour: short address of the neighbour whose frame is relayed or answered; None for a
        frame of this node. `ClassAirtime` and `NeighbourAirtime` are for good: drop the frame.
        `DutyCycle` ends: see `wait_ms`.
        """
        allowed_us = self.allowed_us.get(route_class, 0)
        if allowed_us is not None:
            if _has_more(self.classes.get(route_class), now_ms, allowed_us - airtime_us):
                raise ClassAirtime()
        if neighbour is not None:
            window = self._window_of(neighbour, now_ms)
            if _has_more(window, now_ms, self._share_us - airtime_us):
                raise NeighbourAirtime()
        if self.wait_ms(now_ms, airtime_us) != 0:
            raise DutyCycle()

    def charge(self, now_ms, airtime_us, route_class, neighbour):
        """Charge a frame whose transmission begins now, also one that `check` has refused."""
        if not airtime_us:
            # on a wire, which needs no accounts
            return
        self._all.add(now_ms, airtime_us)
        window = self.classes.get(route_class)
        if window is None:
            window = self.classes[route_class] = _coarse()
        window.add(now_ms, airtime_us)
        if neighbour is not None:
            window = self._window_of(neighbour, now_ms)
            if window is None:
                window = self.neighbours[neighbour] = self._a_row(now_ms)
            window.add(now_ms, airtime_us)

    def wait_ms(self, now_ms, airtime_us):
        """Milliseconds until the duty cycle allows a frame of that airtime; None: never."""
        if airtime_us > _FRAME_US or (self._has_limit and airtime_us > self.limit_us):
            return None
        limit_us = self.limit_us - airtime_us
        if not self._has_limit or not _has_more(self._all, now_ms, limit_us):
            return 0
        return self._all.wait_ms(now_ms, self._all.used_us - limit_us)

    def used_us(self, now_ms):
        """Microseconds sent within the last hour, and up to two minutes before it."""
        self._all.advance(now_ms)
        return self._all.used_us

    def _window_of(self, neighbour, now_ms):
        # None: it has no row, and there is room for one
        window = self.neighbours.get(neighbour)
        if window is None and not self._has_room(now_ms):
            return self._others
        return window

    def _has_room(self, now_ms):
        return len(self.neighbours) < AIRTIME_NEIGHBOURS_MAX or self._idle(now_ms) is not None

    def _idle(self, now_ms):
        # a neighbour whose airtime has all left its window
        for neighbour, window in self.neighbours.items():
            if used_us_of(window, now_ms) == 0:
                return neighbour
        return None

    def _a_row(self, now_ms):
        if len(self.neighbours) < AIRTIME_NEIGHBOURS_MAX:
            return _coarse()
        return self.neighbours.pop(self._idle(now_ms))


def _has_more(window, now_ms, limit_us):
    # whether a window holds more than that. It holds at most what it held when it was charged last
    used_us = window.used_us if window else 0
    return used_us > limit_us and used_us_of(window, now_ms) > limit_us


def used_us_of(window, now_ms):
    """Microseconds that a window holds; None is an empty one."""
    if window is None:
        return 0
    window.advance(now_ms)
    return window.used_us
