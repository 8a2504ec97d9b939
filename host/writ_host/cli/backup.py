"""`writ governor backup` and `restore`."""

import dataclasses
from pathlib import Path

from .. import humanize
from ..governor import backup
from ..governor.backup import Manifest
from ..governor.client.backup import save as save_backup
from ..governor.folder import GovernorFolder
from .output import Output


def save(out: Output, directory: Path, file: Path, replace: bool) -> None:
    """Back up the governor in `directory` into `file`."""
    manifest, size = save_backup(directory, file, replace)
    out.ok(f"backed up {manifest.name} into {file}: {_summary(manifest)}, {size} bytes")
    out.note("the backup contains the encrypted keys and key share, the ledger and the settings")
    out.note("the passphrase or key file that opens them is not in it: keep that elsewhere")
    out.json({**dataclasses.asdict(manifest), "file": file, "bytes": size})


def load(out: Output, file: Path, directory: Path) -> None:
    """Restore the backup `file` into the new folder `directory`."""
    manifest = backup.restore(file, GovernorFolder(directory))
    out.ok(f"restored {manifest.name} into {directory}: {_summary(manifest)}")
    out.note("run this governor on one machine only, and never beside the original:")
    out.note(f"  writ governor run {directory}")
    out.note("it fetches from the other governors what it has missed and signed since the backup")
    out.json({**dataclasses.asdict(manifest), "folder": directory})


def _summary(manifest: Manifest) -> str:
    state = f"epoch {manifest.epoch} of {manifest.scope}" if manifest.scope else "without a scope"
    return f"{state}, as of {humanize.moment(manifest.time_s)}"
