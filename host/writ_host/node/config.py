"""The config.json of a node's folder, read strictly: every key that an agent uses is checked."""

from pathlib import Path
from typing import Any

from writ.authority.capsule import check_name
from writ.errors import Rejection, UsageError
from writ.link.udp import is_numeric
from writ.node.preshared import read_entry

from .. import files, target, textfile
from ..errors import Malformed, NoNode
from ..textfile import BadText

NAME = "config.json"
_SCOPE_BYTES = 8


class BadConfig(Malformed):
    """A config.json with a wrong value."""

    advice = "Correct config.json and run the command again."


def read(folder: Path) -> dict[str, Any]:
    """The configuration in `folder`. Raises `NoNode`, `BadConfig` or `HostError`."""
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
    for key, check in _CHECKS.items():
        try:
            if key in config:
                check(config[key])
        except (AttributeError, Rejection, TypeError, UsageError, ValueError) as error:
            detail = "" if isinstance(error, Rejection) else f": {error}"
            raise BadConfig(f'{file}: "{key}" is not {_EXPECTED[key]}{detail}') from None
    return config


def _check_scope(value: str | None) -> None:
    # None before provisioning
    if value is not None and len(bytes.fromhex(value)) != _SCOPE_BYTES:
        raise ValueError("wrong length")


def check_listen(value: str) -> None:
    """Raises `UsageError` unless `value` is HOST:PORT; port 0 is any free one."""
    target.check_address(value.removesuffix(":0"))


def check_numeric(address: str) -> str:
    """`address` as "host:port". Raises `UsageError` for a host name: a node looks up none."""
    found = target.check_address(address)
    if not is_numeric(found):
        raise UsageError(f"{address!r} has no IPv4 address: a node looks up no host names itself")
    return found


def _check_addresses(value: list[str]) -> None:
    if not isinstance(value, list):
        raise TypeError("not a list")
    for address in value:
        check_numeric(address)


def _check_contexts(value: list[dict[str, str]]) -> None:
    if not isinstance(value, list):
        raise TypeError("not a list")
    for entry in value:
        read_entry(entry)


def _check_days(value: int) -> None:
    if type(value) is not int or value < 0:
        raise ValueError("not a number")


_CHECKS = {
    "name": check_name,
    "scope": _check_scope,
    "listen": check_listen,
    "gateways": _check_addresses,
    "governors": _check_addresses,
    "renew_days": _check_days,
    "oscore": _check_contexts,
}
_EXPECTED = {
    "name": "a name (a letter, then a-z, 0-9, - _ .; 24 at most)",
    "scope": "a scope id (16 hex digits)",
    "listen": "HOST:PORT",
    "gateways": 'a list of "IPV4-ADDRESS:PORT"',
    "governors": 'a list of "IPV4-ADDRESS:PORT"',
    "renew_days": "a number of days, 0 for never",
    "oscore": "a list of preshared contexts (docs/wire.md)",
}
