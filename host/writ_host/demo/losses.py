"""Steps 6 and 7: one governor is killed and little is missed; two, and nothing can be changed."""

import signal
import time

from ..humanize import duration
from ..scope import issuance
from . import farm
from .board import said
from .changing import Watch, certify_policy, draft_policy, propose_desk, tell_gate
from .farm import ANNA, BEN, CARL, DORA, GATE, PUMP, READING, SLUICE, SOIL, TANK
from .field import Field
from .founding import admit, boot, listing
from .proofs import Ledger

# For so long a proposal that cannot be certified is looked at.
WAIT_S = 4.0
RENEW_S = 90.0

# --- step 6 ---------------------------------------------------------------------------------------


def lose_one(field: Field, ledger: Ledger) -> None:
    """With three of four governors all goes on: joining, renewal, a new policy."""
    ledger.say("dora's machine dies")
    pid, epoch = field.council[DORA].pid, field.scope.epoch
    code = field.council[DORA].kill()
    left = [one.name for one in field.council.awake]
    ledger.prove(
        "one of four governors is killed, with kill -9",
        code == -signal.SIGKILL and left == [ANNA, BEN, CARL],
        f"dora, process {pid}, in epoch {epoch}; {listing(left)} are left",
    )
    field.flash(SLUICE, field.scope.charter.scope)
    prove_joining(field, ledger, SLUICE)
    prove_renewal(field, ledger, SOIL)
    prove_policy(field, ledger)


def prove_joining(field: Field, ledger: Ledger, part: farm.Part) -> None:
    """A device boots for the first time, asks, and is admitted by those who are there."""
    ledger.say(f"a new device, the {part.name}, asks to join")
    boot(field, part)
    _, outcomes = admit(field, [part])
    ledger.prove(
        "a device joins",
        all(one.state == "taken" for one in outcomes) and field.scope.members.find(part.name),
        f"{part.name}: {listing(field.council.agreed)} agreed, certified after"
        f" {field.council.took_s:.1f} s, {len(outcomes)} capsules taken",
    )


def prove_renewal(field: Field, ledger: Ledger, part: farm.Part) -> None:
    """A device asks its governors for a later expiry, and no operator is asked."""
    ledger.say(f"{part.name} asks a governor to be renewed")
    before, people = field.scope.members.find(part.name), _agreements(field)
    assert before
    renewed = _renewal(field, part)
    people = _agreements(field) - people
    ledger.prove(
        "a device renews itself, and no person is needed",
        renewed > before.expires and not people,
        f"{part.name} asked a governor and verified what came: a member for"
        f" {_days(before.expires)} before, for {_days(renewed)} now; operators who agreed:"
        f" {people}",
    )


def _renewal(field: Field, part: farm.Part) -> int:
    # until when it is a member then
    board = field[part]
    mark = board.mark()
    board.tell("renew")
    told = board.wait_for("answer", mark, RENEW_S, method="renew")
    if told.get("code") == "2.04":
        # the folder checks it as devices do
        field.scope.take(bytes.fromhex(told["raw"]))
    me = field.scope.members.find(part.name)
    return int(me.expires) if me else 0


def prove_policy(field: Field, ledger: Ledger) -> None:
    """A new policy is certified by those who are there, and every device obeys it."""
    parts = (SOIL, TANK, PUMP)
    watch = Watch(field, parts)
    ledger.say("two operators agree to a new policy")
    change = certify_policy(field, farm.other_policy(field.scope.policy_file.read_text()))
    heads = field.council.wait_for_epoch(field.scope.epoch)
    took_s = field.council.took_s
    tell_gate(field)
    heard = watch.wait(parts)
    lines = change.diff.lines() if change.diff else []
    ledger.prove(
        "the policy changes, and the devices obey it",
        len(set(heads.values())) == 1,
        f"epoch {field.scope.epoch} at {listing(list(heads))} after {took_s:.1f} s"
        f" ({'; '.join(lines)}); {'; '.join(heard)}",
    )


def _agreements(field: Field) -> int:
    """How often an operator has agreed to anything, as an honest governor's log says."""
    entries = field.council.awake[0].ask("log", last=1000)["entries"]
    return sum(one["event"] == "approved" for one in entries)


def _days(until_s: int) -> str:
    return duration(until_s - int(time.time()))


# --- step 7 ---------------------------------------------------------------------------------------


def lose_two(field: Field, ledger: Ledger) -> None:
    """Two of four are no quorum; what was decided holds; what waits is decided when it can be."""
    council = field.council
    council[CARL].kill()
    left = council.awake
    ledger.say("carl's machine dies too; a policy and a membership are proposed, operators agree")
    change = draft_policy(field, farm.other_policy(field.scope.policy_file.read_text()))
    drafts = [one for one in change.drafts if not one.label.startswith("beacon")]
    policy = council.approve(council.propose(drafts, "a policy with two of four"))
    member = council.approve(propose_desk(field, "200d", "the desk for 200 days"))
    time.sleep(WAIT_S)
    found, epoch = [council[ANNA].find(id) for id in (policy, member)], field.scope.epoch
    states = {one.state() for one in left}
    said = [f"{one['title']}: {len(one['approvals'])} agreed, {one['state']}" for one in found]
    ledger.prove(
        "with two of four dead nothing can be changed",
        {one["state"] for one in found} == {"open"}
        and all(len(one["approvals"]) == one["operators"] for one in found)
        and [(epoch, field.scope.head.hex())] == list(states),
        f"{WAIT_S:.0f} s later: {'; '.join(said)}; anna and ben are in epoch {epoch} as before",
    )
    _allowed_goes_on(field, ledger)
    ledger.say("carl and dora come back")
    since = time.monotonic()
    council.start(CARL, DORA)
    certified = council.wait(policy)
    for raw in council.take(certified, drafts):
        field.scope.take(raw)
    joined = council.wait(member)
    renewed = field.scope.take(bytes.fromhex(joined["capsules"][0]))
    ledger.prove(
        "they come back, and what waited is certified without a word",
        field.scope.epoch == epoch + 1 and renewed,
        f"{certified['title']}: epoch {epoch + 1}; {joined['title']}: certified;"
        f" {time.monotonic() - since:.1f} s after the start of both",
    )
    heads = council.wait_for_epoch(epoch + 1)
    ledger.prove(
        "and they have caught up with what they missed",
        len(heads) == 4 and set(heads.values()) == {field.scope.head.hex()},
        f"dora died in epoch {epoch - 1}, carl in epoch {epoch}; {listing(list(heads))} are in"
        f" epoch {epoch + 1} with the same head {field.scope.head.hex()}",
    )
    issuance.issue(field.scope, [issuance.beacon_draft(field.scope)], council)
    tell_gate(field)


def _allowed_goes_on(field: Field, ledger: Ledger) -> None:
    gate = field[GATE]
    ledger.say("and the field?")
    done = {line: gate.ask(line) for line in (f"get soil/{READING}", "put pump/pump off")}
    refused = gate.ask(f"get soil/{farm.PRIVATE}")
    ledger.prove(
        "everything that is allowed goes on, and nothing else does",
        {told.get("code") for told in done.values()} == {"2.05", "2.04"}
        and refused.get("text") == "40 NotAllowed",
        "; ".join(f"{line}: {said(told)}" for line, told in done.items())
        + f"; get soil/{farm.PRIVATE}: {said(refused)}",
    )
