"""A process that a service manager runs: signals that end it, and word of how it is."""

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def signalled(selector: selectors.BaseSelector, stop: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call `stop`, and wake the selector by a byte."""
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    selector.register(ear, selectors.EVENT_READ, lambda _: ear.recv(64))
    before = signal.set_wakeup_fd(mouth.fileno())
    handlers = {
        number: signal.signal(number, lambda *_: stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        selector.unregister(ear)
        ear.close()
        mouth.close()


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing where it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link, contextlib.suppress(OSError):
        link.sendto(state.encode(), address)
