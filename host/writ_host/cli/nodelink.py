"""`writ node link`: the serial lines and LoRa modems of a node, in its config.json."""

import re
from pathlib import Path
from typing import Any

import click

from writ.limits import SLEEP_S_MAX

from ..node import config as nodeconfig
from ..node import links, provision
from . import complete
from .options import node_argument
from .output import Output, command


class _Frequency(click.IntRange):
    """A frequency in kHz; the error for one in MHz says what it is in kHz."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number of kHz."""
        if isinstance(value, str) and re.fullmatch(r"[0-9]{3}(\.[0-9]{1,3})?", value):
            self.fail(
                f"{value} is not in kHz. For {value} MHz: {round(1000 * float(value))}", param, ctx
            )
        return super().convert(value, param, ctx)


# What the modems tune to: 150 to 960 MHz (SX1262 data sheet), of which a modem has a part
_FREQUENCY_KHZ = _Frequency(150_000, 960_000)


@command(name="link")
@node_argument
@click.option(
    "--lora",
    "loras",
    multiple=True,
    metavar="MODEM:PORT",
    shell_complete=complete.modem_names,
    help=f"A LoRa modem: {', '.join(links.MODEMS)}. PORT is /dev/ttyUSB0, or on a chip the number"
    " of a UART.",
)
@click.option(
    "--serial", "serials", multiple=True, metavar="PORT", help="A serial line to another node."
)
@click.option(
    "--frequency",
    "frequency_khz",
    type=_FREQUENCY_KHZ,
    metavar="KHZ",
    help="Center of the channel: 869525 for 869.525 MHz.",
)
@click.option(
    "--spreading-factor",
    type=int,
    default=7,
    show_default=True,
    metavar="7..12",
    help="One more: a greater reach, and nearly twice the airtime.",
)
@click.option(
    "--bandwidth",
    "bandwidth_khz",
    type=int,
    default=125,
    show_default=True,
    metavar="KHZ",
    help="125, 250 or 500.",
)
@click.option(
    "--coding-rate", type=int, default=5, show_default=True, metavar="5..8", help="5 is 4/5."
)
@click.option("--power", "power_dbm", type=int, default=14, show_default=True, metavar="DBM")
@click.option("--baud", type=int, help="Of the serial ports. Default: 115200; e22: 9600.")
@click.option(
    "--pin", "pins", multiple=True, metavar="NAME=NUMBER", help="On a chip: tx=17, rx=18, ..."
)
@click.option(
    "--mesh-gateway/--no-mesh-gateway",
    default=None,
    help="Whether others reach hosts on IP by this node.",
)
@click.option(
    "--sleep",
    "sleep_s",
    type=click.IntRange(0, SLEEP_S_MAX),
    metavar="SECONDS",
    help="The node sleeps between its readings, at most so long (node.sleep).",
)
def link(
    out: Output,
    directory: Path,
    loras: tuple[str, ...],
    serials: tuple[str, ...],
    frequency_khz: int | None,
    baud: int | None,
    pins: tuple[str, ...],
    mesh_gateway: bool | None,
    sleep_s: int | None,
    **settings: int,
) -> None:
    """Set the links without IP of the node in DIR, or show them.

    --lora and --serial replace all links that config.json had; all LoRa modems of a field need the
    same frequency, spreading factor, bandwidth and coding rate. A node that runs takes the change
    when it is started again.
    """
    config = nodeconfig.read(directory, of_chip=True)
    before = dict(config)
    channel = None
    if frequency_khz is not None:
        channel = links.Channel(frequency_khz, **settings)
    more = links.parse_pins(pins) | ({"baud": baud} if baud is not None else {})
    if loras or serials:
        config["links"] = [links.lora_entry(one, channel, more) for one in loras]
        config["links"] += [links.serial_entry(one, more) for one in serials]
    elif channel or more:
        raise click.UsageError("give --lora MODEM:PORT or --serial PORT, too")
    if mesh_gateway is not None:
        config["mesh_gateway"] = mesh_gateway
    if sleep_s is not None:
        config["sleep_s"] = sleep_s
    if config != before:
        provision.write_config(directory, config)
    _show(out, directory, config)


def _show(out: Output, directory: Path, config: dict[str, Any]) -> None:
    entries = config.get("links", [])
    fields: dict[str, object] = {
        f"link {number}": links.describe(entry) for number, entry in enumerate(entries)
    }
    fields["mesh gateway"] = "yes" if config.get("mesh_gateway") else "no"
    if config.get("sleep_s"):
        fields["sleeps"] = f"{config['sleep_s']} s at most"
    out.fields(fields if entries else {"links": "none", **fields})
    problems = [links.port_problem(entry) for entry in entries]
    for problem in filter(None, problems):
        out.warn(problem)
    if entries:
        out.note(f"frames need routes in the policy:  writ policy check --node {directory}")
    out.json(
        {
            "links": entries,
            "mesh_gateway": bool(config.get("mesh_gateway")),
            "sleep_s": config.get("sleep_s", 0),
            "problems": [problem or None for problem in problems],
        }
    )
