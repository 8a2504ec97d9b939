"""Step 12: the devices without gateway and governors."""

from writ.wire import coap

from ..humanize import duration
from ..node.status import policy_age
from .proofs import Report
from .rollout import PROPAGATION_S
from .scenario import GATE, MAST, PRIVATE, PUMP, READING, SOIL
from .testbed import Testbed

_RENEW_S = 3


def isolate(bed: Testbed, report: Report) -> None:
    """Without any host peer devices talk to each other, enforce, and report their policy's age."""
    gate, pump = bed[GATE], bed[PUMP]
    report.announce("the gateways and all governors are killed")
    gate.kill()
    bed[MAST].stop()
    bed.governors.stop()
    mark = pump.mark()
    values = []
    for _ in range(2):
        answer = pump.wait_for("answer", mark, PROPAGATION_S, target=f"soil/{READING}")
        mark = pump.events.index(next(one for one in pump.events[mark:] if one.what is answer)) + 1
        values.append(f"{answer.get('code')} {answer.get('text')}")
    report.prove(
        "two devices still talk to each other",
        gate.pid is None and all(value.startswith("2.05 ") for value in values),
        f"gateway and governors are offline; pump reads soil/{READING}: {', '.join(values)}",
    )
    soil = bed[SOIL]
    mark = soil.mark()
    soil.send_line(f"renew {_RENEW_S}")
    answer = soil.wait_for("answer", mark, method="renew")
    refused = bed.call(SOIL, PRIVATE)
    reason = refused.reason.__name__ if refused.reason else coap.code_text(refused.code)
    report.prove(
        "without any host peer the devices still enforce the policy",
        not bed.governors.honest and answer.get("text") == "TimedOut" and reason == "NotAllowed",
        f"soil requests its renewal: {answer.get('text')}; the operator reads {PRIVATE} of soil:"
        f" {reason}",
    )
    ages = {spec.name: bed.status(spec) for spec in (SOIL, PUMP)}
    reports = [
        f"{name}: epoch {one['epoch']}, policy"
        f" {policy_age(one['time'] - one['policy'], one['amended'])}, confirmed by a beacon"
        f" {duration(one['beacon_age_s'])} ago"
        for name, one in ages.items()
        if isinstance(one["policy"], int) and isinstance(one["beacon_age_s"], int)
    ]
    report.prove(
        "each device reports how old its policy is",
        len(reports) == 2 and all(one["epoch"] == bed.scope.epoch for one in ages.values()),
        "; ".join(reports),
    )
