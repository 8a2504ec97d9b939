"""`writ ceremony`: found a scope, and certify, with governors on separate machines, no network.

The governors exchange files in the scope's folder: a network share, a synchronised directory, or a
USB stick. Each governor keeps its keys in a folder of its own. Each verifies all that it reads from
the shared folder.
"""

from pathlib import Path

import click

from writ.authority import capsule as capsules

from .. import files
from ..ceremony import keyring
from ..ceremony.founding import Founding
from ..ceremony.local import load_identity
from ..ceremony.request import SigningRequest, publish_request, read_requests
from ..ceremony.signing import Signing
from ..ceremony.status import founding_state, request_states
from ..ceremony.storage import Folder
from ..consensus.committee import check_threshold, default_threshold, tolerance
from ..errors import FileInTheWay, HostError, NeedsPerson
from ..keys.dkg import fingerprint_digits
from ..keys.identity import PublicIdentity
from ..keys.roster import Roster, Seat
from ..policy.edit import edit_file, set_base
from ..policy.source import PolicyFile
from ..policy.template import template
from ..scope import issuance
from ..scope.change import policy_change
from ..scope.folder import ScopeFolder
from ..scope.review import Review, review
from .names import new_name
from .options import scope_option, yes_option
from .output import Output, command
from .scope import tolerance_text
from .secret import secret_options, unlock
from .signers import (
    SigningOptions,
    Waiter,
    ceremony_folder,
    keys_options,
    open_seat,
    read_roster,
    sign_guard,
    wait_option,
)


@click.group()
def group() -> None:
    """Found and certify without a network between the governors.

    \b
    Each governor:   writ ceremony identity NAME
    One of them:     writ ceremony roster SCOPE
    Each:            writ ceremony found
    One:             writ ceremony request charter
    All, together:   writ ceremony sign
    """


@command(group)
@click.argument("name", callback=new_name)
@scope_option
@click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_KEYS",
    help="The folder for the governor's keys. Default: ~/.config/writ [WRIT_KEYS].",
)
@secret_options
def identity(
    out: Output,
    name: str,
    scope: Path,
    keys: Path | None,
    passphrase_file: Path | None,
    key_file: Path | None,
) -> None:
    """Make a governor's keys and its public record.

    The record is published in the shared folder.
    """
    folder = SigningOptions(None, keys, None, None, None).keys_folder()
    if keys is None:
        files.make_folder(folder.parent)
    for needed in (folder, scope):
        files.check_parent(needed)
    key = unlock(out, passphrase_file, key_file, is_new=True)
    if files.exists(keyring.identity_path(folder, name)):
        made = load_identity(keyring.identity_path(folder, name), key)
    else:
        made = keyring.new_identity(folder, name, key)
    public = made.public
    ceremony_folder(scope).publish(f"{name}.governor.cbor", public.to_bytes())
    path = scope / "ceremony" / f"{name}.governor.cbor"
    out.ok(f"{name}: keys in {folder}, public record in {path}")
    fingerprint = fingerprint_digits(public.verify_key)
    out.fields({"fingerprint": fingerprint})
    out.note("read the fingerprint by voice to the operator who makes the roster")
    out.json({"name": name, "keys": folder, "record": path, "fingerprint": fingerprint})


@command(group)
@click.argument("name", callback=new_name)
@click.option(
    "--threshold",
    type=click.IntRange(1, 13),
    help="How many governors must sign. Default: the least that is safe.",
)
@scope_option
@yes_option
def roster(out: Output, name: str, threshold: int | None, scope: Path, yes: bool) -> None:
    """Make the roster of a new scope.

    It lists all governors whose records are in the shared folder. NAME is the scope's name.
    """
    if files.exists(scope / "roster.cbor"):
        raise FileInTheWay(
            f"{scope / 'roster.cbor'} exists already", "Continue with writ ceremony found."
        )
    folder = ceremony_folder(scope)
    records = [one for one in folder.names() if one.endswith(".governor.cbor")]
    governors = [PublicIdentity.from_bytes(folder.read(one) or b"") for one in records]
    if not governors:
        raise HostError(
            f"no governor's record in {scope}", "Make one first: writ ceremony identity NAME."
        )
    limit = threshold or default_threshold(len(governors))
    check_threshold(len(governors), limit)
    made = Roster.create(name, limit, governors)
    offline, byzantine = tolerance(len(governors), limit)
    rows = [(one.name, fingerprint_digits(one.verify_key)) for one in made.governors]
    out.table(("governor", "fingerprint"), rows)
    out.line(f"{limit} of {len(rows)} certify; tolerates {tolerance_text(offline, byzantine)}")
    listed = ", ".join(f"{governor} {fingerprint}" for governor, fingerprint in rows)
    question = "Are these all governors, and did each read out its fingerprint?"
    out.confirm_compared(question, "the fingerprint", listed, yes)
    files.write_atomically(scope / "roster.cbor", made.to_bytes(), 0o644)
    out.ok(f"roster of {name}: {fingerprint_digits(made.id)}")
    out.note("next, each governor:  writ ceremony found --as NAME")
    out.json(
        {
            "scope": name,
            "threshold": limit,
            "governors": dict(rows),
            "fingerprint": fingerprint_digits(made.id),
            "tolerates_offline": offline,
            "tolerates_byzantine": byzantine,
        }
    )


