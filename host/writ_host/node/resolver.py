"""Host names as IP addresses, without waiting: look-ups run in threads of their own.

`getaddrinfo` waits half a minute or longer for a name server that is silent, and cannot be
cancelled. A loop that serves others must not wait for it.

1. `resolve` returns what is known now, and starts a look-up where one is due.
2. A name has at most one look-up at a time. An unfinished one takes a place until its time limit
   is over; then other names have their turn, up to a bound on all threads.
3. The last address is kept when a look-up fails: it is the best guess.
4. The table is bounded: the name that was least recently asked for is forgotten.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from writ.authority.ratelimit import TokenBucket

from .. import inet
from ..errors import NotReachable

# A name is looked up again after so long, and after a failure.
AGAIN_MS = 300_000
RETRY_MS = 30_000
# A look-up that takes longer leaves its place to another name. A name server at the other end of a
# bad link answers within seconds.
LIMIT_MS = 5_000
# Look-ups at one time, threads with those that are over the limit, and names.
AT_ONCE = 4
THREADS_MAX = 16
NAMES_MAX = 128


@dataclass
class _Name:
    """A host name. address: numeric, "" while it is unknown; since_ms: of the look-up under way."""

    address: str = ""
    due_ms: int | None = None  # of the next look-up, None for at once
    since_ms: int | None = None


class Resolver:
    """now_ms: the clock, milliseconds that only grow; rate_limit: of look-ups, None for none."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        rate_limit: TokenBucket | None = None,
        at_once: int = AT_ONCE,
        threads_max: int = THREADS_MAX,
        names_max: int = NAMES_MAX,
    ) -> None:
        self._now_ms = now_ms
        self._rate_limit = rate_limit
        self._at_once, self._threads_max, self._names_max = at_once, threads_max, names_max
        self._lock = threading.Lock()
        self._names: dict[str, _Name] = {}  # least recently asked first
        self._threads = 0

    def __len__(self) -> int:
        """The number of names in the table."""
        return len(self._names)

    def resolve(self, host: str) -> str:
        """The numeric address of `host`; "" if it is not known now: ask again later."""
        with self._lock:
            name = self._names.pop(host, None) or _Name()
            if not self._make_room():
                return ""
            self._names[host] = name
            now_ms = self._now_ms()
            is_due = name.due_ms is None or now_ms >= name.due_ms
            if is_due and name.since_ms is None and self._has_place(now_ms):
                self._start(host, name, now_ms)
            return name.address

    def _make_room(self) -> bool:
        """Whether the table has room for one more name; a look-up under way keeps its name."""
        if len(self._names) >= self._names_max:
            idle = next((host for host, one in self._names.items() if one.since_ms is None), None)
            if idle is None:
                return False
            del self._names[idle]
        return True

    def _has_place(self, now_ms: int) -> bool:
        begun = [one.since_ms for one in self._names.values() if one.since_ms is not None]
        in_time = [since_ms for since_ms in begun if now_ms - since_ms < LIMIT_MS]
        if self._threads >= self._threads_max or len(in_time) >= self._at_once:
            return False
        return self._rate_limit is None or bool(self._rate_limit.take(now_ms))

    def _start(self, host: str, name: _Name, now_ms: int) -> None:
        thread = threading.Thread(target=self._look_up, args=(host, name), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # this machine has no thread left
            name.due_ms = now_ms + RETRY_MS
            return
        name.since_ms = now_ms
        self._threads += 1

    def _look_up(self, host: str, name: _Name) -> None:
        """Runs in a thread."""
        found = ""
        try:
            found = _first(host)
        except (OSError, UnicodeError):
            # a name may have a label of over 63 letters
            pass
        finally:
            with self._lock:
                self._threads -= 1
                name.since_ms = None
                name.address = found or name.address
                name.due_ms = self._now_ms() + (AGAIN_MS if found else RETRY_MS)


def _first(host: str) -> str:
    """An address of a host name, IPv4 if it has one. Raises `OSError`, `UnicodeError`."""
    listed = socket.getaddrinfo(host, None, socket.AF_UNSPEC, socket.SOCK_DGRAM)
    listed.sort(key=lambda one: one[0] != socket.AF_INET)
    return str(inet.parse(str(listed[0][4][0])))


def look_up(host: str, timeout_s: float) -> str:
    """The numeric address of `host`, for a command. Raises `NotReachable`, after `timeout_s` too.

    Ctrl-C ends the wait; `getaddrinfo` itself would hold it up.
    """
    found: list[str | OSError] = []

    def run() -> None:
        try:
            found.append(_first(host))
        except OSError as error:
            found.append(error)
        except UnicodeError:
            found.append(OSError(0, "not a host name"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not found:
        raise NotReachable(
            f"{host}: the name server gave no answer within {timeout_s:g} s",
            "Check the network and the name server, or give an IP address.",
        )
    if isinstance(found[0], OSError):
        raise NotReachable(f"{host}: {found[0].strerror}", "Check the name.")
    return found[0]


def numeric(address: str, timeout_s: float) -> str:
    """`address` ("host:port") with an IP address as its host. Raises `NotReachable`.

    Answers come from numeric addresses, and belong to requests that went to the same one.
    """
    if inet.is_numeric(address):
        return address
    host, port = inet.split(address)
    return inet.join(look_up(host, timeout_s), port)
