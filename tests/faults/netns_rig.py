"""Network namespaces on one switch: machines with cables, which a test cuts and joins.

Each machine is a namespace with one interface, eth0. One more namespace is the switch: a bridge for
each island, and each machine's cable is plugged into one of them. Nothing leaves the namespaces.
"""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence

PREFIX = "10.77.0."
# An address that no machine has: what is sent there is lost, and its sender is told nothing.
NOBODY = "02:00:00:00:00:01"
# What a poor link is, as far as this kernel knows one.
POOR = (
    "netem delay 20ms 10ms loss 20%",
    "tbf rate 256kbit burst 2kb limit 4kb",
)
_COMMAND_S = 30.0
_networks = itertools.count(1)


class NotPermitted(Exception):
    """This machine, or this user, cannot make network namespaces."""


def _run(*words: str, text: str = "", check: bool = True) -> bool:
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, timeout=_COMMAND_S, check=False
        )
    except FileNotFoundError:
        raise NotPermitted(f"no command {words[0]}") from None
    if done.returncode and check:
        raise NotPermitted(f"{' '.join(words)}: {done.stderr.strip()[-200:]}")
    return not done.returncode


def _sweep(spaces: Sequence[str]) -> Callable[[], None]:
    """Start a process that removes the namespaces when it is told to, or when this one is gone."""
    words = 'cat > /dev/null; for one in "$@"; do ip netns del "$one" 2> /dev/null; done'
    sweeper = subprocess.Popen(
        ["sh", "-c", words, "sh", *spaces], stdin=subprocess.PIPE, start_new_session=True
    )

    def sweep() -> None:
        sweeper.communicate(timeout=_COMMAND_S)

    return sweep


class Network:
    """Machines by name, all on one island at first. Use `with`; raises `NotPermitted`."""

    def __init__(self, machines: Sequence[str]) -> None:
        self.machines = tuple(machines)
        self._tag = f"writ-{os.getpid()}-{next(_networks)}"
        self._muted: set[tuple[str, str]] = set()
        self._poor = ""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Network":
        if os.name != "posix" or os.geteuid():
            raise NotPermitted("only root may")
        _run("ip", "-V")
        spaces = [self._space(name) for name in ("switch", *self.machines)]
        with contextlib.ExitStack() as stack:
            stack.callback(_sweep(spaces))
            for space in spaces:
                _run("ip", "netns", "add", space)
            islands = range(len(self.machines))
            lines = [f"link add isle{i} type bridge forward_delay 0" for i in islands]
            self._ip("switch", *lines, *(f"link set isle{i} up" for i in islands))
            for number, name in enumerate(self.machines):
                self._plug_in(number, name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _plug_in(self, number: int, name: str) -> None:
        port, space = f"p{number}", self._space("switch")
        lines = [
            "link set lo up",
            f"link add eth0 type veth peer name {port} netns {space}",
            f"address add {self.address(name)}/24 dev eth0",
            "link set eth0 up",
        ]
        self._ip(name, *lines)
        self._ip("switch", f"link set {port} master isle0", f"link set {port} up")

    def _space(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _ip(self, name: str, *lines: str, check: bool = True) -> None:
        force = () if check else ("-force",)
        _run(
            "ip", "-n", self._space(name), *force, "-batch", "-", text="\n".join(lines), check=check
        )

    # --- machines ---------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        """Its IPv4 address."""
        return f"{PREFIX}{self.machines.index(name) + 1}"

    def on(self, name: str) -> list[str]:
        """The words before a command that is to run there; its process id stays the same."""
        return ["ip", "netns", "exec", self._space(name)]

    # --- faults -----------------------------------------------------------------------------------

    def split(self, *islands: Iterable[str]) -> None:
        """These groups hear only themselves; who is in none of them hears nobody."""
        placed = {name: number for number, group in enumerate(islands) for name in group}
        alone = itertools.count(len(islands))
        lines = []
        for number, name in enumerate(self.machines):
            island = placed[name] if name in placed else next(alone)
            lines.append(f"link set p{number} master isle{island}")
        self._ip("switch", *lines)

    def mute(self, name: str, *others: str) -> None:
        """What `name` sends to the others is lost; what they send arrives."""
        self._muted.update((name, other) for other in others)
        self._ip(
            name,
            *(
                f"neigh replace {self.address(one)} lladdr {NOBODY} dev eth0 nud permanent"
                for one in others
            ),
        )

    def unplug(self, name: str) -> None:
        """Take the interface down: whoever sends there is told so by the kernel."""
        self._ip(name, "link set eth0 down")

    def make_poor(self, names: Iterable[str]) -> str:
        """Give these links loss, as far as the kernel can; what they are now, "" for as before."""
        spaces = [self._space(name) for name in names]
        for kind in POOR:
            words = f"qdisc replace dev eth0 root {kind}".split()
            with contextlib.suppress(NotPermitted):
                for space in spaces:
                    _run("tc", "-n", space, *words)
                self._poor = kind
                return kind
        return ""

    def heal(self) -> None:
        """All hear all, on good links."""
        for name in self.machines:
            gone = [
                f"neigh del {self.address(to)} dev eth0" for one, to in self._muted if one == name
            ]
            self._ip(name, *gone, "link set eth0 up", check=False)
            if self._poor:
                words = ("qdisc", "del", "dev", "eth0", "root")
                _run("tc", "-n", self._space(name), *words, check=False)
        self._muted.clear()
        self._poor = ""
        self.split(self.machines)
