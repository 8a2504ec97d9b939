"""Steps 2 to 4: read and refuse, change the policy, revoke; each for real."""

from typing import Any

from writ.errors import BadSignature, NotMember, Revoked

from ..scope import issuance
from ..scope.delivery import post_capsules
from . import farm
from .board import Board, said
from .changing import SPREAD_S, Watch, certify_policy, tell_gate
from .farm import DEVICES, GATE, GUEST, PRIVATE, PUMP, READING, SOIL, TANK
from .field import Field
from .founding import listing
from .proofs import Ledger
from .stranger import Stranger, refused_because

# --- step 2 ---------------------------------------------------------------------------------------


def read_and_refuse(field: Field, ledger: Ledger) -> None:
    """The gateway may; a stranger, and a member without the role, may not."""
    gate, guest = field[GATE], field[GUEST]
    ledger.say("the gateway reads this machine's values from the devices")
    paths = (f"soil/{READING}", "tank/heap", "pump/pump", f"soil/{PRIVATE}")
    read = {path: gate.ask(f"get {path}") for path in paths}
    ledger.prove(
        "the gateway reads sensors",
        all(told.get("code") == "2.05" for told in read.values()),
        "; ".join(f"{path} = {told.get('text')}" for path, told in read.items()),
    )
    _observe(gate, ledger)
    done = gate.ask("put pump/pump on")
    now = gate.ask("get pump/pump")
    ledger.prove(
        "and moves the actuator",
        done.get("code") == "2.04" and now.get("text") == "on",
        f"PUT pump/pump on: {said(done)}; then it says {now.get('text')}",
    )
    _stranger(field, ledger)
    ledger.say("a member asks for what its role does not allow")
    asked = {line: guest.ask(line) for line in (f"get soil/{READING}", "put pump/pump off")}
    still = gate.ask("get pump/pump")
    ledger.prove(
        "a member without the role is refused, with the reason",
        all(told.get("text") == "40 NotAllowed" for told in asked.values())
        and still.get("text") == "on",
        "; ".join(f"guest {line}: {said(told)}" for line, told in asked.items()),
    )


def _observe(gate: Board, ledger: Ledger) -> None:
    mark = gate.mark()
    for name in (SOIL.name, TANK.name):
        gate.tell(f"observe {name}/{READING}")
    counts = {}
    for name in (SOIL.name, TANK.name):
        target = f"{name}/{READING}"
        seen: list[int] = []

        def is_news(what: dict[str, Any], target: str = target, seen: list[int] = seen) -> bool:
            number = what.get("observe") if what.get("target") == target else None
            if number is not None and number not in seen:
                seen.append(number)
            return len(seen) >= 3

        gate.wait_until(is_news, f"three values of {target}", mark, SPREAD_S)
        counts[target] = seen
    ledger.prove(
        "and observes them",
        all(len(seen) >= 3 for seen in counts.values()),
        "; ".join(f"{target}: notifications {seen}" for target, seen in counts.items()),
    )


def _stranger(field: Field, ledger: Ledger) -> None:
    ledger.say("an outsider tries without membership, then with one that it signed itself")
    before = field.rejected(SOIL, BadSignature.__name__)
    with Stranger(field.scope.charter_raw) as stranger:
        code, text = stranger.get(field.address(SOIL), READING)
        reason = stranger.knock(field.address(SOIL), READING)
    counted = field.rejected(SOIL, BadSignature.__name__) - before
    ledger.prove(
        "an outsider is refused, with the reason",
        code == "4.01" and NotMember.__name__ in text,
        f"GET soil/{READING} without a session: {code} {text}",
    )
    ledger.prove(
        "a membership that somebody signed for himself opens no session",
        reason == BadSignature.__name__ and counted == 1,
        f"handshake with soil: {reason}, counted by soil",
    )


# --- step 3 ---------------------------------------------------------------------------------------


