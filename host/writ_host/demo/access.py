"""Step 2: access as the policy allows it, and refusals of all other requests."""

from typing import Any

from writ.errors import BadSignature, NotMember

from .board import Board, code_and_text
from .outsider import Outsider
from .proofs import Report
from .rollout import PROPAGATION_S
from .scenario import GATE, GUEST, PRIVATE, READING, SOIL, TANK
from .testbed import Testbed


def read_and_refuse(bed: Testbed, report: Report) -> None:
    """The gateway reads and writes; an outsider, and a member without the role, are refused."""
    gate, guest = bed[GATE], bed[GUEST]
    report.announce("the gateway reads live values of this machine from the devices")
    paths = (f"soil/{READING}", "tank/heap", "pump/pump", f"soil/{PRIVATE}")
    read = {path: gate.ask(f"get {path}") for path in paths}
    report.prove(
        "the gateway reads sensors",
        all(answer.get("code") == "2.05" for answer in read.values()),
        "; ".join(f"{path} = {answer.get('text')}" for path, answer in read.items()),
    )
    _observe(gate, report)
    done = gate.ask("put pump/pump on")
    now = gate.ask("get pump/pump")
    report.prove(
        "the gateway writes the actuator",
        done.get("code") == "2.04" and now.get("text") == "on",
        f"PUT pump/pump on: {code_and_text(done)}; then GET: {now.get('text')}",
    )
    _refuse_outsider(bed, report)
    report.announce("a member sends requests that its role does not allow")
    asked = {line: guest.ask(line) for line in (f"get soil/{READING}", "put pump/pump off")}
    still = gate.ask("get pump/pump")
    report.prove(
        "a member without the role is refused, with the reason",
        all(answer.get("text") == "40 NotAllowed" for answer in asked.values())
        and still.get("text") == "on",
        "; ".join(f"guest {line}: {code_and_text(answer)}" for line, answer in asked.items()),
    )


def _observe(gate: Board, report: Report) -> None:
    mark = gate.mark()
    for name in (SOIL.name, TANK.name):
        gate.send_line(f"observe {name}/{READING}")
    counts = {}
    for name in (SOIL.name, TANK.name):
        target = f"{name}/{READING}"
        seen: list[int] = []

        def is_news(what: dict[str, Any], target: str = target, seen: list[int] = seen) -> bool:
            number = what.get("observe") if what.get("target") == target else None
            if number is not None and number not in seen:
                seen.append(number)
            return len(seen) >= 3

        gate.wait_until(is_news, f"three values of {target}", mark, PROPAGATION_S)
        counts[target] = seen
    report.prove(
        "the gateway observes sensors",
        all(len(seen) >= 3 for seen in counts.values()),
        "; ".join(f"{target}: notifications {seen}" for target, seen in counts.items()),
    )


def _refuse_outsider(bed: Testbed, report: Report) -> None:
    report.announce("an outsider calls without membership, then with a self-signed one")
    before = bed.rejected(SOIL, BadSignature.__name__)
    with Outsider(bed.scope.charter_raw) as outsider:
        code, text = outsider.get(bed.address(SOIL), READING)
        reason = outsider.call_as_member(bed.address(SOIL), READING)
    counted = bed.rejected(SOIL, BadSignature.__name__) - before
    report.prove(
        "an outsider is refused, with the reason",
        code == "4.01" and NotMember.__name__ in text,
        f"GET soil/{READING} without a session: {code} {text}",
    )
    report.prove(
        "a self-signed membership opens no session",
        reason == BadSignature.__name__ and counted == 1,
        f"handshake with soil: {reason}, counted by soil",
    )
