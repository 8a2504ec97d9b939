"""`writ governor`: make a governor, run its daemon, show its state, approve and deny."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from .. import files, inet
from ..ceremony import keyring
from ..governor import folder as folders
from ..governor.ceremonies.record import Record
from ..governor.client.change import ChangeFollower
from ..governor.client.connection import connect
from ..governor.client.following import Following
from ..governor.client.issuer import StillPending
from ..governor.folder import GovernorFolder
from ..keys.dkg import fingerprint_digits
from ..node import provision
from ..target import check_address
from . import defaults
from . import governorview as view
from .decision import approve, deny, split_folder
from .governorwatch import follow_log, show
from .names import new_name, record_files
from .options import yes_option
from .output import Output, command
from .secret import secret_options, unlock
from .signers import wait_option


def _needed(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path:
    # a default of None counts as given
    if value is None:
        message = "For a default of DIR: writ use --governor DIR, or WRIT_GOVERNOR"
        raise click.MissingParameter(message, ctx=ctx, param=param)
    return value


directory_argument = click.argument(
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_GOVERNOR",
    default=defaults.governor,
    callback=_needed,
)
watch_option = click.option("--watch", is_flag=True, help="Update the output until Ctrl-C.")


def follow_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: how long to wait until a change is in force."""
    no_wait = click.option("--no-wait", is_flag=True, help="Exit once the change is proposed.")
    return wait_option(no_wait(function))


@click.group()
def group() -> None:
    """Run a governor of a scope, and approve or deny proposals.

    \b
    Each governor:   writ governor init DIR --name NAME, then  writ governor run DIR
    One of them:     writ scope create SCOPE --governors a.toml,b.toml,...
    Each:            writ governor pending DIR, then  writ governor approve DIR ID

    The default of DIR is WRIT_GOVERNOR, or that of  writ use --governor DIR.
    """


@command(group)
@directory_argument
@click.option("--name", required=True, callback=new_name, help="The governor's name.")
@click.option(
    "--peers",
    metavar="HOST:PORT",
    help=f"The address for the other governors. Default: this machine, port {folders.PEERS_PORT}.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help=f"The address for devices. Default: this machine, port {folders.LISTEN_PORT}.",
)
@secret_options
def init(
    out: Output,
    directory: Path,
    name: str,
    peers: str | None,
    listen: str | None,
    passphrase_file: Path | None,
    key_file: Path | None,
) -> None:
    """Make a governor's folder DIR: its keys, settings, and record.

    The record NAME.toml is public, and the founder of the scope needs it.
    """
    folder = GovernorFolder(directory)
    peers = check_address(peers or inet.join(inet.own_host(), folders.PEERS_PORT))
    listen = check_address(listen or inet.join(inet.own_host(), folders.LISTEN_PORT))
    if peers == listen:
        raise click.UsageError("--peers and --listen need two different ports")
    # before a person is asked for a passphrase, and before a key file is made
    folder.make()
    key = unlock(out, passphrase_file, key_file, is_new=True)
    identity = keyring.new_identity(directory, name, key)
    record = Record(identity.public, peers, listen)
    path = folder.record(name)
    files.write_atomically(path, record.to_toml().encode(), 0o644)
    folder.node.mkdir(mode=0o700, exist_ok=True)
    provision.write_config(folder.node, {"name": name, "listen": listen})
    folder.create(name, peers, listen)
    fingerprint = fingerprint_digits(identity.public.verify_key)
    out.ok(f"made the governor {name} in {directory}")
    out.fields({"record": path, "own fingerprint": fingerprint, "peers": peers, "listen": listen})
    out.note(f"next: send {path.name} to the operator who founds the scope, and read the")
    out.note("fingerprint to that operator by voice; then run the governor:")
    out.note(f"  writ governor run {directory}")
    out.json(
        {
            "name": name,
            "folder": directory,
            "record": path,
            "fingerprint": fingerprint,
            "peers": peers,
            "listen": listen,
        }
    )


@command(group)
@directory_argument
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve Prometheus metrics over HTTP. Default: `metrics` of governor.toml.",
)
@secret_options
def run(
    out: Output,
    directory: Path,
    metrics: str | None,
    passphrase_file: Path | None,
    key_file: Path | None,
) -> None:
    """Run the governor in DIR until SIGTERM or Ctrl-C."""
    # imported here: the daemon is slow to import, and no other command needs it
    from ..governor.daemon import Daemon

    folder = GovernorFolder(directory)
    settings = folder.read()
    if metrics:
        check_address(metrics)
    folder.check_keys(settings.name)
    key = unlock(out, passphrase_file, key_file)
    identity = keyring.open_identity(directory, settings.name, key)
    store = keyring.seat_store(directory, settings.name, key)

    def log(facts: dict[str, object], text: str) -> None:
        out.event({**facts, "text": text}, f"{facts['time']}  {text}")

    settings = dataclasses.replace(settings, metrics=metrics or settings.metrics)
    try:
        daemon = Daemon(folder, settings, identity, store, log, settings.metrics)
    except OSError:
        for address in ("peers", "listen", "metrics"):
            settings.check_free(address)
        raise
    with daemon:
        daemon.run()


@command(group)
@directory_argument
@watch_option
def status(out: Output, directory: Path, watch: bool) -> None:
    """Show the scope, the governors online, and what is pending."""
    show(out, directory, "status", partial(view.status, directory=directory), watch)


