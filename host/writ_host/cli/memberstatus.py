"""`writ status` without NODE: all members that the scope's folder and this node know."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.authority.capsule import Member
from writ.authority.policy import ROLE_MEMBER
from writ.errors import TimedOut
from writ.mesh.routing import NO_RANK

from ..errors import NodeInUse
from ..humanize import duration
from ..node import addressbook, meshstatus
from ..node.asleep import Sleep
from ..node.folder import NodeFolder
from ..node.status import FolderStatus
from ..node.survey import NOT_ASKED, Found, Survey
from ..policy.text import role_text
from ..scope.folder import ScopeFolder, now_s
from .output import Output
from .view import View, open_view

COLUMNS = ("member", "roles", "state", "epoch", "way", "airtime", "last heard", "address")
# The states of members that are asked; those of capsules that nodes refuse are in scope/folder.py.
THIS, ONLINE, ASLEEP, SILENT = "this node", "online", "asleep", "no answer"
REFUSED, NO_ADDRESS = "refused", "no address"


@dataclass(frozen=True)
class Asking:
    """How members are asked. timeout_s: for each; has_timeout: whether the operator has said so.

    is_offline: no member is asked; asks_mesh: members behind a mesh are, which costs airtime.
    """

    timeout_s: float
    has_timeout: bool
    is_offline: bool
    asks_mesh: bool


class Members:
    """The members that the folders know, and what each has answered. own: the node that asks."""

    def __init__(self, node: Path, scope: Path, own: FolderStatus) -> None:
        self._node, self._scope, self._own = node, scope, own
        self.view: View | None = open_view(scope) if ScopeFolder.find(scope) else None
        self._policy: Any = self.view.folder.policy if self.view else None
        listed = self.view.folder.members.newest() if self.view else []
        self._members: dict[str, Member] = {str(one.name): one for one in listed}
        books = [*addressbook.read(scope), *addressbook.read(node)]
        seen = addressbook.read_last_seen(node)
        names = dict.fromkeys([own.name, *self._members, *books, *seen])
        self.names = [own.name, *sorted(name for name in names if name != own.name)]
        self._found: dict[str, Found] = {}
        self._epoch = own.epoch

    @property
    def _is_member(self) -> bool:
        return self._own.expires is not None and not self._own.is_revoked

    def ask(self, out: Output, asking: Asking) -> None:
        """Ask all members that nodes accept; a note says why no member was asked."""
        goals = [name for name in self.names[1:] if self._capsule_state(name) == "ok"]
        if asking.is_offline or not goals:
            return
        if not self._is_member:
            out.note(f"no member was asked: {self._own.name} is no member")
            return
        try:
            with NodeFolder(self._node) as folder:
                self._survey(out, folder, goals, asking)
        except NodeInUse as error:
            out.note(f"no member was asked: {error}. Another folder may ask: --node DIR")

    def _survey(self, out: Output, folder: NodeFolder, goals: list[str], asking: Asking) -> None:
        survey = Survey(
            folder, (self._scope,), asking.timeout_s, asking.has_timeout, asking.asks_mesh
        )
        with out.progress("asking members", len(goals)) as bar:
            try:
                survey.run(goals, bar.advance)
            except KeyboardInterrupt:
                out.warn("interrupted: some members were not asked, or did not answer yet")
        self._found = survey.found
        authority = folder.node.authority
        self._policy, self._epoch = authority.policy, authority.epoch
        for name, one in survey.found.items():
            # of one that is silent the capsule may be known from before
            member = one.peer or self._members.get(name) or authority.peer_by(name=name)
            if member is not None:
                self._members[name] = member

    def _capsule_state(self, name: str) -> str:
        """Of the member's capsule in the scope's folder: "ok", or why nodes refuse it."""
        member = self._members.get(name)
        return self.view.folder.state_of(member, now_s()) if self.view and member else "ok"

    # --- as documents -----------------------------------------------------------------------------

    def documents(self) -> list[dict[str, Any]]:
        """A document for each member, this node first, then by name."""
        meshes = {name: _mesh(one) for name, one in self._found.items()}
        names = {int(one.address): name for name, one in self._members.items()}
        if self._own.address is not None:
            names[self._own.address] = self._own.name
        epochs = {name: self._epoch_of(name) for name in self.names}
        newest = max(filter(None, epochs.values()), default=0)
        heard = _heard(meshes)
        sleeping = _sleeping(meshes.values())
        return [
            {
                "name": name,
                "node_id": self._node_id(name),
                "roles": self._roles(name),
                **self._state(name, sleeping),
                "epoch": epochs[name],
                "is_newest": epochs[name] == newest if epochs[name] else None,
                **_way(meshes.get(name) or {}, names),
                **self._last_heard(name, heard),
                "address": self._address(name),
            }
            for name in self.names
        ]

    def _address(self, name: str) -> str | None:
        found = self._found.get(name)
        return (found.address if found else None) or None

    def _node_id(self, name: str) -> bytes | None:
        if name == self._own.name:
            return self._own.node
        member = self._members.get(name)
        return bytes(member.node_id) if member else None

    def _roles(self, name: str) -> list[str] | None:
        if name == self._own.name:
            return self._own.roles
        member = self._members.get(name)
        if member is None or self._policy is None:
            return None
        return role_text(self._policy, self._policy.roles_of(member) & ~ROLE_MEMBER, ",").split(
            ", "
        )

    def _epoch_of(self, name: str) -> int | None:
        if name == self._own.name:
            return self._epoch or None
        found = self._found.get(name)
        if found and found.peer:
            told = (found.status or {}).get("epoch")
            return told if isinstance(told, int) else found.epoch or None
        heard = self._heard_by_governor(name).get("epoch")
        return heard if isinstance(heard, int) else None

    def _state(self, name: str, sleeping: Mapping[int, Sleep]) -> dict[str, Any]:
        found, member = self._found.get(name), self._members.get(name)
        problem, sleep = None, None
        capsule = self._capsule_state(name)
        if name == self._own.name:
            state = THIS
        elif capsule != "ok":
            state = capsule
        elif found is None:
            state = NOT_ASKED
        elif found.peer is not None:
            state, problem = ONLINE, found.problem or None
            sleep_s = meshstatus.longest_sleep(_mesh(found))
            sleep = Sleep(sleep_s, 0) if sleep_s else None
        elif not found.address:
            state = NO_ADDRESS
        else:
            sleep = found.sleep or (sleeping.get(int(member.address)) if member else None)
            states = {TimedOut.__name__: SILENT, NOT_ASKED: NOT_ASKED}
            state = states.get(found.problem, REFUSED)
            if sleep and state != REFUSED:
                state = ASLEEP
            problem = None if found.problem == NOT_ASKED else found.problem
        return {
            "state": state,
            "problem": problem,
            "sleep_s": sleep.sleep_s if sleep else None,
            "expected_s": sleep.expected_s if sleep and state == ASLEEP else None,
        }

    def _last_heard(self, name: str, heard: Mapping[int, tuple[int, str]]) -> dict[str, Any]:
        """When and by whom a member was heard: by this node now, by a neighbour, or a governor."""
        found, member = self._found.get(name), self._members.get(name)
        if found and found.peer:
            return {"heard_s": 0, "heard_by": self._own.name}
        by_mesh = heard.get(int(member.address)) if member else None
        then = self._heard_by_governor(name).get("heard")
        if isinstance(then, int) and (by_mesh is None or now_s() - then < by_mesh[0]):
            return {"heard_s": max(0, now_s() - then), "heard_by": "the governor"}
        if by_mesh is None or name == self._own.name:
            return {"heard_s": None, "heard_by": None}
        return {"heard_s": by_mesh[0], "heard_by": by_mesh[1]}

    def _heard_by_governor(self, name: str) -> dict[str, Any]:
        member = self._members.get(name)
        return self.view.of(member.node_id) if self.view and member else {}


def _mesh(found: Found) -> dict[str, Any]:
    mesh = (found.status or {}).get("mesh")
    return mesh if isinstance(mesh, dict) else {}


def _heard(meshes: Mapping[str, dict[str, Any]]) -> dict[int, tuple[int, str]]:
    """{short address: (seconds ago, name of the node)}: who has heard each member last."""
    found: dict[int, tuple[int, str]] = {}
    for name, mesh in meshes.items():
        for address, heard_s in meshstatus.heard(mesh).items():
            if address not in found or heard_s < found[address][0]:
                found[address] = heard_s, name
    return found


def _sleeping(meshes: Iterable[dict[str, Any]]) -> dict[int, Sleep]:
    """{short address: its sleep}, by the parent of a node where it has answered."""
    found: dict[int, Sleep] = {}
    for mesh in meshes:
        for address, sleep_s, heard_s in meshstatus.sleeps(mesh):
            known = found.get(address)
            if known is None or known.heard_s is None:
                found[address] = Sleep(sleep_s, heard_s)
    return found


def _way(mesh: dict[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """Hops, parent, and the airtime of the link that has used most of its budget."""
    rank = mesh.get("rank")
    parents = mesh.get("parents")
    parent = parents[0] if isinstance(parents, list) and parents and rank else None
    spent_ms, budget_ms = meshstatus.busiest(mesh) or (None, None)
    return {
        "hops": rank if isinstance(rank, int) and rank != NO_RANK else None,
        "has_mesh": bool(mesh),
        "parent": meshstatus.name_of(parent, names),
        "spent_ms": spent_ms,
        "budget_ms": budget_ms,
    }


# --- for people -----------------------------------------------------------------------------------


def rows(documents: Iterable[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Rows of COLUMNS."""
    listed = list(documents)
    newest = max((one["epoch"] or 0 for one in listed), default=0)
    return [
        (
            one["name"],
            one["roles"],
            _state_text(one),
            one["epoch"] if one["is_newest"] is not False else f"{one['epoch']} of {newest}",
            _way_text(one),
            _airtime_text(one),
            _heard_text(one),
            one["address"],
        )
        for one in listed
    ]


