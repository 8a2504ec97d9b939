"""Signals that wait while a command writes down what has been certified.

with signals.deferrable():
    raws = certify()          # Ctrl-C ends it
    signals.defer()
    write_files(raws)         # Ctrl-C, SIGHUP and SIGTERM wait until the end of the block
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from .errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


class _Deferral:
    def __init__(self) -> None:
        self.is_active = False
        self.waiting: int | None = None  # the first signal that waits
        self.handlers: dict[int, Any] = {}

    def install(self) -> None:
        for number in _SIGNALS:
            # a command that runs under nohup goes on ignoring SIGHUP
            if signal.getsignal(number) is not signal.SIG_IGN:
                self.handlers[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: object) -> None:
        if self.is_active:
            self.waiting = self.waiting or number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            self.restore()
            signal.raise_signal(number)

    def deliver(self) -> None:
        if self.waiting == signal.SIGINT:
            raise Interrupted(
                "interrupted; what was certified is stored", "Run it again to deliver it."
            )
        if self.waiting is not None:
            signal.raise_signal(self.waiting)


_current: _Deferral | None = None


@contextlib.contextmanager
def deferrable() -> Iterator[None]:
    """A block in which `defer` has an effect. Raises `Interrupted` at its end if Ctrl-C waited."""
    global _current
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = _current = _Deferral()
    mine.install()
    try:
        yield
    finally:
        _current = None
        mine.restore()
    mine.deliver()


def defer() -> None:
    """Let signals wait until the end of the block, or until `allow`."""
    if _current is not None:
        _current.is_active = True


def allow() -> None:
    """Let signals act at once again; one that waits acts now."""
    if _current is not None:
        _current.is_active = False
        _current.deliver()