def change_policy(field: Field, ledger: Ledger) -> None:
    """One node is told; ordinary traffic tells the others, and each obeys."""
    listed = [SOIL, TANK, PUMP]
    gate, guest = field[GATE], field[GUEST]
    before = {part.name: gate.ask(f"get {part.name}/{PRIVATE}") for part in listed}
    before[GUEST.name] = guest.ask(f"get soil/{READING}")
    ledger.say("two operators agree to a new policy, after its tests have passed")
    change = certify_policy(field, farm.second_policy())
    watch = Watch(field, DEVICES)
    outcomes = tell_gate(field)
    ledger.prove(
        "a new policy is certified and handed to the gateway alone",
        all(one.state == "taken" for one in outcomes),
        f"{listing(field.council.agreed)} agreed: "
        + "; ".join(change.diff.lines() if change.diff else []),
    )
    ledger.say("nobody tells the devices; the gateway goes on reading as before")
    heard = watch.wait(listed)
    after = {part.name: gate.ask(f"get {part.name}/{PRIVATE}") for part in listed}
    after[GUEST.name] = guest.ask(f"get soil/{READING}")
    heard += watch.wait([GUEST])
    ledger.prove(
        "every device learned of it within seconds, from ordinary traffic",
        watch.posted == 0,
        f"{'; '.join(heard)}; capsules posted on tank's wire: {watch.posted}",
    )
    ledger.prove(
        "what was allowed is now denied, on each device",
        all(before[part.name].get("code") == "2.05" for part in listed)
        and all(after[part.name].get("text") == "40 NotAllowed" for part in listed),
        f"gate GET {'|'.join(part.name for part in listed)}/{PRIVATE}:"
        f" before {said(before[SOIL.name]).split()[0]}, now {said(after[SOIL.name])}",
    )
    ledger.prove(
        "what was denied is now allowed",
        before[GUEST.name].get("text") == "40 NotAllowed"
        and after[GUEST.name].get("code") == "2.05",
        f"guest GET soil/{READING}: before {said(before[GUEST.name])},"
        f" now {said(after[GUEST.name])}",
    )


# --- step 4 ---------------------------------------------------------------------------------------

_ASKED = {SOIL: READING, TANK: READING, PUMP: "pump", GATE: "uptime"}


def revoke(field: Field, ledger: Ledger) -> None:
    """The guest is out: in each old session, and at each new handshake."""
    guest = field[GUEST]
    ledger.say("the guest talks to everybody, a last time")
    before = {part: guest.ask(f"get {part.name}/{path}") for part, path in _ASKED.items()}
    ledger.say("two operators agree to revoke it, by an amendment")
    change = issuance.revocation(field.scope, [field.scope.members.find(GUEST.name)])  # type: ignore[list-item]
    issuance.issue(field.scope, change.drafts, field.council)
    amendment = field.scope.amendment_capsule() or b""
    outcomes = [
        one
        for part in _ASKED
        for one in post_capsules(field.address(part), [("amendment", amendment)])
    ]
    ledger.prove(
        "the guest is revoked by a small amendment",
        all(one.is_good for one in outcomes),
        f"epoch {field.scope.epoch}, {len(amendment)} bytes signed by the group, to all nodes",
    )
    ledger.say("its very next message to each, in the session that it has open")
    after = {part: guest.ask(f"get {part.name}/{path}") for part, path in _ASKED.items()}
    changed = [f"{part.name}: {before[part].get('code')} -> {said(after[part])}" for part in _ASKED]
    ledger.prove(
        "its very next message is refused everywhere, in its old session",
        all(told.get("text") == f"{Revoked.code} {Revoked.__name__}" for told in after.values())
        and before[SOIL].get("code") == "2.05",
        "; ".join(changed),
    )
    ledger.say("it forgets its sessions and begins anew")
    reasons = _knock_again(field)
    ledger.prove(
        "and so is each new handshake",
        set(reasons.values()) == {Revoked.__name__},
        "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
    )


def _knock_again(field: Field) -> dict[str, str]:
    guest = field[GUEST]
    guest.kill()
    for record in guest.folder.glob("s[0-9].[ab]"):
        record.unlink()
    # or it would greet the gateway before it is told to
    guest.configure(gateways=None)
    guest.start()
    reasons = {}
    for part, path in _ASKED.items():
        told = guest.ask(f"get {field.address(part)}/{path}")
        raw = bytes.fromhex(told.get("raw", ""))
        reasons[part.name] = refused_because(raw) if raw else said(told)
    return reasons
