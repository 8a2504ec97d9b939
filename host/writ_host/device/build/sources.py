"""The sources that a device gets, where they are, and the lists of them for other tools.

In a checkout they are in `firmware/`. In an installed package `writ` lies beside `writ_host`, and
the programs of a board (`main.py`, `boot.py`) are data of this package (setup.py).
"""

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import writ

from ... import files

# The folder that holds the package `writ`.
FIRMWARE = Path(writ.__file__).resolve().parent.parent
_INSTALLED = Path(__file__).with_name("programs")

# Modules of writ that only CPython ever imports, relative to writ/.
HOST_ONLY = frozenset(
    {
        "crypto/openssl.py",
        "crypto/pycryptodome.py",
        "link/pyserial.py",
    }
)
# Modules for firmware without `cryptolib`, which has to be built with the sources. The linked
# modules are for firmware that has it.
SOURCES_ONLY = frozenset({"aes.py"})
# The programs in the root folder of a board's file system, which MicroPython starts in this order.
PROGRAMS = ("boot.py", "main.py")


def source_files() -> list[str]:
    """The device's modules, relative to FIRMWARE, sorted: ["writ/__init__.py", ...]."""
    package = FIRMWARE / "writ"
    names = (path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return sorted(f"writ/{name}" for name in names if name not in HOST_ONLY)


def device_files() -> list[str]:
    """The modules of `source_files` that the linker takes."""
    return [name for name in source_files() if name.removeprefix("writ/") not in SOURCES_ONLY]


def program_files() -> list[Path]:
    """The programs of a board that there are, of `PROGRAMS`."""
    folder = _INSTALLED if files.is_folder(_INSTALLED) else FIRMWARE
    return [folder / name for name in PROGRAMS if files.is_file(folder / name)]


def manifest_text() -> str:
    """firmware/manifest.py, which manifest_esp32.py and manifest_rp2.py include."""
    names = (name.removeprefix("writ/") for name in source_files())
    lines = "".join(f'        "{name}",\n' for name in names)
    return (
        '"""Freeze manifest of the modules, which others include. '
        'Written by tools/device_files.py."""\n\n'
        f'metadata(version="{version("writ")}")  # noqa: F821\n'
        "package(  # noqa: F821\n"
        '    "writ",\n'
        "    files=(\n"
        f"{lines}"
        "    ),\n"
        "    opt=3,\n"
        ")\n"
    )


def package_text(names: Iterable[str]) -> str:
    """package.json of compiled files, as `mip install` takes it, with addresses relative to it.

    mip gets .mpy files only: a source that is compiled on the device leaves more in its heap.
    """
    urls = ",\n".join(f"    {json.dumps([name, name])}" for name in sorted(names))
    return (
        f'{{\n  "version": {json.dumps(version("writ"))},\n  "deps": [],\n'
        f'  "urls": [\n{urls}\n  ]\n}}\n'
    )
