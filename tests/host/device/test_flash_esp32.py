"""Plans are written by the real esptool to an emulated chip, and every byte is read back."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import esp_rom
import esptool
import pytest
import serial
from esp_rom import Chip

from writ_host.device import flash_esp32, ports
from writ_host.device.board import load_board
from writ_host.device.esptoollog import Quiet
from writ_host.device.flash_esp32 import write_plan
from writ_host.device.flashplan import FlashPlan, Part, make_plan

BOARDS = ("esp32", "esp32s3", "esp32c3", "esp32c6")


def plan_for(name: str = "esp32s3", flash_mib: int = 4) -> FlashPlan:
    """A small plan with content that compresses, content that does not, and odd lengths."""
    noise = Random(7).randbytes
    parts = (
        Part(load_board(name).chip.firmware_offset, noise(9_001), "bootloader"),
        Part(0x8000, b"table" + b"\xff" * 3067, "partition table"),
        Part(0x10000, noise(50_003), "app"),
        Part(0x200000, b"\xff" * 65536 + noise(70_000) + b"\0" * 65536, "vfs"),
    )
    return make_plan(load_board(name), "v1.28.0", flash_mib << 20, parts, {})


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[Chip]:
    made = Chip(tmp_path)
    yield made
    made.close()


def check_flash(chip: Chip, plan: FlashPlan, erased: bool = False) -> None:
    """Each byte of the flash is the plan's, erased, or what it was."""
    expected = bytearray(b"\xff" if erased else b"\xa5") * len(chip.flash)
    for part in plan.parts:
        end = -(-part.end // esp_rom.SECTOR) * esp_rom.SECTOR
        expected[part.offset : end] = part.data.ljust(end - part.offset, b"\xff")
    assert chip.flash == expected


@pytest.mark.parametrize("name", BOARDS)
def test_every_byte_of_a_plan_is_in_the_flash(tmp_path: Path, name: str) -> None:
    chip, plan, done = Chip(tmp_path, name), plan_for(name), []
    found = write_plan(plan, str(chip.path), advance=done.append)
    chip.close()
    assert found.chip.replace("-", "").lower() == name and found.flash_bytes == 4 << 20
    assert sum(done) == plan.size and all(count > 0 for count in done)
    assert chip.is_stub and len(chip.uploads) >= 2
    check_flash(chip, plan)
    assert chip.erased_all == 0


def test_erase_erases_the_whole_flash_first(chip: Chip) -> None:
    plan = plan_for()
    write_plan(plan, str(chip.path), erase=True)
    assert chip.erased_all == 1
    check_flash(chip, plan, erased=True)


def test_esptool_reads_the_flash_back(chip: Chip) -> None:
    plan = plan_for()
    write_plan(plan, str(chip.path))
    with Quiet(), esptool.detect_chip(str(chip.path), connect_mode="no-reset") as found:
        stub = esptool.run_stub(found)
        esptool.attach_flash(stub)
        for part in plan.parts:
            assert esptool.read_flash(stub, part.offset, len(part.data)) == part.data


def test_a_larger_flash_is_taken(tmp_path: Path) -> None:
    chip = Chip(tmp_path, flash_mib=16)
    assert write_plan(plan_for(), str(chip.path)).flash_bytes == 16 << 20
    chip.close()
    check_flash(chip, plan_for())


def untouched(chip: Chip) -> bool:
    return chip.flash == b"\xa5" * len(chip.flash)


@pytest.mark.parametrize("name", BOARDS)
def test_a_wrong_chip_is_refused_unchanged(tmp_path: Path, name: str) -> None:
    chip = Chip(tmp_path, name)
    other = "esp32" if name != "esp32" else "esp32s3"
    with pytest.raises(flash_esp32.WrongChip, match="the chip is an ESP32"):
        write_plan(plan_for(other), str(chip.path), erase=True)
    chip.close()
    assert untouched(chip)


def test_a_flash_that_is_too_small_is_refused_unchanged(tmp_path: Path) -> None:
    chip = Chip(tmp_path, flash_mib=2)
    with pytest.raises(flash_esp32.FlashTooSmall, match="has 2 MiB of flash; esp32s3 has 4 MiB"):
        write_plan(plan_for(), str(chip.path), erase=True)
    chip.close()
    assert untouched(chip)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("encryption", "encrypts its flash"),
        ("boot", "secure boot"),
        ("download", "secure download"),
    ],
)
def test_a_locked_chip_is_refused_unchanged(chip: Chip, setting: str, said: str) -> None:
    # the chip's eFuses: SPI_BOOT_CRYPT_CNT and SECURE_BOOT_EN; bit 2 of the security flags
    if setting == "encryption":
        chip.registers[0x60007034] = 1 << 18
    elif setting == "boot":
        chip.registers[0x60007038] = 1 << 20
    else:
        chip.security_flags = 1 << 2
    with pytest.raises(flash_esp32.LockedChip, match=said):
        write_plan(plan_for(), str(chip.path), erase=True)
    assert untouched(chip)


