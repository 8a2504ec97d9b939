"""Step 9: what one person alone must not do: it wants an action, and that wants two of them."""

import time
from typing import Any

from writ.errors import ActionSpent, BadSignature, NeedsAction, WrongTarget

from ..scope.delivery import post_capsules
from .board import Board, said
from .farm import ANNA, BEN, GATE, PUMP, SLUICE
from .field import Field
from .governors import CERTIFY_S
from .proofs import Ledger

WAIT_S = 2.0
_ORDER = "sluice/sluice open"
# Where the nonce ends, before a signature of 64 bytes with its head of 2: another command, then.
_NONCE = -67


def act(field: Field, ledger: Ledger) -> None:
    """The sluice opens when two operators agree, once."""
    gate, council = field[GATE], field.council
    ledger.say("the gateway tries to open the sluice by itself")
    gate.ask("get sluice/sluice")
    alone = gate.ask(f"put {_ORDER}")
    ledger.prove(
        f"the sluice does not open for a request alone: {NeedsAction.__name__}",
        alone.get("text") == f"{NeedsAction.code} {NeedsAction.__name__}" and not _moved(gate),
        f"gate PUT {_ORDER}: {said(alone)}",
    )
    ledger.say("it asks the governors for an action; one operator agrees")
    mark = gate.mark()
    gate.tell(f"act {_ORDER}")
    id = council[ANNA].proposed("action")
    council[ANNA].agree(id, "the field is dry")
    time.sleep(WAIT_S)
    found = council[ANNA].find(id)
    ledger.prove(
        "one operator is not enough",
        found["state"] == "open" and found["operators"] == 2 and not _moved(gate),
        f"{found['title']}: {len(found['approvals'])} of {found['operators']} after {WAIT_S:.0f} s;"
        f" {_says(gate)}",
    )
    council[BEN].agree(id, "I see it too")
    council.wait(id)
    raw = bytes.fromhex(gate.wait_for("action", mark, CERTIFY_S)["raw"])
    done = gate.wait_for("answer", mark, CERTIFY_S, method="act")
    ledger.prove(
        "two are: the action is certified, and the sluice opens, once",
        done.get("code") == "2.04" and _moved(gate) == 1,
        f"an action of {len(raw)} bytes; gate PUT {_ORDER}: {said(done)}; {_says(gate)}",
    )
    _refused(field, ledger, raw)


def _refused(field: Field, ledger: Ledger, raw: bytes) -> None:
    gate, sluice = field[GATE], field[SLUICE]
    ledger.say("the action is handed over again, altered, and to another device")
    altered = raw[:_NONCE] + bytes((raw[_NONCE] ^ 1,)) + raw[_NONCE + 1 :]
    tried = {
        "again": (SLUICE, raw, ActionSpent),
        "with one bit changed": (SLUICE, altered, BadSignature),
        "to the pump": (PUMP, raw, WrongTarget),
    }
    outcomes = {
        words: post_capsules(field.address(part), [(words, data)])[0]
        for words, (part, data, _) in tried.items()
    }
    again = gate.ask(f"put {_ORDER}")
    ledger.prove(
        "a replay is refused by name, and so is what was altered or is for another",
        all(outcomes[words].reason is kind for words, (_, _, kind) in tried.items())
        and again.get("text") == f"{NeedsAction.code} {NeedsAction.__name__}"
        and _moved(gate) == 1,
        "; ".join(f"{words}: {one.text}" for words, one in outcomes.items())
        + f"; PUT again: {said(again)}; {_says(gate)}",
    )
    ledger.say("the sluice loses its power, and the replay comes after it")
    sluice.kill()
    sluice.start()
    outcome = post_capsules(field.address(SLUICE), [("the action", raw)])[0]
    again = gate.ask(f"put {_ORDER}")
    ledger.prove(
        "also after a power cut: what was done is in flash before it is done",
        outcome.reason is ActionSpent
        and again.get("text") == f"{NeedsAction.code} {NeedsAction.__name__}"
        and not _moved(gate),
        f"the action again: {outcome.text}; PUT again: {said(again)}; {_says(gate)}",
    )


def _value(gate: Board) -> dict[str, Any]:
    return gate.ask("get sluice/sluice")


def _says(gate: Board) -> str:
    return f"sluice says {_value(gate).get('text')}"


def _moved(gate: Board) -> int:
    """How often the sluice has moved since its start ("open, moved 1 times")."""
    text = str(_value(gate).get("text"))
    return int(text.split()[2])
