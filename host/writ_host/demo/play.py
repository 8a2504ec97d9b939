"""The play from beginning to end, and what may follow it: a field that goes on running."""

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from writ.errors import WritError

from ..errors import HostError, NotReachable
from . import acting, alone, attacks, founding, handover, losses, lying, steps
from .farm import ANNA, BEN, CARL, GATE, PUMP, SLUICE, SOIL, SUCCESSOR, TANK, WELL
from .field import Field
from .proofs import Ledger

STEPS: tuple[Callable[[Field, Ledger], None], ...] = (
    founding.found_and_admit,
    steps.read_and_refuse,
    steps.change_policy,
    steps.revoke,
    attacks.attack,
    losses.lose_one,
    losses.lose_two,
    handover.replace,
    acting.act,
    lying.lie,
    alone.be_alone,
)
_PID = "demo.pid"
_STOP_S = 15.0


def play(field: Field, ledger: Ledger) -> None:
    """All steps, up to the first that does not hold; that one is in the ledger too."""
    try:
        for number, step in enumerate(STEPS, 1):
            with ledger.in_step(number):
                step(field, ledger)
    except (HostError, WritError, OSError) as error:
        ledger.fail(error)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demonstration as Ctrl-C does, with all its processes."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_running(field: Field, tell: Callable[[str], None]) -> None:
    """Start gateway and governors again, say how to play, and serve until Ctrl-C or `stop`."""
    field.council.start(ANNA, BEN, CARL, SUCCESSOR)
    field[GATE].start()
    for part in (SOIL, TANK, PUMP, SLUICE, WELL):
        # or it would know where they are only after they have greeted it
        field[GATE].ask(f"get {field.address(part)}/uptime")
    field.close_desk()
    with open(field.path / _PID, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(str(os.getpid()))
        handle.flush()
        tell(how_to_play(field))
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


def how_to_play(field: Field) -> str:
    """Commands for a second terminal."""
    here = Path(sys.argv[0]).resolve()
    on_path = shutil.which("writ")
    governors = field.path / "governors"
    lines = [
        "The field goes on running, and all governors are honest. In a second terminal:",
        "",
        f"  export WRIT_SCOPE={field.scope.path}",
        f"  export WRIT_NODE={field.desk_path}",
        f"  export WRIT_GOVERNOR={governors / ANNA}",
        f"  export WRIT_KEY_FILE={field.key_file}",
    ]
    if here.name == "writ" and (on_path is None or Path(on_path).resolve() != here):
        lines.append(f"  export PATH={here.parent}:$PATH")
    lines += [
        "",
        "  writ get soil/load                 as the operator: allowed",
        "  writ get soil/network              refused, with the reason",
        "  writ put pump/pump off             needs a fresh beacon, and has one",
        "  writ observe tank/load             each second; Ctrl-C ends it",
        "  writ status pump                   its epoch, its policy's age, what it refused",
        "  writ member list                   the guest is revoked",
        "  writ governor status --watch       who is up, and what that tolerates",
        "  writ governor log                  decisions, who agreed, who was accused",
        f"  edit {field.scope.policy_file}",
        "  writ policy diff                   what your change means, in words",
        "  writ policy certify --deliver gate or: writ member revoke well --deliver gate",
        "  writ member request lamp --name lamp && writ member admit lamp --role sensor",
        "",
        "These wait for operators, a new member for one: be anna, then ben, in a third",
        "terminal.",
        "",
        f"  writ governor pending {governors / ANNA}",
        f"  writ governor approve {governors / ANNA} ID",
        f"  writ governor approve {governors / BEN} ID",
        f"  kill -9 {field.council[CARL].pid:<27}carl; three of four go on deciding",
        "",
        f"Ctrl-C here ends it, or from anywhere: writ demo --stop {field.path}",
    ]
    return "\n".join(lines)


def stop(folder: Path) -> None:
    """End the demonstration that keeps its field in `folder`. Raises `HostError`."""
    path = folder / _PID
    try:
        handle = open(path, "r+")  # noqa: SIM115 - closed by the with below
    except OSError:
        raise HostError(
            f"no demonstration runs in {folder}", "Give the folder that it named when it began."
        ) from None
    with handle:
        if _is_free(handle.fileno()):
            raise HostError(f"the demonstration in {folder} has ended already", "Nothing to do.")
        # whoever holds the lock wrote this number, and has not ended
        os.kill(int(handle.read()), signal.SIGTERM)
        until = time.monotonic() + _STOP_S
        while not _is_free(handle.fileno()):
            if time.monotonic() > until:
                raise NotReachable("it does not end", "End it by Ctrl-C in its own terminal.")
            time.sleep(0.1)


def _is_free(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
