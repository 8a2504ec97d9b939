"""Commands that change a running scene: cut links, unplug modems, order faults.

One line is one command, `VERB ARGUMENT ...`; the answer is one line, "ok" or "error: ...". A Unix
socket takes them (`python tools/radio tell SOCKET VERB ...`).
"""

import shlex
import socket
from collections.abc import Callable
from pathlib import Path

from radio.modems import E22
from radio.scene import Node, Scene

HELP = {
    "cut": "A B: cut the link between two nodes",
    "mend": "A B: restore the link",
    "loss": "SHARE: lose this share of all frames besides, 0 to 1",
    "move": "A X Y: put a node elsewhere, metres",
    "reset": "A: reset a modem by its reset pin",
    "unplug": "A: remove a modem and its port",
    "replug": "A: plug it in again, as another terminal under the same name",
    "pins": "A M0 M1: set the pins of an E22 to 0 or 1",
    "garbled": "A [COUNT [TEXT]]: alter the next outputs (that contain TEXT)",
    "late": "A MS [COUNT [TEXT]]: delay them",
    "missing": "A [COUNT [TEXT]]: swallow them",
    "replaced": "A NEW [COUNT [TEXT]]: write NEW and CR LF in their place",
}
_LINE_MAX = 1000


class CommandError(Exception):
    """A command that cannot be carried out. The text says why."""


class Control:
    """Carries out commands on a scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        channel = scene.channel
        self._verbs: dict[str, Callable[..., object]] = {
            "cut": channel.cut,
            "mend": channel.mend,
            "loss": self._loss,
            "move": self._move,
            "reset": lambda name: self._node(name).modem.reset(),
            "unplug": lambda name: scene.unplug(self._name(name)),
            "replug": lambda name: scene.plug(self._name(name)),
            "pins": self._pins,
            "garbled": lambda name, *rest: self._fault("garbled", name, rest),
            "late": lambda name, ms, *rest: self._fault("late", name, rest, 1000 * int(ms)),
            "missing": lambda name, *rest: self._fault("missing", name, rest),
            "replaced": lambda name, new, *rest: self._fault("replaced", name, rest, new=new),
        }

    def perform(self, line: str) -> None:
        """Carry out one command. Raises `CommandError`."""
        try:
            verb, *arguments = shlex.split(line) or [""]
        except ValueError as error:
            raise CommandError(str(error)) from error
        if verb not in self._verbs:
            raise CommandError(f"no command {verb!r}; commands are {', '.join(HELP)}")
        try:
            self._verbs[verb](*arguments)
        except TypeError as error:
            raise CommandError(f"{verb} {HELP[verb]}") from error
        except (OSError, ValueError) as error:
            raise CommandError(f"{verb}: {error}") from error

    def _name(self, name: str) -> str:
        if name not in self.scene.nodes:
            raise CommandError(f"no node {name}; nodes are {', '.join(self.scene.nodes)}")
        return name

    def _node(self, name: str) -> Node:
        return self.scene.nodes[self._name(name)]

    def _loss(self, share: str) -> None:
        value = float(share)
        if not 0 <= value <= 1:
            raise ValueError("the share is 0 to 1")
        self.scene.channel.loss = value

    def _move(self, name: str, x: str, y: str) -> None:
        self.scene.channel.move(self._name(name), (float(x), float(y)))

    def _pins(self, name: str, m0: str, m1: str) -> None:
        modem = self._node(name).modem
        if not isinstance(modem, E22):
            raise ValueError(f"{name} is no e22: it has no pins M0 and M1")
        if not {m0, m1} <= {"0", "1"}:
            raise ValueError("a pin is 0 or 1")
        modem.set_pins(int(m0), int(m1))

    def _fault(
        self, kind: str, name: str, rest: tuple[str, ...], delay_us: int = 0, new: str = ""
    ) -> None:
        count, match = (*rest, *("1", "")[len(rest) :])
        self._node(name).modem.break_next(
            kind,
            int(count),
            match.encode(),
            delay_us,
            new.encode() + b"\r\n",
        )


class Server:
    """Takes commands on a Unix socket, in the scene's loop."""

    def __init__(self, control: Control, path: Path) -> None:
        self._control = control
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        self._socket.listen()
        control.scene.loop.watch(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        # One command a connection. A client that is silent for long would stop the channel.
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(1.0)
            try:
                line = connection.recv(_LINE_MAX).decode()
                self._control.perform(line.strip())
                answer = "ok"
            except CommandError as error:
                answer = f"error: {error}"
            except (OSError, UnicodeDecodeError):
                return
            connection.sendall(answer.encode() + b"\n")

    def close(self) -> None:
        """Stop taking commands."""
        self._control.scene.loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)


def tell(path: Path, words: list[str]) -> str:
    """Send one command to a running tool. Returns its answer. Raises `OSError`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.sendall(shlex.join(words).encode() + b"\n")
        return connection.recv(_LINE_MAX + 1000).decode().strip()
