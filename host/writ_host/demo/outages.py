"""Steps 6 and 7: an outage of one governor, and of two, which leave no quorum."""

import signal
import time

from ..humanize import duration
from ..scope import issuance
from . import scenario
from .board import code_and_text
from .founding import admit, boot, listing
from .proofs import Report
from .rollout import Watch, certify_policy, deliver_to_gateway, draft_policy, propose_desk
from .scenario import ANNA, BEN, CARL, DORA, GATE, PUMP, READING, SLUICE, SOIL, TANK
from .testbed import Testbed

# The time after which a proposal without quorum is checked to be still open.
WAIT_S = 4.0
RENEW_S = 90.0

# --- step 6 ---------------------------------------------------------------------------------------


def lose_one(bed: Testbed, report: Report) -> None:
    """With three of four governors joining, renewal and policy changes go on."""
    report.announce("dora's machine fails")
    pid, epoch = bed.governors[DORA].pid, bed.scope.epoch
    code = bed.governors[DORA].kill()
    left = [one.name for one in bed.governors.honest]
    report.prove(
        "one of four governors is killed, with kill -9",
        code == -signal.SIGKILL and left == [ANNA, BEN, CARL],
        f"dora, process {pid}, in epoch {epoch}; {listing(left)} remain",
    )
    bed.configure(SLUICE, bed.scope.charter.scope)
    prove_joining(bed, report, SLUICE)
    prove_renewal(bed, report, SOIL)
    prove_policy(bed, report)


def prove_joining(bed: Testbed, report: Report, spec: scenario.NodeSpec) -> None:
    """A device boots for the first time, requests membership, and is admitted."""
    report.announce(f"a new device, the {spec.name}, requests membership")
    boot(bed, spec)
    _, outcomes = admit(bed, [spec])
    report.prove(
        "a device joins",
        all(one.state == "taken" for one in outcomes) and bed.scope.members.find(spec.name),
        f"{spec.name}: {listing(bed.governors.approvers)} approved, certified after"
        f" {bed.governors.took_s:.1f} s, {len(outcomes)} capsules taken",
    )


def prove_renewal(bed: Testbed, report: Report, spec: scenario.NodeSpec) -> None:
    """A device requests a later expiry from its governors, without an operator."""
    report.announce(f"{spec.name} requests its renewal from a governor")
    before, approvals = bed.scope.members.find(spec.name), _approvals(bed)
    assert before
    renewed = _renewal(bed, spec)
    approvals = _approvals(bed) - approvals
    report.prove(
        "a device renews itself without any operator",
        renewed > before.expires and not approvals,
        f"{spec.name} asked a governor and verified the answer: a member for"
        f" {_days(before.expires)} before, for {_days(renewed)} now; approvals of operators:"
        f" {approvals}",
    )


def _renewal(bed: Testbed, spec: scenario.NodeSpec) -> int:
    """Renew a node; returns the expiry of its membership afterwards, in Unix seconds."""
    board = bed[spec]
    mark = board.mark()
    board.send_line("renew")
    answer = board.wait_for("answer", mark, RENEW_S, method="renew")
    if answer.get("code") == "2.04":
        # the folder makes the checks of a device
        bed.scope.take(bytes.fromhex(answer["raw"]))
    me = bed.scope.members.find(spec.name)
    return int(me.expires) if me else 0


def prove_policy(bed: Testbed, report: Report) -> None:
    """A new policy is certified, and every device enforces it."""
    specs = (SOIL, TANK, PUMP)
    watch = Watch(bed, specs)
    report.announce("two operators approve a new policy")
    change = certify_policy(bed, scenario.other_policy(bed.scope.policy_file.read_text()))
    heads = bed.governors.wait_for_epoch(bed.scope.epoch)
    took_s = bed.governors.took_s
    deliver_to_gateway(bed)
    received = watch.wait(specs)
    lines = change.diff.lines() if change.diff else []
    report.prove(
        "the policy changes, and the devices enforce it",
        len(set(heads.values())) == 1,
        f"epoch {bed.scope.epoch} at {listing(list(heads))} after {took_s:.1f} s"
        f" ({'; '.join(lines)}); {'; '.join(received)}",
    )


