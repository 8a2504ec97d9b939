"""The tool as a user has it: a file, ports that programs open, commands, and what it prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import serial
from device_files import ROOT
from radio.control import HELP, Control, Server, tell
from radio.outcome import COLLISION
from radio.report import as_text, summary, summary_as_text
from radio.scene import Scene, SceneError

FILE = """
seed = 7
model = "oulu"
shadowing = false

[[node]]
name = "gate"
modem = "rylr998"
port = "gate.tty"
position = [0, 0]

[[node]]
name = "far"
modem = "rylr998"
port = "far.tty"
position = [500, 0]

[[node]]
name = "pipe"
modem = "e22"
port = "pipe.tty"
position = [0, 500]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "field.toml"
    path.write_text(FILE)
    return path


def open_port(path: Path) -> serial.Serial:
    return serial.Serial(str(path), timeout=20)


def ask(port: serial.Serial, line: bytes) -> bytes:
    port.write(line + b"\r\n")
    return bytes(port.readline())


def test_programs_talk_through_the_ports(file: Path) -> None:
    with Scene.load(file), open_port(file.parent / "gate.tty") as gate:
        assert gate.readline() == b"+READY\r\n"
        with open_port(file.parent / "far.tty") as far:
            assert ask(gate, b"AT+ADDRESS=1") == b"+OK\r\n"
            answer = ask(far, b"AT+ADDRESS=2")
            # opening a port empties it, and +READY comes before or after that
            if answer == b"+READY\r\n":
                answer = bytes(far.readline())
            assert answer == b"+OK\r\n"
            assert ask(gate, b"AT+SEND=2,5,HELLO") == b"+OK\r\n"
            # 22 dBm at 500 m: 22 - 128.95 + 23.2 * log10(2) = -100
            assert far.readline() == b"+RCV=1,5,HELLO,-100,17\r\n"


def test_a_modem_is_unplugged_and_plugged_in_again(file: Path) -> None:
    link = file.parent / "gate.tty"
    with Scene.load(file) as scene, open_port(link) as gate:
        assert gate.readline() == b"+READY\r\n"
        before = os.readlink(link)
        assert os.path.samefile(link, before)
        scene.call(lambda: scene.unplug("gate"))
        assert not link.is_symlink()
        assert scene.channel.radios["gate"].state == "sleeping"
        with pytest.raises((OSError, serial.SerialException)):
            gate.read(1)
        # another terminal takes the number of the old one
        spare = os.openpty()
        scene.call(lambda: scene.plug("gate"))
        assert os.readlink(link) != before
        for descriptor in spare:
            os.close(descriptor)
        with open_port(link) as again:
            assert again.readline() == b"+READY\r\n"
            assert ask(again, b"AT") == b"+OK\r\n"
    assert not link.is_symlink()


def test_a_pty_has_no_modem_lines(file: Path) -> None:
    with Scene.load(file), open_port(file.parent / "pipe.tty") as pipe, pytest.raises(OSError):
        pipe.rts = False


