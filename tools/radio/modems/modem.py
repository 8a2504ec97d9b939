"""What the emulated modems share: power, output with faults on demand, and lines of input."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from radio.outcome import Reception
from radio.timeline import Timeline
from radio.transceiver import Radio

# A module's input buffer. The longest line of both dialects is an AT+PSEND of 255 bytes in hex.
LINE_MAX = 640

FAULTS = ("garbled", "late", "missing", "replaced")


@dataclass
class Fault:
    """What happens to the next outputs: see `Modem.break_next`."""

    kind: str  # one of FAULTS
    left: int
    match: bytes
    delay_us: int
    replacement: bytes


class Modem(ABC):
    """One module: a radio, and a serial port on which it speaks its dialect.

    write: sends bytes to the host. An answer or a message is written in one call.
    """

    kind: ClassVar[str]

    def __init__(
        self, radio: Radio, timeline: Timeline, write: Callable[[bytes], object] | None = None
    ) -> None:
        self.radio = radio
        self.timeline = timeline
        self.write = write
        self.is_powered = False
        self._faults: list[Fault] = []
        self._life = 0  # counts power-ups and resets: what was scheduled before is void
        radio.received = self.on_frame
        radio.damaged = self.on_damaged_frame

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take bytes from the host."""

    @abstractmethod
    def power_on(self) -> None:
        """Power the module up: flash settings are loaded, and it says what the vendor's says."""

    @abstractmethod
    def reset(self) -> None:
        """Reset the module by its reset pin."""

    @abstractmethod
    def on_frame(self, reception: Reception) -> None:
        """Take a frame from the radio."""

    def on_damaged_frame(self, reception: Reception) -> None:
        """Take a frame that a collision has damaged. Most modules drop it silently."""
        del reception

    def power_off(self) -> None:
        """Cut the power."""
        self.is_powered = False
        self._life += 1
        self.radio.sleep()

    def break_next(
        self,
        kind: str,
        count: int = 1,
        match: bytes = b"",
        delay_us: int = 0,
        replacement: bytes = b"",
    ) -> None:
        """Spoil the next `count` outputs that contain `match`.

        kind: "garbled" (every third byte is altered), "late" (by delay_us; later outputs overtake
        it), "missing", or "replaced". Raises `ValueError` for another kind.
        """
        if kind not in FAULTS:
            raise ValueError(f"a fault is one of {', '.join(FAULTS)}, not {kind}")
        self._faults.append(Fault(kind, count, match, delay_us, replacement))

    def say(self, data: bytes) -> None:
        """Write one output to the host, with the fault that is due."""
        for fault in self._faults:
            if fault.match in data:
                fault.left -= 1
                if fault.left <= 0:
                    self._faults.remove(fault)
                self._spoil(fault, data)
                return
        self._put(data)

    def _spoil(self, fault: Fault, data: bytes) -> None:
        if fault.kind == "late":
            self.later(fault.delay_us, self._put, data)
        elif fault.kind == "garbled":
            self._put(bytes(byte ^ 0x55 if i % 3 == 2 else byte for i, byte in enumerate(data)))
        elif fault.kind == "replaced":
            self._put(fault.replacement)

    def _put(self, data: bytes) -> None:
        if self.write is not None and self.is_powered:
            self.write(data)

    def later(self, delay_us: int, call: Callable[..., object], *arguments: object) -> None:
        """Schedule a call, unless the module is reset or loses power before."""
        self.timeline.after(delay_us, self.in_this_life(call), *arguments)

    def in_this_life(self, call: Callable[..., object]) -> Callable[..., None]:
        """The same call, which does nothing after the next reset or loss of power."""
        life = self._life

        def due(*arguments: object) -> None:
            if self._life == life:
                call(*arguments)

        return due


def number(text: str, low: int, high: int) -> int | None:
    """A decimal number within limits, or None."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    value = int(text)
    return value if low <= value <= high else None
