"""The target of a call: NAME/PATH, or coap://HOST:PORT/PATH for any node at that address."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from writ.authority.capsule import check_name
from writ.errors import Rejection, UsageError
from writ.limits import PATH_BYTES_MAX

from . import inet

# RFC 1123, section 2.1: labels of at most 63 characters; an underscore occurs in local networks.
_HOST_CHARS_MAX = 253
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)


@dataclass(frozen=True)
class Target:
    """name: the member that must answer; None for any node at `address` ("host:port")."""

    name: str | None
    address: str | None
    path: str = ""
    query: tuple[str, ...] = ()

    def __str__(self) -> str:
        query = "?" + "&".join(self.query) if self.query else ""
        place = self.name if self.name is not None else f"coap://{self.address}"
        return f"{place}/{self.path}{query}" if self.path else str(place)


def parse(text: str, with_path: bool = True) -> Target:
    """The target that `text` names. Raises `UsageError`."""
    if "://" in text:
        target = _parse_uri(text)
    else:
        place, _, rest = text.partition("/")
        path, _, query = rest.partition("?")
        target = Target(_name(place, text), None, path, _query(query))
    if with_path and not target.path:
        raise UsageError(
            f"{text}: no resource is named; write NODE/PATH, such as {text.rstrip('/')}/temp"
        )
    if not with_path and target.path:
        raise UsageError(f"{text}: give a node without a path")
    if len(target.path.encode()) > PATH_BYTES_MAX:
        raise UsageError(f"{text}: a path has at most {PATH_BYTES_MAX} bytes")
    return target


def _parse_uri(text: str) -> Target:
    # RFC 7252, section 6.4
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise UsageError(f"{text}: {error}") from None
    if parts.scheme != "coap":
        raise UsageError(f"{text}: only coap:// addresses are supported")
    # the zone of a link-local address (RFC 6874, section 2)
    address = check_address(parts.netloc.replace("%25", "%"))
    query = tuple(unquote(item) for item in parts.query.split("&") if item)
    return Target(None, address, unquote(parts.path).strip("/"), query)


def check_address(text: str) -> str:
    """`text` as "host:port", by default with the CoAP port. Raises `UsageError`.

    An IPv6 address has brackets, here and in the result, which has the form of RFC 5952.
    """
    try:
        host, port = inet.split(text)
    except ValueError:
        host, port = "", 0
    if text.startswith("[") and 0 < port < 65536:
        try:
            return inet.join(str(inet.parse(host)), port)
        except ValueError:
            raise UsageError(f"{text!r} has no IPv6 address in its brackets") from None
    labels = host.removesuffix(".").split(".")
    is_host = len(host) <= _HOST_CHARS_MAX and all(map(_LABEL.fullmatch, labels))
    if not is_host or not 0 < port < 65536:
        raise UsageError(
            f"{text!r} is not HOST or HOST:PORT (IPv4, a name, or IPv6 as in [2001:db8::7]:5683)"
        )
    return f"{host}:{port}"


def _name(place: str, text: str) -> str:
    try:
        return str(check_name(place))
    except Rejection:
        is_address = ":" in place or place.replace(".", "").isdigit()
        hint = f"; for an address write coap://{text}" if is_address else ""
        raise UsageError(f"{text}: {place!r} is not a valid name of a node{hint}") from None


def _query(text: str) -> tuple[str, ...]:
    return tuple(item for item in text.split("&") if item)
