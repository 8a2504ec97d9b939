"""`writ governor`: make a governor, run its daemon, look at it, and decide what it is asked."""

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .. import files
from ..ceremony import keyring
from ..errors import NotReachable
from ..governor import folder as layouts
from ..governor.ceremonies.record import Record
from ..governor.control import ControlClient, Document
from ..governor.folder import GovernorFolder
from ..keys.dkg import spoken
from ..node import provision
from ..target import check_address
from . import governorview as view
from .following import Follower
from .livepage import live_page
from .names import record_files, scope_name
from .options import yes_option
from .output import Output, command
from .secret import secret_options, unlock
from .signers import wait_option

WATCH_S = 1.0

directory_argument = click.argument(
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_GOVERNOR",
)
watch_option = click.option("--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="Why: signed, and kept in the log."
)


def _split(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[Path, str]:
    # (the governor's folder, the id): the folder may be left to the environment
    if len(words) == 1 and os.environ.get("WRIT_GOVERNOR"):
        words = (os.environ["WRIT_GOVERNOR"], *words)
    if len(words) != 2:
        raise click.UsageError(f"give {param.metavar}; DIR may be left to WRIT_GOVERNOR", ctx)
    return Path(words[0]), words[1]


def follow_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: how long to wait until a change is in force."""
    no_wait = click.option("--no-wait", is_flag=True, help="Leave once it is proposed.")
    return wait_option(no_wait(function))


what_argument = click.argument(
    "what", metavar="[DIR] ID", nargs=-1, required=True, callback=_split, type=str
)


@click.group()
def group() -> None:
    """Run a governor of a scope, and decide what needs a person.

    \b
    Each governor:   writ governor init DIR --name NAME, then  writ governor run DIR
    One of them:     writ scope create SCOPE --governors a.toml,b.toml,...
    Each:            writ governor pending DIR, then  writ governor approve DIR ID

    DIR may be left to WRIT_GOVERNOR.
    """


@command(group)
@directory_argument
@click.option("--name", required=True, callback=scope_name, help="The governor's name.")
@click.option(
    "--peers",
    metavar="HOST:PORT",
    help=f"Where the other governors reach it; this machine, port {layouts.PEERS_PORT} otherwise.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help=f"Where devices reach it; this machine, port {layouts.LISTEN_PORT} otherwise.",
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
    """Make a governor's folder: keys, settings, and its record.

    The others need the record, NAME.toml.
    """
    folder = GovernorFolder(directory)
    peers = check_address(peers or f"{layouts.own_host()}:{layouts.PEERS_PORT}")
    listen = check_address(listen or f"{layouts.own_host()}:{layouts.LISTEN_PORT}")
    if peers == listen:
        raise click.UsageError("--peers and --listen are two sockets: give two ports")
    folder.check_new()
    key = unlock(out, passphrase_file, key_file, f"the keys of {name}", is_new=True)
    identity = keyring.new_identity(directory, name, key)
    record = Record(identity.public, peers, listen)
    path = folder.record(name)
    files.write_atomically(path, record.to_toml().encode(), 0o644)
    folder.node.mkdir(mode=0o700, exist_ok=True)
    provision.write_config(folder.node, {"name": name, "listen": listen})
    folder.create(name, peers, listen)
    voice = spoken(identity.public.verify_key)
    out.ok(f"made the governor {name} in {directory}")
    out.fields({"record": path, "own fingerprint": voice, "peers": peers, "listen": listen})
    out.note(f"next: send {path.name} to whoever founds the scope; read the fingerprint to them")
    out.note(f"and run it:  writ governor run {directory}")
    out.json(
        {
            "name": name,
            "folder": directory,
            "record": path,
            "fingerprint": voice,
            "peers": peers,
            "listen": listen,
        }
    )


@command(group)
@directory_argument
@click.option(
    "--metrics", metavar="HOST:PORT", help="Prometheus metrics over HTTP; else as governor.toml."
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
    # here, since it takes long to import and all other commands do without
    from ..governor.daemon import Daemon

    folder = GovernorFolder(directory)
    settings = folder.read()
    if metrics:
        check_address(metrics)
    folder.check_keys(settings.name)
    key = unlock(out, passphrase_file, key_file, f"the keys of {settings.name}")
    identity = keyring.open_identity(directory, settings.name, key)
    store = keyring.seat_store(directory, settings.name, key)

    def tell(facts: dict[str, object], text: str) -> None:
        out.event({**facts, "text": text}, f"{facts['time']}  {text}")

    settings = dataclasses.replace(settings, metrics=metrics or settings.metrics)
    try:
        daemon = Daemon(folder, settings, identity, store, tell, settings.metrics)
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
    """The scope, which governors are up, and what waits."""
    _show(out, directory, "status", view.status, watch)


@command(group)
@directory_argument
@watch_option
def pending(out: Output, directory: Path, watch: bool) -> None:
    """What waits for a certificate or for people, and what it means."""
    _show(out, directory, "pending", view.pending, watch)


@command(group)
@directory_argument
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True)
@watch_option
def log(out: Output, directory: Path, last: int, watch: bool) -> None:
    """What was decided, certified, approved and denied here, and why."""
    with _client(directory) as client:
        entries = client.ask("log", last=last)["entries"]
        if not watch:
            for entry in entries:
                out.line(view.log_line(entry))
            out.json({"entries": entries})
            return
        for entry in entries:
            out.event(entry, view.log_line(entry))
        for event in client.watch():
            out.event(event, view.event_line(event))
    raise NotReachable(
        f"the daemon has stopped in {directory}", f"Start it: writ governor run {directory}"
    )


@command(group)
@what_argument
@reason_option
@yes_option
def approve(out: Output, what: tuple[Path, str], reason: str, yes: bool) -> None:
    """Say yes to what `pending` lists as ID; signed, and logged.

    Its first digits do. It cannot be taken back.
    """
    _decide(out, *what, reason, yes, True)


@command(group)
@what_argument
@reason_option
@yes_option
def deny(out: Output, what: tuple[Path, str], reason: str, yes: bool) -> None:
    """Say no to what `pending` lists as ID; signed, and logged.

    Its first digits do. It cannot be taken back.
    """
    _decide(out, *what, reason, yes, False)


def _decide(out: Output, directory: Path, id: str, reason: str, yes: bool, is_yes: bool) -> None:
    with _client(directory) as client:
        found = client.ask("find", id=id)
        for line in view.item(found):
            out.line(line)
        out.confirm(_question(found, is_yes), yes)
        after = client.ask("decide", id=found["id"], yes=is_yes, reason=reason)
    word = "approved" if is_yes else "denied"
    out.ok(f"{word}: {found['title']}")
    if waiting := view.awaited(after):
        out.note(waiting)
    out.json({"id": found["id"], "decided": word, **after})


def _question(found: Document, is_yes: bool) -> str:
    if not is_yes:
        return "Deny it?"
    if found.get("fingerprint"):
        return "Did all governors read out this fingerprint to each other?"
    return "Approve it?"


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
@click.option("--remove", multiple=True, metavar="NAME", help="Who leaves; may be repeated.")
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
    """Take governors in, or let them go, with the same group key.

    Devices notice nothing. The threshold stays. Whoever deals or comes approves the ceremony; then
    two operators approve the policy that puts the new shares in force. The command says who is
    awaited, until it is.
    """
    if not add and not remove:
        raise click.UsageError("say who comes (--add RECORD) or goes (--remove NAME)")
    records = [Record.load(path).to_toml() for path in add]
    _propose(out, directory, "change", yes, wait_s, no_wait, add=records, remove=list(remove))


@command(group)
@directory_argument
@follow_options
@yes_option
def refresh(out: Output, directory: Path, yes: bool, wait_s: float | None, no_wait: bool) -> None:
    """Give all governors new shares of the same group key.

    Shares that leaked become worthless, where fewer leaked than certify together.
    """
    _propose(out, directory, "refresh", yes, wait_s, no_wait)


@command(group)
@directory_argument
@click.option(
    "--governors",
    required=True,
    callback=record_files,
    metavar="A.toml,...",
    help="The records of all who govern from then on.",
)
@click.option("--threshold", type=click.IntRange(1, 13), help="How many of them certify together.")
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
    """Found another group key, certified by the old: after a betrayal."""
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
    with _client(directory) as client:
        document = client.ask(do, dry=True, **parameters)
        for line in document["lines"]:
            out.line(line)
        out.confirm("Propose this to the governors?", yes)
        made = client.ask(do, dry=False, **parameters)
        id = made["id"][:8]
        out.ok(f"proposed {id}: {made['title']}")
        if made["fingerprint"]:
            out.line(f"ceremony fingerprint  {made['fingerprint']}")
        out.note(f"each operator who is awaited:  writ governor approve DIR {id}")
        found = Follower(out, client, directory, wait_s, not no_wait).follow(made)
    out.json(found)


# --- backups --------------------------------------------------------------------------------------


@command(group)
@click.argument("what", metavar="[DIR] FILE", nargs=-1, required=True, callback=_split, type=str)
def backup(out: Output, what: tuple[Path, str]) -> None:
    """Write what cannot be made again into FILE.

    The governor may go on running. FILE has mode 0600 and is replaced as a whole. What opens the
    keys, passphrase or key file, is not in it: who has both has the governor's share.
    """
    # here, as it takes long to import
    from .backup import save

    save(out, what[0], Path(what[1]))


@command(group)
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def restore(out: Output, file: Path, directory: Path) -> None:
    """Make the governor's folder DIR out of a backup. The original must never run again."""
    from .backup import load

    load(out, file, directory)


# --- showing --------------------------------------------------------------------------------------


def _client(directory: Path) -> ControlClient:
    folder = GovernorFolder(directory)
    folder.read()
    return ControlClient(folder.control)


def _show(
    out: Output,
    directory: Path,
    do: str,
    lines: Callable[[Document], list[str]],
    watch: bool,
) -> None:
    with _client(directory) as client:
        if not watch:
            document = client.ask(do)
            for line in lines(document):
                out.line(line)
            out.json(document)
            return
        with live_page(out) as draw:
            while True:
                document = client.ask(do)
                draw(document, lines(document))
                time.sleep(WATCH_S)
