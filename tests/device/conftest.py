"""On CPython every device test runs once for each crypto backend."""

import pytest


@pytest.fixture(autouse=True)
def each_backend(backend: str) -> None:
    """Every test here asks for `backend`."""
