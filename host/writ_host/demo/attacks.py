"""Step 5: attacks, and a power cut in the middle of a write."""

import signal
import time

from writ.errors import BadSignature, DecryptionFailed, Replayed, RolledBack, Truncated
from writ.limits import SEQUENCE_RESERVE
from writ.wire import coap, oscore

from ..scope.delivery import Outcome, post_capsules
from ..scope.records import read_capsule
from . import scenario
from .outsider import Outsider, allow_everything
from .proofs import NotProved, Report
from .rollout import PROPAGATION_S, certify_policy, deliver_to_gateway
from .scenario import GATE, READING, TANK
from .testbed import Testbed
from .wiretap import Datagram, used_twice


def attack(bed: Testbed, report: Report) -> None:
    """Each attack on the wire is refused with its own reason, and a power cut does no harm."""
    before = bed.status(TANK)
    _false_capsules(bed, report)
    _replays(bed, report)
    after = bed.status(TANK)
    report.prove(
        "none of the attacks changed the device's state",
        (before["epoch"], before["head"]) == (after["epoch"], after["head"]),
        f"tank is at epoch {after['epoch']}, head {after['head'].hex()}, as before",
    )
    _cut_power(bed, report)


def _false_capsules(bed: Testbed, report: Report) -> None:
    whole = bed.scope.policy_capsule() or b""
    first = read_capsule(bed.scope.path / "policies/00001.cbor")
    assert bed.scope.policy
    with Outsider(bed.scope.charter_raw) as outsider:
        forged = outsider.forge(allow_everything(bed.scope.policy))
    report.announce("forged, old and truncated capsules are delivered to tank")
    for claim, detail, raw, kind in (
        (
            "a forged capsule",
            "a policy that allows everything, signed with another key",
            forged,
            BadSignature,
        ),
        ("a rolled-back policy", "the certified policy of epoch 1, again", first, RolledBack),
        (
            "a truncated capsule",
            "the newest policy without its last 20 bytes",
            whole[:-20],
            Truncated,
        ),
    ):
        name = kind.__name__
        counted = bed.rejected(TANK, name)
        said: Outcome = post_capsules(bed.address(TANK), [(claim, raw)])[0]
        counted = bed.rejected(TANK, name) - counted
        report.prove(
            f"{claim} is rejected: {name}",
            said.reason is kind and counted == 1,
            f"{detail}: tank answered {said.text}, and counted it",
        )


def _replays(bed: Testbed, report: Report) -> None:
    report.announce("a datagram captured on the wire to tank is sent again")
    gate = bed[GATE].address
    requests = [one for one in bed.wiretap.between(gate) if one.is_oscore_request]
    if not requests:
        raise NotProved("the gateway has sent no request to tank")
    captured = requests[-1]
    for claim, detail, data, kind in (
        ("a replayed message", "byte for byte", captured.data, Replayed),
        (
            "an altered message",
            "with another sequence number",
            _altered(captured),
            DecryptionFailed,
        ),
    ):
        name = kind.__name__
        counted = bed.rejected(TANK, name)
        answer = bed.wiretap.inject(data)
        said = bytes(answer.payload).decode("utf-8", "replace") if answer else "nothing"
        counted = bed.rejected(TANK, name) - counted
        report.prove(
            f"{claim} is rejected: {name}",
            said == f"{kind.code} {name}" and counted == 1,
            f"a request of the gateway, {len(data)} bytes, {detail}: tank answered {said}",
        )


def _altered(captured: Datagram) -> bytes:
    message = captured.message
    assert message
    kid, piv, context = oscore.decode_option(message.option(coap.OSCORE))
    later = (int.from_bytes(piv, "big") + 1000).to_bytes(2, "big")
    message.options = [
        (number, oscore.encode_option(kid, later, context) if number == coap.OSCORE else value)
        for number, value in message.options
    ]
    return bytes(message.encode())


def _cut_power(bed: Testbed, report: Report) -> None:
    tank = bed[TANK]
    report.announce("tank will lose power in the middle of its next policy write")
    tank.send_line("cut policy")
    tank.wait_for("cut")
    old_epoch = bed.scope.epoch
    certify_policy(bed, scenario.other_policy(bed.scope.policy_file.read_text()))
    epoch = bed.scope.epoch
    deliver_to_gateway(bed)
    code = tank.wait(PROPAGATION_S)
    cut_at = time.monotonic()
    slots = sorted(tank.folder.glob("policy.?"), key=lambda path: path.stat().st_mtime_ns)
    torn = slots[-1].read_bytes() if slots else b""
    wanted = int.from_bytes(torn[5:7], "big") + 15
    report.prove(
        "a device is killed in the middle of a write",
        code == -signal.SIGKILL and 0 < len(torn) < wanted,
        f"tank received epoch {epoch} from the gateway and was killed: {slots[-1].name} holds"
        f" {len(torn)} of {wanted} bytes",
    )
    # without a configured gateway tank waits until the gateway uses the old session
    tank.configure(gateways=None)
    mark = tank.mark()
    started = tank.start()
    tank.wait_for("epoch", mark, PROPAGATION_S, epoch=epoch)
    took_s = time.monotonic() - cut_at
    report.prove(
        "it restarts with a whole policy and reaches the newest epoch, never an older one",
        started["epoch"] == old_epoch,
        f"at restart epoch {started['epoch']} was whole; {took_s:.1f} s after the cut tank had"
        f" epoch {epoch}, by ordinary traffic",
    )
    # notifications carry tank's own sequence numbers
    mark = bed[GATE].mark()
    bed[GATE].send_line(f"observe tank/{READING}")
    for _ in range(2):
        bed[GATE].wait_for("answer", mark, PROPAGATION_S, method="observe")
        mark = bed[GATE].mark()
    _check_nonces(bed, report, cut_at)


def _check_nonces(bed: Testbed, report: Report, cut_at: float) -> None:
    captured = bed.wiretap.between(bed[GATE].address)
    answered = [one for one in captured if one.is_oscore_request and one.at < cut_at]
    answer = bed.wiretap.inject(answered[-1].data)
    said = bytes(answer.payload).decode("utf-8", "replace") if answer else "nothing"
    handshakes = [one for one in captured if one.is_handshake and one.at > cut_at]
    sent = [(one.at, one.piv) for one in captured if one.outward and one.piv is not None]
    before, after = (
        sorted({piv for at, piv in sent if is_in(at)})
        for is_in in (lambda at: at <= cut_at, lambda at: at > cut_at)
    )
    twice = used_twice(captured)
    report.prove(
        "no nonce was used twice across the power cut",
        before and after and not twice and not handshakes and after[0] > before[-1],
        f"the same session; tank's sequence numbers on the wire: {_span(before)} before the cut,"
        f" {_span(after)} after it ({SEQUENCE_RESERVE} are reserved a write)",
    )
    report.prove(
        "a request from before the cut is refused as a replay after it",
        said == f"{Replayed.code} {Replayed.__name__}",
        f"a request that tank answered before the cut, byte for byte: {said}",
    )


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "none"
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
