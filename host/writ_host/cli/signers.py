"""Who certifies: governors of this machine, one governor in a ceremony, or a governor's daemon."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..ceremony import keyring
from ..ceremony.local import DirectoryFolder, Progress, Roster, SigningRequest
from ..ceremony.signguard import SignGuard
from ..errors import Stalled
from ..scope.folder import ScopeFolder
from ..scope.issuance import CeremonySigner, Draft, Issuer, LocalSigner, Signer
from ..scope.review import review
from .daemonsigner import GovernorSigner, catch_up, connect, read_daemon, resume
from .output import Output
from .secret import secret_options, unlock

POLL_S = 0.3
DEFAULT_KEYS = Path("~/.config/writ")
# In place of a daemon's folder: somebody else signs, whatever the scope's folder says.
NOBODY = Path("/")


@dataclass(frozen=True)
class Who:
    """The options of `signing_options`."""

    governor: str | None
    keys: Path | None
    passphrase_file: Path | None
    key_file: Path | None
    wait_s: float | None
    daemon: Path | None = None
    no_wait: bool = False

    def keys_folder(self) -> Path:
        """Where a governor of a ceremony has its keys."""
        return (self.keys or DEFAULT_KEYS).expanduser()


def keys_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: which governor, and where its keys are."""
    function = secret_options(function)
    function = click.option(
        "--keys",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="WRIT_KEYS",
        help=f"Where keys are: {DEFAULT_KEYS} with --as, else the scope's governors [WRIT_KEYS].",
    )(function)
    return click.option("--as", "governor", metavar="NAME", help="Which governor this is.")(
        function
    )


def wait_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: how long to wait for other governors."""
    return click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="How long to wait for the other governors; until Ctrl-C otherwise.",
    )(function)


def signing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the options of `Who`; the command gets it as `who`."""

    def run(*args: Any, **given: Any) -> Any:
        ways = (given["local"], given["governor"], _is_said("daemon"))
        if sum(map(bool, ways)) > 1:
            raise click.UsageError("--local, --as and --governor exclude each other")
        if given.pop("local") or given["governor"]:
            given["daemon"] = NOBODY
        if given["no_wait"] and given["wait_s"] is not None:
            raise click.UsageError("--wait and --no-wait exclude each other")
        if given["no_wait"] and given["daemon"] == NOBODY:
            raise click.UsageError("--no-wait is for what a governor's daemon proposes")
        names = ("governor", "keys", "passphrase_file", "key_file", "wait_s", "daemon", "no_wait")
        who = Who(**{option: given.pop(option) for option in names})
        return function(*args, who=who, **given)

    run.__doc__ = function.__doc__
    run.__name__ = function.__name__
    # options that were declared below this decorator
    run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    local = click.option(
        "--local", is_flag=True, help="All governors sign here: the default without a daemon."
    )
    daemon = click.option(
        "--governor",
        "daemon",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="WRIT_GOVERNOR",
        help="The governor's daemon that proposes it [WRIT_GOVERNOR, or the scope's `governor`].",
    )
    no_wait = click.option(
        "--no-wait",
        is_flag=True,
        help="Leave once it is proposed; the same command, run again, takes what comes of it.",
    )
    return daemon(local(keys_options(wait_option(no_wait(run)))))


def _is_said(name: str) -> bool:
    # on the command line: what the environment says gives way
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


class Waiter:
    """Shows who is awaited, and sleeps. Raises `Stalled` after `wait_s`."""

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
                self._out.warn(f"{name} sent a wrong message and is left out")
        if self._end is not None and time.monotonic() >= self._end:
            raise Stalled(f"still waiting for {awaited}")
        time.sleep(POLL_S)


def ceremony_folder(scope: Path) -> DirectoryFolder:
    """Where the governors of this scope's folder meet."""
    path = scope / "ceremony"
    path.mkdir(parents=True, exist_ok=True)
    return DirectoryFolder(path)


def open_scope(out: Output, scope: Path, who: Who) -> ScopeFolder:
    """The scope's folder, brought up to date where a daemon is the one that certifies."""
    folder = ScopeFolder.open(scope)
    daemon = daemon_of(folder.path, who)
    if daemon is not None:
        with connect(daemon) as client:
            count = catch_up(folder, client)
        if count:
            noun = "capsule" if count == 1 else "capsules"
            out.note(f"took {count} {noun} that the governors had certified")
    return folder


@contextlib.contextmanager
def certifying(folder: ScopeFolder, who: Who) -> Iterator[None]:
    """Alone in the folder where its own state is what keeps an epoch from having two policies.

    Where a daemon certifies, the governors see to that, and others may use the folder.
    """
    if daemon_of(folder.path, who) is not None:
        yield
        return
    with folder.lock():
        yield


def daemon_of(scope: Path, who: Who) -> Path | None:
    """The folder of the daemon that certifies for a scope's folder, None where nobody's does."""
    if who.daemon is not None or who.governor is not None:
        return None if who.daemon == NOBODY else who.daemon
    return read_daemon(scope)


def going_on(out: Output, folder: ScopeFolder, who: Who, wish: str) -> list[Draft] | None:
    """What the same command has proposed before, if that is not over. As `resume`."""
    return resume(out, folder, daemon_of(folder.path, who), wish)


def open_signer(out: Output, folder: ScopeFolder, who: Who, wish: str = "") -> Signer | Issuer:
    """The signer that the options mean; wish: as in scope/pending.py.

    Raises what reading the seats raises.
    """
    daemon = daemon_of(folder.path, who)
    if daemon is not None:
        return GovernorSigner(out, folder, daemon, who.wait_s, not who.no_wait, wish)
    if who.governor is None:
        keys = who.keys or folder.path / "governors"
        if not keyring.names_in(keys):
            raise keyring.NoSeat(
                f"no governor's keys in {keys}",
                "Governors on separate machines sign together: --as NAME, and --keys DIR.",
            )
        key = unlock(out, who.passphrase_file, who.key_file, "the governors' seats")
        with out.progress("opening seats", folder.charter.threshold) as bar:
            return LocalSigner(keyring.open_quorum(keys, key, lambda _: bar.advance()))
    roster = read_roster(folder.path)
    keys = who.keys_folder()
    name = keyring.the_name(keys, who.governor)
    key = unlock(out, who.passphrase_file, who.key_file, f"the keys of {name}")
    local = keyring.open_seat(keys, name, key, roster)

    def approve(proposal: SigningRequest) -> bool:
        # our own proposal: what it says was shown before, what it binds us to is remembered
        states = review(local.seat, folder, proposal.items).heads
        sign_guard_of(keys, name).record(proposal.group_key, states)
        out.note(f"proposal {proposal.tag}: the others run  writ ceremony sign")
        return True

    waiter = Waiter(out, who.wait_s)
    meeting = ceremony_folder(folder.path)
    return CeremonySigner(meeting, local.identity, local.seat, waiter, approve)


def sign_guard_of(keys: Path, name: str) -> SignGuard:
    """What this governor has agreed to."""
    return SignGuard(keys / f"{name}.pledges")


def read_roster(scope: Path) -> Roster:
    """The roster in a scope's folder. Raises `HostError`."""
    path = scope / "roster.cbor"
    if not path.is_file():
        raise keyring.NoSeat(f"no roster in {scope}", "Make it: writ ceremony roster NAME.")
    return Roster.from_bytes(path.read_bytes()[:65537])
