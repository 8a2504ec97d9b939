"""Founding of a scope among running daemons: invite all, follow each, and fetch the capsules.

No daemon is trusted: charter, policy and members must be exactly those of the invitation, certified
by one key, and the same at all daemons.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from writ.authority import capsule as capsules
from writ.errors import NotAllowed, Rejection, TimedOut, WrongScope
from writ.wire import coap
from writ.wire.coap import Message

from ... import codec, files, humanize, refusals
from ...errors import (
    CeremonyFailed,
    Disagreement,
    FileInTheWay,
    HostError,
    NeedsPerson,
    NotReachable,
)
from ...node import addressbook
from ...node.plainclient import PlainClient
from ...policy.source import PolicyFile
from ...scope.folder import ScopeFolder, now_s
from ..ceremonies.invitation import INVITATION_BYTES_MAX, CeremonyStatus, Invitation
from ..ceremonies.record import Record
from ..ceremonies.views import state_text as ceremony_state
from ..folder import GovernorFolder
from ..peering.bootstrap import PATH
from .connection import connect, sync, write_daemon
from .issuer import Announce
from .summary import FAILED_STATES

POLL_S = 1.0
# A daemon that is online answers in milliseconds.
ANSWER_S = 3.0
# The role of the governors' own nodes, if the first policy has a role of this name.
ROLE = "governor"
KEPT = "invitation.cbor"
_CAPSULES_MAX = 64

# The refusals that no repetition changes, and what to do then.
_FOR_GOOD = {
    WrongScope: "Found the scope with another governor: writ governor init makes one. Remove"
    f" {KEPT} from the new folder first.",
    NotAllowed: f"Ask its operator. To begin anew, remove {KEPT} from the new folder.",
}

# A governor's last status, or why there is none.
State = CeremonyStatus | str
Show = Callable[[Invitation, Mapping[str, State]], None]


@dataclass
class DaemonFounding:
    """The founding of the scope `name` by the daemons of the governors' `records`.

    policy: the first policy; folder: the scope's new folder, which keeps the invitation, so that
    the same command continues with it.
    """

    name: str
    records: Sequence[Record]
    threshold: int
    policy: PolicyFile
    folder: Path
    announce: Announce
    states: dict[str, State] = field(default_factory=dict)

    def run(self, show: Show, wait_s: float | None) -> ScopeFolder:
        """Invite the governors, wait until all are done, and make the scope's folder.

        show(invitation, states): called after each round of requests. Raises `HostError`;
        `NeedsPerson` after `wait_s`.
        """
        invitation = self._invitation()
        self._follow(invitation, show, wait_s)
        raws = _fetch(self.records, invitation)
        files.write_atomically(self.folder / "roster.cbor", invitation.roster.to_bytes(), 0o644)
        scope = ScopeFolder.create(self.folder, raws[0])
        for raw in raws[1:]:
            scope.take(raw)
        for record in self.records:
            if scope.members.find(record.governor.name):
                addressbook.write(scope.path, record.governor.name, record.listen)
        return scope

    def finish(self) -> None:
        """Remove the kept invitation, when the scope's folder is complete."""
        (self.folder / KEPT).unlink()

    # --- the invitation ---------------------------------------------------------------------------

    def _invitation(self) -> Invitation:
        if files.exists(self.folder / "charter.cbor"):
            raise FileInTheWay(f"{self.folder} holds a scope already", "Choose another --folder.")
        kept = self.folder / KEPT
        if files.exists(kept):
            return self._kept_invitation(kept)
        issued = now_s()
        policy = self.policy.policy(1, bytes(6), issued)
        roles = 2 << policy.role_names.index(ROLE) if ROLE in policy.role_names else 0
        made = Invitation.create(self.name, self.threshold, self.records, policy, issued, roles)
        files.make_folder(self.folder)
        files.write_atomically(kept, made.to_bytes(), 0o644)
        return made

    def _kept_invitation(self, kept: Path) -> Invitation:
        found = Invitation.from_bytes(files.read_bounded(kept, INVITATION_BYTES_MAX))
        listed = tuple(record.governor for record in self.records)
        roster = found.roster
        if (roster.scope, roster.threshold, roster.governors) != (
            self.name,
            self.threshold,
            listed,
        ):
            raise FileInTheWay(
                f"{kept} is the invitation of another founding", "Remove it to start anew."
            )
        policy = self.policy.policy(1, bytes(6), found.issued_s)
        made = Invitation.create(
            self.name, self.threshold, self.records, policy, found.issued_s, found.roles
        )
        if found.addresses != made.addresses or codec.dump(found.policy) != codec.dump(made.policy):
            raise FileInTheWay(
                f"{kept} was made with other addresses or another policy",
                "Remove it to start anew; then all governors must approve anew.",
            )
        self.announce(f"continuing with {kept}, of {humanize.moment(found.issued_s)}")
        return found

    # --- the governors' states --------------------------------------------------------------------

    def _follow(self, invitation: Invitation, show: Show, wait_s: float | None) -> None:
        """Invite until all daemons know the invitation, then ask until all are done."""
        end = None if wait_s is None else time.monotonic() + wait_s
        while True:
            for record in self.records:
                governor = record.governor.name
                self.states[governor] = _ask(record, invitation, self.states.get(governor))
            show(invitation, self.states)
            if self._is_done(invitation):
                return
            if end is not None and time.monotonic() >= end:
                raise NeedsPerson(
                    f"the founding is not complete: {self._awaited()}",
                    "Run the same command again: it continues with this invitation.",
                )
            time.sleep(POLL_S)

    def _is_done(self, invitation: Invitation) -> bool:
        """Whether all daemons are done. Raises `CeremonyFailed`, `Disagreement`."""
        states = [one for one in self.states.values() if isinstance(one, CeremonyStatus)]
        for one in states:
            if one.state in FAILED_STATES:
                raise CeremonyFailed(f"{invitation.title}: {one.state}: {one.problem}")
        if len({one.fingerprint for one in states if one.fingerprint}) > 1:
            raise Disagreement("the governors show different fingerprints")
        return len(states) == len(self.records) and all(one.state == "done" for one in states)

    def _awaited(self) -> str:
        texts = {name: state_text(one) for name, one in self.states.items()}
        return ", ".join(f"{name} ({text})" for name, text in texts.items() if text != "done")


