"""Steps 1 to 4: found and admit, read and refuse, change the policy, revoke; each for real."""

import time
from typing import Any

from writ import coap
from writ.errors import BadSignature, NotMember, Revoked

from .. import admission, certify, keyfile, provision, seats
from ..ceremony import (
    Founding,
    Identity,
    Local,
    MemoryFolder,
    MemoryStore,
    Roster,
    run_local,
    sign_local,
)
from ..certify import PolicyChange
from ..deliver import Outcome, fetch_request, hand_over, hand_over_policy
from ..errors import HostError, Stalled
from ..policyfile import PolicyFile
from ..scopefolder import ScopeFolder, now_s
from . import farm
from .board import Board
from .farm import DESK, DEVICES, GATE, GUEST, PRIVATE, PUMP, READING, SOIL, TANK
from .field import Field
from .proofs import Ledger
from .stranger import Stranger, refused_because

# "Within seconds": the gateway reads each sensor every 2 s, and the pump asks soil as often.
SPREAD_S = 15.0
NODES = (GATE, *DEVICES)


def listing(items: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


# --- step 1 ---------------------------------------------------------------------------------------


def found_and_admit(field: Field, ledger: Ledger) -> None:
    """The scope's key, the devices' keys, their admission, and one name that resolves."""
    _found_scope(field, ledger)
    _first_boot(field, ledger)
    _admit(field, ledger)
    ledger.say("the pump is told only where the gateway is, and looks for soil")
    told = field[PUMP].wait_for("answer", target=f"soil/{READING}", code="2.05", timeout_s=SPREAD_S)
    ledger.prove(
        "names resolve: the pump asked the gateway who and where soil is",
        told["text"],
        f"soil/{READING} = {told['text']}, read by the pump, which knew the gateway's address only",
    )


def _found_scope(field: Field, ledger: Ledger) -> None:
    ledger.say("four governors make a key together")
    folder, spoken = MemoryFolder(), []
    identities = [Identity.generate(name) for name in farm.GOVERNORS]
    roster = Roster.create(farm.SCOPE, farm.THRESHOLD, [one.public for one in identities])

    def compare(fingerprint: str) -> bool:
        # what a governor reads out to the others before it confirms
        spoken.append(fingerprint)
        return True

    machines = [Founding(folder, one, roster, MemoryStore(), compare) for one in identities]
    run_local(machines)
    made = [machine.seat for machine in machines if machine.seat]
    field.governors = [Local(one, seat, folder) for one, seat in zip(identities, made, strict=True)]
    keys = {seat.public.group_key for seat in made}
    ledger.prove(
        "four governors made one group key, whose private half is nowhere",
        len(spoken) == len(made) == 4 and len(set(spoken)) == 1 and len(keys) == 1,
        f"each computed the fingerprint {' '.join(spoken[0].split()[:4])} ...",
    )
    _write_scope(field)
    charter = field.scope.charter
    item = certify.to_items([certify.beacon_draft(field.scope)])
    try:
        sign_local(field.governors[:2], "by two", item)
        refused = "two of them signed"
    except Stalled as error:
        refused = f"two tried and came no further: {error}"
    ledger.prove(
        "three of four sign; two cannot",
        "no further" in refused and field.scope.epoch == 1,
        f"scope {charter.scope.hex()}: charter, policy of epoch 1 and beacon signed by"
        f" {listing(list(farm.SIGNERS))}; {refused}",
    )


def _write_scope(field: Field) -> None:
    path = field.path / "scope"
    path.mkdir()
    text = farm.first_policy()
    policy = PolicyFile.parse(text)
    draft = certify.charter_draft(field.governors[0].seat)
    raws = certify.sign(certify.first_drafts(draft, policy), field.signer, "found the farm")
    key = keyfile.KeyFile.create(field.path / "governors.key")
    seats.save_seats(path / "governors", field.governors, key)
    (path / "roster.cbor").write_bytes(field.governors[0].seat.roster.to_bytes())
    field.scope = ScopeFolder.create(path, raws[0])
    for raw in raws[1:]:
        field.scope.receive(raw)
    field.scope.policy_file.write_text(text)


def _first_boot(field: Field, ledger: Ledger) -> None:
    ledger.say("the nodes boot for the first time and make their own keys")
    born = {}
    for part in NODES:
        field.flash(part, field.scope.charter.scope)
        before = _files(field[part])
        field[part].start()
        born[part.name] = sorted(_files(field[part]) - before)
    ledger.prove(
        "every node made its own key at its first boot",
        all(files == ["key.a"] for files in born.values()),
        f"{len(DEVICES)} devices ({field.device.words}) and a gateway ({field.host.words})"
        " were given a name and the scope's id, nothing secret",
    )


def _files(board: Board) -> set[str]:
    return {path.name for path in board.folder.iterdir()}


def _admit(field: Field, ledger: Ledger) -> None:
    ledger.say("each asks for membership; three governors certify")
    parts = (*NODES, DESK)
    expires = admission.expiry("30d", now_s())
    wanted: list[admission.Admission] = []
    for part in parts:
        raw = field.make_desk() if part is DESK else fetch_request(field.address(part))
        request = admission.read_request(raw)
        roles = admission.role_mask(field.scope, [part.role])
        wanted.append(admission.admission(field.scope, request, roles, expires, None, wanted))
    drafts = [one.draft for one in wanted]
    certify.certify(field.scope, drafts, field.signer, "members of the farm")
    outcomes = _provision(field)
    size = len(field.scope.member(SOIL.name).raw)  # type: ignore[union-attr]
    names = [f"{one.name} {one.request.node_id.hex()[:8]}" for one in wanted]
    ledger.prove(
        "devices asked over CoAP and were admitted by three of four governors",
        all(one.state == "taken" for one in outcomes),
        f"{listing(names)}: each signed with its own key; {size} bytes of membership each,"
        f" {len(outcomes)} capsules taken",
    )


def _provision(field: Field) -> list[Outcome]:
    outcomes = []
    for part in NODES:
        # gate first: the others say hello to it as soon as they are members
        charter, policy, member, beacon = field.scope.capsules(field.scope.member(part.name))
        capsules = [("charter", charter), ("policy", policy), ("member", member)]
        outcomes += hand_over(field.address(part), [*capsules, ("beacon", beacon)])
        field.scope.save_address(part.name, field.address(part))
    me = field.scope.member(DESK.name)
    provision.install(field.desk_path, field.scope.capsules(me), field.scope.charter.scope)
    return outcomes


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
        f"PUT pump/pump on: {_said(done)}; then it says {now.get('text')}",
    )
    _stranger(field, ledger)
    ledger.say("a member asks for what its role does not allow")
    asked = {line: guest.ask(line) for line in (f"get soil/{READING}", "put pump/pump off")}
    still = gate.ask("get pump/pump")
    ledger.prove(
        "a member without the role is refused, with the reason",
        all(told.get("text") == "40 NotAllowed" for told in asked.values())
        and still.get("text") == "on",
        "; ".join(f"guest {line}: {_said(told)}" for line, told in asked.items()),
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


def _said(told: dict[str, Any]) -> str:
    return " ".join(str(told[key]) for key in ("code", "text") if told.get(key))


# --- step 3 ---------------------------------------------------------------------------------------


def change_policy(field: Field, ledger: Ledger) -> None:
    """One node is told; ordinary traffic tells the others, and each obeys."""
    listed = [SOIL, TANK, PUMP]
    gate, guest = field[GATE], field[GUEST]
    before = {part.name: gate.ask(f"get {part.name}/{PRIVATE}") for part in listed}
    before[GUEST.name] = guest.ask(f"get soil/{READING}")
    ledger.say("three governors certify a new policy, after its tests have passed")
    change = certify_policy(field, farm.second_policy())
    marks = {part.name: field[part].mark() for part in DEVICES}
    told_at = time.monotonic()
    outcomes = hand_over_policy(
        field.address(GATE),
        field.scope.policy_capsule() or b"",
        field.scope.amendment_capsule(),
        field.scope.beacon_capsules(),
    )
    epoch = field.scope.epoch
    ledger.prove(
        "a new policy is certified and handed to the gateway alone",
        all(one.state == "taken" for one in outcomes),
        "; ".join(change.diff.lines() if change.diff else []),
    )
    ledger.say("nobody tells the devices; the gateway goes on reading as before")
    heard = []
    for part in listed:
        event = field[part].wait_until(
            lambda what: what["event"] == "epoch" and what["epoch"] == epoch,
            f"epoch {epoch}",
            marks[part.name],
            SPREAD_S,
        )
        who = listing(event.what["peers"])
        heard.append(f"{part.name} after {event.at - told_at:.1f} s from {who}")
    posted = sum(_is_post(one) for one in field.relay.heard if one.at > told_at)
    after = {part.name: gate.ask(f"get {part.name}/{PRIVATE}") for part in listed}
    after[GUEST.name] = guest.ask(f"get soil/{READING}")
    learned = field[GUEST].wait_for("epoch", marks[GUEST.name], epoch=epoch)
    heard.append(f"guest from {listing(learned['peers'])}, as it asked")
    ledger.prove(
        "every device learned of it within seconds, from ordinary traffic",
        posted == 0,
        f"{'; '.join(heard)}; capsules posted on tank's wire: {posted}",
    )
    ledger.prove(
        "what was allowed is now denied, on each device",
        all(before[part.name].get("code") == "2.05" for part in listed)
        and all(after[part.name].get("text") == "40 NotAllowed" for part in listed),
        f"gate GET {'|'.join(part.name for part in listed)}/{PRIVATE}:"
        f" before {_said(before[SOIL.name]).split()[0]}, now {_said(after[SOIL.name])}",
    )
    ledger.prove(
        "what was denied is now allowed",
        before[GUEST.name].get("text") == "40 NotAllowed"
        and after[GUEST.name].get("code") == "2.05",
        f"guest GET soil/{READING}: before {_said(before[GUEST.name])},"
        f" now {_said(after[GUEST.name])}",
    )


def certify_policy(field: Field, text: str) -> PolicyChange:
    """Write policy.toml, run its tests, and certify it. Raises `HostError` where a test fails."""
    field.scope.policy_file.write_text(text)
    policy = PolicyFile.load(field.scope.policy_file)
    for result in policy.run_tests(field.scope.members()):
        if not result.passed:
            raise HostError(result.explanation)
    change = certify.policy_change(field.scope, policy)
    certify.certify(field.scope, change.drafts, field.signer)
    return change


def _is_post(heard: Any) -> bool:
    # a capsule that somebody hands to the node behind the relay
    message = heard.message
    return (
        not heard.outward
        and message is not None
        and message.code == coap.POST
        and message.option(coap.OSCORE) is None
        and message.path() == "writ"
    )


# --- step 4 ---------------------------------------------------------------------------------------

_ASKED = {SOIL: READING, TANK: READING, PUMP: "pump", GATE: "uptime"}


def revoke(field: Field, ledger: Ledger) -> None:
    """The guest is out: in each old session, and at each new handshake."""
    guest = field[GUEST]
    ledger.say("the guest talks to everybody, a last time")
    before = {part: guest.ask(f"get {part.name}/{path}") for part, path in _ASKED.items()}
    ledger.say("the governors revoke it, by an amendment")
    change = certify.revocation(field.scope, [field.scope.member(GUEST.name)])  # type: ignore[list-item]
    certify.certify(field.scope, change.drafts, field.signer)
    amendment = field.scope.amendment_capsule() or b""
    outcomes = [
        one for part in _ASKED for one in hand_over(field.address(part), [("amendment", amendment)])
    ]
    ledger.prove(
        "the guest is revoked by a small amendment",
        all(one.is_good for one in outcomes),
        f"epoch {field.scope.epoch}, {len(amendment)} bytes, signed by three of four, to all nodes",
    )
    ledger.say("its very next message to each, in the session that it has open")
    after = {part: guest.ask(f"get {part.name}/{path}") for part, path in _ASKED.items()}
    changed = [
        f"{part.name}: {before[part].get('code')} -> {_said(after[part])}" for part in _ASKED
    ]
    ledger.prove(
        "its very next message is refused everywhere, in its old session",
        all(told.get("text") == f"30 {Revoked.__name__}" for told in after.values())
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
        said = bytes.fromhex(told.get("raw", ""))
        reasons[part.name] = refused_because(said) if said else _said(told)
    return reasons
