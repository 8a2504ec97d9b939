"""Runs the commands of docs/guide-lora.md in real shells, with emulated modems and MicroPython."""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import build_mpy
import pytest
from docs_rig import DOCS, FENCE
from mosquitto_rig import PROGRAM, Client, Mosquitto, wait_for
from readme_rig import Shell, in_order, make_checkout, promised, shell_environment

from writ import errors
from writ_host.demo import loopback
from writ_host.node import links

PAGE = (DOCS / "guide-lora.md").read_text()
# joins and requests over two hops, on a busy machine
PATIENCE_S = 120
US = "--frequency 915000 --bandwidth 500"
ALLOW = 'resource = "*"', 'expect = "allow"'
DENY = 'resource = ["humidity", "writ/*"]', 'expect = "deny"'


def blocks() -> Iterator[tuple[str, str, str]]:
    """(language, file, content) of the page in order; file: the last one that the text names."""
    end = 0
    for found in FENCE.finditer(PAGE):
        named = re.findall(r"`(?:~/field/)?([\w/]+\.(?:py|toml))`", PAGE[end : found.start()])
        end = found.end()
        yield found[1], named[-1] if named else "", found[3]


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[tuple[Shell, Shell]]:
    """Two shells in the folder of this repository, with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    checkout = make_checkout(tmp_path / "checkout", "tools", "firmware")
    made = Shell(checkout, shell_environment(home)), Shell(checkout, shell_environment(home))
    yield made
    for shell in made:
        shell.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto | None]:
    """The broker that the page installs."""
    made = Mosquitto(tmp_path / "broker").start() if PROGRAM else None
    yield made
    if made:
        made.kill()


def edit(policy: Path, old: tuple[str, str], new: tuple[str, str]) -> None:
    """Change the first rule and the first test, as the page says."""
    text = policy.read_text()
    for one, other in zip(old, new, strict=True):
        assert one in text
        text = text.replace(one, other, 1)
    policy.write_text(text)


def run(shell: Shell, text: str) -> str:
    """Run a block; lines that promise an output again, until it comes."""
    if not promised(text):
        return shell.run(text, PATIENCE_S)
    output = ""
    for line in text.strip().splitlines():
        parts, deadline = promised(line), time.monotonic() + PATIENCE_S
        while not in_order(parts, said := shell.run(line, PATIENCE_S)):
            assert time.monotonic() < deadline, (line, said)
            time.sleep(1)
        output += said
    return output


class Reader:
    """Follows the page in a folder `field`, step by step; `said` is what its commands have said."""

    def __init__(self, field: Path, shell: Shell, air: Shell, mqtt: Mosquitto | None) -> None:
        self.field, self.shell, self.air, self.mqtt = field, shell, air, mqtt
        self.ports = loopback.free_ports(2)
        self.said = ""
        self._edits = [(ALLOW, DENY), (DENY, ALLOW)]

    def follow(self, language: str, file: str, content: str) -> None:
        """Do what a block says, with free ports and the fastest settings of the page."""
        text = content.replace(":5683", f":{self.ports[0]}").replace(":5685", f":{self.ports[1]}")
        text = text.replace("--frequency 869525", US).replace("--sleep 20", "--sleep 5")
        if language in ("python", "toml"):
            if self.mqtt:
                text = text.replace("tls = false", f"tls = false\nport = {self.mqtt.port}")
            (self.field / file).write_text(text)
        elif language == "sh" and "tools/radio" in text:
            # a full terminal would block it
            self.air.start(f"{text.strip()} > {self.field}/air.log")
            wait_for((self.field / "well.modem").exists)
        elif language == "sh" and (self.mqtt or "writ bridge" not in text):
            if "writ policy diff" in text or text.startswith("writ policy certify --deliver"):
                edit(self.field / "hill-farm/policy.toml", *self._edits.pop(0))
            output = run(self.shell, text)
            assert "command not found" not in output and "Traceback" not in output, output
            self.said += output


@pytest.mark.slow
@pytest.mark.skipif(build_mpy.find_micropython() is None, reason="no micropython here")
def test_the_guide(shells: tuple[Shell, Shell], broker: Mosquitto | None, tmp_path: Path) -> None:
    field = tmp_path / "home/field"
    reader = Reader(field, *shells, broker)
    with contextlib.ExitStack() as stack:
        client = broker and stack.enter_context(Client(broker.port, "writ/#"))
        for block in blocks():
            reader.follow(*block)
            if client and "writ bridge run" in block[2]:
                wait_for(lambda: [one for one in client.heard if b'"value": 21.5' in one.payload])
    said = " ".join(reader.said.split())
    for part in (
        "the longest frame takes",
        "no route has class 0",
        "2 hops to the gateway gate",
        "newly forbidden: gateway may no longer GET",
        "sleeps 5 s at most",
    ):
        assert part in said, part
    log = (field / "gate.log").read_text()
    assert "link 0 (rylr998 at" in log and "is ready" in log


def test_its_settings_are_those_that_modems_and_law_allow() -> None:
    table = PAGE[PAGE.index("## Before") : PAGE.index("## Wire")]
    rows = re.findall(r"\| (E22: )?`(--frequency [^`]*)` \| (?:(\d+) %)?", table)
    assert len(rows) == 5
    for is_e22, text, percent in rows:
        words = dict(re.findall(r"--(\w+) (\d+)", text))
        channel = links.Channel(
            int(words["frequency"]),
            bandwidth_khz=int(words.get("bandwidth", 125)),
            power_dbm=int(words.get("power", 14)),
        )
        entry = links.lora_entry("e22:1" if is_e22 else "rylr998:1", channel, {})
        limit = f"(duty cycle {percent} %)" if percent else "no duty cycle is known"
        assert limit in links.describe(entry), text


def test_its_table_names_what_there_is() -> None:
    names = re.findall(r"`([A-Z]\w+)`", PAGE[PAGE.index("## Nothing is heard") :])
    known = {*vars(errors), "Reset", "BadFrame", "NoAnswer"}
    assert names and set(names) - known <= {"ModemManager"}
