"""What was proposed from a scope's folder and is not taken yet: the same command goes on with it.

    proposed/WISH.json   {"title", "time", "drafts": [{"label", "payload", "evidence"}, ...]}

A wish is what a person wants, without what is different each time it is put in bytes (times, short
addresses): whoever says the same again means the proposal that there is. Bytes are in hex. Nothing
in it is believed: the governors judge what is proposed, and the folder checks what comes of it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, POLICY, WRIT
from writ.errors import Rejection

from .. import codec, files
from ..errors import Malformed
from .folder import ScopeFolder
from .issuance import Draft

_FOLDER = "proposed"
_WISH_DIGITS = 16
# A thousand members with their requests, in hex.
FILE_BYTES_MAX = 1 << 20
# What nobody came back for; the oldest goes.
FILES_MAX = 64


@dataclass(frozen=True)
class Pending:
    """Drafts as they were pending. time_s: when, Unix seconds."""

    title: str
    time_s: int
    drafts: list[Draft]


def intent_key(*words: object) -> str:
    """The name of a wish: of texts, numbers, bytes and lists of those."""
    return hashlib.sha256(codec.dump(list(words))).hexdigest()[:_WISH_DIGITS]


def save(folder: ScopeFolder, name: str, pending: Pending) -> None:
    """Keep it, durably, in place of what was proposed for this wish before."""
    path = _path(folder, name)
    path.parent.mkdir(exist_ok=True)
    drafts = [
        {"label": one.label, "payload": one.payload.hex(), "evidence": one.evidence.hex()}
        for one in pending.drafts
    ]
    document = {"title": pending.title, "time": pending.time_s, "drafts": drafts}
    files.write_atomically(path, json.dumps(document).encode(), 0o644)
    for old in _files(folder)[:-FILES_MAX]:
        old.unlink(missing_ok=True)


def load(folder: ScopeFolder, name: str) -> Pending | None:
    """What was proposed for this wish; None where nothing was, or the file is none of ours."""
    return _read(_path(folder, name))


def remove(folder: ScopeFolder, name: str) -> None:
    """It was taken, or came to nothing."""
    _path(folder, name).unlink(missing_ok=True)


def reserved_addresses(folder: ScopeFolder) -> set[int]:
    """The short addresses in what is proposed: no two open proposals should have one."""
    found = set()
    for one in map(_read, _files(folder)):
        for draft in one.drafts if one else ():
            body = capsules.parse_claims(draft.payload)[WRIT]
            if body[0] == MEMBER:
                found.add(int(body[1]))
    return found


def issued(folder: ScopeFolder, payload: bytes) -> bytes | None:
    """The capsule in the folder with this payload, of a member or of the policy in force."""
    body = capsules.parse_claims(payload)[WRIT]
    if body[0] == MEMBER:
        known = [one.raw for one in folder.members.all() if not folder.is_revoked(one)]
    elif body[0] == POLICY:
        known = [folder.policy_capsule()]
    else:
        known = [folder.amendment_capsule()]
    for raw in known:
        if raw is not None and bytes(capsules.parse(raw).payload) == payload:
            return bytes(raw)
    return None


def _path(folder: ScopeFolder, name: str) -> Path:
    return folder.path / _FOLDER / f"{name}.json"


def _files(folder: ScopeFolder) -> list[Path]:
    """Oldest first."""
    dated = []
    for path in (folder.path / _FOLDER).glob("*.json"):
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue  # another command took it
    return [path for _, path in sorted(dated)]


def _read(path: Path) -> Pending | None:
    try:
        found = json.loads(files.read_bounded(path, FILE_BYTES_MAX))
        drafts = [
            Draft(str(one["label"]), bytes.fromhex(one["payload"]), bytes.fromhex(one["evidence"]))
            for one in found["drafts"]
        ]
        for draft in drafts:
            capsules.parse_claims(draft.payload)
        return Pending(str(found["title"]), int(found["time"]), drafts)
    except (FileNotFoundError, Malformed, Rejection, ValueError, TypeError, KeyError):
        return None
