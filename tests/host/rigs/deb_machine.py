"""A Debian machine for tests of the package: a root of debootstrap, booted by systemd-nspawn.

It has its own network without interfaces but lo. It needs root, debootstrap, systemd-nspawn and a
mirror of Debian.
"""

import os
import shutil
import subprocess
from pathlib import Path

NEEDED = ("debootstrap", "systemd-nspawn", "dpkg-deb")
# What the package depends on, and systemd
_PACKAGES = "adduser,ca-certificates,dbus,libpam-systemd,python3,systemd,systemd-sysv"
_UNIT = """\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /test.sh
ExecStopPost=/usr/bin/systemctl poweroff --no-block
StandardOutput=file:/test.log
StandardError=inherit
[Install]
WantedBy=multi-user.target
"""
_BOOT_S = 240


def lacking() -> str:
    """What this machine lacks for the rig, or an empty text."""
    found = [name for name in NEEDED if not shutil.which(name)]
    return ", ".join(found + ([] if os.geteuid() == 0 else ["root"]))


class DebMachine:
    """A root folder of a Debian release."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite]
        subprocess.run([*command, str(folder)], check=True, stdout=subprocess.DEVNULL)

    def boot(self, script: str) -> str:
        """Boot the machine, run the script as root, and switch off. What it has printed."""
        units = self.folder / "etc/systemd/system"
        (units / "writ-test.service").write_text(_UNIT)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        link = wants / "writ-test.service"
        if not link.is_symlink():
            link.symlink_to("/etc/systemd/system/writ-test.service")
        (self.folder / "test.sh").write_text(f"set -eu\n{script}\necho done\n")
        (self.folder / "test.log").unlink(missing_ok=True)
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"]
        command += ["--private-network", "--console=pipe", "--directory", str(self.folder)]
        subprocess.run(
            command, check=True, timeout=_BOOT_S, stdin=subprocess.DEVNULL, capture_output=True
        )
        return (self.folder / "test.log").read_text()
