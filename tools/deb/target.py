"""What a package is made for: a release of Debian, and an architecture.

A package holds compiled modules of one Python, which is that of one release. Its version says so:
`0.1.0+deb13` is for Debian 13 and Raspberry Pi OS on it.
"""

from dataclasses import dataclass

# https://wiki.debian.org/Python: the python3 of each release
_SUITES = {"bookworm": ("12", (3, 11)), "trixie": ("13", (3, 13))}
# Debian's name of each architecture, and that of Python's platform tags
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# glibc of bookworm, the oldest of the releases; of each step down there may be wheels, too
_GLIBC_MINOR = 36
_GLIBC_MINOR_OLDEST = 17

SUITES = tuple(_SUITES)
ARCHITECTURES = tuple(_MACHINES)


@dataclass(frozen=True)
class Target:
    """A release of Debian ("trixie") and an architecture ("arm64")."""

    suite: str
    architecture: str

    @property
    def release(self) -> str:
        """The number of the release."""
        return _SUITES[self.suite][0]

    @property
    def python(self) -> tuple[int, int]:
        """(3, minor) of the release's python3."""
        return _SUITES[self.suite][1]

    @property
    def machine(self) -> str:
        """The architecture, as `platform.machine()` says it."""
        return _MACHINES[self.architecture]

    def markers(self) -> dict[str, str]:
        """The variables of environment markers (PEP 508) on the target."""
        version = ".".join(map(str, self.python))
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{version}.0",
            "python_version": version,
            "sys_platform": "linux",
        }

    def pip_options(self) -> list[str]:
        """The options with which `pip download` takes wheels of the target."""
        minors = range(_GLIBC_MINOR, _GLIBC_MINOR_OLDEST - 1, -1)
        platforms = [f"manylinux_2_{minor}_{self.machine}" for minor in minors]
        platforms += [f"manylinux2014_{self.machine}"]
        tag = "cp{}{}".format(*self.python)
        options = ["--implementation=cp", f"--python-version={'.'.join(map(str, self.python))}"]
        options += [f"--abi={abi}" for abi in (tag, "abi3", "none")]
        return options + [f"--platform={platform}" for platform in platforms]
