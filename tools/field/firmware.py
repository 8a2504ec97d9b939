"""The device code, loaded once with the limits of a device and once with those of a host.

`writ.limits` is read when a module is imported, so one process needs two copies of the package:
nodes of a field have the small tables of a microcontroller, gateways those of a Raspberry Pi. The
copies are private to this tool, so that seeding them leaves the package `writ` alone.
"""

import importlib.util
import os
import random
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "firmware" / "writ"
_VARIABLE = "WRIT_LIMITS"


class _Entropy:
    """The place of `os` in compat.py: `urandom` is seeded, all else is that of the system."""

    def __init__(self) -> None:
        self._random = random.Random(0)

    def seed(self, seed: str) -> None:
        """Begin anew."""
        self._random.seed(seed)

    def urandom(self, count: int) -> bytes:
        """As `os.urandom`, from the seed."""
        return self._random.randbytes(count)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class Firmware:
    """One copy of the device code. name: of its package; limits: "device" or "host"; folder: of
    the package, which may be a changed one.
    """

    def __init__(self, name: str, limits: str, folder: Path = PACKAGE) -> None:
        self._name = name
        self._entropy = _Entropy()
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = limits
        try:
            _load(name, folder)
            self.limits: Any = self.module("limits")
            self.capsule: Any = self.module("authority.capsule")
            self.coap: Any = self.module("wire.coap")
            self.crypto: Any = self.module("crypto")
            self.Store: Any = self.module("authority.store").Store
            self.Node: Any = self.module("node.node").Node
            self.FrameLinks: Any = self.module("framelinks").FrameLinks
        finally:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before
        self.module("compat").os = self._entropy

    def module(self, name: str) -> Any:
        """A module of the package, such as "mesh.frame"."""
        return import_module(f"{self._name}.{name}")

    def seed(self, seed: str) -> None:
        """Let all random bytes of this copy follow from `seed`."""
        self._entropy.seed(f"{seed} {self._name}")
        # what earlier runs have mixed in
        self.crypto._pool = b""


def _load(name: str, folder: Path) -> ModuleType:
    place = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        name, place, submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_loaded: dict[str, Firmware] = {}


def device() -> Firmware:
    """The device code with a microcontroller's limits."""
    return _get("device")


def host() -> Firmware:
    """The device code with a host's limits, for gateways."""
    return _get("host")


def _get(limits: str) -> Firmware:
    if limits not in _loaded:
        _loaded[limits] = Firmware(f"field_writ_{limits}", limits)
    return _loaded[limits]
