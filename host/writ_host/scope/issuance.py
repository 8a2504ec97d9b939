"""Issuing capsules: drafts of payloads, and the signers that certify them.

A draft is a payload with a label. `issue` has drafts signed and puts the capsules into the folder,
which checks them as a device does. Changes of the policy are drafted in change.py.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from writ.authority import capsule as capsules
from writ.authority.capsule import BEACON, CHARTER
from writ.authority.policy import Policy
from writ.errors import Rejection, RolledBack

from .. import signals
from ..ceremony.local import LocalGovernor, sign_local
from ..ceremony.progress import Wait
from ..ceremony.request import ITEMS_MAX, Item, SigningRequest, publish_request
from ..ceremony.signing import Signing
from ..ceremony.storage import Folder
from ..errors import HostError
from ..keys.identity import Identity
from ..keys.roster import Roster, Seat
from ..policy.source import PolicyFile
from .folder import NoScopeHere, ScopeFolder, now_s

# The default parameters of a charter: a beacon is fresh for a day, clocks differ by five minutes.
BEACON_AGE_MAX_S = 86400
CLOCK_SKEW_MAX_S = 300
# How long to wait for the share of a governor that has committed: its operator may have to enter
# the passphrase again.
SHARE_TIMEOUT_S = 30.0


class WrongGovernors(HostError):
    """The governors hold shares of another scope's key."""

    advice = "Check --scope and the governors' folders."


@dataclass(frozen=True)
class Draft:
    """A payload to certify, and its label for people.

    evidence: the subject's own signed request (for membership), or empty.
    """

    label: str
    payload: bytes
    evidence: bytes = b""


class GroupSigner(Protocol):
    """Makes signatures with the group key."""

    @property
    def group_key(self) -> bytes:
        """32 bytes."""

    def sign(self, title: str, items: Sequence[Item]) -> list[bytes]:
        """A signature (64 B) for each item, in order."""


class Issuer(ABC):
    """Has drafts certified elsewhere, such as by governor daemons, and returns the capsules."""

    @property
    @abstractmethod
    def group_key(self) -> bytes:
        """32 bytes."""

    @abstractmethod
    def issue(self, drafts: Sequence[Draft], title: str) -> list[bytes]:
        """A capsule for each draft, in order. A beacon may be newer than its draft."""


@dataclass(frozen=True)
class LocalSigner:
    """A signer for which enough governors are on this machine."""

    governors: Sequence[LocalGovernor]

    @property
    def group_key(self) -> bytes:
        return self.governors[0].seat.public.group_key

    def sign(self, title: str, items: Sequence[Item]) -> list[bytes]:
        threshold = self.governors[0].seat.public.threshold
        return sign_local(self.governors[:threshold], title, items)


@dataclass(frozen=True)
class CeremonySigner:
    """One governor of a ceremony, which proposes in the shared folder and waits for the others."""

    folder: Folder
    identity: Identity
    seat: Seat
    wait: Wait
    approve: Callable[[SigningRequest], bool] = lambda _: True

    @property
    def group_key(self) -> bytes:
        return self.seat.public.group_key

    def sign(self, title: str, items: Sequence[Item]) -> list[bytes]:
        proposal = publish_request(self.folder, self.identity, self.seat, title, items)
        machine = Signing(self.folder, self.identity, self.seat, proposal, self.approve)
        return run_with_retries(machine, self.wait)


def run_with_retries(
    machine: Signing, wait: Wait, share_timeout_s: float = SHARE_TIMEOUT_S
) -> list[bytes]:
    """Run a signing; retry without governors that committed but send no share in time."""
    since, before = time.monotonic(), None
    while not (progress := machine.step()).is_done:
        if progress != before:
            since, before = time.monotonic(), progress
        elif progress.step == "share" and time.monotonic() - since > share_timeout_s:
            machine.retry()
            continue
        wait(progress)
    assert machine.signatures is not None
    return machine.signatures


def signing_items(drafts: Iterable[Draft]) -> list[Item]:
    """The items to sign: the COSE Sig_structure of each draft."""
    return [Item(draft.label, capsules.signing_input(draft.payload)) for draft in drafts]


