"""Whole meshes run with one crypto backend, since some take a minute of the processor each.

The suites of the backends are those of crypto, authority and wire; here they make no difference.
"""

import pytest

from writ import crypto


@pytest.fixture
def backend() -> str:
    """The crypto backend in force."""
    name: str = crypto.backend
    return name
