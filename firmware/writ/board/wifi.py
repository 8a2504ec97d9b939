"""Which network to join, and when. Pure: status and time in, what to do out.

1. A round begins with the network that has worked last, or with the only one.
2. If that fails, a scan decides: the strongest first, then hidden ones. A network that is neither
   seen nor hidden is not tried.
3. After a round without success the device pauses: 5 s, twice as long each time, 5 minutes at most,
   of which a random part is left out. Many devices return after a power cut, and not at once.
4. A connection that is lost for 5 s begins a round.
"""

from ..compat import const, random_bytes

# A join with DHCP takes some seconds; the driver reports most failures earlier
_TRY_MS = const(20000)
# The status may be that of the last attempt for so long
_SETTLE_MS = const(1000)
_LOST_MS = const(5000)
_PAUSE_MS = const(5000)
_PAUSE_LONGEST_MS = const(300000)
_FAILURES = ("wrong password", "not found", "failed")


class Wifi:
    """networks: of a checked wifi.json; last: the SSID that has worked last, or None.

    status: "connected", "connecting", "idle", "wrong password", "not found" or "failed". news:
    lines for the log, which the caller takes; is_up: whether there is a connection.
    """

    def __init__(self, networks, last=None, random=random_bytes):
        self._networks = networks
        self._random = random
        self.last = last
        self.news = []
        self.is_up = False
        self._said = {}  # what was said last of each SSID
        self._state = "idle"  # or "trying", "up", "pausing"
        self._queue = []
        self._entry = None  # the network that is tried or used
        self._tried = []  # SSIDs of this round
        self._has_scanned = False
        self._began_ms = 0  # the state
        self._until_ms = 0
        self._lost_ms = None
        self._rounds = 0  # in a row without success

    def tick(self, now_ms, status):
        """None, ("connect", network), ("disconnect",) or ("scan",), which `scanned` answers."""
        if self._state == "trying":
            return self._try(now_ms, status)
        if self._state == "up":
            return self._watch(now_ms, status)
        if self._state == "pausing" and now_ms < self._until_ms:
            return None
        # a round begins
        self._tried = []
        self._has_scanned = len(self._networks) == 1
        first = [one for one in self._networks if one["ssid"] == self.last]
        self._queue = self._networks[:] if self._has_scanned else first
        return self._next(now_ms)

    def scanned(self, seen, now_ms):
        """Take the result of a scan: {SSID: signal in dBm}; what to do next, as `tick`."""
        found = []
        hidden = []
        for network in self._networks:
            ssid = network["ssid"]
            if ssid in self._tried:
                continue
            if ssid in seen:
                found.append((-seen[ssid], len(found), network))
            elif network.get("hidden"):
                hidden.append(network)
            else:
                self._say(ssid, "not found")
        self._queue = [one[2] for one in sorted(found, key=lambda one: one[:2])] + hidden
        return self._next(now_ms)

    def _say(self, ssid, text):
        # once: a device that tries for days must not fill its log
        if self._said.get(ssid) != text:
            self._said[ssid] = text
            self.news.append("Wi-Fi " + ssid + ": " + text)

    def _next(self, now_ms):
        if self._queue:
            self._entry = self._queue.pop(0)
            self._tried.append(self._entry["ssid"])
            self._state, self._began_ms = "trying", now_ms
            return "connect", self._entry
        if not self._has_scanned:
            self._has_scanned = True
            return ("scan",)
        longest_ms = min(_PAUSE_LONGEST_MS, _PAUSE_MS << min(self._rounds, 6))
        self._rounds += 1
        # a half to the whole of it
        pause_ms = longest_ms // 2 + longest_ms * self._random(1)[0] // 512
        self._state, self._until_ms = "pausing", now_ms + pause_ms
        return ("disconnect",)

    def _try(self, now_ms, status):
        if status == "connected":
            self._state, self.is_up = "up", True
            self._lost_ms, self._rounds = None, 0
            self.last = self._entry["ssid"]
            self._said = {}
            self._say(self.last, "connected")
            return None
        if status in _FAILURES and now_ms >= self._began_ms + _SETTLE_MS:
            self._say(self._entry["ssid"], status)
            return self._next(now_ms)
        if now_ms >= self._began_ms + _TRY_MS:
            self._say(self._entry["ssid"], "no answer")
            return self._next(now_ms)
        return None

    def _watch(self, now_ms, status):
        if status == "connected":
            self.is_up, self._lost_ms = True, None
            return None
        self.is_up = False
        if self._lost_ms is None:
            self._lost_ms = now_ms
        elif now_ms >= self._lost_ms + _LOST_MS:
            self._say(self.last, "lost")
            self._state = "idle"
            return self.tick(now_ms, status)
        return None
