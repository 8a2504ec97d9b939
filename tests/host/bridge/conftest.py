"""A field and a broker for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from field_rig import Field
from mosquitto_rig import Mosquitto


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    """Node folders and devices; a traceback in the output of one fails the test."""
    field = Field(tmp_path, tree)
    yield field
    field.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker."""
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker
