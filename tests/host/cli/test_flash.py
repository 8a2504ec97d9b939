"""`writ flash`: the command, with an emulated chip at the port and a scope's folder."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import build_mpy
import esp_firmware
import pytest
from cli_rig import Rig
from esp_rom import Chip
from littlefs import LittleFS, UserContext

from writ_host.device.flashplan import Part
from writ_host.device.littlefs import BLOCK_BYTES, PROGRAM_BYTES
from writ_host.device.uf2 import FAMILIES, read_uf2, write_uf2

needs_compiler = pytest.mark.skipif(build_mpy.find_compiler() is None, reason="no mpy-cross here")
pytestmark = needs_compiler


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    path = tmp_path / "ESP32_GENERIC_S3-20260406-v1.28.0.bin"
    path.write_bytes(esp_firmware.firmware("esp32s3"))
    return path


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[Chip]:
    made = Chip(tmp_path)
    yield made
    made.close()


def board_files(flash: bytes, offset: int = 0x200000, program_bytes: int = 32) -> dict[str, bytes]:
    """The files that a board finds in its flash."""
    data = bytes(flash[offset:])
    context = UserContext(len(data))
    context.buffer = bytearray(data)
    system = LittleFS(
        context,
        block_size=BLOCK_BYTES,
        block_count=len(data) // BLOCK_BYTES,
        read_size=32,
        prog_size=program_bytes,
        cache_size=4 * program_bytes,
        lookahead_size=32,
        disk_version=0x00020000,
    )
    found = {}
    for folder, _, names in system.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with system.open(path, "rb") as file:
                found[path] = file.read()
    return found


def test_a_board_has_firmware_agent_app_and_settings(rig: Rig, chip: Chip, firmware: Path) -> None:
    assert PROGRAM_BYTES == 32
    created = rig.create()
    app = rig.path / "sensor.py"
    app.write_text("def setup(node):\n    pass\n")
    found = rig.ok(
        *("flash", "esp32s3", "--firmware", firmware, "--port", chip.path, "--name", "soil"),
        *("--app", app, "--gateway", "192.0.2.1:5683", "--yes"),
    )
    assert found["written"] and found["chip"] == "ESP32-S3" and found["node"] == "soil"
    stock = firmware.read_bytes()
    assert chip.flash[:0x8000].startswith(stock[:9000])
    assert chip.flash[0x10000 : len(stock)] == stock[0x10000:]
    for part in found["parts"]:
        data = chip.flash[part["offset"] : part["offset"] + part["bytes"]]
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
    files = board_files(chip.flash)
    assert files["/app.py"] == app.read_bytes()
    assert json.loads(files["/board.json"])["chip"] == "esp32s3"
    assert json.loads(files["/node/config.json"]) == {
        "name": "soil",
        "scope": created["scope"],
        "listen": "0.0.0.0:5683",
        "gateways": ["192.0.2.1:5683"],
    }
    assert {"/boot.py", "/main.py", "/lib/writ/agent.mpy"} < set(files)
    # the node's key is made on the board, and only there
    assert [path for path in files if path.startswith("/node/")] == ["/node/config.json"]


def test_a_config_is_completed_and_checked(rig: Rig, firmware: Path) -> None:
    config, image = rig.path / "config.json", rig.path / "out.bin"
    uart = {"kind": "serial", "port": 1, "tx": 17, "rx": 18}
    config.write_text(json.dumps({"renew_days": 20, "links": [uart]}))
    words = ("flash", "esp32s3", "--firmware", firmware, "--config", config, "--image", image)
    rig.ok(*words, "--name", "soil")
    found = json.loads(board_files(image.read_bytes())["/node/config.json"])
    assert found["links"] == [uart] and found["renew_days"] == 20 and found["name"] == "soil"
    config.write_text(json.dumps({"renew_days": "soon"}))
    ran = rig.run(*words, "--name", "soil", "--json")
    assert ran.code == 1 and ran.error["name"] == "BadConfig"
    config.write_text(json.dumps({"name": "air"}))
    ran = rig.run(*words, "--name", "soil", "--json")
    assert ran.code == 1 and "belongs to the node air" in ran.error["message"]
    for bad in ("[]", "{", ""):
        config.write_text(bad)
        assert rig.run(*words, "--name", "soil", "--json").error["name"] == "BadConfig"
    ran = rig.run("flash", "esp32s3", "--firmware", firmware, "--image", image, "--json")
    assert ran.code == 1 and "needs a name" in ran.error["message"]


def test_an_image_is_one_private_file_and_no_port_is_needed(rig: Rig, firmware: Path) -> None:
    image = rig.path / "out.bin"
    ran = rig.run(
        *("flash", "heltec-v3", "--firmware", firmware, "--name", "soil", "--image", image)
    )
    assert ran.code == 0 and "for offset 0 of the flash" in ran.out
    assert image.stat().st_size == 8 << 20 and image.stat().st_mode & 0o777 == 0o600
    assert board_files(image.read_bytes())["/board.json"].startswith(b'{"battery"')


def test_a_dry_run_prints_what_is_written_and_opens_no_port(
    rig: Rig, chip: Chip, firmware: Path
) -> None:
    words = ("flash", "esp32s3", "--firmware", firmware, "--port", chip.path, "--name", "soil")
    ran = rig.run(*words, "--dry-run")
    assert ran.code == 0 and not chip.commands
    for text in ("0x8000", "0x10000", "0x200000", "MicroPython v1.28.0", "partition table"):
        assert text in ran.out
    document = rig.ok(*words, "--dry-run")
    assert not document["written"] and "lib/writ/agent.mpy" in document["files"]
    assert [part["offset"] for part in document["parts"]] == [0, 0x8000, 0x10000, 0x200000]
    assert not chip.commands


def test_nothing_is_written_without_a_person(rig: Rig, chip: Chip, firmware: Path) -> None:
    words = ("flash", "esp32s3", "--firmware", firmware, "--port", chip.path, "--name", "soil")
    ran = rig.run(*words, "--json")
    assert ran.code == 4 and "the key of its node" in ran.error["message"]
    assert not chip.commands


def test_wrong_files_boards_and_chips_are_errors_with_advice(
    rig: Rig, chip: Chip, firmware: Path
) -> None:
    words = ("--firmware", firmware, "--port", chip.path, "--name", "soil", "--yes", "--json")
    ran = rig.run("flash", "esp32c3", *words)
    assert (
        ran.code == 1 and ran.error["name"] == "BadFirmware" and "ESP32-S3" in ran.error["message"]
    )
    ran = rig.run("flash", "esp32s4", *words)
    assert ran.code == 1 and ran.error["name"] == "UnknownBoard"
    ran = rig.run("flash", "esp32s3", *words, "--sha256", "0" * 64)
    assert ran.code == 1 and "pinned" in ran.error["message"]
    good = hashlib.sha256(firmware.read_bytes()).hexdigest()
    ran = rig.run("flash", "heltec-v3", *words, "--sha256", good)
    assert ran.code == 1 and ran.error["name"] == "FlashTooSmall"
    assert "has 4 MiB of flash" in ran.error["message"] and ran.error["advice"]
    ran = rig.run("flash", "unix", *words)
    assert ran.code == 1 and ran.error["advice"]
    ran = rig.run("flash", "esp32s3", "--firmware", rig.path / "none", *words[2:])
    assert ran.code == 1 and "none" in ran.error["message"]
    assert chip.flash == b"\xa5" * len(chip.flash)


def test_a_file_of_another_build_is_a_warning(rig: Rig, firmware: Path) -> None:
    other = firmware.rename(firmware.with_name("firmware.bin"))
    ran = rig.run(
        *("flash", "esp32s3", "--firmware", other, "--name", "soil", "--dry-run"),
    )
    assert ran.code == 0 and "not named like ESP32_GENERIC_S3-*.bin" in ran.err


def test_wifi_is_checked_private_and_in_the_image(rig: Rig, firmware: Path) -> None:
    wifi, image = rig.path / "wifi.json", rig.path / "out.bin"
    wifi.write_text(json.dumps({"networks": [{"ssid": "barn", "password": "correct horse"}]}))
    wifi.chmod(0o600)
    words = ("flash", "esp32s3", "--firmware", firmware, "--name", "soil", "--wifi", wifi)
    ran = rig.run(*words, "--image", image)
    assert ran.code == 0 and "correct horse" not in ran.out + ran.err
    assert board_files(image.read_bytes())["/wifi.json"] == wifi.read_bytes()
    assert image.stat().st_mode & 0o777 == 0o600
    wifi.chmod(0o644)
    ran = rig.run(*words, "--image", image, "--json")
    assert ran.code == 1 and "other users can read" in ran.error["message"]
    wifi.chmod(0o600)
    wifi.write_text(json.dumps({"networks": [{"ssid": "barn", "password": "short"}]}))
    ran = rig.run(*words, "--image", image, "--json")
    assert ran.code == 1 and ran.error["name"] == "BadWifi"
    assert "short" not in ran.out + ran.err


def test_an_rp2_board_gets_a_uf2_file(rig: Rig) -> None:
    firmware, image = rig.path / "RPI_PICO_W-20260406-v1.28.0.uf2", rig.path / "out.uf2"
    content = b"\0" * 5000 + b"MicroPython v1.28.0 on 2026-04-06\0"
    firmware.write_bytes(write_uf2([Part(0, content, "firmware")], FAMILIES["rp2040"]))
    words = ("flash", "pico-w", "--firmware", firmware, "--name", "soil")
    ran = rig.run(*words, "--image", image)
    assert ran.code == 0 and "BOOTSEL" in ran.out and image.stat().st_mode & 0o777 == 0o600
    found = read_uf2(image.read_bytes(), FAMILIES["rp2040"]).content
    assert found.startswith(content)
    assert "/node/config.json" in board_files(found, 0x12C000, 256)
    ran = rig.run(*words, "--yes", "--json")
    assert ran.code == 1 and "--image OUT.uf2" in ran.error["advice"]


def test_preshared_keys_are_warned_of(rig: Rig, firmware: Path) -> None:
    config = rig.path / "config.json"
    entry = {"member": "a0", "secret": "5a" * 16, "salt": "", "id": "01", "peer_id": "02"}
    config.write_text(json.dumps({"oscore": [entry]}))
    config.chmod(0o600)
    ran = rig.run(
        *("flash", "esp32s3", "--firmware", firmware, "--name", "soil", "--dry-run"),
        *("--config", config),
    )
    assert ran.code == 0 and "AEAD nonces twice" in ran.err
    assert "5a5a" not in ran.out + ran.err
