"""The topics of a bridge, all below `writ/SCOPE`, where SCOPE is the scope id in hex.

    writ/SCOPE/NODE/RESOURCE            a reading
    writ/SCOPE/NODE/$state              "online" or "offline"
    writ/SCOPE/NODE/RESOURCE/METHOD     a request; METHOD is get, set (PUT) or post
    writ/SCOPE/capsule/SLOT             a capsule (held.py)

Names of nodes and levels such as `$state` cannot be mistaken for each other: a name begins with a
letter (`writ.authority.capsule.check_name`).
"""

import re

from writ.authority.capsule import check_name
from writ.errors import Rejection
from writ.limits import PATH_BYTES_MAX
from writ.wire import coap

ROOT = "writ"
ONLINE, OFFLINE = "online", "offline"
_STATE, _CHECK = "$state", "$check"
# The last level of a request's topic, and the CoAP method that it means.
METHODS = {"get": coap.GET, "set": coap.PUT, "post": coap.POST}
# Levels of a resource that can be requested: a filter's wildcard stands for one level.
_LEVELS_MAX = 4
# The level that stands in place of a node's name above capsules.
CAPSULE = "capsule"
# The levels of a resource's path: its topic must be no other one, and match no wildcard.
_PATH = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*", re.ASCII)


def reading(scope: bytes, node: str, resource: str) -> str:
    """The topic of a resource's readings."""
    return f"{ROOT}/{scope.hex()}/{node}/{resource}"


def state(scope: bytes, node: str) -> str:
    """The topic that says whether a node is online."""
    return f"{ROOT}/{scope.hex()}/{node}/{_STATE}"


def request(scope: bytes, node: str, resource: str, method: str) -> str:
    """The topic of a request; method: one of METHODS."""
    return f"{reading(scope, node, resource)}/{method}"


def request_filters(scope: bytes) -> list[str]:
    """The filters of all requests: a filter for each method and number of levels."""
    levels = range(2, _LEVELS_MAX + 2)
    return [
        f"{ROOT}/{scope.hex()}/{'+/' * count}{method}" for count in levels for method in METHODS
    ]


def parse_request(scope: bytes, topic: str) -> tuple[str, str, int] | None:
    """(node, resource, CoAP method) of a request's topic; None for another topic."""
    root, _, rest = topic.partition(f"{scope.hex()}/")
    path, _, word = rest.rpartition("/")
    node, _, resource = path.partition("/")
    if root != f"{ROOT}/" or word not in METHODS or not (is_node(node) and is_resource(resource)):
        return None
    return node, resource, METHODS[word]


def is_answer(topic: str, prefix: str) -> bool:
    """Whether an answer may be published at `topic`: below this prefix, without wildcards."""
    return topic.startswith(f"{prefix}/") and topic.isprintable() and not set(topic) & set("+#")


def capsules(scope: bytes) -> str:
    """The beginning of the topics of capsules, to which the slot is added."""
    return f"{ROOT}/{scope.hex()}/{CAPSULE}/"


def check(scope: bytes, node: str) -> str:
    """The topic at which a bridge tries whether it may publish."""
    return f"{ROOT}/{scope.hex()}/{node}/{_CHECK}"


def is_node(text: str) -> bool:
    """Whether `text` is a node's name that topics can have."""
    try:
        check_name(text)
    except Rejection:
        return False
    return text != CAPSULE


def is_resource(text: str) -> bool:
    """Whether `text` is a resource's path that topics can have."""
    return len(text.encode()) <= PATH_BYTES_MAX and bool(_PATH.fullmatch(text))