def _approvals(bed: Testbed) -> int:
    """The number of operators' approvals in an honest governor's log."""
    entries = bed.governors.honest[0].ask("log", last=1000)["entries"]
    return sum(one["event"] == "approved" for one in entries)


def _days(until_s: int) -> str:
    return duration(until_s - int(time.time()))


# --- step 7 ---------------------------------------------------------------------------------------


def lose_two(bed: Testbed, report: Report) -> None:
    """Two of four are no quorum: the policy stays in force, and proposals wait for the quorum."""
    governors = bed.governors
    governors[CARL].kill()
    left = governors.honest
    report.announce("carl's machine fails too; operators approve a new policy and a membership")
    change = draft_policy(bed, scenario.other_policy(bed.scope.policy_file.read_text()))
    drafts = [one for one in change.drafts if not one.label.startswith("beacon")]
    policy = governors.approve(governors.propose(drafts, "a policy with two of four"))
    member = governors.approve(propose_desk(bed, "200d", "the desk for 200 days"))
    time.sleep(WAIT_S)
    found, epoch = [governors[ANNA].find(id) for id in (policy, member)], bed.scope.epoch
    states = {one.state() for one in left}
    texts = [f"{one['title']}: {len(one['approvals'])} approved, {one['state']}" for one in found]
    report.prove(
        "with two of four governors offline nothing can be changed",
        {one["state"] for one in found} == {"open"}
        and all(len(one["approvals"]) == one["operators"] for one in found)
        and [(epoch, bed.scope.head.hex())] == list(states),
        f"{WAIT_S:.0f} s later: {'; '.join(texts)}; anna and ben are in epoch {epoch} as before",
    )
    _prove_enforcement(bed, report)
    report.announce("carl and dora restart")
    since = time.monotonic()
    governors.start(CARL, DORA)
    certified = governors.wait(policy)
    for raw in governors.take(certified, drafts):
        bed.scope.take(raw)
    joined = governors.wait(member)
    renewed = bed.scope.take(bytes.fromhex(joined["capsules"][0]))
    report.prove(
        "after the restart the pending proposals are certified without a further approval",
        bed.scope.epoch == epoch + 1 and renewed,
        f"{certified['title']}: epoch {epoch + 1}; {joined['title']}: certified;"
        f" {time.monotonic() - since:.1f} s after the start of both",
    )
    heads = governors.wait_for_epoch(epoch + 1)
    report.prove(
        "the restarted governors have caught up with the epochs that they missed",
        len(heads) == 4 and set(heads.values()) == {bed.scope.head.hex()},
        f"dora failed in epoch {epoch - 1}, carl in epoch {epoch}; {listing(list(heads))} are in"
        f" epoch {epoch + 1} with the same head {bed.scope.head.hex()}",
    )
    issuance.issue(bed.scope, [issuance.beacon_draft(bed.scope)], governors)
    deliver_to_gateway(bed)


def _prove_enforcement(bed: Testbed, report: Report) -> None:
    gate = bed[GATE]
    report.announce("the nodes go on meanwhile")
    done = {line: gate.ask(line) for line in (f"get soil/{READING}", "put pump/pump off")}
    refused = gate.ask(f"get soil/{scenario.PRIVATE}")
    report.prove(
        "the devices still allow what the policy allows, and refuse all else",
        {answer.get("code") for answer in done.values()} == {"2.05", "2.04"}
        and refused.get("text") == "40 NotAllowed",
        "; ".join(f"{line}: {code_and_text(answer)}" for line, answer in done.items())
        + f"; get soil/{scenario.PRIVATE}: {code_and_text(refused)}",
    )
