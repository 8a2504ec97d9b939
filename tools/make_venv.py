"""Make the virtual environment of the tree: `python tools/make_venv.py .venv`.

A lock lets one process at a time do it: two `make` in one folder would remove each other's
environment. The second one waits, and finds it ready. `make` calls this; it needs Python only.
"""

import fcntl
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (ROOT / "requirements.lock", ROOT / "pyproject.toml")
HELP = """This Python cannot make a virtual environment.
On Debian, Ubuntu and Raspberry Pi OS: sudo apt install python3-venv"""


def is_ready(stamp: Path) -> bool:
    """Whether the environment was completed after its sources last changed."""
    try:
        made_s = stamp.stat().st_mtime
    except FileNotFoundError:
        return False
    return all(source.stat().st_mtime <= made_s for source in SOURCES)


def make(folder: Path) -> None:
    """Make the environment anew. Raises `SystemExit` where it cannot be made."""
    print(f"Preparing {folder.name} (once, about half a minute)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, symlinks=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(folder, ignore_errors=True)
        raise SystemExit(HELP) from None
    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    for words in (
        ["--require-hashes", "--requirement", str(ROOT / "requirements.lock")],
        ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
    ):
        done = subprocess.run([*pip, "install", *words], check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
    (folder / "stamp").touch()


def main() -> None:
    """Make the environment, unless another process has done so meanwhile."""
    folder = ROOT / sys.argv[1]
    lock = ROOT / "build" / f"{folder.name}.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another make, which prepares {folder.name}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        if not is_ready(folder / "stamp"):
            make(folder)


if __name__ == "__main__":
    main()
