"""Real time: a timeline that follows the clock, and file descriptors that are watched meanwhile."""

import os
import selectors
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from radio.timeline import Timeline

T = TypeVar("T")

# No longer, so that a clock that is set affects little.
_WAIT_S_MAX = 1.0


class Loop:
    """Runs a timeline in real time. Use from one thread, but for `call` and `stop`."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._calls: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._is_stopping = False
        self.watch(self._wake_out, self._called)

    def watch(self, descriptor: int, readable: Callable[[], object]) -> None:
        """Call `readable` whenever a descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, readable)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching. Do so before the descriptor is closed."""
        self._selector.unregister(descriptor)

    def run(self, for_s: float | None = None) -> None:
        """Run until `stop`, or for `for_s` seconds."""
        start_ns = time.monotonic_ns() - 1000 * self.timeline.now_us
        end_us = None if for_s is None else self.timeline.now_us + int(for_s * 1_000_000)
        while not self._is_stopping and (end_us is None or self.timeline.now_us < end_us):
            self._turn(start_ns, end_us)

    def _turn(self, start_ns: int, end_us: int | None) -> None:
        now_us = (time.monotonic_ns() - start_ns) // 1000
        due_us = [at for at in (self.timeline.next_us(), end_us) if at is not None]
        wait_s = min([_WAIT_S_MAX, *((at - now_us) / 1_000_000 for at in due_us)])
        ready = self._selector.select(max(0.0, wait_s))
        # first what was due before the input came
        self.timeline.advance((time.monotonic_ns() - start_ns) // 1000)
        for key, _ in ready:
            key.data()

    def stop(self) -> None:
        """End `run`. From any thread."""
        self._is_stopping = True
        os.write(self._wake_in, b".")

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the loop's thread, and return its result. From another thread."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - it is raised again in the caller
                future.set_exception(error)

        with self._lock:
            self._calls.append(run)
        os.write(self._wake_in, b".")
        return future.result(timeout=60)

    def _called(self) -> None:
        os.read(self._wake_out, 4096)
        with self._lock:
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def close(self) -> None:
        """Free the descriptors that the loop made."""
        self._selector.close()
        os.close(self._wake_out)
        os.close(self._wake_in)
