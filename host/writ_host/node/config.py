"""The config.json of a node's folder, read strictly: every key that an agent uses is checked."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from writ.configfile import CHECKS
from writ.errors import Rejection, UsageError

from .. import files, inet, target, textfile
from ..errors import Malformed, NoNode
from ..textfile import BadText
from . import links, nearkeys

NAME = "config.json"
# The gateway that stands for those which answer on the local network (writ.node.finder)
DISCOVER = "discover"


class BadConfig(Malformed):
    """A config.json with a wrong value."""

    advice = "Correct config.json and run the command again."


def read(folder: Path, *, of_chip: bool = False) -> dict[str, Any]:
    """The configuration in `folder`. Raises `NoNode`, `BadConfig` or `HostError`.

    A key with a typo is refused: "link" for "links" would start a node without its radio.

    of_chip: whether its links may have UARTs and pins, which only a chip can open.
    """
    file = folder / NAME
    try:
        config = textfile.read_json(file)
    except (FileNotFoundError, NotADirectoryError):
        raise NoNode(f"{folder} is not the folder of a node (no {NAME})") from None
    except BadText as error:
        raise BadConfig(str(error), error.advice) from None
    if not isinstance(config, dict):
        raise BadConfig(f"{file}: not an object {{...}}")
    if config.get("oscore"):
        # refuses a file with secrets that other users can read
        files.open_secret(file).close()
    check_values(config, str(file), of_chip=of_chip)
    return config


def check_values(config: dict[str, Any], where: str, *, of_chip: bool = False) -> None:
    """Raise `BadConfig`, which names `where`, for a value that no agent can use, or a typo."""
    try:
        nearkeys.check(config, CHECKS)
    except UsageError as error:
        raise BadConfig(f"{where}: {error}") from None
    for key, (check, expected) in CHECKS.items():
        if key == "links":
            check = partial(links.check, of_chip=of_chip)
        try:
            if key in config:
                # first, since it says more about what is wrong
                _STRICTER.get(key, lambda _: None)(config[key])
                check(config[key])
        except links.BadEntry as error:
            raise BadConfig(f"{where}: {error}") from None
        except (AttributeError, Rejection, TypeError, UsageError, ValueError) as error:
            detail = "" if isinstance(error, Rejection) or not str(error) else f": {error}"
            raise BadConfig(f'{where}: "{key}" is not {expected}{detail}') from None


def check_listen(value: str) -> None:
    """Raises `UsageError` unless `value` is HOST:PORT; port 0 is any free one."""
    target.check_address(value.removesuffix(":0"))


def check_numeric(address: str) -> str:
    """`address` as "host:port". Raises `UsageError` for a host name: a node looks up none."""
    found = target.check_address(address)
    if not inet.is_numeric(found):
        raise UsageError(f"{address!r} has no IP address: a node looks up no host names itself")
    return found


def _check_gateways(value: list[str]) -> None:
    _check_addresses([address for address in value if address != DISCOVER])


def _check_addresses(value: list[str]) -> None:
    if not isinstance(value, list):
        raise TypeError("not a list")
    for address in value:
        found = check_numeric(address)
        if "[" in address and found != address:
            # the agent compares texts
            raise UsageError(f"write {found}")


# What a device does not check: that takes code, and its user finds out when it starts.
_STRICTER: dict[str, Callable[[Any], None]] = {
    "listen": check_listen,
    "gateways": _check_gateways,
    "governors": _check_addresses,
}
