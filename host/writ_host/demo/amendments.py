"""Steps 3 and 4: a policy's amendment, delivered to one node, and the revocation of a device."""

from typing import Any

from writ.errors import Revoked

from ..policy.edit import add_revoked
from ..scope import issuance, policyfile
from ..scope.change import revocation
from ..scope.delivery import post_capsules
from . import scenario
from .board import code_and_text
from .founding import listing
from .outsider import refused_because
from .proofs import Report
from .rollout import Watch, certify_policy, deliver_to_gateway
from .scenario import DEVICES, GATE, GUEST, PRIVATE, PUMP, READING, SOIL, TANK
from .testbed import Testbed

# --- step 3 ---------------------------------------------------------------------------------------


def change_policy(bed: Testbed, report: Report) -> None:
    """Deliver a new policy to one node; ordinary traffic carries it to all others."""
    listed = [SOIL, TANK, PUMP]
    gate, guest = bed[GATE], bed[GUEST]
    before = {spec.name: gate.ask(f"get {spec.name}/{PRIVATE}") for spec in listed}
    before[GUEST.name] = guest.ask(f"get soil/{READING}")
    report.announce("two operators approve a new policy, after its tests have passed")
    change = certify_policy(bed, scenario.second_policy())
    watch = Watch(bed, DEVICES)
    outcomes = deliver_to_gateway(bed)
    report.prove(
        "a new policy is certified and delivered to the gateway alone",
        all(one.state == "taken" for one in outcomes),
        f"{listing(bed.governors.approvers)} approved: "
        + "; ".join(change.diff.lines() if change.diff else []),
    )
    report.announce("the devices get no delivery; the gateway goes on reading as before")
    received = watch.wait(listed)
    after = {spec.name: gate.ask(f"get {spec.name}/{PRIVATE}") for spec in listed}
    after[GUEST.name] = guest.ask(f"get soil/{READING}")
    received += watch.wait([GUEST])
    report.prove(
        "every device received the policy within seconds, from ordinary traffic",
        watch.posted == 0,
        f"{'; '.join(received)}; capsules posted on tank's wire: {watch.posted}",
    )
    report.prove(
        "a request that was allowed is now denied, on each device",
        all(before[spec.name].get("code") == "2.05" for spec in listed)
        and all(after[spec.name].get("text") == "40 NotAllowed" for spec in listed),
        f"gate GET {'|'.join(spec.name for spec in listed)}/{PRIVATE}:"
        f" before {before[SOIL.name].get('code')}, now {code_and_text(after[SOIL.name])}",
    )
    report.prove(
        "a request that was denied is now allowed",
        before[GUEST.name].get("text") == "40 NotAllowed"
        and after[GUEST.name].get("code") == "2.05",
        f"guest GET soil/{READING}: before {code_and_text(before[GUEST.name])},"
        f" now {code_and_text(after[GUEST.name])}",
    )


# --- step 4 ---------------------------------------------------------------------------------------

_ASKED = {SOIL: READING, TANK: READING, PUMP: "pump", GATE: "uptime"}


def revoke(bed: Testbed, report: Report) -> None:
    """Revoke the guest: all nodes refuse it in each old session, and at each new handshake."""
    guest = bed[GUEST]
    report.announce("the guest calls each node a last time")
    before = {spec: guest.ask(f"get {spec.name}/{path}") for spec, path in _ASKED.items()}
    report.announce("two operators approve an amendment that revokes the guest")
    member: Any = bed.scope.members.find(GUEST.name)
    state = bed.scope.epoch, bed.scope.head
    drafts = revocation(bed.scope, [member]).drafts
    issuance.issue(bed.scope, drafts, bed.governors)
    entries = [(member.node_id.hex(), GUEST.name)]
    path = bed.scope.policy_file
    policyfile.follow(bed.scope, path, state, lambda text: add_revoked(text, entries))
    amendment = bed.scope.amendment_capsule() or b""
    outcomes = [
        one
        for spec in _ASKED
        for one in post_capsules(bed.address(spec), [("amendment", amendment)])
    ]
    report.prove(
        "the guest is revoked by a small amendment",
        all(one.is_good for one in outcomes),
        f"epoch {bed.scope.epoch}, {len(amendment)} bytes with the group's signature, delivered to"
        " all nodes",
    )
    report.announce("the guest sends its next message to each node, in its open session")
    after = {spec: guest.ask(f"get {spec.name}/{path}") for spec, path in _ASKED.items()}
    changed = [
        f"{spec.name}: {before[spec].get('code')} -> {code_and_text(after[spec])}"
        for spec in _ASKED
    ]
    report.prove(
        "each node refuses the guest's next message in its old session",
        all(answer.get("text") == f"{Revoked.code} {Revoked.__name__}" for answer in after.values())
        and before[SOIL].get("code") == "2.05",
        "; ".join(changed),
    )
    report.announce("the guest deletes its sessions and starts new handshakes")
    reasons = _new_handshakes(bed)
    report.prove(
        "each node refuses the guest's new handshake",
        set(reasons.values()) == {Revoked.__name__},
        "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
    )


def _new_handshakes(bed: Testbed) -> dict[str, str]:
    """Restart the guest without its sessions; returns each node's reason to refuse it."""
    guest = bed[GUEST]
    guest.kill()
    for record in guest.folder.glob("s[0-9].[ab]"):
        record.unlink()
    # without a configured gateway the guest sends no greeting by itself
    guest.configure(gateways=None)
    guest.start()
    reasons = {}
    for spec, path in _ASKED.items():
        answer = guest.ask(f"get {bed.address(spec)}/{path}")
        raw = bytes.fromhex(answer.get("raw", ""))
        reasons[spec.name] = refused_because(raw) if raw else code_and_text(answer)
    return reasons