@command(group)
@scope_option
@keys_options
@wait_option
@click.option(
    "--fingerprint", help="The fingerprint that the others read out, in place of the question."
)
@yes_option
def found(
    out: Output,
    scope: Path,
    governor: str | None,
    keys: Path | None,
    passphrase_file: Path | None,
    key_file: Path | None,
    wait_s: float | None,
    fingerprint: str | None,
    yes: bool,
) -> None:
    """Take part in the distributed key generation.

    Each governor runs this command, and runs it again after an interruption. Once all governors
    have sent their first messages, the command shows a fingerprint, which must be the same at all
    governors: compare it by voice. --yes skips the
    comparison, and a warning on stderr says so.
    """
    folder = SigningOptions(governor, keys, passphrase_file, key_file, wait_s).keys_folder()
    listed = read_roster(scope)
    name = keyring.the_name(folder, governor)
    key = unlock(out, passphrase_file, key_file)
    me = load_identity(keyring.identity_path(folder, name), key)

    def compare(own: str) -> bool:
        if fingerprint is not None:
            return "".join(fingerprint.split()) == "".join(own.split())
        out.line(f"fingerprint: {own}", "bold")
        question = "Do all governors read out the same fingerprint?"
        out.confirm_compared(question, "the fingerprint", own, yes)
        return True

    store = keyring.seat_store(folder, name, key)
    machine = Founding(ceremony_folder(scope), me, listed, store, compare)
    seat = machine.run(Waiter(out, wait_s))
    out.ok(f"{name} has a key share of {listed.scope}")
    out.fields({"group key": seat.public.group_key})
    out.note("next, one governor:  writ ceremony request charter --as NAME")
    document = {"name": name, "scope": listed.scope, "group_key": seat.public.group_key}
    out.json({**document, "threshold": listed.threshold})


@command(group, "request")
@click.argument("what", type=click.Choice(["charter", "policy", "beacon"]))
@scope_option
@keys_options
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The policy file. Default: policy.toml of the scope.",
)
def request_(
    out: Output,
    what: str,
    scope: Path,
    governor: str | None,
    keys: Path | None,
    passphrase_file: Path | None,
    key_file: Path | None,
    policy_path: Path | None,
) -> None:
    """Request signatures for capsules. Then the governors run writ ceremony sign.

    `charter` stands for the charter, the first policy and the first beacon of a new scope. For
    members use `writ member admit --as NAME`, for revocations `writ member revoke --as NAME`.
    """
    signing = SigningOptions(governor, keys, passphrase_file, key_file, None)
    local = open_seat(out, scope, signing)
    path = policy_path or scope / "policy.toml"
    made_from: tuple[int, bytes] | None = None
    if what == "charter":
        if files.exists(scope / "charter.cbor"):
            raise FileInTheWay(f"{scope} has its charter already", "There is nothing to request.")
        if not files.exists(path):
            files.write_atomically(path, template(local.seat.roster.scope).encode(), 0o644)
            out.note(f"wrote a first policy: {path}")
        charter = issuance.charter_draft(local.seat)
        drafts = issuance.founding_drafts(charter, PolicyFile.load(path))
        made_from = 1, capsules.head(drafts[1].payload)
        title = f"charter and first policy of {local.seat.roster.scope}"
    elif what == "beacon":
        drafts = [issuance.beacon_draft(ScopeFolder.open(scope))]
        title = drafts[0].label
    else:
        change = policy_change(ScopeFolder.open(scope), PolicyFile.load(path))
        if not change:
            raise HostError(
                "the policy file is the same as the certified policy", "Change the file first."
            )
        drafts = change.drafts
        made_from = change.new.epoch, change.new.head()
        title = f"policy of epoch {change.new.epoch}"
    items = issuance.signing_items(drafts)
    made = publish_request(ceremony_folder(scope), local.identity, local.seat, title, items)
    problem = ""
    if made_from is not None:
        # what the file says will be in force once it is signed
        problem = edit_file(path, lambda text: set_base(text, *made_from))
    if problem:
        out.warn(f"cannot change {path}: {problem}; once it is signed: writ policy rebase")
    out.ok(f"requested {made.tag}: {title}")
    out.note(f"next, {local.seat.roster.threshold} governors together:  writ ceremony sign")
    labels = [item.label for item in made.items]
    out.json({"request": made.tag, "title": title, "items": labels})


