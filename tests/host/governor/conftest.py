"""A daemon without a seat, which the tests drive turn by turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_rig import Driven, found


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    driven = Driven(tmp_path / "anna", found(), has_seat=False)
    driven.start()
    yield driven
    driven.daemon.close()
