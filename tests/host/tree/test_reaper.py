"""A test run that is killed leaves no process behind."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import reaper

ROOT = Path(__file__).parents[3]
# A test that starts a device.
TEST = "tests/host/attacks/test_capsules.py::test_a_frozen_device_reports_how_old_its_state_is"


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_pytest_run_that_is_killed_leaves_no_device_process_behind() -> None:
    mark = secrets.token_hex(8)
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", TEST],
        cwd=ROOT,
        env={**reaper.clean_environment(), "MARK": mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def devices() -> list[int]:
        listed = reaper.find(f"MARK={mark}")
        return [one for one in listed if b"device.py" in _command(one)]

    wait(devices)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait(lambda: not reaper.find(f"MARK={mark}"))


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
