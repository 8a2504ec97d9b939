"""Fixtures of the tests at a serial port."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from board_rig import Board

Make = Callable[..., Board]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes boards, and ends them after the test. Its arguments are those of `Board`."""
    boards: list[Board] = []

    def start(*words: object, **more: object) -> Board:
        boards.append(Board(tmp_path, *words, **more))
        return boards[-1]

    yield start
    for board in boards:
        board.close()
