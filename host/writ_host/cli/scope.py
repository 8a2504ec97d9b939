"""`writ scope`: found a scope, look at it, certify a beacon."""

from pathlib import Path
from typing import Any

import click

from writ.limits import GOVERNORS_MAX

from .. import humanize
from ..ceremony import keyring
from ..ceremony import local as ceremony
from ..consensus.committee import UnsafeThreshold, check_threshold, tolerance
from ..errors import FileInTheWay
from ..keys.dkg import spoken
from ..keys.keyfile import Unlock
from ..policy.source import PolicyFile
from ..policy.template import template
from ..scope import issuance
from ..scope.delivery import beacon_sender, find_targets
from ..scope.folder import ScopeFolder, now_s
from .daemonsigner import read_daemon
from .delivering import deliver, deliver_option, documents, finish
from .founding import found_online
from .names import record_files, scope_name, scope_names
from .options import scope_option, timeout_option
from .output import Output, command
from .secret import secret_options, unlock
from .signers import Who, certifying, open_scope, open_signer, signing_options, wait_option


@click.group()
def group() -> None:
    """Found a scope, look at it, certify a beacon."""


@command(group)
@click.argument("name", callback=scope_name)
@click.option(
    "--governors",
    metavar="A.toml,B.toml,...|N",
    help="The records of the governors whose daemons run; with --local how many, 4 otherwise.",
)
@click.option("--threshold", type=click.IntRange(1, 13), help="How many of them certify together.")
@click.option(
    "--names",
    callback=scope_names,
    metavar="A,B,...",
    help="With --local: their names; governor-1 and so on otherwise.",
)
@click.option("--local", is_flag=True, help="All governors live on this machine, without daemons.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The scope's new folder; ./NAME otherwise.",
)
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The first policy; a commented one is written otherwise.",
)
@wait_option
@secret_options
def create(
    out: Output,
    name: str,
    governors: str | None,
    threshold: int | None,
    names: list[str] | None,
    local: bool,
    folder: Path | None,
    policy_path: Path | None,
    wait_s: float | None,
    passphrase_file: Path | None,
    key_file: Path | None,
) -> None:
    """Found a scope: its key is made by all governors together, and nobody ever has it.

    The governors' daemons run on their machines (writ governor run); each operator compares a
    fingerprint by voice and approves. With --local all governors are on this machine, to begin
    with or for ever. Without network between them: writ ceremony.
    """
    path = folder or Path(name)
    if not local:
        if governors is None or governors.isdecimal():
            raise click.UsageError(
                "give --governors a.toml,b.toml,... (each governor runs `writ governor init` and"
                " `writ governor run` and sends its record), or --local to have all governors on"
                " this machine"
            )
        records = record_files(click.get_current_context(), _GOVERNORS, governors)
        limit = _threshold(len(records), threshold)
        text = policy_path.read_text("utf-8") if policy_path else template(name)
        policy = PolicyFile.parse(text, str(policy_path or path / "policy.toml"))
        scope = found_online(out, name, records, limit, policy, path, wait_s)
        if not scope.policy_file.exists():
            scope.policy_file.write_text(text, "utf-8")
        _finish(out, scope)
        return
    if governors is not None and not governors.isdecimal():
        raise click.UsageError("--local makes its own governors: give a number, or --names")
    count = int(governors or 4)
    if not 1 <= count <= GOVERNORS_MAX:
        raise click.BadParameter(f"1 to {GOVERNORS_MAX}", param_hint="--governors")
    listed = names or [f"governor-{number}" for number in range(1, count + 1)]
    limit = _threshold(len(listed), threshold)
    for taken in ("charter.cbor", "roster.cbor", "governors"):
        if (path / taken).exists():
            raise FileInTheWay(f"{path / taken} exists already", "Choose another --folder.")
    text = policy_path.read_text("utf-8") if policy_path else template(name)
    policy = PolicyFile.parse(text, str(policy_path or path / "policy.toml"))
    key = unlock(out, passphrase_file, key_file, "the governors' seats", is_new=True)
    scope = _found_local(out, name, listed, limit, policy, path, key)
    scope.policy_file.write_text(text, "utf-8")
    _finish(out, scope)


# for messages of parameters that are looked at later than Click does
_GOVERNORS = click.Option(["--governors"])


def _threshold(governors: int, threshold: int | None) -> int:
    """What was asked for, or the default. Raises `BadParameter` for what is not safe."""
    limit = threshold or default_threshold(governors)
    try:
        check_threshold(governors, limit)
    except UnsafeThreshold as error:
        raise click.BadParameter(f"{error}. {error.advice}", param_hint="--threshold") from None
    return limit


