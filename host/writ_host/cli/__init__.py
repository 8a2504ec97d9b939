"""The command line `writ`: parses, calls and prints. All logic lives one folder up.

Each file here is one noun (or a few verbs) and is imported only when its command is used, so that
`writ --help` and shell completion stay fast.
"""

from .lazy import Main

_SECTIONS = {
    "Authority": {
        "scope": ("scope:group", "Found a scope, look at it, certify a beacon."),
        "governor": ("governor:group", "Run a governor, and decide what needs a person."),
        "ceremony": ("ceremony:group", "Found and certify with governors on separate machines."),
        "policy": ("policy:group", "Check, compare, certify and show the policy."),
        "member": ("member:group", "Ask for membership, admit, list and revoke."),
        "capsule": ("capsule:group", "Explain a capsule byte by byte."),
    },
    "Nodes": {
        "node": ("node:group", "Run this machine as a node."),
        "get": ("call:get", "Read a resource of a node."),
        "put": ("call:put", "Write a resource of a node."),
        "post": ("call:post", "Post to a resource of a node."),
        "observe": ("call:observe", "Follow a resource of a node as it changes."),
        "ping": ("health:ping", "Whether a node answers, how fast, and at which epoch."),
        "status": ("health:status", "How a node, or this one, is doing."),
    },
    "Help": {
        "demo": (
            "..demo.command:demo",
            "A whole scope on this machine, from founding to revocation.",
        ),
        "completion": ("completion:completion", "Completion for bash, zsh or fish."),
    },
}

_EPILOG = """\
\b
Exit codes:
  0    done
  1    refused, or failed
  2    wrong usage
  3    not reachable, or timed out
  4    needs a person: a passphrase, a confirmation, a missing approval
  5    a bug in writ
  130  interrupted

Every command takes --json. Defaults come from the environment: WRIT_SCOPE, WRIT_NODE,
WRIT_GOVERNOR, WRIT_PASSPHRASE_FILE, WRIT_KEY_FILE.
"""

main = Main(
    name="writ",
    package=__name__,
    sections=_SECTIONS,
    help="Authority for field devices: policy that travels with the traffic.",
    epilog=_EPILOG,
)
