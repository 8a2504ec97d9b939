"""`writ ceremony`: found a scope, and certify, with governors on machines or sticks of their own.

They meet in the scope's folder (a network share, a synchronised directory, a stick that goes
round); each has its keys in a folder of its own. Nothing in the shared folder is believed.
"""

import contextlib
from pathlib import Path
from typing import Any

import click

from writ.authority import capsule as capsules
from writ.errors import RolledBack

from .. import files
from ..ceremony import keyring
from ..ceremony.local import (
    Founding,
    Governor,
    Roster,
    Signing,
    SigningRequest,
    load_identity,
    publish_request,
    read_requests,
)
from ..ceremony.status import founding_state, request_states
from ..consensus.committee import check_threshold, tolerance
from ..errors import FileInTheWay, HostError, NeedsPerson
from ..keys.dkg import spoken
from ..policy.source import PolicyFile
from ..policy.template import template
from ..scope import issuance
from ..scope.folder import NoScopeHere, ScopeFolder
from ..scope.review import Review, review
from .names import scope_name
from .options import scope_option, yes_option
from .output import Output, command
from .scope import default_threshold, tolerance_text
from .secret import secret_options, unlock
from .signers import (
    Waiter,
    Who,
    ceremony_folder,
    keys_options,
    read_roster,
    sign_guard_of,
    wait_option,
)


@click.group()
def group() -> None:
    """Found and certify with governors on separate machines.

    \b
    Each governor:   writ ceremony identity NAME
    One of them:     writ ceremony roster SCOPE
    Each:            writ ceremony found
    One:             writ ceremony propose charter
    All, together:   writ ceremony sign
    """


@command(group)
@click.argument("name", callback=scope_name)
@scope_option
@click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_KEYS",
    help="The folder for the governor's keys, ~/.config/writ otherwise [WRIT_KEYS].",
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
    """Make a governor's keys, and publish their public half in the shared folder."""
    folder = Who(None, keys, None, None, None).keys_folder()
    key = unlock(out, passphrase_file, key_file, f"the keys of {name}", is_new=True)
    if keyring.identity_path(folder, name).exists():
        made = load_identity(keyring.identity_path(folder, name), key)
    else:
        made = keyring.new_identity(folder, name, key)
    public = made.public
    ceremony_folder(scope).publish(f"{name}.governor.cbor", public.to_bytes())
    path = scope / "ceremony" / f"{name}.governor.cbor"
    out.ok(f"{name}: keys in {folder}, public record in {path}")
    voice = spoken(public.verify_key)
    out.fields({"fingerprint": voice})
    out.note("read the fingerprint to whoever makes the roster")
    out.json({"name": name, "keys": folder, "record": path, "fingerprint": voice})


@command(group)
@click.argument("name", callback=scope_name)
@click.option("--threshold", type=click.IntRange(1, 13), help="How many certify together.")
@scope_option
@yes_option
def roster(out: Output, name: str, threshold: int | None, scope: Path, yes: bool) -> None:
    """List the governors of the new scope NAME: all whose records are in the shared folder."""
    if (scope / "roster.cbor").exists():
        raise FileInTheWay(f"{scope / 'roster.cbor'} exists already", "Go on with it.")
    folder = ceremony_folder(scope)
    records = [one for one in folder.names() if one.endswith(".governor.cbor")]
    governors = [Governor.from_bytes(folder.read(one) or b"") for one in records]
    if not governors:
        raise HostError(f"no governor's record in {scope}", "First: writ ceremony identity NAME.")
    limit = threshold or default_threshold(len(governors))
    check_threshold(len(governors), limit)
    made = Roster.create(name, limit, governors)
    offline, byzantine = tolerance(len(governors), limit)
    rows = [(one.name, spoken(one.verify_key)) for one in made.governors]
    out.table(("governor", "fingerprint"), rows)
    out.line(f"{limit} of {len(rows)} certify; tolerates {tolerance_text(offline, byzantine)}")
    out.confirm("Are these all governors, with the fingerprints that they read out?", yes)
    files.write_atomically(scope / "roster.cbor", made.to_bytes(), 0o644)
    out.ok(f"roster of {name}: {spoken(made.id)}")
    out.note("next, each governor:  writ ceremony found --as NAME")
    out.json(
        {
            "scope": name,
            "threshold": limit,
            "governors": dict(rows),
            "fingerprint": spoken(made.id),
            "tolerates_offline": offline,
            "tolerates_byzantine": byzantine,
        }
    )


