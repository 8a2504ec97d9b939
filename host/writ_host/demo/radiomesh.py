"""Step 11: devices behind LoRa modems and a serial line, governed over the air."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from writ import cbor
from writ.authority.store import FileFlash, Store
from writ.mesh.routing import NO_RANK
from writ.wire import coap

from ..errors import HostError, NotReachable
from ..node.client import Reply
from ..node.meshstatus import airtime_text
from ..policy.edit import add_revoked
from ..scope import issuance, policyfile
from ..scope.change import revocation
from ..scope.delivery import post_capsules, post_policy
from . import scenario
from .founding import certify_members, listing
from .proofs import NotProved, Report
from .rollout import certify_policy
from .scenario import BARN, HILL, MAST, MESH, SPRING
from .testbed import Testbed

# A node on a busy machine may have to ask for each capsule several times.
JOIN_S = 90.0
# A call goes through the mast, and two hops over the air.
CALL_S = 60.0
# Between two tries: the gateway limits the rate of requests that it passes on.
PAUSE_S = 3.0
# A device that has nothing to do is awake for less
_DOZE_S = 0.7
# A relay sends a newer capsule on within 12 times the 250 ms that it waits for a receipt
_SPREAD_S = 4.0
_UPTIME = "uptime"
# Each frame is rounded up, and one may begin while its node is asked
_ROUNDING_MS = 2


def carry(bed: Testbed, report: Report) -> None:
    """Three devices join over LoRa and a serial line; policy and revocation reach them there."""
    mark = _start_mast(bed, report)
    _join(bed, report)
    _read(bed, report)
    _read_sleeper(bed, report)
    _change_policy(bed, report)
    _revoke(bed, report)
    _count_airtime(bed, report, mark)


# --- joining --------------------------------------------------------------------------------------


def _start_mast(bed: Testbed, report: Report) -> int:
    """Start the mast, and admit all. Returns the channel's mark before the devices' last start."""
    report.announce("two operators approve routes for LoRa and serial lines")
    bed.airwaves.start()
    certify_policy(bed, scenario.mesh_policy(bed.scope.policy_file.read_text()))
    report.announce("the mast starts: a gateway with a LoRa modem (writ node run)")
    mast = bed[MAST]
    mast.configure(
        name=MAST.name,
        scope=bed.scope.charter.scope.hex(),
        listen=mast.address,
        mesh_gateway=True,
        links=bed.links(MAST),
    )
    mast.start()
    report.announce("the mast and three devices request membership; an operator approves all")
    for spec in MESH:
        bed[spec].configure(
            name=spec.name,
            scope=bed.scope.charter.scope.hex(),
            # no other node learns this address: operators take the request there, at the bench
            listen=bed[spec].address,
            serve=list(spec.serve),
            links=bed.links(spec),
            sleep_s=spec.sleep_s,
        )
        bed[spec].start()
    certify_members(bed, (MAST, *MESH))
    for spec in MESH:
        bed[spec].kill()
    # what is on air from a killed process comes within this time
    time.sleep(0.5)
    mark = bed.airwaves.mark()
    _deliver(bed, [MAST, HILL, SPRING, BARN])
    bed.add_gateway(mast.address)
    return mark


def _deliver(bed: Testbed, specs: list[scenario.NodeSpec]) -> None:
    # charter, policy and member capsules, to the mast alone
    me, *others = [bed.scope.members.find(spec.name) for spec in specs]
    raws = [*bed.scope.capsules(me), *[one.raw for one in others if one]]
    outcomes = post_capsules(bed[MAST].address, [("capsule", raw) for raw in raws])
    wrong = [one for one in outcomes if not one.is_good]
    if wrong:
        raise HostError(f"the mast refused a capsule: {wrong[0]}")


def _join(bed: Testbed, report: Report) -> None:
    epoch = bed.scope.epoch
    report.announce("the relay joins over the air, with its key and the scope's id only")
    bed[HILL].start()
    _wait_for_epoch(bed, HILL, epoch)
    report.announce("the relay gets the capsules of the two nodes that only it can hear")
    for spec in (SPRING, BARN):
        member = bed.scope.members.find(spec.name)
        assert member
        _call(bed, HILL, "writ", coap.POST, bytes(member.raw))
    report.announce("the two nodes join by the relay")
    since = time.monotonic()
    for spec in (SPRING, BARN):
        bed[spec].start()
    took = {spec.name: _wait_for_epoch(bed, spec, epoch) - since for spec in (SPRING, BARN)}
    read = {spec: _call(bed, spec, _UPTIME) for spec in MESH}
    ranks = {spec.name: _rank(bed, spec) for spec in MESH}
    report.prove(
        "three devices join over the air, with nothing but their key and the scope's id",
        all(one.is_success for one in read.values()) and list(ranks.values()) == [1, 2, 2],
        f"charter, membership, link key and policy of epoch {epoch}: hill by LoRa from the mast,"
        " spring by LoRa and barn by a serial line from hill; hops to the mast:"
        f" {listing([f'{name} {rank}' for name, rank in ranks.items()])};"
        f" {listing([f'{name} after {seconds:.1f} s' for name, seconds in took.items()])}",
    )


def _wait_for_epoch(bed: Testbed, spec: scenario.NodeSpec, epoch: int) -> float:
    """When the device had this epoch. Raises `NoAnswer`."""
    event = bed[spec].wait_until(
        lambda what: what["event"] == "epoch" and what["epoch"] == epoch,
        f"epoch {epoch}",
        0,
        JOIN_S,
    )
    return event.at


# --- requests -------------------------------------------------------------------------------------


def _call(
    bed: Testbed,
    spec: scenario.NodeSpec,
    path: str,
    method: int = coap.GET,
    payload: bytes = b"",
) -> Reply:
    # a way may be unknown yet, and a frame be lost
    until = time.monotonic() + CALL_S
    while True:
        try:
            return bed.call(spec, path, method, payload)
        except (HostError, NotReachable) as error:
            if time.monotonic() > until:
                raise NotProved(f"{spec.name}/{path} was not reached: {error}") from error
            time.sleep(PAUSE_S)


def _mesh(bed: Testbed, spec: scenario.NodeSpec) -> dict[str, Any]:
    return dict(_until(lambda: bed.status(spec))["mesh"])


def _rank(bed: Testbed, spec: scenario.NodeSpec) -> int:
    # after collisions a node may look for a parent for some seconds
    until = time.monotonic() + CALL_S
    while (rank := int(_mesh(bed, spec)["rank"])) == NO_RANK and time.monotonic() < until:
        time.sleep(2)
    return rank


def _until(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    until = time.monotonic() + CALL_S
    while True:
        try:
            return read()
        except (HostError, NotReachable):
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)


def _read(bed: Testbed, report: Report) -> None:
    report.announce("the operator reads the two far devices by name")
    mark = bed.airwaves.mark()
    read = {spec: _call(bed, spec, _UPTIME) for spec in (SPRING, BARN)}
    frames = {name: len(bed.airwaves.sent(name, mark)) for name in bed.airwaves.names}
    report.prove(
        "the operator reads devices two hops away, over LoRa and over a serial line",
        all(one.is_success for one in read.values()) and frames[HILL.name],
        "; ".join(
            f"{spec.name}/{_UPTIME} = {one.payload.decode()}, {one.took_ms / 1000:.1f} s"
            for spec, one in read.items()
        )
        + f"; frames on air: {listing([f'{name} {count}' for name, count in frames.items()])};"
        f" {bed.cable.carried} bytes on the serial line so far",
    )


def _read_sleeper(bed: Testbed, report: Report) -> None:
    report.announce("the operator reads the spring while it sleeps")
    until = time.monotonic() + CALL_S
    while not (times := _ask_asleep(bed)) and time.monotonic() < until:
        pass
    if not times:
        raise NotProved(f"no request met spring asleep. {bed[SPRING].last_seen}")
    slept_s, took_s = times
    naps = sum(one.what["event"] == "awake" for one in bed[SPRING].events)
    report.prove(
        "a request for a device that sleeps waits at its parent until the device wakes",
        took_s > slept_s,
        f"spring sleeps {SPRING.sleep_s} s at a time, {naps} times so far; the request came"
        f" {slept_s:.1f} s before it woke, waited at hill, and was answered after {took_s:.1f} s",
    )


def _ask_asleep(bed: Testbed) -> tuple[float, float] | None:
    """(until it woke, until its answer) in s of a request to the spring.

    None if it was awake at first: it had an answer, or sent another frame, before it woke.
    """
    spring = bed[SPRING]
    spring.wait_for("awake", spring.mark(), JOIN_S)
    # for its POLL to the parent, and the receipt
    time.sleep(_DOZE_S)
    since, mark, air = time.monotonic(), spring.mark(), bed.airwaves.mark()
    _call(bed, SPRING, _UPTIME)
    took_s = time.monotonic() - since
    woke = [one.at for one in spring.events[mark:] if one.what["event"] == "awake"]
    on_air = bed.airwaves.events[air:]
    sent = [one.at for one in on_air if one.what.get("from") == SPRING.name]
    if not woke or (sent and sent[0] < woke[0]):
        return None
    return woke[0] - since, took_s


# --- policy and revocation ------------------------------------------------------------------------


def _change_policy(bed: Testbed, report: Report) -> None:
    report.announce("the operator switches the pump of the spring, which no rule allows")
    before = _call(bed, SPRING, "pump", coap.PUT, b"on")
    report.announce("two operators approve a rule for it; the mast alone gets the new policy")
    certify_policy(bed, scenario.pumping_policy(bed.scope.policy_file.read_text()))
    since, mark = time.monotonic(), bed.airwaves.mark()
    _post_policy(bed)
    took = {name: at - since for name, at in _spread(bed, MESH).items()}
    after = _call(bed, SPRING, "pump", coap.PUT, b"on")
    airtime_s = sum(bed.airwaves.airtime_ms(name, mark) for name in bed.airwaves.names) / 1000
    report.prove(
        "a new policy reaches every device over the air, and decides there",
        _reason(before) == "NotAllowed" and after.is_success,
        f"epoch {bed.scope.epoch}: "
        + listing([f"{name} after {seconds:.1f} s" for name, seconds in took.items()])
        + f", {airtime_s:.1f} s of airtime in all; PUT spring/pump: before {_reason(before)}, now"
        f" {coap.code_text(after.code)}",
    )


def _spread(bed: Testbed, specs: Sequence[scenario.NodeSpec]) -> dict[str, float]:
    """When each device has had the epoch in force. Meanwhile the operator reads them as before.

    Each frame tells the epoch of its transmitter, so that its receiver asks for what is newer.
    """
    epoch, until = bed.scope.epoch, time.monotonic() + JOIN_S
    while time.monotonic() < until:
        behind = [spec for spec in specs if not _has_epoch(bed, spec, epoch)]
        if not behind:
            break
        _call(bed, behind[0], _UPTIME)
        time.sleep(1)
    return {spec.name: _wait_for_epoch(bed, spec, epoch) for spec in specs}


def _has_epoch(bed: Testbed, spec: scenario.NodeSpec, epoch: int) -> bool:
    whats = [one.what for one in bed[spec].events]
    return any(what["event"] == "epoch" and what["epoch"] == epoch for what in whats)


def _post_policy(bed: Testbed) -> None:
    post_policy(
        bed[MAST].address,
        bed.scope.policy_capsule() or b"",
        bed.scope.amendment_capsule(),
        bed.scope.beacon_capsules(),
    )


def _reason(reply: Reply) -> str:
    return reply.reason.__name__ if reply.reason else coap.code_text(reply.code)


def _revoke(bed: Testbed, report: Report) -> None:
    report.announce("the barn is stolen; two operators approve its revocation")
    # an honest node that hears of its revocation sends nothing more: this one does not hear of it
    bed[BARN].kill()
    old_key = _link_key(bed, BARN)
    member: Any = bed.scope.members.find(BARN.name)
    state = bed.scope.epoch, bed.scope.head
    issuance.issue(bed.scope, revocation(bed.scope, [member]).drafts, bed.governors)
    entries = [(member.node_id.hex(), BARN.name)]
    policyfile.follow(
        bed.scope, bed.scope.policy_file, state, lambda text: add_revoked(text, entries)
    )
    _post_policy(bed)
    epoch = bed.scope.epoch
    _spread(bed, (HILL, SPRING))
    report.announce("the members replace the link key, and the thief switches the barn on")
    members = (MAST, HILL, SPRING)
    until = time.monotonic() + JOIN_S
    keys = {old_key}
    while (len(keys) > 1 or old_key in keys) and time.monotonic() < until:
        time.sleep(0.5)
        keys = {_link_key(bed, spec) for spec in members}
    # by then hill has sent the revocation into the serial line, too
    spread_at = _wait_for_epoch(bed, HILL, epoch) + _SPREAD_S
    time.sleep(max(0.0, spread_at - time.monotonic()))
    before = _refused(bed)
    bed[BARN].start()
    while not (refused := _refused(bed) - before) and time.monotonic() < until:
        time.sleep(PAUSE_S)
    read = _call(bed, SPRING, _UPTIME)
    report.prove(
        "a revocation over the air: the relay drops the revoked node's frames",
        refused and read.is_success,
        f"epoch {epoch}: hill has refused {refused} frames of the barn; spring/{_UPTIME} ="
        f" {read.payload.decode()}",
    )
    report.prove(
        "the link key is replaced, and the revoked node does not get the new one",
        len(keys) == 1 and old_key not in keys and _link_key(bed, BARN) == old_key,
        f"{listing([spec.name for spec in members])} have one new key; the barn still has the old",
    )


def _refused(bed: Testbed) -> int:
    # a restarted thief may send with a key between two changes, which members have left out
    counts = _until(lambda: bed.status(HILL))["rejected"]
    return sum(int(counts.get(name, 0)) for name in ("Revoked", "BadMic"))


def _link_key(bed: Testbed, spec: scenario.NodeSpec) -> bytes | None:
    """The link key in a node's flash."""
    saved = Store(FileFlash(str(bed[spec].folder))).load("link")
    return bytes(cbor.decode(saved)[1]) if saved else None


# --- airtime --------------------------------------------------------------------------------------


def _count_airtime(bed: Testbed, report: Report, mark: int) -> None:
    report.announce("the operator compares the airtime that nodes report with the channel")
    texts, matches = [], []
    for spec in (MAST, HILL, SPRING):
        # the channel sees frames before and after the node has counted, for the request itself
        since = 0 if spec is MAST else mark
        before_ms = bed.airwaves.airtime_ms(spec.name, since)
        link = _mesh(bed, spec)["links"][0]
        spent_ms, budget_ms = link[1], link[2]
        after_ms = bed.airwaves.airtime_ms(spec.name, since)
        # a frame that the modem has refused is charged all the same
        matches.append(before_ms <= spent_ms + _ROUNDING_MS and after_ms < budget_ms)
        share = airtime_text(spent_ms, budget_ms).split("] ")[-1]
        texts.append(f"{spec.name}: {share}, on the channel {before_ms / 1000:.1f} s")
    report.prove(
        "no frame on the channel is missing in a node's account of airtime, nor over its budget",
        all(matches),
        "; ".join(texts),
    )