@command(group)
@click.argument("tag", required=False)
@scope_option
@keys_options
@wait_option
@click.option(
    "--supersede", is_flag=True, help="Sign although this governor signed another state before."
)
@click.option("--refuse", is_flag=True, help="Refuse the request, visibly for all governors.")
@yes_option
def sign(
    out: Output,
    tag: str | None,
    scope: Path,
    governor: str | None,
    keys: Path | None,
    passphrase_file: Path | None,
    key_file: Path | None,
    wait_s: float | None,
    supersede: bool,
    refuse: bool,
    yes: bool,
) -> None:
    """Review a signing request and sign it. TAG may be omitted if there is only one request.

    As many governors as the threshold must run this command at the same time, since the nonces of a
    signature stay in memory. The certified capsules are stored in the scope's folder.
    """
    signing = SigningOptions(governor, keys, passphrase_file, key_file, wait_s)
    local = open_seat(out, scope, signing)
    folder = ceremony_folder(scope)
    request = _choose(folder, local.seat, tag)
    found = review(local.seat, ScopeFolder.find(scope), request.items)
    is_signed = folder.read(f"{request.tag}.signed.cbor") is not None

    def approve(_: SigningRequest) -> bool:
        if refuse:
            return False
        _show(out, request, found)
        if found.problems:
            raise NeedsPerson(
                f"not signed: {found.problems[0]}",
                "Speak with the requester; to refuse it: writ ceremony sign --refuse.",
            )
        out.confirm("Sign this?", yes)
        guard = sign_guard(signing.keys_folder(), local.seat.name)
        guard.record(request.group_key, found.heads, supersede)
        return True

    machine = Signing(folder, local.identity, local.seat, request, approve)
    signatures = issuance.run_with_retries(machine, Waiter(out, wait_s))
    new = issuance.store_signed(scope, request, signatures)
    verb = "was signed already" if is_signed else "signed"
    out.ok(f"{verb}: {request.title}; {new} new capsules in {scope}")
    out.json(
        {
            "request": request.tag,
            "title": request.title,
            "signatures": signatures,
            "new_capsules": new,
            "lines": found.lines,
        }
    )


def _choose(folder: Folder, seat: Seat, tag: str | None) -> SigningRequest:
    good, bad = read_requests(folder, seat)
    if tag is not None:
        good = [one for one in good if one.tag.startswith(tag)]
        if not good and tag in bad:
            raise bad[tag]
    else:
        good = [one for one in good if folder.read(f"{one.tag}.signed.cbor") is None]
    if len(good) != 1:
        what = "several open requests" if good else "no open request"
        raise HostError(what, "Give the TAG of one: writ ceremony status lists them.")
    return good[0]


def _show(out: Output, request: SigningRequest, found: Review) -> None:
    out.line(f"{request.title}, requested by {request.requester} ({request.tag})", "bold")
    for line in found.lines:
        out.line(f"  {line}")
    for problem in found.problems:
        out.warn(problem)


@command(group)
@scope_option
def status(out: Output, scope: Path) -> None:
    """Show which governors the founding and the requests wait for. Needs no keys."""
    listed = read_roster(scope)
    folder = ceremony_folder(scope)
    states = founding_state(folder, listed)
    out.line(f"{listed.scope}: {listed.threshold} of {len(listed.names)} governors certify")
    out.table(("governor", "founding"), [(one.name, one.done or "not started") for one in states])
    requests = request_states(folder, listed)
    rows = [
        (one.tag, one.title or one.problem, one.state, one.shared or one.committed, one.awaited)
        for one in requests
    ]
    if rows:
        out.table(("request", "title", "state", "signers", "waiting for"), rows)
    out.json(
        {
            "scope": listed.scope,
            "threshold": listed.threshold,
            "has_charter": files.exists(scope / "charter.cbor"),
            "founding": states,
            "requests": requests,
        }
    )
