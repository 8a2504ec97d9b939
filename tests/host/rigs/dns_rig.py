"""A resolver of names that a test controls, in place of `socket.getaddrinfo`."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_REAL = socket.getaddrinfo


class Names:
    """addresses: by name, and no other name is found; hanging: names without an answer.

    asked: all names that were looked up, in order. A hanging look-up ends with `release`.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.in_main_thread = False
        self._released = threading.Event()

    def getaddrinfo(self, host: str, port: object, *more: Any) -> Any:
        if host.replace(".", "").isdigit():
            return _REAL(host, port, *more)
        if threading.current_thread() is threading.main_thread():
            self.in_main_thread = True
        self.asked.append(host)
        if host in self.hanging and not self.in_main_thread:
            self._released.wait(60)
        if host not in self.addresses:
            raise OSError(-2, "name or service not known")
        return [(2, 2, 17, "", (self.addresses[host], port))]

    def release(self) -> None:
        """End all look-ups that hang."""
        self._released.set()


def fake_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """For a fixture: the resolver of the test."""
    names = Names()
    monkeypatch.setattr("socket.getaddrinfo", names.getaddrinfo)
    yield names
    names.release()


def until(condition: Callable[[], object]) -> None:
    """Wait for a thread."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("the condition was never met")
