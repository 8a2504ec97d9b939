"""The topics of a bridge, all below `writ/SCOPE`, where SCOPE is the scope id in hex.

    writ/SCOPE/NODE/RESOURCE            a reading
    writ/SCOPE/NODE/$state              "online" or "offline"

Names of nodes and levels such as `$state` cannot be mistaken for each other: a name begins with a
letter (`writ.authority.capsule.check_name`).
"""

import re

from writ.authority.capsule import check_name
from writ.errors import Rejection
from writ.limits import PATH_BYTES_MAX

ROOT = "writ"
ONLINE, OFFLINE = "online", "offline"
_STATE, _CHECK = "$state", "$check"
# The last level of a request's topic.
METHODS = ("get", "set", "post")
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