def sign(drafts: Sequence[Draft], signer: GroupSigner | Issuer, title: str = "") -> list[bytes]:
    """The drafts as capsules. Raises what the signer raises."""
    if isinstance(signer, Issuer):
        return signer.issue(drafts, title)
    found: list[bytes] = []
    for start in range(0, len(drafts), ITEMS_MAX):
        part = drafts[start : start + ITEMS_MAX]
        heading = title or part[0].label
        signatures = signer.sign(heading, signing_items(part))
        found += [
            capsules.assemble(draft.payload, signature)
            for draft, signature in zip(part, signatures, strict=True)
        ]
    return found


def issue(
    folder: ScopeFolder,
    drafts: Sequence[Draft],
    signer: GroupSigner | Issuer,
    title: str = "",
    before_keeping: Callable[[], None] | None = None,
) -> list[bytes]:
    """The drafts as capsules, each checked as a device does and kept in the folder.

    before_keeping: called between both. Raises `WrongGovernors`, what the signer raises, or a
    `Rejection` of a capsule.
    """
    check_signer(folder, signer.group_key)
    signals.allow()
    raws = sign(drafts, signer, title)
    # what is certified is stored, and files follow it, before a signal ends the command
    signals.defer()
    if before_keeping is not None:
        before_keeping()
    for raw in raws:
        try:
            folder.take(raw)
        except Rejection:
            # certified elsewhere, and a newer capsule is in force by now, which the folder has
            if not (isinstance(signer, Issuer) and folder.is_certified(raw)):
                raise
    return raws


def store_signed(path: Path, request: SigningRequest, signatures: Sequence[bytes]) -> int:
    """Store the capsules of a ceremony in the scope's folder; returns how many were new there.

    Makes the folder's scope if the first capsule is its charter. Raises `NoScopeHere`.
    """
    raws = [
        capsules.assemble(item.payload, signature)
        for item, signature in zip(request.items, signatures, strict=True)
    ]
    folder = ScopeFolder.find(path)
    new = 0
    if folder is None:
        if capsules.parse(raws[0]).kind != CHARTER:
            raise NoScopeHere(f"no charter in {path}", "First: writ ceremony request charter.")
        folder = ScopeFolder.create(path, raws[0])
        new = 1
    for raw in raws:
        # the other governors store the same bytes in the same folder at the same time
        with contextlib.suppress(RolledBack):
            new += folder.take(raw)
    return new


def check_signer(folder: ScopeFolder, group_key: bytes) -> None:
    """Raises `WrongGovernors` unless this is the folder's group key (32 bytes)."""
    if group_key != folder.group_key:
        raise WrongGovernors("these governors hold the key of another scope")


# --- drafts ---------------------------------------------------------------------------------------


def charter_draft(
    seat: Seat,
    beacon_age_max_s: int = BEACON_AGE_MAX_S,
    clock_skew_max_s: int = CLOCK_SKEW_MAX_S,
) -> Draft:
    """The charter of a newly founded scope."""
    roster: Roster = seat.roster
    keys = [governor.verify_key for governor in roster.governors]
    params = {1: beacon_age_max_s, 2: clock_skew_max_s}
    body = [roster.scope, roster.threshold, keys, seat.public.group_key, params]
    payload = capsules.build(CHARTER, body, iat=now_s())
    return Draft(f"charter of {roster.scope}", payload)


def founding_drafts(charter: Draft, file: PolicyFile) -> list[Draft]:
    """Charter, first policy and first beacon of a new scope, to be signed together."""
    policy = file.policy(1, capsules.head(charter.payload), now_s())
    return [charter, policy_draft(policy), state_beacon_draft(1, policy.head(), now_s())]


def beacon_draft(folder: ScopeFolder, replaces: bool = False) -> Draft:
    """A beacon for the epoch in force, with the present time.

    replaces: also where the newest beacon is later, which devices that have it do not forget.
    """
    newest = folder.beacon.time if folder.beacon and not replaces else 0
    # later than the newest beacon even if this clock is slow: devices accept only newer ones
    return state_beacon_draft(folder.epoch, folder.head, max(now_s(), newest + 1))


def policy_draft(policy: Policy) -> Draft:
    """The draft of a whole policy."""
    return Draft(f"policy of epoch {policy.epoch}", policy.payload())


def state_beacon_draft(epoch: int, head: bytes, time_s: int) -> Draft:
    """The draft of a beacon for the state of this epoch and head (6 bytes)."""
    payload = capsules.build(BEACON, [epoch, head], iat=time_s)
    return Draft(f"beacon of epoch {epoch}", payload)
