"""Step 8: a governor's replacement. The group key stays, all shares change, devices do nothing."""

import contextlib
import time
from collections.abc import Sequence

from writ.errors import Rejection

from ..ceremony import keyring
from ..errors import CheatingGovernor
from ..governor.control import ControlFailed, Document
from ..keys.frost import SigningPackage, aggregate, commit, sign
from ..keys.keyfile import KeyFile
from ..keys.roster import Seat
from .founding import listing
from .governors import CEREMONY_S, POLL_S, GovernorProcess
from .process import NoAnswer
from .proofs import Report
from .rollout import Watch, deliver_to_gateway, propose_desk
from .scenario import ANNA, BEN, CARL, DORA, PUMP, SOIL, SUCCESSOR, TANK
from .testbed import Testbed

_MESSAGE = b"any message at all"


def replace(bed: Testbed, report: Report) -> None:
    """Replace dora by emil."""
    governors = bed.governors
    report.announce("emil starts a governor; anna proposes to add emil and to remove dora")
    old_key, old_seat = governors.group_key, _seat(bed, DORA)
    waiting = propose_desk(bed, "365d", "keep the desk for a year")
    governors.make([SUCCESSOR])
    record = governors[SUCCESSOR].record.read_text()
    made = governors[ANNA].ask("change", add=[record], remove=[DORA], dry_run=False)
    approvers = _approve_ceremony(bed, made)
    report.prove(
        "the remaining governors deal a key share to a fifth process",
        governors[ANNA].find(made["id"])["state"] == "done",
        f"{made['title']}: anna proposed it, {listing(sorted(approvers))} approved it",
    )
    specs = (SOIL, TANK, PUMP)
    watch = Watch(bed, specs)
    epoch = _put_in_force(bed)
    deliver_to_gateway(bed)
    names = [one["name"] for one in governors[ANNA].ask("status")["governors"]]
    report.prove(
        "the new shares are in force, and the group key is the same",
        names == [ANNA, BEN, CARL, SUCCESSOR] and governors.group_key == old_key,
        f"governors {listing(names)} since epoch {epoch}; group key {old_key.hex()[:16]}... as"
        " before",
    )
    report.announce("the devices receive the new policy as any other")
    received = watch.wait(specs)
    report.prove(
        "for the devices the replacement is only a new epoch",
        watch.posted == 0 and watch.handshakes == 0,
        f"{'; '.join(received)}; meanwhile {watch.posted} capsules posted and {watch.handshakes}"
        " handshakes on tank's wire",
    )
    _prove_proposal(bed, report, waiting)
    _prove_old_share(bed, report, old_seat)
    governors[DORA].wait_for("retired", timeout_s=CEREMONY_S)
    governors[DORA].stop()


def _prove_proposal(bed: Testbed, report: Report, id: str) -> None:
    report.announce("a proposal from before the replacement is still pending")
    bed.governors[SUCCESSOR].approve(id, "I know that laptop")
    found = bed.governors.wait(id)
    node = bed.governors[ANNA].find_proposal("member", SUCCESSOR)
    bed.governors[ANNA].approve(node, "devices need its node")
    joined = bed.governors.wait(node)
    approvers = [one["governor"] for one in found["approvals"]]
    raws = [*found["capsules"], *joined["capsules"]]
    taken = [bed.scope.take(bytes.fromhex(raw)) for raw in raws]
    report.prove(
        "the new governors certify a proposal from before the replacement",
        taken == [True, True] and approvers == [SUCCESSOR],
        f"{found['title']}: proposed before the replacement, {listing(approvers)} approved after"
        f" it; {joined['title']}: anna approved",
    )


def _approve_ceremony(bed: Testbed, made: Document) -> set[str]:
    """Approve with each operator that the ceremony waits for, until it is done; returns whose."""
    governors = bed.governors
    approvers: set[str] = set()
    until = time.monotonic() + CEREMONY_S
    while True:
        states = []
        for one in governors.honest:
            found = _ceremony(one, made["id"])
            states.append(found and found["state"])
            if found and found["needs_decision"]:
                one.ask("decide", id=made["id"], yes=True, reason="emil takes dora's place")
                approvers.add(one.name)
        if all(state == "done" for state in states):
            return approvers
        if time.monotonic() > until:
            raise NoAnswer(f"{made['title']}: {states}")
        time.sleep(POLL_S)


def _ceremony(one: GovernorProcess, id: str) -> Document | None:
    for found in one.ask("pending")["ceremonies"]:
        if found["id"] == id:
            return dict(found)
    with contextlib.suppress(ControlFailed):
        # an ended ceremony is not pending any more
        return one.ask("find", id=id)
    return None


def _put_in_force(bed: Testbed) -> int:
    """Approve the policy that puts the new shares in force; returns its epoch."""
    governors, epoch = bed.governors, bed.scope.epoch + 1
    governors.approve(governors[ANNA].find_proposal("policy"))
    governors.wait_for_epoch(epoch)
    for raw in governors.everything():
        # the folder has all capsules but the newest, and refuses older ones
        with contextlib.suppress(Rejection):
            bed.scope.take(raw)
    return epoch


# --- the old share --------------------------------------------------------------------------------


def _seat(bed: Testbed, name: str) -> Seat:
    """A governor's seat, as it is on its disk now."""
    key = KeyFile.load(bed.key_file)
    return keyring.open_seat(bed.governors[name].folder, name, key).seat


def _prove_old_share(bed: Testbed, report: Report, old: Seat) -> None:
    report.announce("an attacker finds dora's old share on a disk")
    new = [_seat(bed, name) for name in (ANNA, BEN, SUCCESSOR)]
    right, wrong = _combine(new), _combine([*new[:2], old])
    report.prove(
        "the old share does not combine with the new ones",
        right == "a signature" and wrong != right and old.key.group_key == new[0].key.group_key,
        f"shares of anna, ben and emil: {right} of the group; of anna, ben and dora: {wrong}",
    )


def _combine(found: Sequence[Seat]) -> str:
    """The result of signing with the shares of these seats together, as a text."""
    public = found[0].public
    nonces = [commit(seat.key) for seat in found]
    package = SigningPackage(
        public.group_key, public.threshold, _MESSAGE, [one.commitment for one in nonces]
    )
    pairs = zip(found, nonces, strict=True)
    shares = {seat.key.identifier: sign(seat.key, nonce, package) for seat, nonce in pairs}
    try:
        aggregate(public, package, shares)
    except CheatingGovernor as error:
        return f"none ({error})"
    return "a signature"
