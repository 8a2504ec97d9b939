"""Names that people type, for nodes, governors and scopes: stricter than the wire format.

A device accepts every name of the wire format (`writ.authority.capsule.check_name`). New names must
also be clear on a command line: a name is no word of it, and no node id.
"""

import re

from writ.authority.capsule import NODE_ID_BYTES, check_name
from writ.errors import Rejection
from writ.limits import NAME_BYTES_MAX

# Commands, and words that arguments and policies use in place of a name.
RESERVED = frozenset(
    """all any here local none act add admit approve backup beacon book capsule ceremony
    certify change check clean completion create demo deny diff found get governor identity
    init inspect list log member node observe pending ping policy post put rebase refresh
    remove rename request restore revoke roster run scope show sign status succeed use""".split()  # noqa: SIM905
)
RULE = f"a name begins with a letter and has 1 to {NAME_BYTES_MAX} of a-z, 0-9, '-', '_' and '.'"
_NODE_ID = re.compile(f"[0-9a-f]{{{2 * NODE_ID_BYTES}}}")


def name_problem(name: object) -> str:
    """What is wrong with a new name, as the end of a sentence; "" for a good one."""
    try:
        text = str(check_name(name))
    except Rejection:
        return f"is not a valid name: {RULE}"
    if text in RESERVED:
        return "is a word of the command line: choose another name"
    if _NODE_ID.fullmatch(text):
        return "has the form of a node id: choose another name"
    return ""
