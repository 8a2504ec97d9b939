"""The files of the package, in a folder that `dpkg-deb` makes the package of."""

import gzip
import hashlib
import os
import tomllib
from email import message_from_string
from email.utils import formatdate
from pathlib import Path

from click.shell_completion import BashComplete

from deb.manpages import pages
from deb.target import Target
from deb.wheels import ROOT
from writ_host.cli import main

LINUX = ROOT / "boards/linux"
SCRIPTS = ("postinst", "prerm", "postrm")
MAINTAINER = "The Writ project <writ@users.noreply.github.com>"
_UNIT_PATHS = ("/usr/local/bin/writ", "/usr/bin/writ")
_DESCRIPTION = """\
Description: authority for field devices that travels with the traffic
 Writ carries compact signed policy capsules over UDP, LoRa and serial lines.
 Each node verifies authority for itself, and no coordination server takes part.
 .
 This package has the command line, the services for nodes, bridges and
 governors, and all libraries that they need.
"""


def version_of(target: Target) -> str:
    """The version of the package: that of the project, and the release of Debian."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return f"{project['version']}+deb{target.release}"


def stage(target: Target, folder: Path, seconds: int) -> None:
    """Complete `folder`, whose usr/lib/writ has the modules. seconds: the time of all files."""
    version = version_of(target)
    for unit in sorted(LINUX.glob("*.service")):
        text = unit.read_text().replace(*_UNIT_PATHS)
        _put(folder / "usr/lib/systemd/system" / unit.name, text.encode())
    _put(folder / "usr/bin/writ", (LINUX / "debian/writ").read_bytes(), 0o755)
    for name, page in pages(main, "writ", version).items():
        _put(folder / "usr/share/man/man1" / f"{name}.gz", _zipped(page))
    source = BashComplete(main, {}, "writ", "_WRIT_COMPLETE").source()
    _put(folder / "usr/share/bash-completion/completions/writ", source.encode())
    documents = folder / "usr/share/doc/writ"
    _put(documents / "copyright", _copyright(folder / "usr/lib/writ").encode())
    _put(documents / "changelog.gz", _zipped(_changelog(target, version, seconds)))
    _put(documents / "CHANGELOG.md.gz", _zipped((ROOT / "CHANGELOG.md").read_text()))
    _put(documents / "README.md", (LINUX / "README.md").read_bytes())
    overrides = (LINUX / "debian/lintian-overrides").read_bytes()
    _put(folder / "usr/share/lintian/overrides/writ", overrides)
    for name in SCRIPTS:
        _put(folder / "DEBIAN" / name, (LINUX / "debian" / name).read_bytes(), 0o755)
    _put(folder / "DEBIAN/control", _control(target, version, folder).encode())
    _put(folder / "DEBIAN/md5sums", _sums(folder).encode())
    _date(folder, seconds)


def _put(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _zipped(text: str) -> bytes:
    return gzip.compress(text.encode(), 9, mtime=0)


def _files(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in found if path.relative_to(folder).parts[0] != "DEBIAN"]


def _control(target: Target, version: str, folder: Path) -> str:
    major, minor = target.python
    kib = sum(-(-path.stat().st_size // 1024) for path in _files(folder))
    depends = [f"python3 (>= {major}.{minor})", f"python3 (<< {major}.{minor + 1})"]
    depends += ["adduser", "libc6 (>= 2.34)"]
    return (
        f"Package: writ\nVersion: {version}\nArchitecture: {target.architecture}\n"
        f"Maintainer: {MAINTAINER}\nInstalled-Size: {kib}\nDepends: {', '.join(depends)}\n"
        "Recommends: ca-certificates\nSection: net\nPriority: optional\n"
        f"Homepage: https://github.com/writ/writ\n{_DESCRIPTION}"
    )


def _sums(folder: Path) -> str:
    lines = []
    for path in _files(folder):
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return "".join(lines)


def _changelog(target: Target, version: str, seconds: int) -> str:
    """The changelog as Debian's tools read it. The project's own says what has changed."""
    return (
        f"writ ({version}) {target.suite}; urgency=medium\n\n"
        "  * What has changed is in /usr/share/doc/writ/CHANGELOG.md.gz.\n\n"
        f" -- {MAINTAINER}  {formatdate(seconds)}\n"
    )


def _copyright(modules: Path) -> str:
    """The licence of this project and of each bundled library, as its metadata says."""
    parts = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: writ\n\nFiles: *\nCopyright: the Writ project\nLicense: Apache-2.0\n"
        " On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n"
    ]
    for path in sorted(modules.glob("*.dist-info/METADATA")):
        fields = message_from_string(path.read_text())
        name = fields["Name"]
        if name == "writ":
            continue
        licence = fields["License-Expression"] or fields["License"] or "as its files say"
        author = fields["Author"] or fields["Author-email"] or f"the authors of {name}"
        parts.append(
            f"\nFiles: usr/lib/writ/{path.parent.name}/*\nComment: {name} {fields['Version']}\n"
            f"Copyright: {' '.join(author.split())}\n"
            f"License: {' '.join(licence.split()[:8])}\n"
            f" The text is in /usr/lib/writ/{path.parent.name}.\n"
        )
    return "".join(parts)


def _date(folder: Path, seconds: int) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (seconds, seconds))
    os.utime(folder, (seconds, seconds))
    folder.chmod(0o755)
