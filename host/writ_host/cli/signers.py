"""The options of commands that certify, and the signer that they choose.

A signer is all governors of this machine, one governor in a ceremony, or a governor's daemon.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .. import files, signals
from ..ceremony import keyring
from ..ceremony.local import LocalGovernor
from ..ceremony.progress import Progress
from ..ceremony.request import SigningRequest
from ..ceremony.signguard import SignGuard
from ..ceremony.storage import DirectoryFolder
from ..errors import Stalled
from ..governor.client.connection import connect, read_daemon, sync
from ..governor.client.issuer import GovernorIssuer, StillPending, resume
from ..keys.roster import Roster
from ..scope.clock import check_clock
from ..scope.folder import ScopeFolder
from ..scope.issuance import CeremonySigner, Draft, GroupSigner, Issuer, LocalSigner
from ..scope.review import review
from .output import Output
from .secret import secret_options, unlock

POLL_S = 0.3
DEFAULT_KEYS = Path("~/.config/writ")
# In place of a daemon's folder: no daemon certifies, whatever the scope's folder names.
NO_DAEMON = Path("/")


@dataclass(frozen=True)
class SigningOptions:
    """The options of `signing_options`. daemon: a governor's folder, `NO_DAEMON`, or None."""

    governor: str | None
    keys: Path | None
    passphrase_file: Path | None
    key_file: Path | None
    wait_s: float | None
    daemon: Path | None = None
    no_wait: bool = False

    def keys_folder(self) -> Path:
        """The folder of a governor's keys in a ceremony."""
        return (self.keys or DEFAULT_KEYS).expanduser()

    def daemon_for(self, scope: Path) -> Path | None:
        """The folder of the daemon that certifies for a scope's folder, None where none does."""
        if self.daemon is not None or self.governor is not None:
            return None if self.daemon == NO_DAEMON else self.daemon
        return read_daemon(scope)


def keys_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: which governor, and where its keys are."""
    function = secret_options(function)
    function = click.option(
        "--keys",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="WRIT_KEYS",
        help=f"The folder of governors' keys. Default: {DEFAULT_KEYS} with --as, else `governors`"
        " in the scope's folder [WRIT_KEYS].",
    )(function)
    help_text = "Sign as this governor, in a ceremony (writ ceremony)."
    return click.option("--as", "governor", metavar="NAME", help=help_text)(function)


def wait_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: how long to wait for other governors."""
    return click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="How long to wait for the other governors. Default: until Ctrl-C.",
    )(function)


def signing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the options of `SigningOptions`; the command gets it as `signing`."""

    def run(*args: Any, **given: Any) -> Any:
        ways = (given["local"], given["governor"], _is_on_command_line("daemon"))
        if sum(map(bool, ways)) > 1:
            raise click.UsageError("--local, --as and --governor exclude each other")
        if given.pop("local") or given["governor"]:
            given["daemon"] = NO_DAEMON
        if given["no_wait"] and given["wait_s"] is not None:
            raise click.UsageError("--wait and --no-wait exclude each other")
        if given["no_wait"] and given["daemon"] == NO_DAEMON:
            raise click.UsageError("--no-wait needs a governor's daemon")
        names = ("governor", "keys", "passphrase_file", "key_file", "wait_s", "daemon", "no_wait")
        signing = SigningOptions(**{option: given.pop(option) for option in names})
        return function(*args, signing=signing, **given)

    run.__doc__ = function.__doc__
    run.__name__ = function.__name__
    # options that were declared below this decorator
    run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    local = click.option(
        "--local",
        is_flag=True,
        help="Sign with the governors of this machine: the default without a daemon.",
    )
    daemon = click.option(
        "--governor",
        "daemon",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="WRIT_GOVERNOR",
        help="Propose to the daemon of this governor's folder [WRIT_GOVERNOR, or the file"
        " `governor` in the scope's folder].",
    )
    no_wait = click.option(
        "--no-wait",
        is_flag=True,
        help="Exit once the capsules are proposed; run the same command again for the result.",
    )
    return daemon(local(keys_options(wait_option(no_wait(run)))))


def _is_on_command_line(name: str) -> bool:
    # an option of the command line has priority over one of the environment
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


class Waiter:
    """Shows which governors a ceremony waits for, and sleeps. Raises `Stalled` after `wait_s`."""

    def __init__(self, out: Output, wait_s: float | None) -> None:
        self._out = out
        self._end = None if wait_s is None else time.monotonic() + wait_s
        self._shown: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        awaited = ", ".join(progress.waiting_for) or "the shared folder"
        if progress != self._shown:
            self._shown = progress
            attempt = f", attempt {progress.attempt}" if progress.attempt > 1 else ""
            self._out.note(f"{progress.step}{attempt}: waiting for {awaited} (Ctrl-C is safe)")
            for name in progress.cheaters:
                self._out.warn(f"{name} sent an invalid message and is excluded")
        if self._end is not None and time.monotonic() >= self._end:
            raise Stalled(f"still waiting for {awaited}")
        time.sleep(POLL_S)


def ceremony_folder(scope: Path) -> DirectoryFolder:
    """The shared folder of a scope's ceremonies, made where it does not exist."""
    path = scope / "ceremony"
    files.make_folder(scope)
    files.make_folder(path)
    return DirectoryFolder(path)


