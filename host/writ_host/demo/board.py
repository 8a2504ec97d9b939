"""One node of the testbed: a process that runs boards/unix/main.py, and its console."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from writ.errors import RateLimited
from writ.limits import HANDSHAKE_REFILL_MS

from .. import files
from .process import ANSWER_S, START_S, Event, Process, Program

# The answer of a node whose handshake rate limit is used up.
RATE_LIMITED = f"{RateLimited.code} {RateLimited.__name__}".encode()


class Board(Process):
    """A node's process. address: "host:port" of its socket."""

    def __init__(
        self,
        name: str,
        folder: Path,
        address: str,
        program: Program,
        on_event: Callable[[Process, Event], None] = lambda process, event: None,
    ) -> None:
        super().__init__(name, folder, program, on_event)
        self.address = address

    def configure(self, **settings: Any) -> None:
        """Write these settings into the node's config.json; None removes one."""
        path = self.folder / "config.json"
        self.folder.mkdir(exist_ok=True)
        config = json.loads(path.read_text()) if files.exists(path) else {"name": self.name}
        config.update(settings)
        config = {key: value for key, value in config.items() if value is not None}
        path.write_text(json.dumps(config, indent=2) + "\n")

    def start(self) -> dict[str, Any]:
        """Start the node, and return its start event. Raises `NoAnswer`."""
        mark = self.mark()
        self.launch(str(self.folder), "console")
        return self.wait_for("start", since=mark, timeout_s=START_S)

    def ask(self, line: str, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """Have this node call another one ("get soil/load"), and return the answer's event.

        A request that the other node's handshake rate limit refuses is repeated later.
        """
        verb, target = line.split()[:2]
        until = time.monotonic() + timeout_s
        while True:
            mark = self.mark()
            self.send_line(line)
            answer = self.wait_for("answer", mark, timeout_s, method=verb, target=target)
            if bytes.fromhex(answer.get("raw", "")) != RATE_LIMITED or time.monotonic() > until:
                return answer
            time.sleep(HANDSHAKE_REFILL_MS / 1000)


class HostBoard(Board):
    """A node that `writ node run` runs, without a console: the gateway of a mesh."""

    def start(self) -> dict[str, Any]:
        """Start the node, and return its start event. Raises `NoAnswer`."""
        mark = self.mark()
        self.launch("node", "run", str(self.folder), "--serve", "uptime", "--json")
        return self.wait_for("started", since=mark, timeout_s=START_S)


def code_and_text(answer: dict[str, Any]) -> str:
    """The code and the text of an answer's event."""
    return " ".join(str(answer[key]) for key in ("code", "text") if answer.get(key))
