"""A founded scope for the tests of founding and signing in a folder."""

import pytest
from ceremony_rig import NAMES

from writ_host.ceremony.local import LocalGovernor, found_local


@pytest.fixture(scope="module")
def governors() -> list[LocalGovernor]:
    """Four governors of a founded scope with the threshold 3; tests give them folders."""
    return found_local("farm", NAMES, 3)
