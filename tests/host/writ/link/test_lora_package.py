"""micropython-lib's package `lora` under the link of SPI radios, on MicroPython.

WRIT_MICROPYTHON_LIB names a checkout of https://github.com/micropython/micropython-lib. It is not
installed by `make venv`: it is on no registry that pip reads. The chip is a model of registers.
"""

import os
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
# The settings that the chip must have for CHANNEL, by its datasheet
CHECKS = {
    "sx1276": """
# 868.1 MHz in steps of 32 MHz / 2**19; 125 kHz, 4/6, explicit; factor 12 and CRC; optimisation
frequency = int.from_bytes(bytes(chip.registers[6:9]), "big")
assert abs(frequency * 32000000 // 524288 - 868100000) < 62
assert chip.registers[0x1D] == 0x74 and chip.registers[0x1E] & 0xF4 == 0xC4
assert chip.registers[0x26] & 8 and chip.registers[0x20:0x22] == bytes((0, 8))
assert chip.registers[0x39] == 0x12 and chip.registers[9] == 0x80 | 12
""",
    "sx1262": """
# 868.1 MHz in steps of 32 MHz / 2**25; factor 12, 125 kHz, 4/6, optimisation; preamble and CRC
frequency = int.from_bytes(chip.settings[0x86], "big")
assert abs(frequency * 32000000 // 33554432 - 868100000) < 2
assert chip.settings[0x8B] == bytes((12, 4, 2, 1)), chip.settings[0x8B]
assert chip.settings[0x8C] == bytes((0, 8, 0, 255, 1, 0)), chip.settings[0x8C]
assert (chip.registers[0x740], chip.registers[0x741]) == (0x14, 0x24)
# 14 dBm by table 13-21; continuous reception
assert chip.settings[0x95] == bytes((2, 2, 0, 1)) and chip.settings[0x8E][0] == 22
assert chip.settings[0x82] == bytes((255, 255, 255))
""",
}
PROGRAM = """
import sys
import machine
from sx1262_rig import Sx1262
from sx1276_rig import Pin, Sx1276
from writ.link.links import open_link

chip = Sx1276() if MODEM == "sx1276" else Sx1262()

class BoardPin(Pin):
    def __new__(cls, number):
        return {5: chip.cs, 6: getattr(chip, "busy", None)}[number]

class Machine:
    Pin = BoardPin
    idle = machine.idle
    SPI = staticmethod(lambda number, baudrate: chip)

sys.modules["machine"] = Machine
link = open_link({"kind": "lora", "modem": MODEM, "spi": 1, "cs": 5, "busy": 6,
    "frequency_khz": 868100, "spreading_factor": 12, "bandwidth_khz": 125, "coding_rate": 6,
    "power_dbm": 14})
assert link.receive(0) is None and link.error is None, link.error
assert chip.is_receiving()
exec(CHECK)

frame = bytes(range(255))
chip.hear(frame, 38)
assert link.receive(10) == (frame, 10)
chip.hear(b"a", -30)
assert link.receive(20) == (b"a", -7) and link.receive(30) is None
chip.hear(b"damaged", is_whole=False)
assert link.receive(40) is None and link.counters == {"BadFrame": 1}

assert link.send(frame, 50) and chip.on_air == [frame] and chip.is_sending()
chip.hear(b"lost")
assert link.receive(60) is None and not link.send(b"no", 60)
chip.finish()
assert link.receive(9000) is None and chip.is_receiving()
chip.hear(b"before")
assert link.send(b"second", 9010) and link.receive(9010) == (b"before", 0)
chip.finish()
assert link.receive(9020) is None and link.counters == {"BadFrame": 1}
assert chip.on_air == [frame, b"second"]

# a frame that never leaves
assert link.send(b"third", 9030) and link.receive(9040) is None
assert link.receive(90000) is None and chip.is_receiving() and link.counters["NoAnswer"] == 1
assert link.send(b"fourth", 90010)
link.close()
assert not chip.is_receiving() and not chip.is_sending()
print("the package does its part")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the package as `mip` installs it."""
    for part in PARTS:
        source = Path(str(LIBRARY)) / "micropython/lora" / part
        shutil.copytree(source, tmp_path / "lib", dirs_exist_ok=True)
    return tmp_path / "lib"


@pytest.mark.parametrize("modem", ["sx1276", "sx1262"])
def test_the_package_runs_under_the_link(modem: str, package: Path, tmp_path: Path) -> None:
    head = f"MODEM = {modem!r}\nCHECK = {CHECKS[modem]!r}\n"
    (tmp_path / "program.py").write_text(head + PROGRAM)
    firmware = build_mpy.FIRMWARE
    rigs = build_mpy.ROOT / "tests/device/rigs"
    done = subprocess.run(
        [str(MICROPYTHON), "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": f":{firmware}:{rigs}:{package}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the package does its part" in done.stdout, done.stdout + done.stderr
