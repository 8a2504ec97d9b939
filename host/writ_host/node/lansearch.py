"""The search for nodes on the local network, for commands (RFC 7252, section 8; docs/wire.md).

What answers is unverified: anyone on the network may claim any scope and any node id. A handshake
shows who it is.
"""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from writ.errors import Rejection
from writ.node.context import CORE
from writ.node.finder import GROUPS
from writ.wire import coap
from writ.wire.coap import Message

from .. import inet
from .udplink import HostUdpLink

# Longer than the leisure of an answer (RFC 7252, section 4.8: DEFAULT_LEISURE is 5 s).
SEARCH_S = 6.0
# Multicast is lost more often than other datagrams: the request is repeated.
_REPEAT_S = 0.5
# A flood of answers must not fill the memory.
_FOUND_MAX = 1024
_LINK = re.compile(r'</writ>((?:;[a-z]+="[^"]*")*)(?:,|$)')
_ATTRIBUTE = re.compile(r';([a-z]+)="([^"]*)"')
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Found:
    """An answer. address: "host:port"; scope, node_id: as claimed, 16 hex digits or None."""

    address: str
    scope: str | None
    node_id: str | None


def search(
    timeout_s: float = SEARCH_S,
    scope: str | None = None,
    is_enough: Callable[[list[Found]], bool] = lambda _: False,
) -> list[Found]:
    """The nodes that answer within `timeout_s`, by address; of one scope (hex) if that is given.

    is_enough: ends the search early. Raises `OSError`.
    """
    token, found = secrets.token_bytes(8), dict[str, Found]()
    link = HostUdpLink(inet.any_address())
    try:
        now_s = time.monotonic()
        end_s, repeats_s = now_s + timeout_s, [now_s, now_s + _REPEAT_S]
        while now_s < end_s and len(found) < _FOUND_MAX and not is_enough(list(found.values())):
            if repeats_s and now_s >= repeats_s[0]:
                del repeats_s[0]
                _ask(link, token, scope)
            until_s = min(repeats_s[0], end_s) if repeats_s else end_s
            received = link.receive(max(1, int(1000 * (until_s - now_s))))
            if received and (one := _read(*received, token)):
                found[one.address] = one
            now_s = time.monotonic()
    finally:
        link.close()
    return [found[address] for address in sorted(found)]


def _ask(link: HostUdpLink, token: bytes, scope: str | None) -> None:
    mid = int.from_bytes(secrets.token_bytes(2), "big")
    message = Message(coap.NON, coap.GET, mid, token)
    message.add_path(CORE)
    message.add(coap.URI_QUERY, f"scope={scope}" if scope else "rt=writ")
    for group in GROUPS:
        link.send(group, message.encode())


def _read(datagram: bytes, address: str, token: bytes) -> Found | None:
    try:
        message = coap.decode(datagram)
        if message.type != coap.NON or message.code != coap.CONTENT or message.token != token:
            return None
        link = _LINK.search(message.payload.decode("ascii"))
    except (Rejection, UnicodeDecodeError):
        return None
    if link is None:
        return None
    attributes = dict(_ATTRIBUTE.findall(link[1]))
    if "writ" not in attributes.get("rt", "").split(" "):
        return None
    scope, node_id = (attributes.get(name, "") for name in ("scope", "ep"))
    return Found(
        address,
        scope if _ID.fullmatch(scope) else None,
        node_id if _ID.fullmatch(node_id) else None,
    )
