"""Step 11: the gateway and all governors are gone, and the devices go on."""

from writ.wire import coap

from ..humanize import duration
from .changing import SPREAD_S
from .farm import GATE, PRIVATE, PUMP, READING, SOIL
from .field import Field
from .proofs import Ledger

_RENEW_S = 3


def be_alone(field: Field, ledger: Ledger) -> None:
    """Devices talk to each other, enforce, ask in vain, and say how old their policy is."""
    gate, pump = field[GATE], field[PUMP]
    ledger.say("the gateway is killed, and all governors")
    gate.kill()
    field.council.stop()
    mark = pump.mark()
    values = []
    for _ in range(2):
        told = pump.wait_for("answer", mark, SPREAD_S, target=f"soil/{READING}")
        mark = pump.events.index(next(one for one in pump.events[mark:] if one.what is told)) + 1
        values.append(f"{told.get('code')} {told.get('text')}")
    ledger.prove(
        "two devices still talk to each other",
        gate.pid is None and all(value.startswith("2.05 ") for value in values),
        f"gateway and governors are gone; pump reads soil/{READING}: {', '.join(values)}",
    )
    soil = field[SOIL]
    mark = soil.mark()
    soil.tell(f"renew {_RENEW_S}")
    told = soil.wait_for("answer", mark, method="renew")
    refused = field.call(SOIL, PRIVATE)
    reason = refused.reason.__name__ if refused.reason else coap.code_text(refused.code)
    ledger.prove(
        "with no host peer to ask they go on enforcing",
        not field.council.awake and told.get("text") == "TimedOut" and reason == "NotAllowed",
        f"soil asks to be renewed: {told.get('text')}; the operator asks soil for {PRIVATE}:"
        f" {reason}",
    )
    ages = {part.name: field.status(part) for part in (SOIL, PUMP)}
    told_ages = [
        f"{name}: epoch {one['epoch']}, its policy certified"
        f" {duration(one['time'] - one['policy'])} ago, confirmed by a beacon"
        f" {duration(one['beacon_age_s'])} ago"
        for name, one in ages.items()
        if isinstance(one["policy"], int) and isinstance(one["beacon_age_s"], int)
    ]
    ledger.prove(
        "each says how old its policy is",
        len(told_ages) == 2 and all(one["epoch"] == field.scope.epoch for one in ages.values()),
        "; ".join(told_ages),
    )