def open_scope(out: Output, scope: Path, signing: SigningOptions) -> ScopeFolder:
    """The scope's folder, in sync with the governors where a daemon certifies for it."""
    folder = ScopeFolder.open(scope)
    daemon = signing.daemon_for(folder.path)
    if daemon is not None:
        with connect(daemon) as client:
            count = sync(folder, client)
        if count:
            noun = "capsule" if count == 1 else "capsules"
            out.note(f"Synced {count} {noun} from the governors")
    return folder


@contextlib.contextmanager
def issuing(
    out: Output, folder: ScopeFolder, signing: SigningOptions, time_jump: bool = False
) -> Iterator[None]:
    """The part of a command that certifies: holds the folder's lock unless a daemon certifies.

    Without a daemon the folder's state alone prevents two policies for one epoch. With a daemon the
    governors do, and the folder stays free. With --no-wait the command ends here while its
    proposals are pending. Once something is certified, signals wait until the end of this part:
    what must follow a certificate (files of the scope, policy.toml, a node's folder) is done here.

    Raises `HostError` where the scope's folder cannot be written, and `ClockJump` where this clock
    is far from the certified time, unless `time_jump`.
    """
    if not time_jump:
        check_clock(folder)
    # what is certified is kept there
    files.check_writable(folder.path)
    daemon = signing.daemon_for(folder.path)
    if daemon is None:
        with folder.lock(), signals.deferrable():
            yield
        return
    try:
        with signals.deferrable():
            yield
    except StillPending as pending:
        _print_pending(out, pending, daemon)
        click.get_current_context().exit(0)


def _print_pending(out: Output, pending: StillPending, daemon: Path) -> None:
    for one in pending.proposals:
        out.ok(f"proposed {one['id'][:8]}: {one['title']}")
    if pending.awaited:
        out.note(pending.awaited)
    if pending.proposals:
        out.note(f"to see its progress:  writ governor pending {daemon}")
        out.note("the same command, run again, takes the result")
    else:
        out.note("requested a beacon: the next command with this scope takes it")
    out.json({"pending": pending.proposals})


def resume_drafts(
    out: Output, folder: ScopeFolder, signing: SigningOptions, intent: str
) -> list[Draft] | None:
    """The drafts that the same command has proposed before, as of `resume`."""
    return resume(out.note, folder, signing.daemon_for(folder.path), intent)


def open_signer(
    out: Output, folder: ScopeFolder, signing: SigningOptions, intent: str = ""
) -> GroupSigner | Issuer:
    """The signer that the options choose. intent: as in scope/pending.py.

    Raises what reading the seats raises.
    """
    daemon = signing.daemon_for(folder.path)
    if daemon is not None:
        return GovernorIssuer(out.note, folder, daemon, signing.wait_s, not signing.no_wait, intent)
    if signing.governor is None:
        return _open_local(out, folder, signing)
    local = open_seat(out, folder.path, signing)

    def approve(request: SigningRequest) -> bool:
        # the operator has seen this own request before; the sign guard records its heads
        states = review(local.seat, folder, request.items).heads
        sign_guard(signing.keys_folder(), local.seat.name).record(request.group_key, states)
        out.note(f"signing request {request.tag}: the other governors run  writ ceremony sign")
        return True

    waiter = Waiter(out, signing.wait_s)
    meeting = ceremony_folder(folder.path)
    return CeremonySigner(meeting, local.identity, local.seat, waiter, approve)


def _open_local(out: Output, folder: ScopeFolder, signing: SigningOptions) -> LocalSigner:
    keys = signing.keys or folder.path / "governors"
    if not keyring.names_in(keys):
        raise keyring.NoSeat(
            f"no governor's keys in {keys}",
            "Governors on separate machines sign together: --as NAME, and --keys DIR.",
        )
    key = unlock(out, signing.passphrase_file, signing.key_file)
    with out.progress("decrypting key shares", folder.charter.threshold) as bar:
        return LocalSigner(keyring.open_quorum(keys, key, lambda _: bar.advance()))


def open_seat(out: Output, scope: Path, signing: SigningOptions) -> LocalGovernor:
    """The identity and seat of the governor in a ceremony that the options name."""
    roster = read_roster(scope)
    name = keyring.the_name(signing.keys_folder(), signing.governor)
    key = unlock(out, signing.passphrase_file, signing.key_file)
    return keyring.open_seat(signing.keys_folder(), name, key, roster)


def sign_guard(keys: Path, name: str) -> SignGuard:
    """The sign guard of one governor, in the folder of its keys."""
    return SignGuard(keys / f"{name}.pledges")


def read_roster(scope: Path) -> Roster:
    """The roster in a scope's folder. Raises `HostError`."""
    path = scope / "roster.cbor"
    if not files.is_file(path):
        raise keyring.NoSeat(f"no roster in {scope}", "Make one: writ ceremony roster NAME.")
    return Roster.from_bytes(path.read_bytes()[:65537])
