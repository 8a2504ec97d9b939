"""`writ node link`: links without IP in config.json, for this machine and for devices."""

import json
from pathlib import Path

import pytest
from cli_rig import Rig
from field_rig import Field, writ

from writ_host.cli.boundary import REFUSED, USAGE


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A folder `gate` of a node without links."""
    made = Rig(tmp_path)
    made.ok("member", "request", tmp_path / "gate", "--name", "gate")
    return made


def test_links_are_set_shown_and_replaced(rig: Rig) -> None:
    gate = rig.path / "gate"
    before = json.loads((gate / "config.json").read_text())
    shown = rig.ok("node", "link", gate)
    assert (shown["links"], shown["mesh_gateway"], shown["sleep_s"]) == ([], False, 0)
    words = ("--lora", "rylr998:/dev/no", "--serial", "/dev/none", "--frequency", "869525")
    rig.ok("node", "link", gate, *words, "--mesh-gateway")
    written = json.loads((gate / "config.json").read_text())
    lora = {"kind": "lora", "modem": "rylr998", "port": "/dev/no", "frequency_khz": 869525}
    lora |= {"spreading_factor": 7, "bandwidth_khz": 125, "coding_rate": 5, "power_dbm": 14}
    serial = {"kind": "serial", "port": "/dev/none"}
    assert written == {**before, "links": [lora, serial], "mesh_gateway": True}
    ran = rig.run("node", "link", gate)
    assert ran.code == 0 and "link 1        serial line at /dev/none" in ran.out
    assert ran.err.count("does not exist on this machine now") == 2
    # a later call changes what it names
    rig.ok("node", "link", gate, "--no-mesh-gateway", "--sleep", "900")
    shown = rig.ok("node", "link", gate, "--serial", "1", "--pin", "tx=4", "--pin", "rx=5")
    assert shown["links"] == [{"kind": "serial", "port": 1, "tx": 4, "rx": 5}]
    assert (shown["mesh_gateway"], shown["sleep_s"]) == (False, 900)


@pytest.mark.parametrize(
    "words",
    [
        ("--frequency", "869525"),
        ("--pin", "tx=4"),
        ("--lora", "rylr998:/dev/no"),
        ("--lora", "rylr998:/dev/no", "--frequency", "868"),
        ("--lora", "rylr998:/dev/no", "--frequency", "869525", "--spreading-factor", "12"),
        ("--sleep", "86401"),
    ],
)
def test_a_wrong_option_changes_nothing(rig: Rig, words: tuple[str, ...]) -> None:
    config = (rig.path / "gate/config.json").read_bytes()
    assert rig.run("node", "link", rig.path / "gate", *words).code == USAGE
    assert (rig.path / "gate/config.json").read_bytes() == config


def test_a_frequency_in_mhz_is_told_in_khz(rig: Rig) -> None:
    gate = rig.path / "gate"
    for value, khz in (("868.3", 868300), ("868", 868000), ("869.525", 869525)):
        ran = rig.run("node", "link", gate, "--lora", "rylr998:/dev/no", "--frequency", value)
        assert ran.code == USAGE and f"For {value} MHz: {khz}" in ran.err


def test_the_folder_of_a_chip_is_admitted_on_a_host(rig: Rig) -> None:
    rig.create()
    rig.ok("member", "request", rig.path / "soil", "--name", "soil")
    pins = ("--pin", "tx=17", "--pin", "rx=18")
    rig.ok("node", "link", rig.path / "soil", "--lora", "rylr998:1", "--frequency", 869525, *pins)
    rig.ok("member", "admit", "soil", "--role", "sensor", "--yes", "--out", rig.path / "soil")
    assert rig.ok("status", "--node", rig.path / "soil")["name"] == "soil"
    ran = rig.run("node", "run", rig.path / "soil")
    assert ran.code == REFUSED and '"port" is not the path of a serial port' in ran.err


def test_a_node_that_is_not_admitted_names_an_absent_port(field: Field) -> None:
    path = field.root / "new"
    writ("member", "request", path, "--name", "new", "--listen", "127.0.0.1:0")
    writ("node", "link", path, "--serial", "/dev/none")
    ran = field.spawn("node", "run", path, "--serve", "none")
    assert ran.stdout is not None
    said = [ran.stdout.readline() for _ in range(3)]
    assert "not a member yet" in said[1]
    assert "link 0 will not work: /dev/none does not exist on this machine now" in said[2]
