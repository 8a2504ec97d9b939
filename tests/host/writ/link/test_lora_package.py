"""micropython-lib's package `lora` under the link of SPI radios, on MicroPython.

WRIT_MICROPYTHON_LIB names a checkout of https://github.com/micropython/micropython-lib. It is not
installed by `make venv`: it is on no registry that pip reads. The chip is a model of registers
(tests/device/rigs), with faults. tests/device/link/test_radio.py runs without the package.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import build_mpy
import pytest

MICROPYTHON = build_mpy.find_micropython()
LIBRARY = os.getenv("WRIT_MICROPYTHON_LIB")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MICROPYTHON is None, reason="no micropython here"),
    pytest.mark.skipif(not LIBRARY, reason="WRIT_MICROPYTHON_LIB names no micropython-lib"),
]
PARTS = ("lora", "lora-sync", "lora-sx126x", "lora-sx127x")
PROGRAM = Path(__file__).parent / "radio_program.py"
# its functions without arguments, but for the one that they use
PARTS_OF_PROGRAM = [
    name
    for name in re.findall(r"^def (\w+)\(\)", PROGRAM.read_text(), re.MULTILINE)
    if name != "check_settings"
]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as `mip` installs it."""
    folder = tmp_path_factory.mktemp("lora")
    for part in PARTS:
        source = Path(str(LIBRARY)) / "micropython/lora" / part
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


@pytest.mark.parametrize("part", PARTS_OF_PROGRAM)
@pytest.mark.parametrize("modem", ["sx1276", "sx1262"])
def test_the_package_runs_under_the_link(modem: str, part: str, package: Path) -> None:
    rigs = build_mpy.ROOT / "tests/device/rigs"
    done = subprocess.run(
        [str(MICROPYTHON), str(PROGRAM), modem, part],
        env={**os.environ, "MICROPYPATH": f"{build_mpy.FIRMWARE}:{rigs}:{package}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stdout + done.stderr
