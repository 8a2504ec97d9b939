"""An attacker on the path between a client and a device: drops, delays, repeats and alters."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Self

from interop_rig import HOST

from writ.wire import coap, oscore

# (whether it comes from the device, datagram) -> [(delay in ms, datagram), ...]
Change = Callable[[bool, bytes], list[tuple[int, bytes]]]


class Wire:
    """Passes all datagrams between one client and a device. Use `with`.

    change: what is sent for a datagram; heard: all datagrams received, (from the device, bytes).
    """

    def __init__(self, device: str, change: Change = lambda _, data: [(0, data)]) -> None:
        self.change = change
        self.heard: list[tuple[bool, bytes]] = []
        self._outside, self._inside = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)
        )
        for link in (self._outside, self._inside):
            link.bind((HOST, 0))
        host, _, port = device.rpartition(":")
        self._device = (host, int(port))
        self._client: tuple[str, int] | None = None
        self._late: list[tuple[float, bool, bytes]] = []
        self._passed = True  # whether no delayed datagram is on its way
        self._open = True
        self._thread = threading.Thread(target=self._run)
        self.address = f"{HOST}:{self._outside.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()
        self._outside.close()
        self._inside.close()

    @property
    def is_idle(self) -> bool:
        """Whether no datagram is on its way."""
        return self._passed and not self._late

    def inject(self, data: bytes) -> None:
        """Send a datagram to the device from the client's address."""
        self._inside.sendto(data, self._device)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._outside, selectors.EVENT_READ, False)
            selector.register(self._inside, selectors.EVENT_READ, True)
            while self._open:
                for key, _ in selector.select(0.01):
                    self._take(key.data)
                now = time.monotonic()
                self._passed = False
                due = sorted(one for one in self._late if one[0] <= now)
                self._late = [one for one in self._late if one[0] > now]
                for _, from_device, data in due:
                    self._pass_on(from_device, data)
                self._passed = not self._late

    def _take(self, from_device: bool) -> None:
        try:
            data, source = (self._inside if from_device else self._outside).recvfrom(2048)
        except OSError:
            return
        if not from_device:
            self._client = source
        self.heard.append((from_device, data))
        for delay_ms, changed in self.change(from_device, data):
            self._late.append((time.monotonic() + delay_ms / 1000, from_device, changed))

    def _pass_on(self, from_device: bool, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if not from_device:
                self._inside.sendto(data, self._device)
            elif self._client:
                self._outside.sendto(data, self._client)


def later(datagram: bytes) -> bytes:
    """A protected request with another message id and a later sequence number."""
    message = coap.decode(datagram)
    kid, piv, context = oscore.decode_option(message.option(coap.OSCORE))
    number = (int.from_bytes(piv, "big") + 1000).to_bytes(2, "big")
    value = oscore.encode_option(kid, number, context)
    message.options = [(n, value if n == coap.OSCORE else old) for n, old in message.options]
    message.mid ^= 0x8000
    made: bytes = message.encode()
    return made
