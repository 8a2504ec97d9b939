"""Step 1: four governors found the scope, the nodes make their keys, and are admitted."""

from collections.abc import Sequence

from ..governor.control import Document
from ..node import addressbook, provision
from ..scope import admission, issuance
from ..scope.delivery import Outcome, fetch_request, post_capsules
from ..scope.folder import ScopeFolder, now_s
from . import farm
from .board import Board
from .farm import DESK, DEVICES, GATE, PUMP, READING, SOIL
from .field import Field
from .governors import CEREMONY_S, finish
from .proofs import Ledger

NODES = (GATE, *DEVICES)
# Far from the end, where devices ask for a renewal by themselves.
MEMBER_FOR = "180d"


def listing(items: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def found_and_admit(field: Field, ledger: Ledger) -> None:
    """The scope's key, the devices' keys, their admission, and one name that resolves."""
    _found_scope(field, ledger)
    _first_boot(field, ledger)
    _admit_all(field, ledger)
    ledger.say("the pump is told only where the gateway is, and looks for soil")
    told = field[PUMP].wait_for("answer", target=f"soil/{READING}", code="2.05")
    ledger.prove(
        "names resolve: the pump asked the gateway who and where soil is",
        told["text"],
        f"soil/{READING} = {told['text']}, read by the pump, which knew the gateway's address only",
    )


# --- the scope ------------------------------------------------------------------------------------


def _found_scope(field: Field, ledger: Ledger) -> None:
    council = field.council
    ledger.say("four governors start, each a process with keys of its own")
    council.make(farm.GOVERNORS)
    ledger.say("one of them invites the others; the operators read out what they see")
    path, policy = field.path / "scope", field.path / "first.toml"
    policy.write_text(farm.first_policy())
    records = ",".join(str(one.record) for one in council.awake)
    threshold = ("--threshold", farm.THRESHOLD)
    command = council.command(
        *("scope", "create", farm.SCOPE, "--governors", records, *threshold),
        *("--folder", path, "--policy", policy, "--wait", CEREMONY_S),
    )
    seen = {one.name: one.ceremony() for one in council.awake}
    spoken = {found["fingerprint"] for found in seen.values()}
    if len(spoken) == 1:
        for name, found in seen.items():
            council[name].agree(found["id"], "the same at all four")
    made: Document = finish(command)
    field.scope = ScopeFolder.open(path)
    keys = {one.ask("state")["group_key"] for one in council.awake}
    pids = ", ".join(f"{one.name} {one.pid}" for one in council.awake)
    ledger.prove(
        "four processes made one group key, whose private half is nowhere",
        len(seen) == 4 and len(spoken) == 1 and keys == {made["group_key"]},
        f"{pids}: each computed the fingerprint {' '.join(spoken.pop().split()[:4])} ...",
    )
    field.scope.take(council.beacon())
    states = {one.state() for one in council.awake}
    ledger.prove(
        "they certified charter, policy and their own memberships, and decide from now on",
        len(states) == 1 and field.scope.epoch == 1 and made["members"] == 4,
        f"scope {made['scope']}: {made['threshold']} of {made['governors']} certify,"
        f" {made['may_be_dead']} may be dead, {made['may_lie']} may lie; epoch 1 at all four",
    )


# --- the nodes ------------------------------------------------------------------------------------


def _first_boot(field: Field, ledger: Ledger) -> None:
    ledger.say("the nodes boot for the first time and make their own keys")
    born = {}
    for part in NODES:
        field.flash(part, field.scope.charter.scope)
        born[part.name] = boot(field, part)
    ledger.prove(
        "every node made its own key at its first boot",
        all(files == ["key.a"] for files in born.values()),
        f"{len(DEVICES)} devices ({field.device.words}) and a gateway ({field.host.words})"
        " were given a name and the scope's id, nothing secret",
    )


def boot(field: Field, part: farm.Part) -> list[str]:
    """A node's first boot; the files that it made."""
    before = _files(field[part])
    field[part].start()
    return sorted(_files(field[part]) - before)


def _files(board: Board) -> set[str]:
    return {path.name for path in board.folder.iterdir()}


def _admit_all(field: Field, ledger: Ledger) -> None:
    ledger.say("each asks for membership; an operator looks and says yes")
    wanted, outcomes = admit(field, (*NODES, DESK))
    size = len(field.scope.members.find(SOIL.name).raw)  # type: ignore[union-attr]
    names = [f"{one.name} {one.request.node_id.hex()[:8]}" for one in wanted]
    ledger.prove(
        "devices asked over CoAP and were admitted by the governors",
        all(one.state == "taken" for one in outcomes),
        f"{listing(names)}: each signed with its own key, {listing(field.council.agreed)} agreed;"
        f" {size} bytes of membership each, {len(outcomes)} capsules taken",
    )


def admit(
    field: Field, parts: Sequence[farm.Part]
) -> tuple[list[admission.Admission], list[Outcome]]:
    """Ask nodes for their requests, have them admitted, and hand over what they need."""
    expires = admission.parse_expiry(MEMBER_FOR, now_s())
    wanted: list[admission.Admission] = []
    for part in parts:
        raw = field.make_desk() if part is DESK else fetch_request(field.address(part))
        request = admission.read_request(raw)
        roles = admission.role_mask(field.scope, [part.role])
        wanted.append(
            admission.prepare_admission(field.scope, request, roles, expires, None, wanted)
        )
    drafts = [one.draft for one in wanted]
    issuance.issue(field.scope, drafts, field.council, "members of the farm")
    outcomes: list[Outcome] = []
    for part in parts:
        outcomes += _provision(field, part)
    return wanted, outcomes


def _provision(field: Field, part: farm.Part) -> list[Outcome]:
    me = field.scope.members.find(part.name)
    raws = field.scope.capsules(me)
    if part is DESK:
        provision.install(field.desk_path, raws, field.scope.charter.scope)
        return []
    named = list(zip(("charter", "policy", "member", "beacon"), raws, strict=False))
    addressbook.write(field.scope.path, part.name, field.address(part))
    return post_capsules(field.address(part), named)
