"""Fixtures: a scope, and devices that run the firmware as processes of their own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import build_mpy
import interop_rig as rig
import pytest

MakeDevice = Callable[..., rig.Device]


@pytest.fixture(scope="session")
def device_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the firmware as .mpy and the programs of these tests."""
    tree = tmp_path_factory.mktemp("device")
    if build_mpy.find_compiler():
        build_mpy.build(tree)
    for path in rig.HERE.glob("device_*.py"):
        shutil.copy(path, tree)
    return tree


@pytest.fixture(scope="session")
def scope() -> rig.Scope:
    """One scope for all tests; the devices of different tests do not know each other."""
    return rig.Scope()


@pytest.fixture(params=["micropython", "cpython"])
def interpreter(request: pytest.FixtureRequest) -> str:
    """Runs a test on both interpreters."""
    name: str = request.param
    return name


@pytest.fixture
def make_device(device_tree: Path, scope: rig.Scope, tmp_path: Path) -> Iterator[MakeDevice]:
    """make_device(interpreter="micropython", program=..., **config): provisioned, not started.

    founded: another scope than the tests' common one; blank: it has its key and a scope id only.
    """
    devices: list[rig.Device] = []

    def make(
        interpreter: str = "micropython",
        program: str = "device_server.py",
        founded: rig.Scope = scope,
        blank: bool = False,
        **config: Any,
    ) -> rig.Device:
        found = rig.commands(device_tree)
        is_compiled = (device_tree / "writ").exists()
        if interpreter not in found or (interpreter == "micropython" and not is_compiled):
            pytest.skip("no micropython or no mpy-cross for this platform")
        command, environment = found[interpreter]
        name = f"device-{len(devices)}"
        directory = tmp_path / name
        peer = rig.provision(founded, directory, name, blank)
        command = [*command, str(device_tree / program)]
        port = rig.free_port()
        devices.append(rig.Device(founded, directory, command, environment, peer, port, config))
        return devices[-1]

    yield make
    for device in devices:
        device.stop()


@pytest.fixture
def start_device(make_device: MakeDevice) -> MakeDevice:
    """As make_device, and starts the device."""
    return lambda *args, **config: make_device(*args, **config).start()
