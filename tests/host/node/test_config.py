"""config.json of a node's folder."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_rig import Rig
from docs_rig import DOCS

from writ import configfile
from writ.errors import UsageError
from writ_host.cli.boundary import BUG, REFUSED
from writ_host.errors import NoNode
from writ_host.node import config as nodeconfig
from writ_host.node.folder import NodeFolder
from writ_host.node.status import read_folder_status


@pytest.mark.parametrize(
    "config",
    [
        [], {"name": 1}, {"name": "A"}, {"scope": "00"}, {"scope": "x" * 16}, {"scope": 5},
        {"gateways": ["localhost:5683"]}, {"governors": ["gate.local"]},
        {"listen": 1}, {"listen": "a:b"}, {"gateways": "10.0.0.1"}, {"gateways": [1]},
        {"gateways": ["[::1"]}, {"gateways": ["[2001:DB8::7]:5683"]}, {"governors": ["discover"]},
        {"discoverable": 1},
    ],
)  # fmt: skip
def test_a_wrong_value_names_config_json(tmp_path: Path, config: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(nodeconfig.BadConfig, match=r"config\.json"):
        nodeconfig.read(tmp_path)


def test_a_valid_config_is_read_unchanged(tmp_path: Path) -> None:
    with pytest.raises(NoNode):
        nodeconfig.read(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(nodeconfig.BadConfig):
        nodeconfig.read(tmp_path)
    good = {
        "name": "a",
        "scope": "00" * 8,
        "listen": "0.0.0.0:0",
        "gateways": ["10.0.0.1", "[::1]:1"],
    }
    good |= {"x": 1}
    (tmp_path / "config.json").write_text(json.dumps(good))
    assert nodeconfig.read(tmp_path) == good


# Values of each JSON type, and nested ones, for any field
KINDS: list[object] = [
    None, True, False, 0, -1, 5, 10**30, 1.5, float("nan"), "", "x", "::", "00", "é" * 300,
    [], [None], [5], [[]], [{}], ["x"], [""], {}, {"a": 5},
]  # fmt: skip
ENTRY = {"member": "a0", "secret": "00" * 16, "salt": "", "id": "01", "peer_id": "02"}
WHOLE: dict[str, object] = {
    "name": "soil",
    "scope": "00" * 8,
    "listen": "127.0.0.1:0",
    "gateways": ["127.0.0.1:9"],
    "governors": ["127.0.0.1:9"],
    "discoverable": False,
    "renew_days": 30,
    "links": [{"kind": "serial", "port": "/dev/ttyUSB0", "baud": 9600}],
    "mesh_gateway": True,
    "sleep_s": 900,
    "oscore": [{**ENTRY, "context": "05"}],
}


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every node of a JSON value."""
    yield path
    inside = value if isinstance(value, list | dict) else []
    for key, inner in inside.items() if isinstance(inside, dict) else enumerate(inside):
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], to: object) -> Any:
    if not path:
        return to
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], to)
    return copy


def test_every_field_is_checked() -> None:
    """Commands had a table of their own, which a field of the device's could be missing from."""
    assert set(configfile.CHECKS) == set(WHOLE)
    assert set(nodeconfig._STRICTER) < set(WHOLE)
    used = {
        key
        for folder in ("firmware/writ", "host/writ_host/node", "host/writ_host/governor")
        for path in (DOCS.parent / folder).rglob("*.py")
        # what a link calls its config is an entry of "links"
        if path.parent.name != "link"
        for key in re.findall(r"\bconfig(?:\.get\(|\[)\"(\w+)\"", path.read_text())
    }
    assert used == set(WHOLE)
    # and docs/wire.md has a row for each
    text = (DOCS / "wire.md").read_text()
    table = text[text.index("| key | value |") :].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)) == set(WHOLE)


def test_a_new_field_is_checked_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(configfile.CHECKS, "hops", (bytes.fromhex, "bytes in hex"))
    write(tmp_path, {"name": "soil", "hops": 5})
    with pytest.raises(nodeconfig.BadConfig, match='"hops" is not bytes in hex'):
        nodeconfig.read(tmp_path)
    with pytest.raises(UsageError, match='"hops" is not bytes in hex'):
        configfile.read_config(str(tmp_path))


