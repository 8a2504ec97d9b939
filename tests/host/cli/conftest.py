"""The field whose nodes commands call."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from field_rig import Field


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    field = Field(tmp_path, tree)
    yield field
    field.stop()
