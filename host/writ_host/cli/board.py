"""`writ board`: the boards that Writ knows, and the facts of one."""

from collections.abc import Mapping

import click

from ..device.board import board_names, load_board
from ..device.facts import Battery, Board, Firmware, I2c, Radio, Switch, Uart
from ..device.partitions import Partition
from .complete import known_boards
from .output import Output, command

_KIB = 1024
_MIB = 1024 * 1024


@click.group()
def group() -> None:
    """List the boards, and show pins, flash and firmware of one."""


@command(group, "list")
def list_(out: Output) -> None:
    """List the boards: chip, flash, radio, and MicroPython's build for it."""
    boards = [load_board(name) for name in board_names()]
    rows = [
        (
            board.name,
            board.title,
            board.chip.title if board.chip.family != "host" else board.chip.name,
            size_text(board.flash_bytes),
            board.radio.modem if board.radio else "",
            "yes" if board.wifi else "",
            board.firmware.build if board.firmware else "",
        )
        for board in boards
    ]
    out.table(("name", "board", "chip", "flash", "LoRa", "Wi-Fi", "firmware"), rows)
    out.note("writ board show NAME shows pins and sources.")
    out.json([board_document(board) for board in boards])


@command(group)
@click.argument("name", shell_complete=known_boards)
def show(out: Output, name: str) -> None:
    """Show a board: flash, firmware, pins, and the documents that they come from."""
    board = load_board(name)
    out.fields({**_fields(board), **_firmware_fields(board.firmware)})
    if board.partitions:
        out.line()
        out.table(
            ("partition", "kind", "subtype", "offset", "size"),
            [_partition_row(part) for part in board.partitions],
        )
    out.line()
    for note in board.notes:
        out.line(f"- {note}")
    if board.notes:
        out.line()
    out.table(
        ("source", "of", "URL"),
        [(source.title, source.facts, source.url) for source in board.sources],
    )
    out.json(board_document(board))


def _fields(board: Board) -> dict[str, object]:
    """What is known of the board, by label; None for what is not."""
    return {
        "name": board.name,
        "board": board.title,
        "chip": board.chip.title,
        "Wi-Fi": "yes" if board.wifi else None,
        "flash": size_text(board.flash_bytes) or None,
        "PSRAM": size_text(board.psram_bytes) or None,
        "heap": size_text(board.heap_bytes) or None,
        "LED": _switch_text(board.led),
        "button": _switch_text(board.button),
        "UART": _uart_text(board.uart),
        "I2C": _i2c_text(board.i2c),
        "LoRa": _radio_text(board.radio),
        "battery": _battery_text(board.battery),
        "other pins": pins_text(board.pins) or None,
    }


def _switch_text(switch: Switch | None) -> str | None:
    if switch is None:
        return None
    pin = f"GPIO {switch.pin}" if isinstance(switch.pin, int) else switch.pin
    return f"{pin}, active low" if switch.active_low else pin


def _uart_text(uart: Uart | None) -> str | None:
    if uart is None:
        return None
    pins = {name: pin for name, pin in (("tx", uart.tx), ("rx", uart.rx)) if pin is not None}
    return f"{uart.port}: {pins_text(pins)}"


def _i2c_text(bus: I2c | None) -> str | None:
    return f"{bus.number}: {pins_text({'sda': bus.sda, 'scl': bus.scl})}" if bus else None


def _radio_text(radio: Radio | None) -> str | None:
    if radio is None:
        return None
    pins = {name: pin for name, pin in radio.wires.items() if name not in ("spi", "tcxo_mv")}
    text = f"{radio.modem} at SPI {radio.wires['spi']}: {pins_text(pins)}"
    if "tcxo_mv" in radio.wires:
        text += f"; oscillator {radio.wires['tcxo_mv']} mV"
    if radio.khz_min and radio.khz_max:
        text += f"; {radio.khz_min / 1000:g} to {radio.khz_max / 1000:g} MHz"
    return text


def _battery_text(battery: Battery | None) -> str | None:
    if battery is None:
        return None
    text = f"GPIO {battery.pin}, times {battery.permille / 1000:g}"
    if battery.enable is None:
        return text
    return f"{text}, while GPIO {battery.enable} is {'low' if battery.enable_low else 'high'}"


def _firmware_fields(firmware: Firmware | None) -> dict[str, object]:
    if firmware is None:
        return {}
    return {
        "firmware": f"MicroPython {firmware.build}, {firmware.version_min} or newer",
        "file": firmware.file,
        "download": firmware.page,
        "ROMFS": "mounted" if firmware.has_romfs else "not in this build",
    }


def _partition_row(part: Partition) -> tuple[str, str, str, str, str]:
    return part.label, part.kind, part.subtype, f"{part.offset:#x}", size_text(part.size)


def pins_text(pins: Mapping[str, int]) -> str:
    """Named pins as text: "tx 17, rx 16"."""
    return ", ".join(f"{name} {pin}" for name, pin in pins.items())


def size_text(size: int) -> str:
    """Bytes as "4 MiB" or "848 KiB", "" for 0."""
    if size and size % _MIB == 0:
        return f"{size // _MIB} MiB"
    return f"{size // _KIB} KiB" if size else ""


def board_document(board: Board) -> dict[str, object]:
    """The board as --json prints it: all facts, with the chip's name alone."""
    return {**vars(board), "chip": board.chip.name}
