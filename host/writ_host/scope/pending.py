"""Pending requests of a scope's folder: proposed to the governors, but not issued yet.

    proposed/KEY.json   {"title", "time", "drafts": [{"label", "payload", "evidence"}, ...]}

KEY is an idempotency key: the digest of what the operator wants, without the times and short
addresses that differ in every draft. A command that is repeated finds its pending request by the
key and resumes it. Bytes are in hex. The files are not trusted: the governors validate what is
proposed, and the folder checks what they issue.
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
_KEY_DIGITS = 16
# A thousand members with their requests, in hex.
FILE_BYTES_MAX = 1 << 20
# Requests that were never resumed; the oldest is removed.
FILES_MAX = 64


@dataclass(frozen=True)
class Pending:
    """The drafts of one request. time_s: when they were proposed, Unix seconds."""

    title: str
    time_s: int
    drafts: list[Draft]


def intent_key(*intent: object) -> str:
    """The idempotency key of an intent: texts, numbers, bytes and lists of those."""
    return hashlib.sha256(codec.dump(list(intent))).hexdigest()[:_KEY_DIGITS]


def save(folder: ScopeFolder, key: str, pending: Pending) -> None:
    """Keep a request durably, in place of an earlier one with this key."""
    path = _path(folder, key)
    path.parent.mkdir(exist_ok=True)
    drafts = [
        {"label": one.label, "payload": one.payload.hex(), "evidence": one.evidence.hex()}
        for one in pending.drafts
    ]
    document = {"title": pending.title, "time": pending.time_s, "drafts": drafts}
    files.write_atomically(path, json.dumps(document).encode(), 0o644)
    for old in _files(folder)[:-FILES_MAX]:
        old.unlink(missing_ok=True)


def load(folder: ScopeFolder, key: str) -> Pending | None:
    """The pending request with this key; None if there is none, or if its file is damaged."""
    return _read(_path(folder, key))


def remove(folder: ScopeFolder, key: str) -> None:
    """Remove a request that was issued or has failed."""
    _path(folder, key).unlink(missing_ok=True)


def reserved_addresses(folder: ScopeFolder) -> set[int]:
    """The short addresses in pending requests, which no other request should use."""
    found = set()
    for one in map(_read, _files(folder)):
        for draft in one.drafts if one else ():
            body = capsules.parse_claims(draft.payload)[WRIT]
            if body[0] == MEMBER:
                found.add(int(body[1]))
    return found


def issued(folder: ScopeFolder, payload: bytes) -> bytes | None:
    """The issued capsule with this payload, of a member or of the state in force; else None."""
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


def _path(folder: ScopeFolder, key: str) -> Path:
    return folder.path / _FOLDER / f"{key}.json"


def _files(folder: ScopeFolder) -> list[Path]:
    """Oldest first."""
    dated = []
    for path in files.in_folder(folder.path / _FOLDER, ".json"):
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue  # another command removed it
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
    except (FileNotFoundError, Malformed, Rejection):
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        # not JSON, or of another shape
        return None
