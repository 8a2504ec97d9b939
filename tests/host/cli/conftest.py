"""The field whose nodes commands call, and the local scope that commands change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import Rig
from field_rig import Field


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    field = Field(tmp_path, tree)
    yield field
    field.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.create()
    made.admit("soil", "sensor", "--out", tmp_path / "soil")
    return made