def summary(documents: Iterable[dict[str, Any]]) -> str:
    """How many members are in which state: "4 other members: 2 online, 1 asleep, 1 no answer"."""
    counts: dict[str, int] = {}
    for one in documents:
        if one["state"] != THIS:
            counts[one["state"]] = counts.get(one["state"], 0) + 1
    listed = ", ".join(f"{count} {state}" for state, count in counts.items())
    total = sum(counts.values())
    return f"{total} other member{'s' * (total != 1)}: {listed}"


def _state_text(one: dict[str, Any]) -> str:
    state, problem, sleep_s = one["state"], one["problem"], one["sleep_s"]
    if state == ASLEEP:
        if one["expected_s"] is None:
            return f"asleep, at most {duration(sleep_s)}"
        if one["expected_s"] < 0:
            return f"asleep, overdue by {duration(-one['expected_s'])}"
        return f"asleep, expected within {duration(one['expected_s'])}"
    if state == ONLINE and problem:
        return f"online, status refused: {problem}"
    if state == ONLINE and sleep_s:
        return f"online, sleeps at most {duration(sleep_s)}"
    return f"refused: {problem}" if state == REFUSED else str(state)


def _way_text(one: dict[str, Any]) -> str:
    hops = one["hops"]
    if not one["has_mesh"]:
        return "IP" if one["state"] == ONLINE and "mesh:" not in (one["address"] or "") else ""
    if hops is None:
        return "no way to a gateway"
    if hops == 0:
        return "gateway"
    return f"{hops} hop{'s' * (hops > 1)}" + (f" by {one['parent']}" if one["parent"] else "")


def _airtime_text(one: dict[str, Any]) -> str:
    spent_ms, budget_ms = one["spent_ms"], one["budget_ms"]
    if spent_ms is None:
        return ""
    return f"{spent_ms / budget_ms:.1%}" if budget_ms else meshstatus.seconds(spent_ms)


def _heard_text(one: dict[str, Any]) -> str:
    if one["state"] == ONLINE:
        return "now"
    if one["heard_s"] is None:
        return ""
    return f"{duration(one['heard_s'])} ago by {one['heard_by']}"
