"""A process under a service manager: signals that stop it, and its state for systemd."""

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def signalled(selector: selectors.BaseSelector, stop: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call `stop` and wake the selector."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    selector.register(reader, selectors.EVENT_READ, lambda _: reader.recv(64))
    before = signal.set_wakeup_fd(writer.fileno())
    try:
        with stopped_by_signals(stop):
            yield
    finally:
        signal.set_wakeup_fd(before)
        selector.unregister(reader)
        reader.close()
        writer.close()


def notify(state: str) -> None:
    """Report the state to systemd (sd_notify(3)); nothing if systemd did not start the process."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link, contextlib.suppress(OSError):
        link.sendto(state.encode(), address)


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call `stop`, for a loop that waits in short steps."""
    handlers = {
        number: signal.signal(number, lambda *_: stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
