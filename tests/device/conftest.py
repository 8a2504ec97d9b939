"""On CPython every device test runs once for each crypto backend."""

from collections.abc import Iterator

import pytest

from writ import crypto


@pytest.fixture(autouse=True, params=["openssl", "pycryptodome", "pure"])
def crypto_backend(request: pytest.FixtureRequest) -> Iterator[None]:
    """Switch `writ.crypto` for one test and back."""
    before = crypto.backend
    crypto.use(request.param)
    yield
    crypto.use(before)
