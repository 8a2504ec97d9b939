"""Step 8: a governor is replaced. The key stays, the shares are new, devices notice nothing."""

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
from .changing import Watch, propose_desk, tell_gate
from .farm import ANNA, BEN, CARL, DORA, PUMP, SOIL, SUCCESSOR, TANK
from .field import Field
from .founding import listing
from .governors import CEREMONY_S, POLL_S, Governor
from .process import NoAnswer
from .proofs import Ledger

_MESSAGE = b"any message at all"


def replace(field: Field, ledger: Ledger) -> None:
    """dora leaves, emil comes."""
    council = field.council
    ledger.say("emil starts a governor; anna proposes to take it in and to let dora go")
    old_key, old_seat = council.group_key, _seat(field, DORA)
    waiting = propose_desk(field, "365d", "keep the desk for a year")
    council.make([SUCCESSOR])
    record = council[SUCCESSOR].record.read_text()
    made = council[ANNA].ask("change", add=[record], remove=[DORA], dry=False)
    agreed = _agree(field, made)
    ledger.prove(
        "a fifth process is dealt a share, by those who stay",
        council[ANNA].find(made["id"])["state"] == "done",
        f"{made['title']}: anna proposed it, the operators of {listing(sorted(agreed))} agreed",
    )
    parts = (SOIL, TANK, PUMP)
    watch = Watch(field, parts)
    epoch = _put_in_force(field)
    tell_gate(field)
    names = [one["name"] for one in council[ANNA].ask("status")["governors"]]
    ledger.prove(
        "the new shares are in force, and the group key is the same",
        names == [ANNA, BEN, CARL, SUCCESSOR] and council.group_key == old_key,
        f"governors {listing(names)} since epoch {epoch}; group key {old_key.hex()[:16]}... as"
        " before",
    )
    ledger.say("the devices hear of it as of any policy")
    heard = watch.wait(parts)
    ledger.prove(
        "the devices notice nothing but a new epoch",
        watch.posted == 0 and watch.handshakes == 0,
        f"{'; '.join(heard)}; meanwhile {watch.posted} capsules posted and {watch.handshakes}"
        " handshakes on tank's wire",
    )
    _prove_proposal(field, ledger, waiting)
    _prove_old_share(field, ledger, old_seat)
    council[DORA].wait_for("retired", timeout_s=CEREMONY_S)
    council[DORA].stop()


def _prove_proposal(field: Field, ledger: Ledger, id: str) -> None:
    ledger.say("what was proposed before the change still waits")
    field.council[SUCCESSOR].agree(id, "I know that laptop")
    found = field.council.wait(id)
    node = field.council[ANNA].proposed("member", SUCCESSOR)
    field.council[ANNA].agree(node, "devices need its node")
    joined = field.council.wait(node)
    said = [one["governor"] for one in found["approvals"]]
    raws = [*found["capsules"], *joined["capsules"]]
    taken = [field.scope.take(bytes.fromhex(raw)) for raw in raws]
    ledger.prove(
        "what waited meanwhile is certified by the new ones",
        taken == [True, True] and said == [SUCCESSOR],
        f"{found['title']}: proposed before the change, {listing(said)} agreed after it;"
        f" {joined['title']}: anna agreed",
    )


def _agree(field: Field, made: Document) -> set[str]:
    """Every operator who is asked says yes, until all are done; who that was."""
    council = field.council
    agreed: set[str] = set()
    until = time.monotonic() + CEREMONY_S
    while True:
        states = []
        for one in council.awake:
            found = _ceremony(one, made["id"])
            states.append(found and found["state"])
            if found and found["asks"]:
                one.ask("decide", id=made["id"], yes=True, reason="emil takes dora's place")
                agreed.add(one.name)
        if all(state == "done" for state in states):
            return agreed
        if time.monotonic() > until:
            raise NoAnswer(f"{made['title']}: {states}")
        time.sleep(POLL_S)


def _ceremony(one: Governor, id: str) -> Document | None:
    for found in one.ask("pending")["ceremonies"]:
        if found["id"] == id:
            return dict(found)
    with contextlib.suppress(ControlFailed):
        # over
        return one.ask("find", id=id)
    return None


def _put_in_force(field: Field) -> int:
    """Agree to the policy that names the new shares, which the governors propose; its epoch."""
    council, epoch = field.council, field.scope.epoch + 1
    council.approve(council[ANNA].proposed("policy"))
    council.wait_for_epoch(epoch)
    for raw in council.everything():
        # the folder has all but the newest
        with contextlib.suppress(Rejection):
            field.scope.take(raw)
    return epoch


# --- the old share --------------------------------------------------------------------------------


def _seat(field: Field, name: str) -> Seat:
    """A governor's seat as it is on its disk now."""
    key = KeyFile.load(field.key_file)
    return keyring.open_seat(field.council[name].folder, name, key).seat


def _prove_old_share(field: Field, ledger: Ledger, old: Seat) -> None:
    ledger.say("somebody finds dora's share on an old disk")
    new = [_seat(field, name) for name in (ANNA, BEN, SUCCESSOR)]
    right, wrong = _combine(new), _combine([*new[:2], old])
    ledger.prove(
        "the old share does not combine with the new ones",
        right == "a signature" and wrong != right and old.key.group_key == new[0].key.group_key,
        f"shares of anna, ben and emil: {right} of the group; of anna, ben and dora: {wrong}",
    )


def _combine(found: Sequence[Seat]) -> str:
    """What comes of the shares of these seats together."""
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
