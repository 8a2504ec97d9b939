"""All tests run with a device's limits, which they reach; test_limits.py has a host's."""

import os

import pytest

# before anything imports writ, and for every process that a test starts
os.environ.setdefault("WRIT_LIMITS", "device")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a file's tests share is made once, and they go on from each other: in one process."""
    for item in items:
        made = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009  (pytest has no other way)
        if any(found.scope == "module" for defined in made.values() for found in defined):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