def test_commands_change_the_scene(file: Path) -> None:
    scene = Scene.load(file)
    control = Control(scene)
    address = file.parent / "control"
    with scene:
        server = scene.call(lambda: Server(control, address))
        with open_port(file.parent / "gate.tty") as gate:
            assert gate.readline() == b"+READY\r\n"
            assert tell(address, ["replaced", "gate", "+ERR=15", "1", "+OK"]) == "ok"
            assert ask(gate, b"AT") == b"+ERR=15\r\n"
            assert ask(gate, b"AT") == b"+OK\r\n"
            assert tell(address, ["missing", "gate"]) == "ok"
            gate.write(b"AT\r\n")
            assert ask(gate, b"AT+ADDRESS?") == b"+ADDRESS=0\r\n"
            assert tell(address, ["garbled", "gate"]) == "ok"
            assert ask(gate, b"AT") == b"+O\x1e\r\n"
            assert tell(address, ["late", "gate", "1000"]) == "ok"
            gate.write(b"AT\r\n")
            assert ask(gate, b"AT+ADDRESS?") == b"+ADDRESS=0\r\n"
            assert gate.readline() == b"+OK\r\n"
            assert tell(address, ["reset", "gate"]) == "ok"
            assert [gate.readline() for _ in range(2)] == [b"+RESET\r\n", b"+READY\r\n"]
        with open_port(file.parent / "pipe.tty") as pipe:
            assert tell(address, ["pins", "pipe", "0", "1"]) == "ok"
            pipe.write(bytes.fromhex("c1 05 01"))
            assert pipe.read(4) == bytes.fromhex("c1 05 01 12")
        for command in ("cut gate far", "mend gate far", "loss 0.5", "move far 900 0"):
            assert tell(address, command.split()) == "ok"
        assert scene.channel.loss == 0.5 and scene.channel.radios["far"].position == (900, 0, 0)
        for command in ("unplug far", "replug far"):
            assert tell(address, command.split()) == "ok"
        for command, text in (
            ("fly", "no command 'fly'"),
            ("cut gate", f"cut {HELP['cut']}"),
            ("cut gate moon", "no radio moon"),
            ("reset moon", "no node moon"),
            ("loss 2", "0 to 1"),
            ("pins gate 0 1", "gate is no e22"),
            ("pins pipe 0 7", "0 or 1"),
            ("late gate soon", "invalid literal"),
        ):
            answer = tell(address, command.split())
            assert answer.startswith("error: ") and text in answer
        scene.call(server.close)
    assert not address.exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("seed = 7", "seed = 'x'"), "seed in the file is of type int"),
        (("seed = 7", "speed = 7"), "unknown key speed"),
        (('"oulu"', '"mars"'), "lorasim, oulu, free space, not mars"),
        (('"e22"', '"e32"'), "modem is one of rylr998, rak3172, e22"),
        (("[500, 0]", "[500]"), "two or three numbers"),
        (('"far"', '"gate"'), "there is a radio gate already"),
        (('name = "pipe"', ""), "lacks name"),
        (("seed = 7", "loss = 3"), "a share from 0 to 1"),
        (("seed = 7", 'cut = [["gate", "moon"]]'), "no radio moon"),
        (("seed = 7", 'cut = [["gate"]]'), "pairs of names"),
        (("seed = 7", "seed = "), "no TOML"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, change: tuple[str, str], text: str) -> None:
    path = tmp_path / "field.toml"
    path.write_text(FILE.replace(*change))
    with pytest.raises(SceneError, match=text):
        Scene.load(path)


def test_an_empty_file_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "field.toml"
    path.write_text("seed = 1")
    with pytest.raises(SceneError, match="add one"):
        Scene.load(path)


def test_a_port_replaces_a_link_and_no_file(file: Path) -> None:
    link = file.parent / "gate.tty"
    link.symlink_to("/nowhere")
    with Scene.load(file):
        assert os.readlink(link).startswith("/dev/")
    link.write_text("mine")
    with pytest.raises(FileExistsError, match="choose another"):
        Scene.load(file).open()
    assert link.read_text() == "mine"


