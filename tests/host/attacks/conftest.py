"""The field that most attacks are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from attack_rig import AttackedField


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[AttackedField]:
    field = AttackedField(tmp_path, tree)
    yield field
    field.stop()
