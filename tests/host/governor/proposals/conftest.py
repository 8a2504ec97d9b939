"""Scopes at one governor, with and without operators who must approve."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from judge_rig import OPEN, Scope


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    """Operators must approve most changes."""
    found = Scope(tmp_path / "ledger.db")
    yield found
    found.ledger.close()


@pytest.fixture
def open_scope(tmp_path: Path) -> Iterator[Scope]:
    """No operator needs to approve anything."""
    found = Scope(tmp_path / "open.db", OPEN)
    yield found
    found.ledger.close()
