"""docs/bridge.md agrees with the code: its example, its keys, topics and metrics."""

import re
from pathlib import Path

import pytest
from cli_rig import Rig
from docs_rig import DOCS, FENCE, rows, ticked
from interop_rig import HOST, free_port

from writ_host.bridge import held, mapping, metrics, settings, topics

PAGE = (DOCS / "bridge.md").read_text()


def example() -> str:
    """The bridge.toml of the page."""
    (text,) = [text for language, _, text in FENCE.findall(PAGE) if language == "toml"]
    return str(text)


def test_the_example_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(example())
    found = settings.read(file)
    assert found.broker.password_file == tmp_path / "password"
    assert [one.name for one in found.readings] == ["soil-1/temp", "soil-1/moisture"]
    assert all(one.mapping.device_class for one in found.readings)


@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rig = Rig(tmp_path)
    rig.create()
    blocks = [text for language, _, text in FENCE.findall(PAGE) if language == "sh"]
    request, admit, check, dry, run = [one for text in blocks for one in text.splitlines()]
    for line in (request, f"{admit} --yes"):
        assert rig.run(*line.split()[1:]).code == 0, line
    text = example().replace("broker.example.org", f'{HOST}"\nport = {free_port()} #')
    (tmp_path / "hub/bridge.toml").write_text(text)
    password = tmp_path / "hub/password"
    password.touch(0o600)
    password.write_text("hub\nsecret\n")
    ran = rig.run(*check.split()[1:], "--timeout", "1")
    # everything is in order but the broker
    assert (ran.code, "Connection refused" in ran.err) == (3, True), ran.err
    assert dry == f"{run} --dry-run"
    assert run == "writ bridge run hub"


def keys() -> dict[str, list[str]]:
    """{table: keys} of the page's list of keys."""
    found: dict[str, list[str]] = {}
    table = ""
    for row in rows(PAGE, "table", "key", "default", "meaning"):
        table = row[0] or table
        found.setdefault(table.strip("`"), []).extend(ticked(row[1]))
    return found


def test_every_key_is_on_the_page_and_accepted(tmp_path: Path) -> None:
    found = keys()
    assert set(found["[[reading]]"]) | {"on", "off"} == set(settings._READING)
    file = tmp_path / "bridge.toml"
    for table, names in found.items():
        for name in names:
            head = "" if table == "(top)" else f"{table}\n"
            file.write_text(f"{head}{name} = []\n")
            with pytest.raises(settings.BadSettings) as raised:
                settings.read(file)
            assert "unknown key" not in str(raised.value), name


def test_the_topics_of_the_page_are_those_of_the_code() -> None:
    scope, listed = bytes(8), [ticked(row[0])[0] for row in rows(PAGE, "topic", "content")]
    made = {topics.reading(scope, "NODE", "RESOURCE"), topics.state(scope, "NODE")}
    made.add(topics.request(scope, "NODE", "RESOURCE", "get"))
    made.add(topics.capsules(scope) + "SLOT")
    assert {one.replace(scope.hex(), "SCOPE") for one in made} <= set(listed)


def test_the_slots_of_the_page_are_those_of_the_code() -> None:
    (row,) = [row for row in rows(PAGE, "topic", "content") if "SLOT" in row[0]]
    for name in ticked(row[1]):
        slot = name.replace("EPOCH", "7").replace("NODEID", "0123456789abcdef")
        assert held.is_slot(slot), name


def test_every_metric_is_on_the_page() -> None:
    tables = {
        "metric, after `writ_bridge_`": "",
        "metric, after `writ_bridge_mesh_` or `writ_node_mesh_`": "mesh_",
    }
    listed = {
        prefix + re.sub(r"_total|\{.*\}", "", one)
        for header, prefix in tables.items()
        for row in rows(PAGE, header, "meaning")
        for one in ticked(row[0])
    }
    assert listed == set(metrics.HELP)


def test_the_defaults_of_the_page_are_those_of_the_code() -> None:
    text = PAGE.split("Defaults by the last word of the path: ")[1].split(". Another")[0]
    assert set(ticked(text)) == set(mapping._BY_NAME)
