"""Names that people type, for nodes, governors and scopes: stricter than the wire format.

A device accepts every name of the wire format (`writ.authority.capsule.check_name`). New names must
also be clear on a command line: a name is no word of it, and no node id.
"""

import re

from writ.authority.capsule import NODE_ID_BYTES, check_name
from writ.errors import Rejection
from writ.limits import NAME_BYTES_MAX

# Commands, the program itself, and words that arguments and policies use in place of a name.
RESERVED = frozenset(
    """act add admit all any approve backup beacon board book bridge capsule ceremony certify
    change check clean completion config create deliver demo deny deploy device diff discover
    files flash found get governor help here identity init inspect link list local log logs
    member node none observe pending ping policy post put rebase refresh remove rename
    request reset restore revoke rm roster run scope set shell show sign status succeed unset
    use version writ""".split()  # noqa: SIM905
)
# Names that resolvers of the system answer by themselves, without a question to the network, and
# endings of such names (RFC 6761 and 6762, nss-myhostname, /etc/hosts of Debian and macOS).
RESOLVED = frozenset("broadcasthost ip6-localhost ip6-loopback ip6-allnodes ip6-allrouters".split())  # noqa: SIM905
RESOLVED_ENDINGS = frozenset("internal invalid local localdomain localhost onion".split())  # noqa: SIM905
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
    if text in RESOLVED or text.rstrip(".").rpartition(".")[2] in RESOLVED_ENDINGS:
        return "is a name that resolvers treat specially: choose another name"
    if _NODE_ID.fullmatch(text):
        return "has the form of a node id: choose another name"
    return ""
