"""Step 1: four governors found the scope, and admit the nodes."""

from collections.abc import Sequence

from ..governor.control import Document
from ..node import addressbook, provision
from ..scope import admission, issuance
from ..scope.delivery import Outcome, fetch_request, post_capsules
from ..scope.folder import ScopeFolder, now_s
from . import scenario
from .board import Board
from .governors import CEREMONY_S, finish
from .proofs import Report
from .scenario import DESK, DEVICES, GATE, PUMP, READING, SOIL
from .testbed import Testbed

NODES = (GATE, *DEVICES)
# Long enough that no device requests its renewal by itself during the demonstration.
MEMBER_FOR = "180d"


def listing(items: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def found_and_admit(bed: Testbed, report: Report) -> None:
    """Found the scope, boot the nodes, admit them, and resolve one name."""
    _found_scope(bed, report)
    _first_boot(bed, report)
    _admit_all(bed, report)
    report.announce("the pump knows only the gateway's address, and resolves the name soil")
    answer = bed[PUMP].wait_for("answer", target=f"soil/{READING}", code="2.05")
    report.prove(
        "names resolve: the pump asked the gateway for soil's identity and address",
        answer["text"],
        f"the pump, which knew the gateway's address only, read soil/{READING} = {answer['text']}",
    )


# --- the scope ------------------------------------------------------------------------------------


def _found_scope(bed: Testbed, report: Report) -> None:
    governors = bed.governors
    report.announce("four governors start, each as a process with its own keys")
    governors.make(scenario.GOVERNORS)
    report.announce("one governor invites the others; the operators compare fingerprints")
    path, policy = bed.path / "scope", bed.path / "first.toml"
    policy.write_text(scenario.first_policy())
    records = ",".join(str(one.record) for one in governors.honest)
    threshold = ("--threshold", scenario.THRESHOLD)
    command = governors.command(
        *("scope", "create", scenario.SCOPE, "--governors", records, *threshold),
        *("--folder", path, "--policy", policy, "--wait", CEREMONY_S),
    )
    seen = {one.name: one.find_ceremony() for one in governors.honest}
    fingerprints = {found["fingerprint"] for found in seen.values()}
    if len(fingerprints) == 1:
        for name, found in seen.items():
            governors[name].approve(found["id"], "the same at all four")
    made: Document = finish(command)
    bed.scope = ScopeFolder.open(path)
    keys = {one.ask("state")["group_key"] for one in governors.honest}
    pids = ", ".join(f"{one.name} {one.pid}" for one in governors.honest)
    report.prove(
        "four processes made one group key; its private key is split into shares, and never"
        " assembled",
        len(seen) == 4 and len(fingerprints) == 1 and keys == {made["group_key"]},
        f"{pids}: each computed the fingerprint {' '.join(fingerprints.pop().split()[:4])} ...",
    )
    bed.scope.take(governors.beacon())
    states = {one.state() for one in governors.honest}
    report.prove(
        "the governors certified the charter, the policy and their own memberships",
        len(states) == 1 and bed.scope.epoch == 1 and made["members"] == 4,
        f"scope {made['scope']}: {made['threshold']} of {made['governors']} certify,"
        f" tolerates {made['tolerates_offline']} offline, {made['tolerates_byzantine']} Byzantine;"
        " epoch 1 at all four",
    )


# --- the nodes ------------------------------------------------------------------------------------


def _first_boot(bed: Testbed, report: Report) -> None:
    report.announce("the nodes boot for the first time and generate their own keys")
    made = {}
    for spec in NODES:
        bed.configure(spec, bed.scope.charter.scope)
        made[spec.name] = boot(bed, spec)
    report.prove(
        "every node generated its own key at its first boot",
        all(files == ["key.a", "key.b", "names.a", "names.b"] for files in made.values()),
        f"{len(DEVICES)} devices ({bed.device.description}) and a gateway ({bed.host.description})"
        " were configured with a name and the scope's id, without any secret",
    )


def boot(bed: Testbed, spec: scenario.NodeSpec) -> list[str]:
    """Boot a node for the first time; returns the names of the files that it made."""
    before = _files(bed[spec])
    bed[spec].start()
    return sorted(_files(bed[spec]) - before)


def _files(board: Board) -> set[str]:
    return {path.name for path in board.folder.iterdir()}


def _admit_all(bed: Testbed, report: Report) -> None:
    report.announce("each node requests membership; an operator approves all of them")
    wanted, outcomes = admit(bed, (*NODES, DESK))
    size = len(bed.scope.members.find(SOIL.name).raw)  # type: ignore[union-attr]
    names = [f"{one.name} {one.request.node_id.hex()[:8]}" for one in wanted]
    report.prove(
        "devices requested membership over CoAP and were admitted by the governors",
        all(one.state == "taken" for one in outcomes),
        f"{listing(names)}: each signed with its own key, {listing(bed.governors.approvers)}"
        f" approved; {size} bytes for each member capsule, {len(outcomes)} capsules taken",
    )


def admit(
    bed: Testbed, specs: Sequence[scenario.NodeSpec]
) -> tuple[list[admission.Admission], list[Outcome]]:
    """Fetch the nodes' requests, have them admitted, and deliver their capsules."""
    wanted = certify_members(bed, specs)
    outcomes: list[Outcome] = []
    for spec in specs:
        outcomes += _provision(bed, spec)
    return wanted, outcomes


def certify_members(bed: Testbed, specs: Sequence[scenario.NodeSpec]) -> list[admission.Admission]:
    """Fetch the nodes' requests, and have them admitted. No capsule is delivered."""
    expires = admission.parse_expiry(MEMBER_FOR, now_s())
    wanted: list[admission.Admission] = []
    for spec in specs:
        raw = bed.make_desk() if spec is DESK else fetch_request(bed.address(spec))
        request = admission.read_request(raw)
        roles = admission.role_mask(bed.scope, [spec.role])
        wanted.append(admission.prepare_admission(bed.scope, request, roles, expires, None, wanted))
    drafts = [one.draft for one in wanted]
    issuance.issue(bed.scope, drafts, bed.governors, "members of the farm")
    return wanted


def _provision(bed: Testbed, spec: scenario.NodeSpec) -> list[Outcome]:
    me = bed.scope.members.find(spec.name)
    raws = bed.scope.capsules(me)
    if spec is DESK:
        provision.install(bed.desk_path, raws, bed.scope.charter.scope)
        return []
    named = list(zip(("charter", "policy", "member", "beacon"), raws, strict=False))
    addressbook.write(bed.scope.path, spec.name, bed.address(spec))
    return post_capsules(bed.address(spec), named)
