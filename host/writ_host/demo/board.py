"""One node of the field: a process that runs boards/unix/main.py, and its console."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from writ.errors import RateLimited
from writ.limits import HANDSHAKE_REFILL_MS

from .process import ANSWER_S, START_S, Event, Process, Program

# What a node answers before it has spent anything on a handshake.
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
        """Write these settings into its config.json; None takes one out."""
        path = self.folder / "config.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        config = json.loads(path.read_text()) if path.exists() else {"name": self.name}
        config.update(settings)
        config = {key: value for key, value in config.items() if value is not None}
        path.write_text(json.dumps(config, indent=2) + "\n")

    def start(self) -> dict[str, Any]:
        """Run it, and wait until it has said who it is: that event."""
        mark = self.mark()
        self.launch(str(self.folder), "console")
        return self.wait_for("start", since=mark, timeout_s=START_S)

    def ask(self, line: str, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """Have it call another node ("get soil/load"); the answer's event.

        A node rations what handshakes cost it, and says so; then it is asked again later.
        """
        verb, target = line.split()[:2]
        until = time.monotonic() + timeout_s
        while True:
            mark = self.mark()
            self.tell(line)
            told = self.wait_for("answer", mark, timeout_s, method=verb, target=target)
            if bytes.fromhex(told.get("raw", "")) != RATE_LIMITED or time.monotonic() > until:
                return told
            time.sleep(HANDSHAKE_REFILL_MS / 1000)


def said(told: dict[str, Any]) -> str:
    """An answer's code and text."""
    return " ".join(str(told[key]) for key in ("code", "text") if told.get(key))
