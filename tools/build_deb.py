"""Make the Debian package for Raspberry Pis and PCs: build/deb/writ_VERSION_ARCHITECTURE.deb.

It takes the libraries of the target from the package index, by the hashes of requirements.lock. The
same tree makes the same bytes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deb import stage, wheels
from deb.target import ARCHITECTURES, SUITES, Target

ROOT = wheels.ROOT


def build(target: Target, output: Path) -> Path:
    """The package of the target, in the folder `output`. Raises `CalledProcessError`."""
    seconds = _seconds()
    name = f"writ_{stage.version_of(target)}_{target.architecture}.deb"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch, "root"), Path(scratch, "wheels")
        cache.mkdir()
        modules = folder / "usr/lib/writ"
        modules.mkdir(parents=True)
        wheels.unpack(wheels.download(target, cache), modules)
        stage.stage(target, folder, seconds)
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(folder)]
        subprocess.run(
            [*command, str(output / name)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)},
        )
    return output / name


def _seconds() -> int:
    """The time of the package's files: SOURCE_DATE_EPOCH, else that of the last commit."""
    chosen = os.environ.get("SOURCE_DATE_EPOCH")
    if chosen:
        return int(chosen)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Build what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=ARCHITECTURES, default="arm64")
    parser.add_argument("--suite", choices=SUITES, default="trixie", help="the release of Debian")
    parser.add_argument("--output", type=Path, default=ROOT / "build/deb")
    options = parser.parse_args()
    try:
        path = build(Target(options.suite, options.arch), options.output)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: on Debian, apt install dpkg git")
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(map(str, error.cmd))}")
    print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