def test_lines_for_readers() -> None:
    lines: list[str] = []
    scene = Scene.parse(
        {
            "shadowing": False,
            "node": [
                {"name": name, "modem": "rak3172", "port": name, "position": [x, 0]}
                for name, x in (("a", 0), ("b", 400), ("c", 500), ("d", 9000))
            ],
        }
    )
    channel = scene.channel
    channel.watch = lambda event: lines.append(as_text(event))
    for name in "bcd":
        channel.radios[name].listen()
    channel.radios["a"].send(bytes(20))
    channel.timeline.advance(100_000)
    channel.radios["a"].send(bytes(20))
    channel.radios["b"].send(bytes(20))
    channel.timeline.advance(200_000)
    sent = "sends 20 bytes, 56.6 ms on air (SF7, 125 kHz, 868.1 MHz, 14 dBm)"
    assert lines == [
        f"     0.000 s  a #0: {sent}",
        "     0.057 s  a #0: received by b, -106 dBm, SNR 11 dB",
        "     0.057 s  a #0: received by c, -108 dBm, SNR 9 dB",
        f"     0.100 s  a #1: {sent}",
        f"     0.100 s  b #0: {sent}",
        "     0.157 s  a #1: lost at b: half duplex (-106 dBm, SNR 11 dB)",
        "     0.157 s  a #1: lost at c: collision with b (-108 dBm, SNR 9 dB)",
        "     0.157 s  b #0: received by c, -92 dBm, SNR 25 dB",
        "     0.157 s  b #0: lost at a: asleep (-106 dBm, SNR 11 dB)",
    ]
    # SX1262: 56.576 ms of 45 mA, 143.424 ms of 5.3 mA
    b = channel.radios["b"]
    assert summary_as_text(b) == (
        "b: sent 1, received 1, lost 1 by half duplex; 56.6 ms on air (0.002% of an hour),"
        " 0.1 s listening, 0.0009 mAh (SX1262)"
    )
    assert summary(channel.radios["c"]) == {
        "event": "summary",
        "node": "c",
        "sent": 0,
        "received": 2,
        "lost": {COLLISION: 1},
        "airtime_ms": 0,
        "airtime_of_hour": 0,
        "listening_s": 0.2,
        "charge_mah": 0.000294,
    }


def test_the_command_prints_json(file: Path) -> None:
    control = file.parent / "control"
    command = [sys.executable, str(ROOT / "tools/radio"), "run", str(file), "--json"]
    with subprocess.Popen(
        [*command, "--control", str(control), "--seconds", "120"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            lines = [json.loads(process.stdout.readline()) for _ in range(3)]
            assert [line["node"] for line in lines] == ["gate", "far", "pipe"]
            assert lines[0] == {
                "event": "ready",
                "node": "gate",
                "modem": "rylr998",
                "port": str(file.parent / "gate.tty"),
            }
            with open_port(file.parent / "gate.tty") as gate:
                assert gate.readline() == b"+READY\r\n"
                assert ask(gate, b"AT+SEND=0,5,HELLO") == b"+OK\r\n"
            found = [json.loads(process.stdout.readline()) for _ in range(2)]
            told = [sys.executable, str(ROOT / "tools/radio"), "tell", str(control)]
            done = subprocess.run([*told, "unplug", "far"], capture_output=True, text=True)
            assert (done.returncode, done.stdout) == (0, "ok\n")
            done = subprocess.run([*told, "--json", "fly"], capture_output=True, text=True)
            assert done.returncode == 1 and "no command" in json.loads(done.stdout)["answer"]
        finally:
            process.terminate()
            ends = [json.loads(line) for line in process.stdout]
    assert [(line["event"], line["node"], line["sent"]) for line in ends] == [
        ("summary", "gate", 1),
        ("summary", "far", 0),
        ("summary", "pipe", 0),
    ]
    assert process.returncode == 0
    assert not any(path.is_symlink() or path.is_socket() for path in file.parent.iterdir())
    sent, received = found
    assert sent.pop("ms") < received.pop("ms")
    assert sent == {
        "event": "sent",
        "from": "gate",
        "frame": 0,
        "bytes": 13,
        "airtime_ms": 181.248,
        "frequency_khz": 915000.0,
        "bandwidth_khz": 125,
        "spreading_factor": 9,
        "coding_rate": 5,
        "power_dbm": 22,
    }
    assert received["event"] == "received" and received["at"] == "far"


def test_the_command_explains_its_errors(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools/radio")]
    for arguments, text in (
        (["run", "none.toml"], "No such file"),
        (["tell", "none", "cut", "a", "b"], "start `run` with --control"),
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.startswith("error: ") and text in done.stderr


def test_speed_is_reported() -> None:
    command = [sys.executable, str(ROOT / "tools/radio"), "speed", "--json"]
    done = subprocess.run(
        [*command, "--nodes", "50", "--transmissions", "200"], capture_output=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["nodes"] == 50 and found["transmissions"] > 150
    assert found["received"] < found["arrivals"]