def test_a_silent_chip_is_an_error_with_advice(chip: Chip) -> None:
    chip.silent = True
    with pytest.raises(flash_esp32.NoLoader, match="no ESP32 chip answers") as caught:
        write_plan(plan_for(), str(chip.path))
    assert "BOOT" in caught.value.advice


def test_a_chip_that_runs_its_program_is_named(chip: Chip) -> None:
    chip.silent, chip.banner = True, esp_rom.BOOTED
    with pytest.raises(flash_esp32.NoLoader, match="started its program") as caught:
        write_plan(plan_for(), str(chip.path))
    assert "BOOT" in caught.value.advice


def test_a_flash_that_does_not_keep_a_byte_is_found(chip: Chip) -> None:
    chip.stuck = 0x10123
    with pytest.raises(flash_esp32.NotWritten, match="not as written") as caught:
        write_plan(plan_for(), str(chip.path))
    assert "--erase" in caught.value.advice


def test_a_bad_md5_is_found(chip: Chip) -> None:
    chip.bad_md5 = True
    with pytest.raises(flash_esp32.NotWritten):
        write_plan(plan_for(), str(chip.path))


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """esptool waits a second before each attempt to open a lost port again: here less."""
    sleep = time.sleep
    monkeypatch.setattr("esptool.cmds.time.sleep", lambda seconds: sleep(min(seconds, 0.05)))


def packets(folder: Path) -> int:
    """How many data packets a whole run has: those of the stub, and those of the flash."""
    folder.mkdir()
    chip = Chip(folder)
    write_plan(plan_for(), str(chip.path))
    chip.close()
    return chip.writes


def test_a_cut_at_every_block_is_an_error_and_the_next_run_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esptool.cmds.DEFAULT_CONNECT_ATTEMPTS", 1)
    hurry(monkeypatch)
    plan, count = plan_for(), packets(tmp_path / "whole")
    assert count > 10
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        chip = Chip(folder)
        chip.fail_at = number
        with pytest.raises(flash_esp32.LostChip):
            write_plan(plan, str(chip.path))
        chip.replug()
        write_plan(plan, str(chip.path))
        chip.close()
        check_flash(chip, plan)


def test_a_cable_that_comes_back_is_no_error(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    chip.fail_at, chip.fault = packets(tmp_path / "whole") - 1, "replug"
    plan = plan_for()
    write_plan(plan, str(chip.path))
    check_flash(chip, plan)


def test_a_brown_out_is_named(chip: Chip, tmp_path: Path) -> None:
    chip.fail_at, chip.fault = packets(tmp_path / "whole") - 1, "brownout"
    with pytest.raises(flash_esp32.BrownOut, match="supply voltage") as caught:
        write_plan(plan_for(), str(chip.path))
    assert "powered hub" in caught.value.advice


def test_ports_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(ports.NoPort):
        write_plan(plan_for(), str(tmp_path / "none"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ports.NoPort):
        write_plan(plan_for(), str(tmp_path / "file"))


def test_a_port_in_use_is_named(chip: Chip) -> None:
    with (
        serial.Serial(str(chip.path), exclusive=True),
        pytest.raises(ports.PortInUse, match="another program"),
    ):
        write_plan(plan_for(), str(chip.path))