def _found_local(
    out: Output,
    name: str,
    listed: list[str],
    limit: int,
    policy: PolicyFile,
    path: Path,
    key: Unlock,
) -> ScopeFolder:
    with out.progress("distributed key generation", 3 + len(listed)) as bar:
        local_governors = ceremony.found_local(name, listed, limit)
        bar.advance()
        bar.say("certifying charter and policy")
        signer = issuance.LocalSigner(local_governors)
        charter = issuance.charter_draft(local_governors[0].seat)
        raws = issuance.sign(issuance.founding_drafts(charter, policy), signer, f"scope {name}")
        bar.advance()
        bar.say("encrypting seats")
        # the seats first: without them nobody could ever certify again
        keyring.save_seats(path / "governors", local_governors, key, lambda _: bar.advance())
        roster = local_governors[0].seat.roster
        (path / "roster.cbor").write_bytes(roster.to_bytes())
        scope = ScopeFolder.create(path, raws[0])
        for raw in raws[1:]:
            scope.take(raw)
        bar.advance()
    return scope


def _finish(out: Output, scope: ScopeFolder) -> None:
    out.ok(f"founded {scope.charter.name} in {scope.path}")
    document = describe(scope)
    _show(out, document)
    out.note(f"next: look at {scope.policy_file}, then  writ member request DIR --name NAME")
    out.json(document)


def default_threshold(governors: int) -> int:
    """The least that is safe with as many liars as a third allows: threshold > (n + f) / 2."""
    return (governors + (governors - 1) // 3) // 2 + 1


@command(group)
@scope_option
def show(out: Output, scope: Path) -> None:
    """What a scope is, who governs it, and how new its policy and beacon are."""
    document = describe(ScopeFolder.open(scope))
    _show(out, document)
    if (daemon := read_daemon(scope)) is not None:
        out.note(f"as the folder knows it; what is in force now:  writ governor status {daemon}")
    out.json(document)


def describe(folder: ScopeFolder) -> dict[str, Any]:
    """All that `scope show` says."""
    charter, policy, beacon = folder.charter, folder.policy, folder.beacon
    count = len(charter.governors)
    offline, byzantine = tolerance(count, charter.threshold)
    members = folder.members.newest()
    return {
        "name": charter.name,
        "scope": charter.scope,
        "folder": folder.path,
        "key_fingerprint": spoken(folder.group_key),
        "group_key": folder.group_key,
        "founded": charter.founded,
        "governors": count,
        "threshold": charter.threshold,
        "tolerates_offline": offline,
        "tolerates_byzantine": byzantine,
        "seats_here": keyring.names_in(folder.path / "governors"),
        "beacon_age_max_s": charter.beacon_age_max_s,
        "epoch": folder.epoch,
        "head": folder.head,
        "policy_issued": policy.issued if policy else None,
        "beacon_time": beacon.time if beacon else None,
        "members": len(members),
        "requests": len(folder.requests()),
        "revoked": folder.revoked_names(),
    }


def tolerance_text(offline: int, byzantine: int) -> str:
    """The failures that a scope tolerates, for people."""
    return f"{offline} offline or {byzantine} Byzantine"


def _show(out: Output, document: dict[str, Any]) -> None:
    beacon = document["beacon_time"]
    age = humanize.duration(now_s() - beacon) if beacon else ""
    limit = humanize.duration(document["beacon_age_max_s"])
    out.fields(
        {
            "scope": f"{document['name']} ({document['scope'].hex()})",
            "folder": document["folder"],
            "group key": document["group_key"],
            "key fingerprint": document["key_fingerprint"],
            "founded": humanize.moment(document["founded"]),
            "governors": f"{document['threshold']} of {document['governors']} certify",
            "tolerates": tolerance_text(
                document["tolerates_offline"], document["tolerates_byzantine"]
            ),
            "seats here": document["seats_here"] or None,
            "epoch": f"{document['epoch']} (head {document['head'].hex()})",
            "beacon": f"{age} old; fresh for {limit}" if beacon else "none",
            "members": document["members"],
            "revoked": document["revoked"] or None,
        }
    )


@command(group)
@scope_option
@signing_options
@deliver_option
@timeout_option
def beacon(out: Output, scope: Path, who: Who, deliver: tuple[str, ...], timeout_s: float) -> None:
    """Certify a beacon: the time of this moment, and the epoch in force.

    Devices have no clock of their own; rules marked `fresh` deny when the beacon is too old.
    """
    folder = open_scope(out, scope, who)
    with certifying(folder, who):
        targets = find_targets(folder, deliver)
        signer = open_signer(out, folder, who)
        draft = issuance.beacon_draft(folder)
        issuance.issue(folder, [draft], signer)
    made = folder.beacon
    assert made is not None
    out.ok(f"certified: epoch {made.epoch} at {humanize.moment(made.time)}, {len(made.raw)} bytes")
    deliveries = _hand_over(out, targets, folder, timeout_s)
    out.json(
        {
            "epoch": made.epoch,
            "time": made.time,
            "capsule": made.raw,
            "delivered": documents(deliveries),
        }
    )
    finish(out, deliveries)


def _hand_over(out: Output, targets: Any, folder: ScopeFolder, timeout_s: float) -> Any:
    return deliver(out, targets, beacon_sender(folder, timeout_s))
