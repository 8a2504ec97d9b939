"""Step 5: attacks, and a power cut in the middle of a write."""

import signal
import time

from writ.errors import BadSignature, DecryptionFailed, Replayed, RolledBack, Truncated
from writ.limits import SEQUENCE_RESERVE
from writ.wire import coap, oscore

from ..scope.delivery import Outcome, post_capsules
from ..scope.records import read_capsule
from . import farm
from .changing import SPREAD_S, certify_policy, tell_gate
from .farm import GATE, READING, TANK
from .field import Field
from .proofs import Ledger, NotProved
from .relay import Heard, used_twice
from .stranger import Stranger, all_for_everybody


def attack(field: Field, ledger: Ledger) -> None:
    """What an attacker on the wire can do comes to nothing, by name; nor does a power cut harm."""
    before = field.status(TANK)
    _false_capsules(field, ledger)
    _sent_again(field, ledger)
    after = field.status(TANK)
    ledger.prove(
        "and none of it changed anything",
        (before["epoch"], before["head"]) == (after["epoch"], after["head"]),
        f"tank is at epoch {after['epoch']}, head {after['head'].hex()}, as before",
    )
    _cut_power(field, ledger)


def _false_capsules(field: Field, ledger: Ledger) -> None:
    whole = field.scope.policy_capsule() or b""
    first = read_capsule(field.scope.path / "policies/00001.cbor")
    assert field.scope.policy
    with Stranger(field.scope.charter_raw) as stranger:
        forged = stranger.forge(all_for_everybody(field.scope.policy))
    ledger.say("capsules are altered, kept back, cut, and handed to tank")
    for claim, words, raw, kind in (
        (
            "a forged capsule",
            "everything for everybody, signed by another key",
            forged,
            BadSignature,
        ),
        ("a rolled-back policy", "epoch 1, truly certified, handed over again", first, RolledBack),
        (
            "a capsule cut short",
            "the newest policy without its last 20 bytes",
            whole[:-20],
            Truncated,
        ),
    ):
        name = kind.__name__
        counted = field.rejected(TANK, name)
        said: Outcome = post_capsules(field.address(TANK), [(claim, raw)])[0]
        counted = field.rejected(TANK, name) - counted
        ledger.prove(
            f"{claim} is rejected: {name}",
            said.reason is kind and counted == 1,
            f"{words}: tank answered {said.text}, and counted it",
        )


def _sent_again(field: Field, ledger: Ledger) -> None:
    ledger.say("the wire to tank is tapped; what was heard is sent again")
    gate = field[GATE].address
    requests = [one for one in field.relay.between(gate) if one.is_sealed_request]
    if not requests:
        raise NotProved("the gateway has sent nothing to tank")
    heard = requests[-1]
    for claim, words, data, kind in (
        ("a replayed message", "byte for byte", heard.data, Replayed),
        ("an altered message", "with another sequence number", _altered(heard), DecryptionFailed),
    ):
        name = kind.__name__
        counted = field.rejected(TANK, name)
        answer = field.relay.inject(data)
        said = bytes(answer.payload).decode("utf-8", "replace") if answer else "nothing"
        counted = field.rejected(TANK, name) - counted
        ledger.prove(
            f"{claim} is rejected: {name}",
            said == f"{kind.code} {name}" and counted == 1,
            f"a request of the gateway, {len(data)} bytes, {words}: tank answered {said}",
        )


def _altered(heard: Heard) -> bytes:
    message = heard.message
    assert message
    kid, piv, context = oscore.decode_option(message.option(coap.OSCORE))
    later = (int.from_bytes(piv, "big") + 1000).to_bytes(2, "big")
    message.options = [
        (number, oscore.encode_option(kid, later, context) if number == coap.OSCORE else value)
        for number, value in message.options
    ]
    return bytes(message.encode())


def _cut_power(field: Field, ledger: Ledger) -> None:
    tank = field[TANK]
    ledger.say("tank's power will fail in the middle of its next write of a policy")
    tank.tell("cut policy")
    tank.wait_for("cut")
    old_epoch = field.scope.epoch
    certify_policy(field, farm.other_policy(field.scope.policy_file.read_text()))
    epoch = field.scope.epoch
    tell_gate(field)
    code = tank.wait(SPREAD_S)
    cut_at = time.monotonic()
    slots = sorted(tank.folder.glob("policy.?"), key=lambda path: path.stat().st_mtime_ns)
    torn = slots[-1].read_bytes() if slots else b""
    wanted = int.from_bytes(torn[5:7], "big") + 15
    ledger.prove(
        "a device is killed in the middle of a write",
        code == -signal.SIGKILL and 0 < len(torn) < wanted,
        f"tank took epoch {epoch} from the gateway and died: {slots[-1].name} holds {len(torn)}"
        f" of {wanted} bytes",
    )
    # told of no gateway, it can only wait until one speaks to it in the old session
    tank.configure(gateways=None)
    mark = tank.mark()
    started = tank.start()
    tank.wait_for("epoch", mark, SPREAD_S, epoch=epoch)
    took_s = time.monotonic() - cut_at
    ledger.prove(
        "it comes back in the newest epoch, and never in an older one",
        started["epoch"] == old_epoch,
        f"at its start it held epoch {started['epoch']}, whole; {took_s:.1f} s after the cut epoch"
        f" {epoch}, by ordinary traffic",
    )
    # its own sequence numbers are in what it tells observers
    mark = field[GATE].mark()
    field[GATE].tell(f"observe tank/{READING}")
    for _ in range(2):
        field[GATE].wait_for("answer", mark, SPREAD_S, method="observe")
        mark = field[GATE].mark()
    _check_nonces(field, ledger, cut_at)


def _check_nonces(field: Field, ledger: Ledger, cut_at: float) -> None:
    heard = field.relay.between(field[GATE].address)
    answered = [one for one in heard if one.is_sealed_request and one.at < cut_at]
    answer = field.relay.inject(answered[-1].data)
    said = bytes(answer.payload).decode("utf-8", "replace") if answer else "nothing"
    handshakes = [one for one in heard if one.is_handshake and one.at > cut_at]
    before, after = (
        sorted({one.piv for one in heard if one.outward and one.piv is not None and is_in(one.at)})
        for is_in in (lambda at: at <= cut_at, lambda at: at > cut_at)
    )
    twice = used_twice(heard)
    ledger.prove(
        "no nonce was used twice",
        before and after and not twice and not handshakes and after[0] > before[-1],
        f"the same session; tank's sequence numbers on the wire: {_span(before)} before the cut,"
        f" {_span(after)} after it ({SEQUENCE_RESERVE} are reserved a write)",
    )
    ledger.prove(
        "what was sent before the cut is a replay after it",
        said == f"{Replayed.code} {Replayed.__name__}",
        f"a request that tank answered before, byte for byte: {said}",
    )


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "none"
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
