"""`writ scope`: found a scope, show it, certify a beacon."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from writ.limits import GOVERNORS_MAX

from .. import files, humanize, textfile
from ..ceremony import keyring
from ..consensus.committee import (
    UnsafeThreshold,
    check_threshold,
    default_threshold,
    tolerance,
)
from ..governor.ceremonies.invitation import CeremonyStatus, Invitation
from ..governor.ceremonies.record import Record
from ..governor.client import founding as daemonfounding
from ..keys.dkg import fingerprint_digits
from ..policy.source import PolicyFile
from ..policy.template import template
from ..scope import founding, issuance, policyfile
from ..scope.delivery import beacon_sender, find_targets
from ..scope.folder import ScopeFolder, now_s
from ..scope.validation import CLOCK_JUMP_S_MAX
from .delivery import deliver, deliver_option, documents, finish
from .layout import table_lines
from .livepage import live_page
from .names import governor_names, new_name, record_files
from .options import scope_option, timeout_option
from .output import Output, command
from .secret import secret_options, unlock
from .signers import (
    SigningOptions,
    issuing,
    open_scope,
    open_signer,
    signing_options,
    wait_option,
)
from .view import open_view


@click.group()
def group() -> None:
    """Found a scope, show it, certify a beacon."""


@command(group)
@click.argument("name", callback=new_name)
@click.option(
    "--governors",
    metavar="A.toml,B.toml,...|N",
    help="The records of the governors, whose daemons run; with --local their number. Default with"
    " --local: 4.",
)
@click.option(
    "--threshold",
    type=click.IntRange(1, 13),
    help="How many governors must sign. Default: the least that is safe.",
)
@click.option(
    "--names",
    callback=governor_names,
    metavar="A,B,...",
    help="With --local: the governors' names. Default: governor-1 and so on.",
)
@click.option("--local", is_flag=True, help="Make all governors on this machine, without daemons.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The scope's new folder. Default: ./NAME.",
)
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The first policy. Default: a commented template.",
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
    """Found a scope: its governors generate the group key together.

    The private key is split into shares (FROST) and never assembled.

    The governors' daemons run on their machines (writ governor run); each operator compares a
    fingerprint by voice and approves. With --local all governors are on this machine. For governors
    without a network between them see writ ceremony.
    """
    path = folder or Path(name)
    text = textfile.read(policy_path) if policy_path else template(name)
    policy_source = str(policy_path or path / "policy.toml")
    if local:
        listed = _local_names(governors, names)
        limit = _threshold(len(listed), threshold)
        founding.check_new(path)
        policy = PolicyFile.parse(text, policy_source)
        key = unlock(out, passphrase_file, key_file, is_new=True)
        with out.progress("distributed key generation", 3 + len(listed)) as bar:
            scope = founding.found_local(path, name, listed, limit, policy, key, bar.next)
    else:
        if governors is None or governors.isdecimal():
            raise click.UsageError(
                "give --governors a.toml,b.toml,... (each governor runs `writ governor init` and"
                " `writ governor run` and sends its record), or --local to have all governors on"
                " this machine"
            )
        records = record_files(click.get_current_context(), _GOVERNORS, governors)
        limit = _threshold(len(records), threshold)
        policy = PolicyFile.parse(text, policy_source)
        scope = _found_with_daemons(out, name, records, limit, policy, path, wait_s)
    if local or not files.exists(scope.policy_file):
        files.write_atomically(scope.policy_file, text.encode(), 0o644)
    problem = policyfile.rebase(scope, scope.policy_file)
    out.ok(f"founded {scope.charter.name} in {scope.path}")
    if problem:
        out.warn(f"cannot change {scope.policy_file}: {problem}; then: writ policy rebase")
    document = describe(scope)
    _show(out, document)
    out.note(f"next: edit {scope.policy_file}, then  writ member request DIR --name NAME")
    out.json(document)


# for messages about parameters that are checked later than Click does
_GOVERNORS = click.Option(["--governors"])


def _local_names(governors: str | None, names: list[str] | None) -> list[str]:
    """The names of the governors that --local makes. Raises `UsageError`."""
    if governors is not None and not governors.isdecimal():
        raise click.UsageError("with --local give the number of governors, or --names")
    count = int(governors or 4)
    if not 1 <= count <= GOVERNORS_MAX:
        raise click.BadParameter(f"1 to {GOVERNORS_MAX}", param_hint="--governors")
    return names or [f"governor-{number}" for number in range(1, count + 1)]


def _threshold(governors: int, threshold: int | None) -> int:
    """The threshold of the option, or the default. Raises `BadParameter` for an unsafe one."""
    limit = threshold or default_threshold(governors)
    try:
        check_threshold(governors, limit)
    except UnsafeThreshold as error:
        raise click.BadParameter(f"{error}. {error.advice}", param_hint="--threshold") from None
    return limit


# --- founding with daemons ------------------------------------------------------------------------


def _found_with_daemons(
    out: Output,
    name: str,
    paths: list[Path],
    threshold: int,
    policy: PolicyFile,
    folder: Path,
    wait_s: float | None,
) -> ScopeFolder:
    records = [Record.load(path) for path in paths]
    made = daemonfounding.DaemonFounding(name, records, threshold, policy, folder, out.note)
    for record in records:
        fingerprint = fingerprint_digits(record.governor.verify_key)
        out.line(f"{record.governor.name} at {record.peers}, own fingerprint {fingerprint}")
    with live_page(out) as draw:

        def show(invitation: Invitation, states: Mapping[str, daemonfounding.State]) -> None:
            if not out.as_json:
                draw({}, _page(invitation, states, out.width))

        scope = made.run(show, wait_s)
    directory = daemonfounding.use_daemon(scope, [path.parent for path in paths])
    if directory is None:
        out.note("compare the key fingerprint below with that of  writ governor status")
    else:
        out.note(f"the daemon of {directory} certifies for {scope.path} from now on")
    made.finish()
    return scope


def _page(
    invitation: Invitation, states: Mapping[str, daemonfounding.State], width: int | None
) -> list[str]:
    rows = [(name, daemonfounding.state_text(one)) for name, one in states.items()]
    lines = [f"{invitation.title}: {invitation.roster.threshold} of {len(rows)} certify"]
    lines += table_lines(("governor", "state"), rows, width)
    known = [one for one in states.values() if isinstance(one, CeremonyStatus)]
    # the fingerprint has a line of its own: a narrow terminal must not cut what people compare
    fingerprints = {one.fingerprint for one in known} - {""}
    lines += [f"ceremony fingerprint  {one}" for one in sorted(fingerprints)]
    if any(one.state == "compare" for one in known):
        lines.append("compare it by voice with all operators, then at each governor:")
        lines.append(f"  writ governor approve DIR {invitation.id.hex()[:8]}")
    return lines


# --- showing --------------------------------------------------------------------------------------


@command(group)
@scope_option
def show(out: Output, scope: Path) -> None:
    """Show a scope: its governors, and the age of its policy and beacon."""
    view = open_view(scope)
    document = describe(view.folder, view.governors)
    _show(out, document)
    view.say(out)
    out.json({**document, **view.document()})


def describe(folder: ScopeFolder, governors: tuple[int, int] | None = None) -> dict[str, Any]:
    """The document of `scope show`.

    governors: (number, threshold) of those in force, None for what the scope's folder knows. It
    has no more than the charter's governors, those of the founding, and whether others followed.
    """
    charter, policy, beacon = folder.charter, folder.policy, folder.beacon
    is_founding = folder.group_key == charter.group_key and not (policy and policy.committee)
    count, threshold = governors or (len(charter.governors), charter.threshold)
    offline, byzantine = tolerance(count, threshold)
    members = folder.members.newest()
    return {
        "name": charter.name,
        "scope": charter.scope,
        "folder": folder.path,
        "key_fingerprint": fingerprint_digits(folder.group_key),
        "group_key": folder.group_key,
        "founded": charter.founded,
        "governors": count,
        "threshold": threshold,
        "governors_of_founding": governors is None and not is_founding,
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
    tolerates = tolerance_text(document["tolerates_offline"], document["tolerates_byzantine"])
    at = " at the founding; changed since" if document["governors_of_founding"] else ""
    out.fields(
        {
            "scope": f"{document['name']} ({document['scope'].hex()})",
            "folder": document["folder"],
            "group key": document["group_key"],
            "key fingerprint": document["key_fingerprint"],
            "founded": humanize.moment(document["founded"]),
            "governors": f"{document['threshold']} of {document['governors']} certify{at}",
            "tolerates": tolerates + at,
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
@click.option(
    "--time-jump",
    is_flag=True,
    help=f"Certify a time that is more than {humanize.duration(CLOCK_JUMP_S_MAX)} from the newest"
    " certified one.",
)
def beacon(
    out: Output,
    scope: Path,
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    time_jump: bool,
) -> None:
    """Certify a beacon: the current time, and the epoch in force.

    Devices have no clock of their own; rules marked `fresh` deny when the beacon is too old.

    Nodes do not set their time back, so a wrong clock does lasting damage. With --time-jump an
    earlier beacon also replaces one of a wrong clock in a scope without daemons; docs/limits.md
    describes the way back.
    """
    folder = open_scope(out, scope, signing)
    with issuing(out, folder, signing, time_jump):
        found = find_targets(folder, targets)
        signer = open_signer(out, folder, signing)
        newest = folder.beacon.time if folder.beacon else 0
        goes_back = time_jump and newest > now_s() + CLOCK_JUMP_S_MAX
        draft = issuance.beacon_draft(folder, goes_back)
        before = folder.drop_beacon if goes_back else None
        issuance.issue(folder, [draft], signer, before_keeping=before)
    made = folder.beacon
    assert made is not None
    out.ok(f"certified: epoch {made.epoch} at {humanize.moment(made.time)}, {len(made.raw)} bytes")
    deliveries = deliver(out, found, beacon_sender(folder, timeout_s))
    out.json(
        {
            "epoch": made.epoch,
            "time": made.time,
            "capsule": made.raw,
            "delivered": documents(deliveries),
        }
    )
    finish(out, deliveries)
