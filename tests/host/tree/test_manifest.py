"""The freeze manifests: they keep what the port itself needs, and freeze each module once.

WRIT_MICROPYTHON_SOURCE names a checkout of https://github.com/micropython/micropython with its
submodule lib/micropython-lib. Without it, stand-ins of MicroPython's functions read them.
"""

import os
import sys
from pathlib import Path

import pytest
from device_files import FIRMWARE, source_files

SOURCE = os.getenv("WRIT_MICROPYTHON_SOURCE")
BOARDS = [("esp32", "ESP32_GENERIC_S3"), ("rp2", "RPI_PICO_W"), ("rp2", "RPI_PICO2_W")]
LISTS = {"esp32": "$(PORT_DIR)/boards/manifest.py", "rp2": "$(BOARD_DIR)/manifest.py"}


def frozen(path: Path) -> tuple[list[str], list[str]]:
    """What the manifest freezes, and what it includes of MicroPython."""
    files: list[str] = []
    foreign: list[str] = []

    def include(name: str) -> None:
        if name.startswith("$("):
            foreign.append(name)
        else:
            inner = frozen(path.parent / name)
            files.extend(inner[0])
            foreign.extend(inner[1])

    def package(name: str, files: tuple[str, ...], opt: int, found: list[str] = files) -> None:
        assert opt == 3
        found.extend(f"{name}/{file}" for file in files)

    def module(name: str, opt: int) -> None:
        assert opt == 3 and (path.parent / name).is_file()
        files.append(name)

    names = {"include": include, "package": package, "module": module}
    exec(path.read_text(), {**names, "metadata": lambda version: None})
    return files, foreign


@pytest.mark.parametrize("port", LISTS)
def test_a_firmware_has_the_modules_of_its_port_and_all_of_writ(port: str) -> None:
    # FROZEN_MANIFEST replaces the port's list: without _boot.py no file system is mounted
    files, foreign = frozen(FIRMWARE / f"manifest_{port}.py")
    assert foreign == [LISTS[port]]
    assert files == [*source_files(), "boot.py", "main.py"]


def test_the_plain_manifest_can_be_included_in_others() -> None:
    assert frozen(FIRMWARE / "manifest.py") == (source_files(), [])


@pytest.mark.skipif(not SOURCE, reason="WRIT_MICROPYTHON_SOURCE names no MicroPython")
@pytest.mark.parametrize(("port", "board"), BOARDS)
def test_micropython_reads_the_manifests(
    port: str, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(str(SOURCE))
    monkeypatch.syspath_prepend(str(source / "tools"))
    import manifestfile

    read = manifestfile.ManifestFile(
        manifestfile.MODE_FREEZE,
        {
            "MPY_DIR": str(source),
            "MPY_LIB_DIR": str(source / "lib/micropython-lib"),
            "PORT_DIR": str(source / "ports" / port),
            "BOARD_DIR": str(source / "ports" / port / "boards" / board),
        },
    )
    read.execute(str(FIRMWARE / f"manifest_{port}.py"))
    names = [file.target_path for file in read.files()]
    assert len(names) == len(set(names))
    assert {"_boot.py", "boot.py", "main.py", *source_files()} <= set(names)
    del sys.modules["manifestfile"]