def state_text(one: State) -> str:
    """A governor's state in the founding, for people."""
    if isinstance(one, str):
        return one
    is_compare = one.state == "compare"
    return "its operator compares and approves" if is_compare else ceremony_state(one.state)


def _ask(record: Record, invitation: Invitation, before: State | None) -> State:
    """A governor's status, or why there is none; invites a governor that has no invitation."""
    path = f"{PATH}/{invitation.id.hex()}"
    try:
        with PlainClient(record.peers, ANSWER_S) as client:
            answer = client.get(path)
            if answer.code == coap.NOT_FOUND:
                answer = client.post(PATH, invitation.to_bytes())
    except (NotReachable, TimedOut):
        return "no answer" if before is None or isinstance(before, str) else before
    if answer.code >> 5 != 2:
        return _refusal(record.governor.name, answer)
    return CeremonyStatus.from_bytes(bytes(answer.payload))


def _refusal(name: str, answer: Message) -> str:
    """Why a governor refuses for now. Raises `CeremonyFailed` if it refuses for good."""
    payload = bytes(answer.payload)
    text = payload.decode("utf-8", "replace")
    kind = refusals.parse_reason(payload)
    if kind is None:
        return text or f"{answer.code >> 5}.{answer.code & 31:02d}"
    text = text.partition(kind.__name__)[2].strip() or refusals.meaning(kind)
    if kind in _FOR_GOOD:
        raise CeremonyFailed(f"{name} cannot take part: {text}", _FOR_GOOD[kind])
    return f"{kind.__name__}: {text}"


# --- the capsules ---------------------------------------------------------------------------------


def _fetch(records: Sequence[Record], invitation: Invitation) -> list[bytes]:
    """The first capsules, the same from all daemons that answer. Raises `Disagreement`."""
    found: list[bytes] = []
    for record in records:
        try:
            raws = _fetch_from(record, invitation)
        except NotReachable:
            continue
        if found and raws != found:
            raise Disagreement("the governors have certified different capsules")
        found = raws
    if not found:
        raise NotReachable(
            "no governor answers any more", "Run the command again: it continues here."
        )
    return found


def _fetch_from(record: Record, invitation: Invitation) -> list[bytes]:
    raws: list[bytes] = []
    with PlainClient(record.peers, ANSWER_S) as client:
        while len(raws) < _CAPSULES_MAX:
            answer = client.get(f"{PATH}/{invitation.id.hex()}/{len(raws)}")
            if answer.code != coap.CONTENT:
                break
            raws.append(bytes(answer.payload))
    try:
        parsed = [capsules.parse(raw) for raw in raws]
        group_key = bytes(capsules.Charter(parsed[0]).group_key) if parsed else b""
        right = bool(parsed) and [bytes(one.payload) for one in parsed] == invitation.payloads(
            group_key
        )
    except Rejection:
        right = False
    if not right:
        raise Disagreement(f"{record.governor.name} sends other capsules than the invitation says")
    return raws


def use_daemon(scope: ScopeFolder, governors: Sequence[Path]) -> Path | None:
    """Make the first of these governors' daemons that runs here certify for the scope's folder.

    None where none runs on this machine.
    """
    for path in governors:
        if not files.exists(GovernorFolder(path).toml):
            continue
        try:
            with connect(path) as client:
                sync(scope, client)
        except HostError:
            continue
        write_daemon(scope.path, path)
        return path
    return None
