"""Power cuts while a host replaces a file (writ_host.files.write_atomically)."""

import os
from typing import Any

import pytest
from fakeflash import PowerCut

from writ_host import files


def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the power fail at the call `number` of those by which a file is replaced."""
    calls = [0]

    def failing(function: Any) -> Any:
        def call(*what: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] == number:
                raise PowerCut
            return function(*what, **more)

        return call

    monkeypatch.setattr(files.tempfile, "mkstemp", failing(files.tempfile.mkstemp))
    for name in ("fchmod", "fsync", "replace", "open"):
        monkeypatch.setattr(files.os, name, failing(getattr(os, name)))
    # what a power cut leaves is not tidied up
    monkeypatch.setattr(files.os, "unlink", lambda name: None)
