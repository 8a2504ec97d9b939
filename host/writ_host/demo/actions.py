"""Step 9: an operation that needs an action, and the action needs the approval of two operators."""

import time

from writ.errors import ActionSpent, BadSignature, NeedsAction, WrongTarget

from ..scope.delivery import post_capsules
from .board import Board, code_and_text
from .governors import CERTIFY_S
from .proofs import Report
from .scenario import ANNA, BEN, GATE, PUMP, SLUICE
from .testbed import Testbed

WAIT_S = 2.0
_ORDER = "sluice/sluice open"
# The last byte of the nonce: the signature of 64 bytes with its head of 2 follows it. A changed
# nonce is another action.
_NONCE = -67


def act(bed: Testbed, report: Report) -> None:
    """The sluice opens once, after two operators have approved it."""
    gate, governors = bed[GATE], bed.governors
    report.announce("the gateway tries to open the sluice without an action")
    gate.ask("get sluice/sluice")
    alone = gate.ask(f"put {_ORDER}")
    report.prove(
        f"the sluice refuses a request without an action: {NeedsAction.__name__}",
        alone.get("text") == f"{NeedsAction.code} {NeedsAction.__name__}" and not _moved(gate),
        f"gate PUT {_ORDER}: {code_and_text(alone)}",
    )
    report.announce("the gateway requests an action from the governors; one operator approves")
    mark = gate.mark()
    gate.send_line(f"act {_ORDER}")
    id = governors[ANNA].find_proposal("action")
    governors[ANNA].approve(id, "the field is dry")
    time.sleep(WAIT_S)
    found = governors[ANNA].find(id)
    report.prove(
        "one operator's approval is not enough",
        found["state"] == "open" and found["operators"] == 2 and not _moved(gate),
        f"{found['title']}: {len(found['approvals'])} of {found['operators']} after {WAIT_S:.0f} s;"
        f" {_says(gate)}",
    )
    governors[BEN].approve(id, "I see it too")
    governors.wait(id)
    raw = bytes.fromhex(gate.wait_for("action", mark, CERTIFY_S)["raw"])
    done = gate.wait_for("answer", mark, CERTIFY_S, method="act")
    report.prove(
        "with two approvals the action is certified, and the sluice opens once",
        done.get("code") == "2.04" and _moved(gate) == 1,
        f"an action of {len(raw)} bytes; gate PUT {_ORDER}: {code_and_text(done)}; {_says(gate)}",
    )
    _prove_refusals(bed, report, raw)


def _prove_refusals(bed: Testbed, report: Report, raw: bytes) -> None:
    gate, sluice = bed[GATE], bed[SLUICE]
    report.announce("the action is replayed, altered, and delivered to another device")
    altered = raw[:_NONCE] + bytes((raw[_NONCE] ^ 1,)) + raw[_NONCE + 1 :]
    tried = {
        "replayed": (SLUICE, raw, ActionSpent),
        "with one bit changed": (SLUICE, altered, BadSignature),
        "to the pump": (PUMP, raw, WrongTarget),
    }
    outcomes = {
        case: post_capsules(bed.address(spec), [(case, data)])[0]
        for case, (spec, data, _) in tried.items()
    }
    again = gate.ask(f"put {_ORDER}")
    report.prove(
        "a replayed, an altered and a misdirected action are each refused with their own reason",
        all(outcomes[case].reason is kind for case, (_, _, kind) in tried.items())
        and again.get("text") == f"{NeedsAction.code} {NeedsAction.__name__}"
        and _moved(gate) == 1,
        "; ".join(f"{case}: {one.text}" for case, one in outcomes.items())
        + f"; PUT again: {code_and_text(again)}; {_says(gate)}",
    )
    report.announce("the sluice loses power, and the action is replayed after the restart")
    sluice.kill()
    sluice.start()
    outcome = post_capsules(bed.address(SLUICE), [("the action", raw)])[0]
    again = gate.ask(f"put {_ORDER}")
    report.prove(
        "the replay is refused also after a power cut: a spent action is in flash before it runs",
        outcome.reason is ActionSpent
        and again.get("text") == f"{NeedsAction.code} {NeedsAction.__name__}"
        and not _moved(gate),
        f"the action replayed: {outcome.text}; PUT again: {code_and_text(again)}; {_says(gate)}",
    )


def _state(gate: Board) -> str:
    return str(gate.ask("get sluice/sluice").get("text"))


def _says(gate: Board) -> str:
    return f"the sluice reports {_state(gate)}"


def _moved(gate: Board) -> int:
    """The number of moves since the sluice started, from its state "open, moves: 1"."""
    return int(_state(gate).split()[2])
