"""The bridge.toml of a bridge's folder, read strictly: what is published, where, and how.

A file names a broker and the readings; everything else has a default (docs/bridge.md).
"""

from dataclasses import dataclass, field
from pathlib import Path

from writ.errors import UsageError

from .. import files, textfile
from ..errors import HostError
from ..policy.strict_toml import PolicyError, Source, Table, listing, read_toml, suggestion
from ..target import check_address
from . import topics
from .mapping import PLATFORMS, Mapping, default

NAME = "bridge.toml"
# Each resource is one call under way at most, and one entity in Home Assistant.
READINGS_MAX = 1024
DAY_S = 86400
_PORT, _PORT_TLS = 1883, 8883
_PASSWORD_BYTES_MAX = 4096
_ADVICE = "Correct the file and run the command again; docs/bridge.md has an example."


class BadSettings(HostError):
    """A bridge.toml that a bridge cannot run with. `str(error)` begins with file and line."""

    advice = _ADVICE


@dataclass(frozen=True)
class BrokerSettings:
    """Where the broker is. ca: PEM file, None for the system's; password_file: None for none."""

    host: str
    port: int
    tls: bool = True
    ca: Path | None = None
    password_file: Path | None = None
    keep_alive_s: int = 60

    def credentials(self) -> tuple[str, str] | None:
        """(username, password): the first two lines of the password file.

        Raises `HostError` if other users can read it, or if it lacks a line.
        """
        if self.password_file is None:
            return None
        with files.naming(self.password_file):
            data = files.read_bounded(self.password_file, _PASSWORD_BYTES_MAX, is_secret=True)
        try:
            lines = data.decode().splitlines()
        except UnicodeDecodeError:
            lines = []
        if len(lines) < 2 or not lines[0]:
            raise HostError(
                f"{self.password_file} does not have two lines of text",
                "Write the username in its first line, the password in its second.",
            )
        return lines[0], lines[1]


@dataclass(frozen=True)
class Reading:
    """One resource to read. every_s: period of the requests; observe: by notifications instead."""

    node: str
    resource: str
    every_s: int
    observe: bool
    mapping: Mapping

    @property
    def name(self) -> str:
        """NODE/RESOURCE."""
        return f"{self.node}/{self.resource}"


@dataclass(frozen=True)
class SpoolSettings:
    """How much waits for the broker at most: bytes, and age of a reading."""

    bytes_max: int = 16 << 20
    age_max_s: int = 7 * DAY_S


@dataclass(frozen=True)
class RequestSettings:
    """Requests from MQTT. response_prefix: below it answers are published; methods: of topics.

    per_minute: requests at one topic; all topics together have four times as many.
    """

    response_prefix: str = "writ-response"
    methods: tuple[str, ...] = tuple(topics.METHODS)
    per_minute: int = 60


