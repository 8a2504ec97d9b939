"""The command line `writ`: it parses, calls and prints. The logic is in the other packages.

Each file of commands is one noun (or a few verbs). It is imported only when its command runs, so
that `writ --help` and shell completion stay fast.
"""

from .lazy import Main

_SECTIONS = {
    "Authority": {
        "scope": ("scope:group", "Found a scope, show it, certify a beacon."),
        "governor": ("governor:group", "Run a governor, approve and deny proposals."),
        "ceremony": ("ceremony:group", "Found and certify without a network between governors."),
        "policy": ("policy:group", "Check, compare, certify, clean up and show the policy."),
        "member": ("member:group", "Request membership, admit, list, show, revoke and restore."),
        "capsule": ("capsule:group", "Explain a capsule byte by byte."),
    },
    "Nodes": {
        "book": ("book:group", "Show and change address books: where members are."),
        "node": ("node:group", "Run this machine as a node."),
        "bridge": ("bridge:group", "Publish readings at an MQTT broker, for Home Assistant."),
        "discover": ("discover:discover", "List the nodes that answer on the local network."),
        "get": ("call:get", "Read a resource of a node."),
        "put": ("call:put", "Write a resource of a node."),
        "post": ("call:post", "Post to a resource of a node."),
        "act": ("act:act", "Have a node carry out a command that operators must approve."),
        "observe": ("call:observe", "Observe a resource of a node, and print each new value."),
        "ping": ("health:ping", "Measure how fast a node answers, and show its policy epoch."),
        "status": ("health:status", "Show the status of a node, or of all members."),
    },
    "Boards": {
        "board": ("board:group", "List the boards, and show pins, flash and firmware of one."),
        "flash": (
            "flash:flash",
            "Write MicroPython, the agent and a node's settings on a new board.",
        ),
        "device": (
            "device:group",
            "Deploy to a board at a serial port, read its log and files, reset it.",
        ),
    },
    "Help": {
        "demo": (
            "..demo.command:demo",
            "Run a scope on this machine, and prove what it does.",
        ),
        "use": ("use:use", "Choose the scope, node and governor that commands use by default."),
        "completion": ("completion:completion", "Print shell completion for bash, zsh or fish."),
    },
}

_EPILOG = """\
\b
Exit codes:
  0    success
  1    refused or failed
  2    wrong usage
  3    not reachable, or timed out
  4    needs a person: for a passphrase, a confirmation or an approval
  5    a bug in writ
  130  interrupted

Every command but completion has --json. Environment variables set defaults: WRIT_SCOPE, WRIT_NODE,
WRIT_GOVERNOR, WRIT_PASSPHRASE_FILE, WRIT_KEY_FILE. So does writ use, without them.
"""

main = Main(
    name="writ",
    package=__name__,
    sections=_SECTIONS,
    help="Authority for field devices: policy that travels with the traffic.",
    epilog=_EPILOG,
)
