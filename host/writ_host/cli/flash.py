"""`writ flash`: MicroPython, the agent and a node's settings onto a new board."""

import hashlib
from pathlib import Path

import click

from .. import files
from ..device import ports, rp2plan
from ..device.board import load_board
from ..device.facts import Board
from ..device.flashplan import FIRMWARE_BYTES_MAX, FlashPlan, check_pin
from ..device.newboard import new_files, node_settings
from ..errors import HostError
from ..scope.folder import ScopeFolder
from .complete import known_boards
from .devicefiles import port_option
from .names import node_name
from .options import scope_option, yes_option
from .output import Output, command

_file = click.Path(dir_okay=False, path_type=Path)


@command()
@click.argument("board", shell_complete=known_boards)
@click.option(
    "--firmware",
    type=_file,
    required=True,
    metavar="FILE",
    help="MicroPython's file for this board: writ board show BOARD names it.",
)
@click.option("--sha256", metavar="HEX", help="Refuse a firmware file with another SHA-256.")
@port_option
@click.option("--name", callback=node_name, help="The node's name.")
@click.option(
    "--config",
    type=_file,
    metavar="FILE",
    help="A config.json for the node, completed by --name, --gateway and the scope's id.",
)
@click.option(
    "--gateway",
    "gateways",
    multiple=True,
    metavar="HOST:PORT",
    help="A gateway where the node looks up names and newer policies; may be repeated.",
)
@click.option("--app", type=_file, metavar="FILE", help="Your program, which becomes /app.py.")
@click.option(
    "--wifi", type=_file, metavar="FILE", help="A wifi.json, with networks and their passwords."
)
@scope_option
@click.option("--erase", is_flag=True, help="Erase the whole flash first.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@click.option(
    "--image",
    type=_file,
    metavar="OUT",
    help="Write one image file for other tools, in the place of a board.",
)
@yes_option
def flash(
    out: Output,
    board: str,
    firmware: Path,
    sha256: str | None,
    port: str | None,
    name: str | None,
    config: Path | None,
    gateways: tuple[str, ...],
    app: Path | None,
    wifi: Path | None,
    scope: Path,
    erase: bool,
    dry_run: bool,
    image: Path | None,
    yes: bool,
) -> None:
    """Write MicroPython, the agent and a node's settings on a board at a serial port.

    A board with an RP2040 or RP2350 takes the UF2 file that --image makes.

    All that the board had is replaced: its programs, and the key and records of its node. The new
    node makes its key at the first start, and asks for membership then.
    """
    kind = load_board(board)
    folder = ScopeFolder.find(scope)
    settings = node_settings(config, name, folder.charter.scope if folder else None, gateways)
    content = files.read_bounded(firmware, FIRMWARE_BYTES_MAX)
    check_pin(content, sha256)
    plan = _plan(kind, content, new_files(kind, settings, app, wifi))
    digest = hashlib.sha256(content).hexdigest()
    _show(out, plan, firmware, digest, settings["name"])
    found = _document(plan, firmware, digest, settings["name"])
    if "oscore" in settings:
        out.warn(
            "config.json has preshared keys: a board that had them before would use AEAD nonces"
            " twice. Give each flash new ones."
        )
    if image is not None:
        _write_image(out, plan, content, image)
    elif not dry_run:
        found |= _write(out, plan, port, erase, yes)
    out.json({**found, "image": image, "written": image is None and not dry_run})


def _plan(board: Board, firmware: bytes, content: dict[str, bytes]) -> FlashPlan:
    if board.chip.family == "rp2":
        return rp2plan.plan_rp2(board, firmware, content)
    if board.chip.family != "esp32":
        raise HostError(
            f"{board.name} has no flash that Writ writes", "See the boards: writ board list."
        )
    # esptool takes a while to import
    from ..device.esp32plan import plan_esp32

    return plan_esp32(board, firmware, content)


def _write_image(out: Output, plan: FlashPlan, firmware: bytes, image: Path) -> None:
    if plan.board.chip.family == "rp2":
        files.write_atomically(image, rp2plan.plan_uf2(plan, firmware))
        out.ok(f"wrote {image}")
        out.note("hold BOOTSEL while you plug the board in, and copy the file to its drive")
    else:
        files.write_atomically(image, plan.image())
        out.ok(f"wrote {image}, for offset 0 of the flash")


def _show(out: Output, plan: FlashPlan, firmware: Path, digest: str, name: str) -> None:
    out.fields(
        {
            "board": f"{plan.board.name}, {plan.board.title}",
            "node": name,
            "firmware": f"{firmware}, MicroPython {plan.version}",
            "SHA-256": digest,
        }
    )
    out.line()
    out.table(
        ("offset", "bytes", "what"),
        [(f"{part.offset:#x}", str(len(part.data)), part.what) for part in plan.parts],
    )
    build = plan.board.firmware
    if build and not build.has_name(firmware.name):
        out.warn(f"{firmware.name} is not named like {build.file}, the build for this board")


def _document(plan: FlashPlan, firmware: Path, digest: str, name: str) -> dict[str, object]:
    return {
        "board": plan.board.name,
        "node": name,
        "firmware": firmware,
        "sha256": digest,
        "micropython": plan.version,
        "flash_bytes": plan.flash_bytes,
        "parts": [
            {
                "offset": part.offset,
                "bytes": len(part.data),
                "what": part.what,
                "sha256": hashlib.sha256(part.data).hexdigest(),
            }
            for part in plan.parts
        ],
        "files": plan.files,
    }


def _write(
    out: Output, plan: FlashPlan, port: str | None, erase: bool, yes: bool
) -> dict[str, object]:
    if plan.board.chip.family == "rp2":
        raise HostError(
            f"{plan.board.name} is written by a UF2 file",
            "Make it with --image OUT.uf2, hold BOOTSEL while you plug the board in, and copy the"
            " file to the board's drive.",
        )
    from ..device.flash_esp32 import write_plan

    path = ports.choose(port)
    out.confirm(
        f"Replace all programs on the board at {path}, and the key of its node if it has one?", yes
    )
    with out.progress("writing", plan.size) as bar:
        done = write_plan(plan, path, erase, bar.advance)
    for warning in done.warnings:
        out.warn(warning)
    out.ok(f"wrote and compared {plan.size} bytes on the {done.chip} at {path}; it starts")
    out.note(f"see its request for membership:  writ device logs --follow --port {path}")
    return {"port": path, "chip": done.chip, "chip_flash_bytes": done.flash_bytes}
