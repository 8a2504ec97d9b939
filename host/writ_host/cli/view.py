"""What commands that show a scope begin with: a folder that is refreshed first, and its age.

Without a daemon the folder is the scope's state: commands that certify write it here.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files, humanize
from ..errors import HostError
from ..governor.client.connection import connect, read_daemon, sync
from ..governor.control import ControlFailed
from ..scope.clock import certified_time
from ..scope.folder import ScopeFolder
from .output import Output

# A file of the scope's folder whose date is that of the last sync with a daemon.
SYNCED = ".synced"


@dataclass(frozen=True)
class View:
    """A scope's folder as a command shows it.

    daemon: the governor's folder that was asked, None without one; unreached: why it could not be
    asked, or None; as_of: Unix seconds of the last sync, None if there was none; heard: what that
    governor's node has heard of members, {node id (hex): {"address", "epoch", "heard"}};
    governors: (number, threshold) of those in force, None where the governor did not say.
    """

    folder: ScopeFolder
    daemon: Path | None = None
    unreached: str | None = None
    as_of: int | None = None
    heard: dict[str, dict[str, Any]] = field(default_factory=dict)
    governors: tuple[int, int] | None = None

    def of(self, node_id: bytes) -> dict[str, Any]:
        """What was heard of this node (8 B): address, epoch, heard; {} for nothing."""
        return self.heard.get(node_id.hex(), {})

    def say(self, out: Output) -> None:
        """Say how old this is, and what could not be reached."""
        if self.daemon is None:
            newest, source = certified_time(self.folder)
            age = humanize.duration(max(0, int(time.time()) - newest))
            out.note(f"from {self.folder.path}; newest certified time: {age} ago ({source})")
        elif self.unreached is None:
            out.note(f"refreshed now from {self.daemon}")
        else:
            age = "never" if self.as_of is None else _ago(self.as_of)
            out.warn(f"not refreshed: {self.unreached}; last refreshed: {age}")

    def document(self) -> dict[str, Any]:
        """The same for --json."""
        return {
            "refreshed": self.daemon is not None and self.unreached is None,
            "as_of": self.as_of,
            "governor": self.daemon,
            "unreached": self.unreached,
        }


def _ago(then: int) -> str:
    return f"{humanize.duration(max(0, int(time.time()) - then))} ago"


def open_view(scope: Path) -> View:
    """The scope in a folder, in sync with the governors if its daemon answers."""
    folder = ScopeFolder.open(scope)
    daemon = read_daemon(folder.path)
    if daemon is None:
        return View(folder)
    mark = folder.path / SYNCED
    heard: dict[str, dict[str, Any]] = {}
    governors = None
    unreached = None
    try:
        with connect(daemon) as client:
            sync(folder, client)
            heard = _heard(client)
            quorum = client.ask("pending").get("quorum")
            governors = (quorum["count"], quorum["threshold"]) if quorum else None
        mark.touch()
    except (HostError, OSError) as error:
        unreached = str(error)
    as_of = int(mark.stat().st_mtime) if files.exists(mark) else None
    return View(folder, daemon, unreached, as_of, heard, governors)


def _heard(client: Any) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = client.ask("heard")["members"]
    except ControlFailed:
        # a daemon of an older version
        return {}
    return found