@command(group)
@scope_option
@keys_options
@wait_option
@click.option("--fingerprint", help="What the others read out, in place of the question.")
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
    """Take part in the distributed key generation; run it again after any interruption.

    Every governor runs it. Once all have sent their first messages, the fingerprint must be the
    same for all: compare it by voice. --yes leaves the comparison out.
    """
    who = Who(governor, keys, passphrase_file, key_file, wait_s)
    listed = read_roster(scope)
    mine = keyring.the_name(who.keys_folder(), governor)
    key = unlock(out, passphrase_file, key_file, f"the keys of {mine}")
    me = load_identity(keyring.identity_path(who.keys_folder(), mine), key)

    def compare(voice: str) -> bool:
        if fingerprint is not None:
            return "".join(fingerprint.split()) == "".join(voice.split())
        out.line(f"fingerprint: {voice}", "bold")
        out.confirm("Do all governors read out the same digits?", yes)
        return True

    store = keyring.seat_store(who.keys_folder(), mine, key)
    machine = Founding(ceremony_folder(scope), me, listed, store, compare)
    seat = machine.run(Waiter(out, wait_s))
    out.ok(f"{mine} has a seat in {listed.scope}")
    out.fields({"group key": seat.public.group_key})
    out.note("next, one governor:  writ ceremony propose charter --as NAME")
    document = {"name": mine, "scope": listed.scope, "group_key": seat.public.group_key}
    out.json({**document, "threshold": listed.threshold})


@command(group, "propose")
@click.argument("what", type=click.Choice(["charter", "policy", "beacon"]))
@scope_option
@keys_options
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The policy file, policy.toml of the scope otherwise.",
)
def propose_(
    out: Output,
    what: str,
    scope: Path,
    governor: str | None,
    keys: Path | None,
    passphrase_file: Path | None,
    key_file: Path | None,
    policy_path: Path | None,
) -> None:
    """Propose something for certification, without waiting: then all run writ ceremony sign.

    charter: the charter, first policy and first beacon of a scope that was just founded.
    Members are proposed by `writ member admit --as NAME`, revocations by `writ member revoke`.
    """
    who = Who(governor, keys, passphrase_file, key_file, None)
    local = _open(out, scope, who)
    path = policy_path or scope / "policy.toml"
    if what == "charter":
        if (scope / "charter.cbor").exists():
            raise FileInTheWay(f"{scope} has its charter already", "Nothing to do.")
        if not path.exists():
            path.write_text(template(local.seat.roster.scope), "utf-8")
            out.note(f"wrote a first policy: {path}")
        charter = issuance.charter_draft(local.seat)
        drafts = issuance.founding_drafts(charter, PolicyFile.load(path))
        title = f"charter and first policy of {local.seat.roster.scope}"
    elif what == "beacon":
        drafts = [issuance.beacon_draft(ScopeFolder.open(scope))]
        title = drafts[0].label
    else:
        change = issuance.policy_change(ScopeFolder.open(scope), PolicyFile.load(path))
        if not change:
            raise HostError("the policy file says what is certified already", "Change it first.")
        drafts = change.drafts
        title = f"policy of epoch {change.new.epoch}"
    items = issuance.signing_items(drafts)
    made = publish_request(ceremony_folder(scope), local.identity, local.seat, title, items)
    out.ok(f"proposed {made.tag}: {title}")
    out.note(f"next, {local.seat.roster.threshold} governors at one time:  writ ceremony sign")
    labels = [item.label for item in made.items]
    out.json({"proposal": made.tag, "title": title, "items": labels})


def _open(out: Output, scope: Path, who: Who) -> Any:
    listed = read_roster(scope)
    mine = keyring.the_name(who.keys_folder(), who.governor)
    key = unlock(out, who.passphrase_file, who.key_file, f"the keys of {mine}")
    return keyring.open_seat(who.keys_folder(), mine, key, listed)


