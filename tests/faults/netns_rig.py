"""Machines on one switch, as network namespaces, whose cables a test can cut and join.

Each machine is a namespace with one interface, eth0. One more namespace is the switch. It has a
bridge for each island, and each machine's cable is plugged into one bridge. No packet leaves the
namespaces.
"""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence

import reaper

PREFIX = "10.77.0."
# A MAC address that no machine has: packets to it are lost without an error for the sender.
UNUSED_MAC = "02:00:00:00:00:01"
# Queueing disciplines of a lossy link; the first that this kernel has is used.
LOSSY = (
    "netem delay 20ms 10ms loss 20%",
    "tbf rate 256kbit burst 2kb limit 4kb",
)
_COMMAND_S = 30.0
_networks = itertools.count(1)


class NotPermitted(Exception):
    """This machine or this user cannot create network namespaces."""


def _run(*command: str, text: str = "", check: bool = True) -> bool:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_COMMAND_S, check=False
        )
    except FileNotFoundError:
        raise NotPermitted(f"no command {command[0]}") from None
    if done.returncode and check:
        raise NotPermitted(f"{' '.join(command)}: {done.stderr.strip()[-200:]}")
    return not done.returncode


# An IPv6 address is of use at once, not after seconds in which its uniqueness is checked (RFC 4862,
# section 5.4); nothing where the kernel has no IPv6
_NO_DAD = "echo 0 2> /dev/null > /proc/sys/net/ipv6/conf/default/accept_dad || true"


def _sweep(spaces: Sequence[str]) -> Callable[[], None]:
    """Start a process that removes the namespaces on request, or when this process ends."""
    command = 'cat > /dev/null; for one in "$@"; do ip netns del "$one" 2> /dev/null; done'
    sweeper = subprocess.Popen(
        ["sh", "-c", command, "sh", *spaces],
        env=reaper.clean_environment(),
        stdin=subprocess.PIPE,
        start_new_session=True,
    )

    def sweep() -> None:
        sweeper.communicate(timeout=_COMMAND_S)

    return sweep


class Network:
    """Machines by name, at first on one island. Use `with`, which raises `NotPermitted`."""

    def __init__(self, machines: Sequence[str]) -> None:
        self.machines = tuple(machines)
        self._tag = f"writ-{os.getpid()}-{next(_networks)}"
        self._lossy = ""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Network":
        if os.name != "posix" or os.geteuid():
            raise NotPermitted("only root may create them")
        _run("ip", "-V")
        spaces = [self._space(name) for name in ("switch", *self.machines)]
        with contextlib.ExitStack() as stack:
            stack.callback(_sweep(spaces))
            for space in spaces:
                _run("ip", "netns", "add", space)
                _run("ip", "netns", "exec", space, "sh", "-c", _NO_DAD)
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

    def _ip(self, name: str, *lines: str) -> None:
        _run("ip", "-n", self._space(name), "-batch", "-", text="\n".join(lines))

    # --- machines ---------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        """The IPv4 address of a machine."""
        return f"{PREFIX}{self.machines.index(name) + 1}"

    def ip(self, name: str, *lines: str) -> None:
        """Run commands of `ip` on a machine, such as "address add 10.77.0.9/24 dev eth0"."""
        self._ip(name, *lines)

    def connect(self, one: str, other: str, prefix: str) -> None:
        """A cable between two machines, as eth1: addresses PREFIX.1 and PREFIX.2."""
        space = self._space(other)
        self._ip(
            one,
            f"link add eth1 type veth peer name eth1 netns {space}",
            f"address add {prefix}.1/24 dev eth1",
            "link set eth1 up",
        )
        self._ip(other, f"address add {prefix}.2/24 dev eth1", "link set eth1 up")

    def on(self, name: str) -> list[str]:
        """The prefix that runs a command on a machine; the process id stays the same."""
        return ["ip", "netns", "exec", self._space(name)]

    # --- faults -----------------------------------------------------------------------------------

    def split(self, *islands: Iterable[str]) -> None:
        """Let each group reach only itself; a machine in no group is alone."""
        placed = {name: number for number, group in enumerate(islands) for name in group}
        alone = itertools.count(len(islands))
        lines = []
        for number, name in enumerate(self.machines):
            island = placed[name] if name in placed else next(alone)
            lines.append(f"link set p{number} master isle{island}")
        self._ip("switch", *lines)

    def mute(self, name: str, *others: str) -> None:
        """Lose what `name` sends to the others; what they send still arrives."""
        self._ip(
            name,
            *(
                f"neigh replace {self.address(one)} lladdr {UNUSED_MAC} dev eth0 nud permanent"
                for one in others
            ),
        )

    def unplug(self, name: str) -> None:
        """Take the interface of `name` down; the kernel reports errors to senders on it."""
        self._ip(name, "link set eth0 down")

    def make_lossy(self, names: Iterable[str]) -> str:
        """Make these links lossy; the discipline used, "" if the kernel has none."""
        spaces = [self._space(name) for name in names]
        for kind in LOSSY:
            command = f"qdisc replace dev eth0 root {kind}".split()
            with contextlib.suppress(NotPermitted):
                for space in spaces:
                    _run("tc", "-n", space, *command)
                self._lossy = kind
                return kind
        return ""

    def heal(self) -> None:
        """Let all machines reach each other again, on good links."""
        for name in self.machines:
            # an interface that went down has forgotten its neighbours: `neigh del` would fail, and
            # end the batch
            self._ip(name, "link set eth0 up", "neigh flush dev eth0 nud permanent")
            if self._lossy:
                command = ("qdisc", "del", "dev", "eth0", "root")
                _run("tc", "-n", self._space(name), *command, check=False)
        self._lossy = ""
        self.split(self.machines)
