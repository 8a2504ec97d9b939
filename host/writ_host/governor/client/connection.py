"""The daemon that certifies for a scope's folder, and the sync of the folder from it."""

from pathlib import Path

from writ.errors import Rejection

from ... import files, textfile
from ...scope.folder import ScopeFolder
from ...scope.issuance import WrongGovernors
from ...textfile import BadText
from ..control import ControlClient
from ..folder import GovernorFolder

# How long another command may hold the folder's lock while it stores its capsules.
LOCK_WAIT_S = 10.0
# A file of the scope's folder that names the folder of the daemon that certifies.
POINTER = "governor"
_POINTER_BYTES_MAX = 4096
POINTER_ADVICE = "Write the path of the governor's folder into it, or remove the file."


def connect(daemon: Path) -> ControlClient:
    """A connection to the daemon of a governor's folder. Raises `HostError`."""
    folder = GovernorFolder(daemon)
    folder.read()
    return ControlClient(folder.control)


def read_daemon(scope: Path) -> Path | None:
    """The governor's folder that a scope's folder names, None where it names none.

    Raises `BadText`.
    """
    file = scope / POINTER
    try:
        text = textfile.read(file, _POINTER_BYTES_MAX).strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not text.isprintable():
        raise BadText(f"{file}: not the path of one folder", POINTER_ADVICE)
    return Path(text) if text else None


def write_daemon(scope: Path, daemon: Path) -> None:
    """Make the daemon of this governor's folder certify for the scope's folder from now on."""
    text = f"{daemon.resolve()}\n"
    files.write_atomically(scope / POINTER, text.encode(), 0o644)


def sync(folder: ScopeFolder, client: ControlClient) -> int:
    """Take all certified capsules that the folder lacks; returns their number.

    The folder is locked during the sync only. Raises `WrongGovernors`, `FolderInUse`.
    """
    with folder.lock(LOCK_WAIT_S):
        return _sync(folder, client)


def _sync(folder: ScopeFolder, client: ControlClient) -> int:
    state = client.ask("state")
    if state["scope_id"] != bytes(folder.charter.scope).hex():
        raise WrongGovernors(f"that daemon governs {state['scope']}, not {folder.charter.name}")
    taken, cursor = 0, 0
    while True:
        page = client.ask("capsules", cursor=cursor)
        for raw in page["capsules"]:
            try:
                taken += folder.take(bytes.fromhex(raw))
            except Rejection:
                # older than the folder's state: the ledger keeps its history
                continue
        if page["cursor"] == cursor or not page["capsules"]:
            return taken
        cursor = page["cursor"]
