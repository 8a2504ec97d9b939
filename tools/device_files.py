"""The tree's folders, and the list of the device's files (writ_host/device/build/sources.py).

`python tools/device_files.py` rewrites firmware/manifest.py (for freezing into a MicroPython image)
after a module was added or removed. A test (tests/host/tree/test_layout.py) compares it with the
tree.
"""

from pathlib import Path

from writ_host.device.build.sources import HOST_ONLY, device_files, manifest_text, source_files

__all__ = ["FIRMWARE", "HOST_ONLY", "ROOT", "device_files", "manifest_text", "source_files"]

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"


def main() -> None:
    """Rewrite the list."""
    (FIRMWARE / "manifest.py").write_text(manifest_text())
    print(f"{len(source_files())} device files listed")


if __name__ == "__main__":
    main()