@command(group)
@directory_argument
@watch_option
def pending(out: Output, directory: Path, watch: bool) -> None:
    """Show the open proposals and ceremonies, and what they wait for."""
    show(out, directory, "pending", partial(view.pending, directory=directory), watch)


@command(group)
@directory_argument
@click.option(
    "--last",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="The number of entries.",
)
@click.option(
    "--follow", "-f", "--watch", "watch", is_flag=True, help="Print new entries until Ctrl-C."
)
def log(out: Output, directory: Path, last: int, watch: bool) -> None:
    """Show this governor's log of decisions, approvals and denials."""
    with connect(directory) as client:
        entries = client.ask("log", last=last)["entries"]
        if not watch:
            for entry in entries:
                out.line(view.log_line(entry))
            out.json({"entries": entries})
            return
    follow_log(out, directory, entries)


# --- changes of governors -------------------------------------------------------------------------


@command(group)
@directory_argument
@click.option(
    "--add",
    multiple=True,
    metavar="RECORD",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The record (NAME.toml) of one more governor; may be repeated.",
)
@click.option(
    "--remove", multiple=True, metavar="NAME", help="A governor to remove; may be repeated."
)
@follow_options
@yes_option
def change(
    out: Output,
    directory: Path,
    add: tuple[Path, ...],
    remove: tuple[str, ...],
    yes: bool,
    wait_s: float | None,
    no_wait: bool,
) -> None:
    """Add or remove governors by re-sharing. The group key and the threshold stay the same.

    Devices need no change. First the operators of the dealing and of the added governors approve
    the re-sharing; then two operators approve the policy that puts the new key shares in force. The
    command shows what it waits for, until the new shares are in force.
    """
    if not add and not remove:
        raise click.UsageError("give governors to add (--add RECORD) or to remove (--remove NAME)")
    records = [Record.load(path).to_toml() for path in add]
    _propose(out, directory, "change", yes, wait_s, no_wait, add=records, remove=list(remove))


@command(group)
@directory_argument
@follow_options
@yes_option
def refresh(out: Output, directory: Path, yes: bool, wait_s: float | None, no_wait: bool) -> None:
    """Give all governors new shares of the same group key.

    Leaked old shares become worthless if fewer than the threshold have leaked.
    """
    _propose(out, directory, "refresh", yes, wait_s, no_wait)


@command(group)
@directory_argument
@click.option(
    "--governors",
    required=True,
    callback=record_files,
    metavar="A.toml,...",
    help="The records of all new governors.",
)
@click.option(
    "--threshold", type=click.IntRange(1, 13), help="How many of the new governors must sign."
)
@follow_options
@yes_option
def succeed(
    out: Output,
    directory: Path,
    governors: list[Path],
    threshold: int | None,
    yes: bool,
    wait_s: float | None,
    no_wait: bool,
) -> None:
    """Replace the group key by a new one, which the old key certifies.

    Use it if as many key shares as the threshold may have leaked, or for another threshold.
    """
    records = [Record.load(path).to_toml() for path in governors]
    _propose(
        out, directory, "succeed", yes, wait_s, no_wait, governors=records, threshold=threshold
    )


def _propose(
    out: Output,
    directory: Path,
    do: str,
    yes: bool,
    wait_s: float | None,
    no_wait: bool,
    **parameters: object,
) -> None:
    if no_wait and wait_s is not None:
        raise click.UsageError("--wait and --no-wait exclude each other")
    with connect(directory) as client:
        document = client.ask(do, dry_run=True, **parameters)
        for line in document["lines"]:
            out.line(line)
        out.confirm("Propose this to the governors?", yes)
        made = client.ask(do, dry_run=False, **parameters)
        id = made["id"][:8]
        out.ok(f"proposed {id}: {made['title']}")
        if made["fingerprint"]:
            out.line(f"ceremony fingerprint  {made['fingerprint']}")
        out.note(f"each operator that it waits for:  writ governor approve DIR {id}")
    with Following(directory, out.note) as following:
        follower = ChangeFollower(out.note, following, directory, wait_s, not no_wait)
        try:
            found = follower.follow(made)
            out.ok(f"in force: {found['title']}")
        except StillPending as pending:
            out.note(pending.awaited)
            out.note(follower.advice)
            found = {**pending.proposals[0], "in_force": False}
    out.json(found)


group.add_command(approve)
group.add_command(deny)

# --- backups --------------------------------------------------------------------------------------


@command(group)
@click.argument(
    "what", metavar="[DIR] FILE", nargs=-1, required=True, callback=split_folder, type=str
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(out: Output, what: tuple[Path, str], force: bool) -> None:
    """Back up a governor into FILE, whether its daemon runs or not.

    FILE must be new (or --force), and its folder must exist. FILE gets mode 0600 and is written
    atomically. It does not contain the passphrase or key file that opens the keys: a person who has
    both has the governor's key share.
    """
    # imported here: it is slow to import
    from .backup import save

    save(out, what[0], Path(what[1]), force)


@command(group)
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def restore(out: Output, file: Path, directory: Path) -> None:
    """Restore a backup into the governor's new folder DIR. The original must never run again."""
    from .backup import load

    load(out, file, directory)
