"""The config.json of a node's folder, and the lock of the folder on CPython.

A part of agent.py in a file of its own, which is unloaded when the config was read.
"""

import json

from . import compat
from .authority.capsule import SCOPE_ID_BYTES, check_name
from .compat import MICROPYTHON, open_private
from .errors import Rejection, UsageError
from .limits import SLEEP_S_MAX
from .link.udp import is_numeric, split


def _check_scope(value):
    # None before provisioning
    if value is not None and len(bytes.fromhex(value)) != SCOPE_ID_BYTES:
        raise ValueError


def _check_address(value):
    if not isinstance(value, str):
        raise TypeError
    # the host name as it is looked up, if that is possible: each label has 1 to 63 bytes (RFC 1035,
    # section 2.3.4); on CPython a name with other letters becomes ASCII, or this raises ValueError
    name = split(value)[0].encode("idna")
    labels = name.split(b".")
    if b"\0" in name or b"" in labels[:-1] or max([len(label) for label in labels]) > 63:
        raise ValueError


def _whole(address):
    return address if address == "discover" else "%s:%d" % split(address)


def _check_gateways(value):
    _check_list(value)
    # the agent looks for gateways itself (node/finder.py)
    _check_addresses([address for address in value if address != "discover"])


def _check_addresses(value):
    _check_list(value)
    for address in value:
        _check_address(address)
        if ":" in split(address)[0]:
            from .link.udp6 import is_numeric as is_numeric6

            if not is_numeric6(address):
                raise ValueError
        elif not is_numeric(address):
            raise ValueError


def _check_list(value):
    if not isinstance(value, list):
        raise TypeError


def _check_contexts(value):
    _check_list(value)
    if value:
        from .node.preshared import read_entry

        for entry in value:
            read_entry(entry)


def _check_links(value):
    _check_list(value)
    if value:
        from .link.links import open_link

        for entry in value:
            # it opens no port yet, and names what is wrong
            open_link(entry)


def _check_flag(value):
    if value is not True and value is not False:
        raise ValueError


def _check_days(value):
    if type(value) is not int or value < 0:
        raise ValueError


def _check_sleep(value):
    if type(value) is not int or not 0 <= value <= SLEEP_S_MAX:
        raise ValueError


_ADDRESSES = 'a list of "IP-ADDRESS:PORT"'
# All fields: (check, what the value must be). A check raises what `check_config` catches. The
# commands of a host check by this table, too
CHECKS = {
    "name": (check_name, "a name (a letter, then a-z, 0-9, - _ .; 24 at most)"),
    "scope": (_check_scope, "a scope id (16 hex digits)"),
    "listen": (_check_address, "HOST:PORT"),
    "gateways": (_check_gateways, _ADDRESSES + ', or "discover"'),
    "governors": (_check_addresses, _ADDRESSES),
    "discoverable": (_check_flag, "true or false"),
    "renew_days": (_check_days, "a number of days, 0 for never"),
    "links": (_check_links, "a list of links (docs/wire.md)"),
    "mesh_gateway": (_check_flag, "true or false"),
    "sleep_s": (_check_sleep, "a number of seconds, at most a day, 0 for never"),
    "oscore": (_check_contexts, "a list of preshared contexts (docs/wire.md)"),
}


def _has_secrets(config):
    return isinstance(config, dict) and config.get("oscore")


def check_config(config):
    """Raise `UsageError`, which names file and field, for a value that no agent can use."""
    if not isinstance(config, dict):
        raise UsageError("config.json is not an object {...}")
    for field in CHECKS:
        check, expected = CHECKS[field]
        try:
            if field in config:
                check(config[field])
        except UsageError as error:
            # of a link, with the name of its field
            raise UsageError("config.json: " + str(error)) from None
        except (Rejection, AttributeError, TypeError, ValueError):
            raise UsageError('config.json: "' + field + '" is not ' + expected) from None


def read_config(directory):
    """(config.json as a dict, the folder's lock or None): see `agent.Node.load`."""
    try:
        with open_private(directory + "/config.json", "r") as handle:
            config = json.load(handle)
            if not MICROPYTHON and _has_secrets(config) and not compat.is_private(handle):
                raise UsageError("other users can read config.json: chmod 600 it")
            check_config(config)
            for field in ("gateways", "governors"):
                if field in config:
                    # with the port, as answers have it
                    config[field] = [_whole(address) for address in config[field]]
    except OSError as error:
        raise UsageError(directory + "/config.json: " + str(error)) from None
    except (RuntimeError, ValueError):
        # the former for one that is nested too deep
        raise UsageError("no JSON: config.json in " + directory) from None
    if MICROPYTHON:
        return config, None
    # two processes on one folder would use AEAD nonces twice
    try:
        return config, compat.lock_folder(directory)
    except BlockingIOError as error:
        raise UsageError(directory + " is in use: " + str(error)) from None
    except OSError as error:
        raise UsageError(directory + "/lock: " + str(error)) from None