@dataclass(frozen=True)
class Settings:
    """A checked bridge.toml. discovery: prefix of Home Assistant's topics, "" for none.

    requests: None where requests from MQTT are not accepted. capsules: whether capsules are
    carried; members: those of members, too.
    """

    path: Path
    broker: BrokerSettings
    readings: tuple[Reading, ...] = ()
    discovery: str = "homeassistant"
    retain: bool = True
    metrics: str | None = None
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    requests: RequestSettings | None = None
    capsules: bool = True
    members: bool = True

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes that are read, each once."""
        return tuple(dict.fromkeys(one.node for one in self.readings))


def read(path: Path) -> Settings:
    """The settings in the file at `path`. Raises `BadSettings`."""
    try:
        return _read(path)
    except FileNotFoundError:
        raise BadSettings(f"there is no {path}", f"Write it: {_ADVICE.split('; ')[1]}") from None
    except PolicyError as error:
        advice = error.advice if error.advice != PolicyError.advice else _ADVICE
        raise BadSettings(str(error), advice) from None
    except textfile.BadText as error:
        raise BadSettings(str(error), error.advice) from None


def _read(path: Path) -> Settings:
    source, values = read_toml(textfile.read(path), str(path))
    tables = ("broker", "publish", "reading", "spool", "requests", "capsules", "metrics")
    root = Table(source, values, tables)
    capsules = root.table("capsules", ("carry", "members"))
    publish = root.table("publish", ("discovery", "retain", "every_s"))
    discovery = _prefix(publish, "discovery", "homeassistant")
    every_s = _seconds(publish, "every_s", 60)
    spool = root.table("spool", ("bytes_max", "age_max_s"))
    return Settings(
        path=path,
        broker=_broker(root, source, path.parent),
        readings=_readings(root, every_s),
        requests=_requests(root, discovery),
        discovery=discovery,
        retain=_flag(publish, "retain"),
        capsules=_flag(capsules, "carry"),
        members=_flag(capsules, "members"),
        metrics=_metrics(root),
        spool=SpoolSettings(
            _from(spool, "bytes_max", 1 << 20, 1 << 40, SpoolSettings.bytes_max),
            _from(spool, "age_max_s", 60, 3650 * DAY_S, SpoolSettings.age_max_s),
        ),
    )


def _broker(root: Table, source: Source, folder: Path) -> BrokerSettings:
    if not root.has("broker"):
        raise root.error("", "there is no [broker]", 'Add: [broker] and below it host = "..."')
    keys = ("host", "port", "tls", "ca", "password_file", "keep_alive_s")
    table = root.table("broker", keys)
    host = table.text("host")
    tls = _flag(table, "tls")
    port = _from(table, "port", 1, 65535, _PORT_TLS if tls else _PORT)
    if not host or not host.isascii() or not host.isprintable() or " " in host or "/" in host:
        advice = 'Write the name or address alone: host = "broker.example.org"'
        raise table.error("host", "'host' is no host name or address", advice)
    if table.has("ca") and not tls:
        raise table.error("ca", "'ca' has no effect without TLS", "Remove it, or set tls = true.")
    return BrokerSettings(
        host,
        port,
        tls,
        _file(table, "ca", folder),
        _file(table, "password_file", folder),
        _from(table, "keep_alive_s", 5, 3600, BrokerSettings.keep_alive_s),
    )


def _file(table: Table, key: str, folder: Path) -> Path | None:
    return folder / table.text(key) if table.has(key) else None


def _metrics(root: Table) -> str | None:
    if not root.has("metrics"):
        return None
    try:
        return check_address(root.text("metrics"))
    except UsageError as error:
        raise root.error("metrics", str(error)) from None


_TEXTS = ("platform", "name", "unit", "device_class", "state_class", "on", "off")
_READING = ("node", "resource", "every_s", "observe", *_TEXTS)


def _readings(root: Table, every_s: int) -> tuple[Reading, ...]:
    found: dict[str, Reading] = {}
    for table in root.tables("reading", _READING, ("metrics",)):
        node = table.text("node")
        if not topics.is_node(node):
            raise table.error("node", f"{node!r} is no name of a node that topics can have")
        resources = table.texts("resource")
        for resource in resources:
            if table.has("name") and len(resources) > 1:
                raise table.error("name", "one 'name' for several resources")
            reading = _reading(table, node, resource, every_s, root.has("requests"))
            if reading.name in found:
                raise table.error("resource", f"{reading.name} is there already")
            found[reading.name] = reading
    if len(found) > READINGS_MAX:
        message = f"{len(found)} resources, more than {READINGS_MAX}"
        raise root.error("reading", message, "Run a second bridge, with a folder of its own.")
    return tuple(found.values())


def _reading(table: Table, node: str, resource: str, every_s: int, has_requests: bool) -> Reading:
    if not topics.is_resource(resource):
        advice = "A path has letters, digits and . _ ~ - between its slashes."
        raise table.error("resource", f"{resource!r} is no path that topics can have", advice)
    if resource.rpartition("/")[2] in topics.METHODS:
        message = f"the topic of {resource!r} would be that of a request"
        advice = f"Read no resource whose path ends with {listing(topics.METHODS, 'or')}."
        raise table.error("resource", message, advice)
    return Reading(
        node,
        resource,
        _seconds(table, "every_s", every_s),
        table.flag("observe"),
        _mapping(table, resource, has_requests),
    )


def _mapping(table: Table, resource: str, has_requests: bool) -> Mapping:
    found = default(resource)
    given = {key: table.text(key) for key in _TEXTS if table.has(key)}
    platform = given.get("platform", found.platform)
    if platform not in PLATFORMS:
        advice = f"{suggestion(platform, PLATFORMS)}Allowed: {listing(PLATFORMS)}."
        raise table.error("platform", f"unknown platform '{platform}'", advice)
    if platform == "switch" and not has_requests:
        advice = "Add a table [requests]: then every client of the broker may make requests."
        raise table.error("platform", "a switch needs requests from MQTT", advice)
    if platform != "sensor":
        found = Mapping(platform)
    for key in given:
        if key not in PLATFORMS[platform]:
            advice = f"Allowed for it: {listing(PLATFORMS[platform])}."
            raise table.error(key, f"'{key}' has no meaning for a {platform}", advice)
    return found.changed(given)


def _requests(root: Table, discovery: str) -> RequestSettings | None:
    if not root.has("requests"):
        return None
    table = root.table("requests", ("response_prefix", "methods", "per_minute"))
    methods = table.texts("methods", RequestSettings.methods)
    for method in methods:
        if method not in topics.METHODS:
            advice = f"Allowed: {listing(topics.METHODS)}."
            raise table.error("methods", f"unknown method '{method}'", advice)
    prefix = _prefix(table, "response_prefix", RequestSettings.response_prefix)
    if not prefix or prefix.split("/")[0] == discovery.split("/")[0]:
        # else a sender could have discovery published
        message = "'response_prefix' must be a prefix of its own"
        raise table.error("response_prefix", message, 'Write response_prefix = "writ-response"')
    per_minute = _from(table, "per_minute", 1, 6000, RequestSettings.per_minute)
    return RequestSettings(prefix, methods, per_minute)


def _prefix(table: Table, key: str, fallback: str) -> str:
    text = table.text(key) if table.has(key) else fallback
    levels = text.split("/")
    if text and not all(topics.is_resource(level) for level in levels):
        raise table.error(key, f"{text!r} is no prefix of topics", f'Write {key} = "{fallback}"')
    if levels[0] == topics.ROOT:
        raise table.error(key, f"'{topics.ROOT}' is the root of the bridge's own topics")
    return text


def _flag(table: Table, key: str) -> bool:
    """A boolean that is true if absent."""
    return table.flag(key) if table.has(key) else True


def _seconds(table: Table, key: str, fallback: int) -> int:
    return _from(table, key, 1, DAY_S, fallback)


def _from(table: Table, key: str, least: int, most: int, fallback: int) -> int:
    value = table.number(key, most, fallback)
    if value < least:
        raise table.error(key, f"'{key}' must be a whole number from {least} to {most}")
    return value
