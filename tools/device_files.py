"""The files of firmware/writ that a device gets, and the lists of them.

`python tools/device_files.py` rewrites firmware/manifest.py (for freezing into a MicroPython image)
after a module was added or removed. A test (tests/host/tree/test_layout.py) compares it with the
tree. `build_mpy.py` writes the list for mip beside the .mpy files.
"""

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"

# Modules of writ that only CPython ever imports, relative to firmware/writ.
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


def source_files() -> list[str]:
    """The device's modules, relative to firmware/, sorted: ["writ/__init__.py", ...]."""
    package = FIRMWARE / "writ"
    names = (path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return sorted(f"writ/{name}" for name in names if name not in HOST_ONLY)


def device_files() -> list[str]:
    """The modules of `source_files` that the linker takes."""
    return [name for name in source_files() if name.removeprefix("writ/") not in SOURCES_ONLY]


def version() -> str:
    """The project's version, from pyproject.toml."""
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["version"]


def manifest_text() -> str:
    """firmware/manifest.py, as MicroPython's `FROZEN_MANIFEST` takes it."""
    names = (name.removeprefix("writ/") for name in source_files())
    lines = "".join(f'        "{name}",\n' for name in names)
    return (
        '"""Freeze manifest: FROZEN_MANIFEST of a MicroPython build. '
        'Written by tools/device_files.py."""\n\n'
        f'metadata(version="{version()}")  # noqa: F821\n'
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
        f'{{\n  "version": {json.dumps(version())},\n  "deps": [],\n  "urls": [\n{urls}\n  ]\n}}\n'
    )


def main() -> None:
    """Rewrite the list."""
    (FIRMWARE / "manifest.py").write_text(manifest_text())
    print(f"{len(source_files())} device files listed")


if __name__ == "__main__":
    main()