def test_a_device_and_a_command_name_the_same_mistake(tmp_path: Path) -> None:
    for key in WHOLE:
        write(tmp_path, {key: 1.5})
        with pytest.raises(nodeconfig.BadConfig) as host:
            nodeconfig.read(tmp_path)
        with pytest.raises(UsageError) as device:
            configfile.read_config(str(tmp_path))
        said = str(host.value).removeprefix(f"{tmp_path}/")
        assert said.startswith(str(device.value)), (said, str(device.value))


RADIO = {"kind": "lora", "modem": "rylr998", "port": "/dev/no", "frequency_khz": 869525}
RADIO |= {"spreading_factor": 7, "bandwidth_khz": 125, "coding_rate": 5, "power_dbm": 14}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"link": []}, '"link" is no key; did you mean "links"?'),
        ({"Gateways": []}, '"Gateways" is no key; did you mean "gateways"?'),
        ({"sleep": 900}, 'did you mean "sleep_s"?'),
        ({"links": [{"kind": "loar"}]}, 'links[0]: "kind" is "loar"; allowed: lora, serial'),
        ({"links": [{"port": "/dev/no"}]}, 'links[0]: "kind" is absent; allowed'),
        ({"links": [RADIO, {**RADIO, "modem": "e23"}]}, 'links[1]: "modem" is "e23"; allowed: ry'),
        ({"links": [RADIO, 5]}, "links[1]: not an object"),
        (
            {"links": [{"kind": "lora", "modem": "rylr998", "frequency_kHz": 869525}]},
            'links[0]: "frequency_kHz" is no key; did you mean "frequency_khz"?',
        ),
        ({"links": [{**RADIO, "power": 14}]}, ""),
        ({"links": [{**RADIO, "power_dbm": 99}]}, "links[0]: this modem has"),
        # of another version, or of the node's program
        ({"x": 1, "interval_s": 5, "comment": "soil in the valley"}, ""),
        ({"links": [], "links6": []}, ""),
    ],
)
@pytest.mark.parametrize("of_chip", [False, True])
def test_a_typo_is_refused(
    tmp_path: Path, config: dict[str, Any], said: str, of_chip: bool
) -> None:
    write(tmp_path, config)
    if not said:
        assert nodeconfig.read(tmp_path, of_chip=of_chip) == config
        return
    with pytest.raises(nodeconfig.BadConfig, match=re.escape(said)):
        nodeconfig.read(tmp_path, of_chip=of_chip)


def write(folder: Path, config: object) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "config.json").chmod(0o600)


def test_a_config_that_was_read_starts_a_node_whatever_was_in_it(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    NodeFolder(tmp_path).close()
    good = 0
    for place in places(WHOLE):
        for kind in KINDS:
            config = changed(WHOLE, place, kind)
            write(tmp_path, config)
            try:
                nodeconfig.read(tmp_path)
            except nodeconfig.BadConfig as error:
                assert "config.json" in str(error), (place, kind)
                if place:
                    named = f'"{place[0]}"', f"{place[0]}["
                    assert any(one in str(error) for one in named), (place, kind, str(error))
                continue
            good += 1
            with contextlib.suppress(OSError), NodeFolder(tmp_path, listen="127.0.0.1:0"):
                pass
            assert read_folder_status(tmp_path).name == config.get("name", "node")
            # what a command accepts starts a sensor program, too
            configfile.read_config(str(tmp_path))[1].close()
    assert 20 < good < 150


def test_no_command_ends_as_a_bug_of_writ(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    node = tmp_path / "node"
    rig.ok("member", "request", node, "--name", "soil")
    wrong = 0
    for place in (place for place in places(WHOLE) if len(place) < 3):
        for kind in (None, 5, "x", [5], {"a": 5}):
            write(node, changed(WHOLE, place, kind))
            commands: list[tuple[object, ...]] = [
                ("status", "--node", node),
                ("get", "pump/temp", "--node", node, "--timeout", "0.1"),
                ("member", "request", node),
            ]
            try:
                nodeconfig.read(node)
            except nodeconfig.BadConfig:
                wrong += 1
                # it would run until a signal
                commands.append(("node", "run", node))
            for words in commands:
                ran = rig.run(*words)
                assert ran.code != BUG, (place, kind, words, ran.err)
            if "run" in words:
                assert ran.code == REFUSED and "config.json" in ran.err, (place, kind, ran.err)
    assert wrong > 30
