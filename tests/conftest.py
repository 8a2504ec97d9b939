"""All tests run with a device's limits, which they reach; test_limits.py has a host's.

Several processes share the tests one by one, but for those of a file in which something is made
once: these go on from each other, in one process and in their order.
"""

import os
import re
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import reaper
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# before anything imports writ, and for every process that a test starts
os.environ.setdefault("WRIT_LIMITS", "device")

# A killed run leaves no process behind.
reaper.start()

# No test depends on the speed of the machine, and the machine may be busy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# A shell starts background jobs with SIGINT ignored, and children inherit that; commands under test
# are to end on SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Folders whose tests start processes, all of them `slow`. Other slow tests are marked one by one.
_SLOW_FOLDERS = ("faults", "host/attacks", "host/cli", "host/demo", "interop", "sim")

# A fixture of the module's, here or in tests/host/conftest.py.
_MADE_ONCE = re.compile(r'scope="module"|def test_\w+\([^)]*\b(council|signers)\b')


@pytest.fixture(params=["openssl", "pycryptodome", "pure"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """One of the crypto backends, in force for the test."""
    # not before WRIT_LIMITS is set
    from writ import crypto

    before = crypto.backend
    crypto.use(request.param)
    yield request.param
    crypto.use(before)


@cache
def _goes_on(path: str) -> bool:
    return _MADE_ONCE.search((Path(__file__).parents[1] / path).read_text()) is not None


class Scheduling(LoadScopeScheduling):
    """Whose work is shared out how."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if _goes_on(path) else nodeid


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes of `--numprocesses auto`. Half of them wait for timers and other processes."""
    return 2 * (os.cpu_count() or 1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """What pytest-xdist asks for a scheduler."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow folders."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(_SLOW_FOLDERS):
            item.add_marker("slow")
