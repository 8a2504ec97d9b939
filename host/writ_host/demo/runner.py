"""The runner of the demonstration: all steps, and on request the testbed goes on afterwards."""

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
from . import (
    access,
    actions,
    amendments,
    attacks,
    byzantine,
    founding,
    isolation,
    outages,
    radiomesh,
    replacement,
)
from .proofs import Report
from .scenario import ANNA, BEN, CARL, GATE, MAST, PUMP, SLUICE, SOIL, SUCCESSOR, TANK, WELL
from .testbed import Testbed

STEPS: tuple[Callable[[Testbed, Report], None], ...] = (
    founding.found_and_admit,
    access.read_and_refuse,
    amendments.change_policy,
    amendments.revoke,
    attacks.attack,
    outages.lose_one,
    outages.lose_two,
    replacement.replace,
    actions.act,
    byzantine.tolerate_byzantine,
    radiomesh.carry,
    isolation.isolate,
)
# Parts that play alone: the numbers of their steps. The founding belongs to each.
PARTS: dict[str, tuple[int, ...]] = {
    "authority": (1, 2, 3, 4, 5),
    "governors": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    "mesh": (1, 11),
}
_PID = "demo.pid"
_STOP_S = 15.0


def run_steps(bed: Testbed, report: Report, part: str | None = None) -> None:
    """Run all steps, or those of a part, up to the first that fails.

    The failure is in the report.
    """
    if part:
        report.wanted = len(PARTS[part])
    try:
        for number, step in enumerate(STEPS, 1):
            if part and number not in PARTS[part]:
                continue
            with report.in_step(number):
                step(bed, report)
    except (HostError, WritError, OSError) as error:
        report.fail(error, bed.explain(f"{type(error).__name__}: {error}"))


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM end the demonstration with all its processes, as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_running(bed: Testbed, announce: Callable[[str], None]) -> None:
    """Restart gateway and governors, announce what to try, and serve until Ctrl-C or `stop`."""
    bed.governors.start(ANNA, BEN, CARL, SUCCESSOR)
    bed[GATE].start()
    bed[MAST].start()
    for part in (SOIL, TANK, PUMP, SLUICE, WELL):
        # the gateway learns each address now, before the device has sent its greeting
        bed[GATE].ask(f"get {bed.address(part)}/uptime")
    bed.close_desk()
    with open(bed.path / _PID, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(str(os.getpid()))
        handle.flush()
        announce(instructions(bed))
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


def instructions(bed: Testbed) -> str:
    """Commands to try in a second terminal."""
    here = Path(sys.argv[0]).resolve()
    on_path = shutil.which("writ")
    governors = bed.path / "governors"
    lines = [
        "The testbed keeps running, and all governors are honest. In a second terminal:",
        "",
        f"  export WRIT_SCOPE={bed.scope.path}",
        f"  export WRIT_NODE={bed.desk_path}",
        f"  export WRIT_GOVERNOR={governors / ANNA}",
        f"  export WRIT_KEY_FILE={bed.key_file}",
    ]
    if here.name == "writ" and (on_path is None or Path(on_path).resolve() != here):
        lines.append(f"  export PATH={here.parent}:$PATH")
    lines += [
        "",
        "  writ get soil/load                 as the operator: allowed",
        "  writ get soil/network              refused, with the reason",
        "  writ put pump/pump off             needs a fresh beacon, and there is one",
        "  writ observe tank/load             a value each second; Ctrl-C ends it",
        "  writ status pump                   the pump's epoch, policy age and refusals",
        "  writ member list                   the guest is revoked",
        "  writ governor status --watch       the governors online, and what that tolerates",
        "  writ governor log                  decisions, approvals and accusations",
        f"  edit {bed.scope.policy_file}",
        "  writ policy diff                   what your change allows and forbids",
        "  writ policy certify --deliver gate or: writ member revoke well --deliver gate",
        "  writ member request lamp --name lamp && writ member admit lamp --role sensor",
        "",
        "A policy change waits for two operators, a new member for one. Approve as anna, then as",
        "ben, in a third terminal.",
        "",
        f"  writ governor pending {governors / ANNA}",
        f"  writ governor approve {governors / ANNA} ID",
        f"  writ governor approve {governors / BEN} ID",
        f"  kill -9 {bed.governors[CARL].pid:<27}kills carl; three of four still decide",
        "",
        f"Ctrl-C here ends the demonstration, or in another terminal: writ demo --stop {bed.path}",
    ]
    return "\n".join(lines)


def stop(folder: Path) -> None:
    """End the demonstration that keeps its testbed in `folder`. Raises `HostError`."""
    path = folder / _PID
    try:
        handle = open(path, "r+")  # noqa: SIM115 - closed by the with below
    except OSError:
        raise HostError(
            f"no demonstration runs in {folder}",
            "Give the folder that `writ demo --keep` has printed.",
        ) from None
    with handle:
        if _is_free(handle.fileno()):
            raise HostError(
                f"the demonstration in {folder} has ended already", "There is nothing to stop."
            )
        # the process that holds the lock wrote this process id
        os.kill(int(handle.read()), signal.SIGTERM)
        until = time.monotonic() + _STOP_S
        while not _is_free(handle.fileno()):
            if time.monotonic() > until:
                raise NotReachable(
                    "the demonstration does not end", "Press Ctrl-C in its own terminal."
                )
            time.sleep(0.1)


def _is_free(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
