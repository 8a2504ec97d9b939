"""Founding of a scope whose governors are all on this machine."""

from collections.abc import Callable, Sequence
from pathlib import Path

from .. import files
from ..ceremony import keyring, local
from ..errors import FileInTheWay
from ..keys.keyfile import Unlock
from ..policy.source import PolicyFile
from . import issuance
from .folder import ScopeFolder


def check_new(path: Path) -> None:
    """Raises `FileInTheWay` where the folder holds a scope or governors' keys already.

    Raises as `files.check_parent` where it cannot be made.
    """
    for taken in ("charter.cbor", "roster.cbor", "governors"):
        if files.exists(path / taken):
            raise FileInTheWay(f"{path / taken} exists already", "Choose another --folder.")
    files.check_parent(path)


def found_local(
    path: Path,
    name: str,
    governors: Sequence[str],
    threshold: int,
    policy: PolicyFile,
    key: Unlock,
    progress: Callable[[str], None],
) -> ScopeFolder:
    """Found the scope `name` in the folder `path`, with these governors' names.

    key: encrypts the governors' keys and key shares; progress(step): called before each step.
    """
    progress("distributed key generation")
    made = local.found_local(name, governors, threshold)
    progress("certifying charter and policy")
    signer = issuance.LocalSigner(made)
    charter = issuance.charter_draft(made[0].seat)
    raws = issuance.sign(issuance.founding_drafts(charter, policy), signer, f"scope {name}")
    progress("encrypting key shares")
    # the key shares are saved first: without them the charter could never have a successor
    files.make_folder(path)
    keyring.save_seats(path / "governors", made, key, lambda _: progress("encrypting key shares"))
    files.write_atomically(path / "roster.cbor", made[0].seat.roster.to_bytes(), 0o644)
    scope = ScopeFolder.create(path, raws[0])
    for raw in raws[1:]:
        scope.take(raw)
    return scope
