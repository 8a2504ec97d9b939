"""`writ bridge`: what a dry run shows, and what is refused before anything runs."""

import json

import pytest
from bridge_rig import NAME, READ_TEMP, bridge_folder, toml
from field_rig import Field, writ
from home_assistant import check_message
from interop_rig import free_port
from mosquitto_rig import Client, Mosquitto, needs_mosquitto

pytestmark = pytest.mark.slow


@needs_mosquitto
def test_a_dry_run_shows_what_would_be_published_and_publishes_nothing(
    field: Field, broker: Mosquitto
) -> None:
    device = field.device("soil")
    more = READ_TEMP + READ_TEMP.replace("temp", "secret")
    path = bridge_folder(field, toml(broker.port, more), soil=device.address)
    with Client(broker.port) as client:
        ran = writ("bridge", "run", path, "--dry-run", "--json")
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        assert client.heard == []
    shown = {one["topic"]: one for one in lines if "topic" in one}
    root = f"writ/{field.scope.id.hex()}"
    assert shown[f"{root}/{NAME}/$state"]["payload"] == "online"
    assert json.loads(shown[f"{root}/soil/temp"]["payload"])["value"] == 21.1
    assert shown[f"{root}/soil/temp"]["retain"] is True
    messages = [
        check_message(topic, json.dumps(one["payload"]).encode())
        for topic, one in shown.items()
        if topic.startswith("homeassistant/")
    ]
    assert {one["device"]["name"] for one in messages} == {"soil", NAME}
    (problem,) = [one for one in lines if "problem" in one]
    assert problem == {"reading": "soil/secret", "problem": "refused: NotAllowed (40)"}
    text = writ("bridge", "run", path, "--dry-run").stdout
    assert f"{root}/soil/temp (retained)" in text
    # what goes out, and no Python text
    sent = [row.partition("  {") for row in text.splitlines() if "  {" in row]
    assert len(sent) == 3 and all(json.loads("{" + row[2]) for row in sent)
    assert "\\n" not in text


def test_a_mistake_in_the_file_ends_every_command(field: Field) -> None:
    path = bridge_folder(field, toml(free_port(), "[[reading]]\nnode = 7\n"))
    for words in (["run"], ["run", "--dry-run"], ["check"]):
        ran = writ("bridge", words[0], path, *words[1:], code=1)
        assert "bridge.toml:7: 'node' must be text" in ran.stderr
    other = path / "other.toml"
    other.write_text("x = 1\n")
    assert (
        f"{other}:1: unknown key 'x'"
        in writ("bridge", "check", path, "--file", other, code=1).stderr
    )


def test_a_second_bridge_on_a_folder_is_refused(field: Field) -> None:
    path = bridge_folder(field, toml(free_port()))
    process = field.spawn("bridge", "run", path)
    assert process.stdout is not None
    assert "reads 1 resources" in process.stdout.readline()
    assert "is in use by" in writ("bridge", "check", path, code=1).stderr