@command(group)
@click.argument("tag", required=False)
@scope_option
@keys_options
@wait_option
@click.option("--supersede", is_flag=True, help="Sign although another state was agreed to before.")
@click.option("--refuse", is_flag=True, help="Say no, for all to see.")
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
    """Look at a proposal and sign it, together with the others; TAG may be left out if it is one.

    As many governors as the threshold must have this running at one time: what a signature needs
    between its two rounds stays in memory. What is certified goes into the scope's folder.
    """
    who = Who(governor, keys, passphrase_file, key_file, wait_s)
    local = _open(out, scope, who)
    folder = ceremony_folder(scope)
    known = _maybe(scope)
    proposal = _choose(folder, local.seat, tag)
    found = review(local.seat, known, proposal.items)
    is_signed = folder.read(f"{proposal.tag}.signed.cbor") is not None

    def approve(_: SigningRequest) -> bool:
        if refuse:
            return False
        _show(out, proposal, found)
        if found.problems:
            raise NeedsPerson(
                f"not signed: {found.problems[0]}",
                "Speak with the proposer; writ ceremony sign --refuse tells all.",
            )
        out.confirm("Sign it?", yes)
        guard = sign_guard_of(who.keys_folder(), local.seat.name)
        guard.record(proposal.group_key, found.heads, supersede)
        return True

    machine = Signing(folder, local.identity, local.seat, proposal, approve)
    signatures = issuance.run_with_retries(machine, Waiter(out, wait_s))
    kept = collect(scope, proposal, signatures)
    out.ok(f"{'was signed' if is_signed else 'signed'}: {proposal.title}; new here: {kept}")
    out.json(
        {
            "proposal": proposal.tag,
            "title": proposal.title,
            "signatures": signatures,
            "new": kept,
            "lines": found.lines,
        }
    )


def _maybe(scope: Path) -> ScopeFolder | None:
    try:
        return ScopeFolder.open(scope)
    except NoScopeHere:
        return None


def _choose(folder: Any, seat: Any, tag: str | None) -> SigningRequest:
    good, bad = read_requests(folder, seat)
    if tag is not None:
        good = [one for one in good if one.tag.startswith(tag)]
        if not good and tag in bad:
            raise bad[tag]
    else:
        good = [one for one in good if folder.read(f"{one.tag}.signed.cbor") is None]
    if len(good) != 1:
        what = "several open proposals" if good else "no open proposal"
        raise HostError(f"{what}", "See them: writ ceremony status; then give the TAG of one.")
    return good[0]


def _show(out: Output, proposal: SigningRequest, found: Review) -> None:
    out.line(f"{proposal.title}, proposed by {proposal.requester} ({proposal.tag})", "bold")
    for line in found.lines:
        out.line(f"  {line}")
    for problem in found.problems:
        out.warn(problem)


def collect(scope: Path, proposal: SigningRequest, signatures: list[bytes]) -> int:
    """Put what was certified into the scope's folder, whatever of it is new; how many were."""
    raws = [
        capsules.assemble(item.payload, signature)
        for item, signature in zip(proposal.items, signatures, strict=True)
    ]
    folder = _maybe(scope)
    new = 0
    if folder is None:
        if capsules.parse(raws[0]).kind != capsules.CHARTER:
            raise NoScopeHere(f"no charter in {scope}", "First: writ ceremony propose charter.")
        folder = ScopeFolder.create(scope, raws[0])
        new = 1
    for raw in raws:
        # other governors do the same in the same folder: all write the same bytes
        with contextlib.suppress(RolledBack):
            new += folder.take(raw)
    return new


@command(group)
@scope_option
def status(out: Output, scope: Path) -> None:
    """Who is awaited, for the founding and for each proposal; needs no keys."""
    listed = read_roster(scope)
    folder = ceremony_folder(scope)
    states = founding_state(folder, listed)
    out.line(f"{listed.scope}: {listed.threshold} of {len(listed.names)} governors certify")
    out.table(("governor", "founding"), [(one.name, one.done or "not begun") for one in states])
    found_proposals = request_states(folder, listed)
    rows = [
        (one.tag, one.title or one.problem, one.state, one.shared or one.committed, one.awaited)
        for one in found_proposals
    ]
    if rows:
        out.table(("proposal", "title", "state", "took part", "awaited"), rows)
    out.json(
        {
            "scope": listed.scope,
            "threshold": listed.threshold,
            "has_charter": (scope / "charter.cbor").exists(),
            "founding": states,
            "proposals": found_proposals,
        }
    )
