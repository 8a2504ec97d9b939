"""Founding a scope among running daemons: invite all, show how far each is, fetch what was made.

Nothing that is fetched is believed for who sent it: charter, policy and members must be the very
ones that the invitation says, certified by one key, and the same everywhere.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from writ.authority import capsule as capsules
from writ.errors import Rejection, TimedOut
from writ.wire import coap

from .. import codec, files, humanize
from ..errors import (
    CeremonyFailed,
    Disagreement,
    FileInTheWay,
    HostError,
    NeedsPerson,
    NotReachable,
)
from ..governor.ceremonies.invitation import INVITATION_BYTES_MAX, CeremonyStatus, Invitation
from ..governor.ceremonies.record import Record
from ..governor.ceremonies.views import state_text
from ..governor.folder import GovernorFolder
from ..governor.peering.bootstrap import PATH
from ..keys.dkg import spoken
from ..node import addressbook
from ..node.plainclient import PlainClient
from ..policy.source import PolicyFile
from ..scope.folder import ScopeFolder, now_s
from .daemonsigner import catch_up, connect, write_daemon
from .governorview import table
from .livepage import live_page
from .output import Output

POLL_S = 1.0
# An answer of a daemon that is up takes milliseconds.
ANSWER_S = 3.0
# The governors' own role, where the first policy has one of this name.
ROLE = "governor"
KEPT = "invitation.cbor"
_CAPSULES_MAX = 64
_ENDED = ("failed", "refused")


def found_online(
    out: Output,
    name: str,
    paths: Sequence[Path],
    threshold: int,
    file: PolicyFile,
    folder: Path,
    wait_s: float | None,
) -> ScopeFolder:
    """The folder of the new scope, once all governors' operators have approved.

    The invitation is kept in `folder`, so that the same command goes on with it. Raises
    `HostError`; `NeedsPerson` after `wait_s`.
    """
    records = [Record.load(path) for path in paths]
    if (folder / "charter.cbor").exists():
        raise FileInTheWay(f"{folder} holds a scope already", "Choose another --folder.")
    invitation = _invitation(out, name, records, threshold, file, folder)
    for record in records:
        voice = spoken(record.governor.verify_key)
        out.line(f"{record.governor.name} at {record.peers}, its own fingerprint {voice}")
    _follow(out, records, invitation, wait_s)
    raws = _fetch(records, invitation)
    (folder / "roster.cbor").write_bytes(invitation.roster.to_bytes())
    scope = ScopeFolder.create(folder, raws[0])
    for raw in raws[1:]:
        scope.take(raw)
    for record in records:
        if scope.members.find(record.governor.name):
            addressbook.write(scope.path, record.governor.name, record.listen)
    _use_daemon(out, scope, paths)
    (folder / KEPT).unlink()
    return scope


def _invitation(
    out: Output,
    name: str,
    records: Sequence[Record],
    threshold: int,
    file: PolicyFile,
    folder: Path,
) -> Invitation:
    kept = folder / KEPT
    if kept.exists():
        found = Invitation.from_bytes(files.read_bounded(kept, INVITATION_BYTES_MAX))
        listed = tuple(record.governor for record in records)
        roster = found.roster
        if (roster.scope, roster.threshold, roster.governors) != (name, threshold, listed):
            raise FileInTheWay(
                f"{kept} is an invitation to another founding", "Remove it, to begin anew."
            )
        policy = file.policy(1, bytes(6), found.issued_s)
        made = Invitation.create(name, threshold, records, policy, found.issued_s, found.roles)
        if found.addresses != made.addresses or codec.dump(found.policy) != codec.dump(made.policy):
            raise FileInTheWay(
                f"{kept} was made with other addresses or another policy",
                "Remove it, to begin anew: all governors approve anew, too.",
            )
        out.note(f"going on with {kept}, of {humanize.moment(found.issued_s)}")
        return found
    issued = now_s()
    policy = file.policy(1, bytes(6), issued)
    roles = 2 << policy.role_names.index(ROLE) if ROLE in policy.role_names else 0
    made = Invitation.create(name, threshold, records, policy, issued, roles)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_atomically(kept, made.to_bytes(), 0o644)
    return made


def _follow(
    out: Output, records: Sequence[Record], invitation: Invitation, wait_s: float | None
) -> None:
    """Invite until all know of it, then look until all are done."""
    end = None if wait_s is None else time.monotonic() + wait_s
    known: dict[str, CeremonyStatus | str] = {}
    with live_page(out) as draw:
        while True:
            for record in records:
                governor = record.governor.name
                known[governor] = _ask(record, invitation, known.get(governor))
            if not out.as_json:
                draw({}, _page(invitation, known))
            states = [one for one in known.values() if isinstance(one, CeremonyStatus)]
            for one in states:
                if one.state in _ENDED:
                    raise CeremonyFailed(f"{invitation.title}: {one.state}: {one.problem}")
            if len({one.fingerprint for one in states if one.fingerprint}) > 1:
                raise Disagreement("the governors show different fingerprints")
            if len(states) == len(records) and all(one.state == "done" for one in states):
                return
            if end is not None and time.monotonic() >= end:
                raise NeedsPerson(
                    "the governors are not done: " + _awaited(known),
                    "Run the same command again: it goes on where this one stopped.",
                )
            time.sleep(POLL_S)


def _ask(
    record: Record, invitation: Invitation, before: CeremonyStatus | str | None
) -> CeremonyStatus | str:
    """How far a governor is, or in words why that is not known."""
    path = f"{PATH}/{invitation.id.hex()}"
    try:
        with PlainClient(record.peers, ANSWER_S) as client:
            answer = client.get(path)
            if answer.code == coap.NOT_FOUND:
                answer = client.post(PATH, invitation.to_bytes())
    except (NotReachable, TimedOut):
        return "no answer" if before is None or isinstance(before, str) else before
    if answer.code >> 5 != 2:
        said = bytes(answer.payload).decode("utf-8", "replace")
        return said or f"{answer.code >> 5}.{answer.code & 31:02d}"
    return CeremonyStatus.from_bytes(bytes(answer.payload))


def _awaited(known: dict[str, CeremonyStatus | str]) -> str:
    said = {name: _words(one) for name, one in known.items()}
    return ", ".join(f"{name} ({word})" for name, word in said.items() if word != "done")


def _words(one: CeremonyStatus | str) -> str:
    if isinstance(one, str):
        return one
    return "its operator compares and approves" if one.state == "compare" else state_text(one.state)


def _page(invitation: Invitation, known: dict[str, CeremonyStatus | str]) -> list[str]:
    rows = [(name, _words(one)) for name, one in known.items()]
    lines = [f"{invitation.title}: {invitation.roster.threshold} of {len(rows)} certify"]
    lines += table(("governor", "state"), rows)
    # once, and on a line of its own: a narrow terminal must not cut what people compare
    spoken = {one.fingerprint for one in known.values() if isinstance(one, CeremonyStatus)} - {""}
    lines += [f"ceremony fingerprint  {one}" for one in sorted(spoken)]
    if any(isinstance(one, CeremonyStatus) and one.state == "compare" for one in known.values()):
        tag = invitation.id.hex()[:8]
        lines.append("read it to each other, then at each governor:")
        lines.append(f"  writ governor approve DIR {tag}")
    return lines


def _fetch(records: Sequence[Record], invitation: Invitation) -> list[bytes]:
    """What was certified first, the same from all who answer. Raises `Disagreement`."""
    found: list[bytes] = []
    for record in records:
        try:
            raws = _fetch_from(record, invitation)
        except NotReachable:
            continue
        if found and raws != found:
            raise Disagreement("the governors have certified different things")
        found = raws
    if not found:
        raise NotReachable("no governor answers any more", "Run the command again: it goes on.")
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
        raise Disagreement(f"{record.governor.name} gives other capsules than it was invited to")
    return raws


def _use_daemon(out: Output, scope: ScopeFolder, paths: Sequence[Path]) -> None:
    """Where one of the daemons runs on this machine, it certifies for the folder from now on."""
    for path in paths:
        layout = GovernorFolder(path.parent)
        if not layout.toml.exists():
            continue
        try:
            with connect(path.parent) as client:
                catch_up(scope, client)
        except HostError:
            continue
        write_daemon(scope.path, path.parent)
        out.note(f"{path.parent} certifies for {scope.path} from now on")
        return
    out.note("compare the key fingerprint below with what  writ governor status  shows")
