"""Serial ports of this machine, with what is likely to be at each: for every command with a board.

`serial_ports` lists the ports of USB adapters and boards, `choose` finds the one that is meant, and
`open_error` explains why a port cannot be opened.
"""

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from ..errors import HostError, NotReachable

# Vendor and product of USB, and what that is: micropython/ports/esp32 and ports/rp2
# (MICROPY_HW_USB_VID and _PID), espressif/usb-pids, and the vendors' data sheets of UART bridges.
_USB = {
    (0x303A, 0x1001): "ESP32 with USB of its own (C3, C6, S3)",
    (0x303A, 0x4001): "MicroPython on an ESP32-S2 or -S3",
    (0x2E8A, 0x0005): "MicroPython on a Pico (RP2040 or RP2350)",
    (0x10C4, 0xEA60): "UART bridge CP210x, as on many ESP32 boards",
    (0x1A86, 0x7523): "UART bridge CH340, as on many ESP32 boards",
    (0x1A86, 0x55D3): "UART bridge CH343, as on many ESP32 boards",
    (0x1A86, 0x55D4): "UART bridge CH9102, as on many ESP32 boards",
    (0x0403, 0x6001): "UART bridge FT232",
    (0x0403, 0x6015): "UART bridge FT23xX",
}
# A machine has a handful; a broken hub must not fill the screen.
PORTS_MAX = 64

PERMISSION = (
    "On Debian, Ubuntu and Raspberry Pi OS run: sudo usermod -aG dialout $USER; then log out and in"
    " again."
)


class NoPort(NotReachable):
    """There is no serial port with a board, or not the one that was named."""

    advice = (
        "Plug the board in with a USB cable that carries data, not only power. Then run: writ"
        " device list."
    )


class ManyPorts(HostError):
    """Several ports may have the board that is meant."""


class PortInUse(HostError):
    """Another program has opened this port."""

    advice = "Close the other program: a terminal, an editor with a console, or another writ."


class NoPermission(HostError):
    """The user may not open this port."""

    advice = PERMISSION


@dataclass(frozen=True)
class Port:
    """A serial port at USB. path: "/dev/ttyACM0"; usb: "303a:1001"; serial_number: "" for none.

    kind: what is likely to be there, or the name that the device gives itself.
    is_known: whether the USB id is that of a board or of a bridge on boards.
    """

    path: str
    usb: str
    kind: str
    serial_number: str
    is_known: bool


def serial_ports() -> list[Port]:
    """The ports at USB, those that are likely to have a board first."""
    return ports_of(list_ports.comports())


def ports_of(found: Iterable[ListPortInfo]) -> list[Port]:
    """See `serial_ports`; found: what pyserial lists."""
    ports = []
    for info in found:
        # a port that is not at USB, such as ttyS0, is named by the user
        if info.vid is None or info.pid is None:
            continue
        known = _USB.get((info.vid, info.pid))
        kind = known or info.product or info.description or "unknown"
        usb = f"{info.vid:04x}:{info.pid:04x}"
        number = info.serial_number or ""
        ports.append(Port(info.device, usb, kind, number, known is not None))
    return sorted(ports, key=lambda port: (not port.is_known, port.path))[:PORTS_MAX]


def choose(path: str | None, found: Sequence[Port] | None = None) -> str:
    """The path of the port that is meant: `path`, or the one port at which a board may be.

    found: by default those of this machine. Raises NoPort and ManyPorts.
    """
    if path:
        return path
    ports = serial_ports() if found is None else list(found)
    likely = [port for port in ports if port.is_known] or ports
    if not likely:
        raise NoPort("no serial port with a board was found")
    if len(likely) > 1:
        listed = "; ".join(f"{port.path} ({port.kind})" for port in likely)
        raise ManyPorts(f"several boards are there: {listed}", "Choose one of them with --port.")
    return likely[0].path


def open_error(path: str, error: OSError) -> HostError:
    """Why the port at `path` cannot be opened, with what to do next."""
    number = error.errno
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR):
        return NoPort(f"there is no port {path}")
    if number in (errno.EACCES, errno.EPERM):
        return NoPermission(f"this user may not open {path}")
    if number in (errno.EBUSY, errno.EAGAIN):
        return PortInUse(f"another program uses {path}")
    return NoPort(f"{path} cannot be opened: {error.strerror or error}")
