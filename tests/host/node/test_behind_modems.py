"""Nodes behind LoRa modems, called from IP and from MQTT: real processes and emulated modems."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge_rig import BridgeProcess, toml
from field_rig import OPERATOR, SENSOR, Field, Process, build_tree, writ
from field_rig import writ_json as call
from interop_rig import HOST, commands, free_port
from modem_rig import channel
from mosquitto_rig import Client, Mosquitto, ask, needs_mosquitto, properties
from radio.scene import Scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
# room enough: docs/memory.md has the least heap of a device with a mesh and a modem
HEAP = "320k"
ROUTES = (
    [0, 1, OPERATOR, 6, 4, 1000, 7],
    [1, OPERATOR | 4, OPERATOR, 6, 4, 1000, 3],
    [15, 1, OPERATOR, 6, 0, 100, 0],
)
# the fastest channel: a frame takes a quarter of its time at 125 kHz
FAST = {"frequency_khz": 915000, "bandwidth_khz": 500}
READING = '[[reading]]\nnode = "soil"\nresource = "temp"\nevery_s = 1\n[requests]\n'


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    made = Field(tmp_path, tree, ROUTES, HEAP)
    yield made
    made.stop()


@pytest.fixture
def air(tmp_path: Path) -> Iterator[Scene]:
    """Modems of the gateway, a relay, and a device that hears the relay alone."""
    nodes = [
        {"name": name, "modem": "rylr998", "port": f"{name}.tty", "position": [x, 0.0]}
        for name, x in (("gate", 0.0), ("hill", 50.0), ("soil", 100.0))
    ]
    table = {"shadowing": False, "cut": [["gate", "soil"]], "node": nodes}
    with Scene.parse(table, tmp_path) as made:
        yield made


def modem(field: Field, name: str) -> list[dict[str, Any]]:
    """The links of a node with its modem, as in config.json."""
    return [channel(modem="rylr998", port=str(field.root / f"{name}.tty"), **FAST)]


def devices(field: Field, interpreter: str) -> Process:
    """The relay, on CPython, and the device "soil": it is returned."""
    if interpreter not in commands(field._tree):
        pytest.skip("no micropython here")
    field.device("hill", OPERATOR, links=modem(field, "hill"))
    return field.device("soil", interpreter=interpreter, links=modem(field, "soil"))


def wait(until: Callable[[], object], seconds: float = 90) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_command_reads_a_device_two_hops_behind_a_modem(
    field: Field, air: Scene, interpreter: str
) -> None:
    links, metrics = modem(field, "gate"), f"{HOST}:{free_port()}"
    options = "--serve", "none", "--metrics", metrics
    roles = OPERATOR | SENSOR
    gate = field.host_node("gate", roles, *options, links=links, mesh_gateway=True)
    devices(field, interpreter)
    desk = field.folder("desk", OPERATOR, gateways=[gate.address])
    wait(lambda: writ("ping", "soil", "--node", desk, code=None).exit_code == 0)
    answer = call("get", "soil/temp", "--node", desk)
    assert (answer["code"], answer["node"]) == ("2.05", "soil")
    assert answer["text"].startswith("21.")
    assert answer["address"].endswith(f" via {gate.address}")
    # a body in blocks, each of which takes its turn at each modem
    writ("put", "soil/note", "x" * 900, "--node", desk)
    assert call("get", "soil/note", "--node", desk)["text"] == "x" * 900
    # who has spent the airtime of the gateway, in its status and at a scrape
    mesh = call("status", f"coap://{gate.address}", "--node", desk)["mesh"]
    (requester,) = mesh["requesters"]
    assert requester["address"] and requester["requests"] >= 8
    spent_s = requester["spent_ms"] / 1000
    assert 0 < spent_s < mesh["links"][0]["spent_ms"] / 1000
    key = 'mesh_requester_airtime_seconds{requester="desk"}'
    # published each second
    wait(lambda: scrape(metrics).get(key, 0) >= spent_s - 0.01)
    found = scrape(metrics)
    assert found["mesh_rank"] == 0 and found["epoch"] == 1
    check_mesh(found)


def test_a_gateway_that_is_killed_keeps_its_airtime(field: Field, air: Scene) -> None:
    links = modem(field, "gate")
    links[0]["duty_cycle_permille"] = 10
    gate = field.host_node(
        "gate", OPERATOR | SENSOR, "--serve", "none", links=links, mesh_gateway=True
    )
    desk = field.folder("desk", OPERATOR, gateways=[gate.address])
    wait((gate.path / "airtime.cbor").exists)

    def mesh() -> Any:
        return call("status", f"coap://{gate.address}", "--node", desk)["mesh"]

    before_ms = mesh()["links"][0]["spent_ms"]
    assert 0 < before_ms < 36_000
    assert gate.process
    gate.process.kill()
    gate.process.wait()
    gate.start()
    found = mesh()
    assert before_ms <= found["links"][0]["spent_ms"] < 36_000 and found["airtime_s"] < 3600
    shown = writ("status", f"coap://{gate.address}", "--node", desk).output
    assert " in the last " in shown and "in the last hour" not in shown


def scrape(address: str) -> dict[str, float]:
    """The metrics of a node, without their prefix."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    rows = [line.rsplit(" ", 1) for line in lines if line.startswith("writ_node_")]
    return {name.removeprefix("writ_node_"): float(value) for name, value in rows}


def check_mesh(found: dict[str, float]) -> None:
    """The metrics of a mesh with one modem, on a channel without duty cycle."""
    whole = found['mesh_airtime_seconds{link="0"}']
    classes = [value for name, value in found.items() if name.startswith("mesh_class_airtime")]
    assert len(classes) >= 2 and whole > 0 and abs(sum(classes) - whole) < 0.01
    assert 0 < found['mesh_neighbour_airtime_seconds{link="0",neighbour="hill"}'] < whole
    assert found['mesh_class_budget_seconds{class="join",link="0"}'] == 360
    assert not [name for name in found if name.startswith("mesh_airtime_budget")]
    assert found['mesh_frames_sent_total{link="0"}'] > 4
    assert found['mesh_frames_received_total{link="0"}'] > 4
    assert found["mesh_neighbours"] == 1
    assert found["mesh_mailbox_messages"] == found["mesh_sleepers"] == 0


def value_of(message: Any) -> str:
    """The value of a published reading."""
    return str(json.loads(message.payload)["value"])


@needs_mosquitto
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_bridge_with_its_own_modem_reads_and_sets(
    field: Field, air: Scene, tmp_path: Path, interpreter: str
) -> None:
    config = {"links": modem(field, "gate"), "mesh_gateway": True}
    path = field.folder("hub", OPERATOR, listen=f"{HOST}:{free_port()}", **config)
    root = f"writ/{field.scope.id.hex()}/soil"
    hub = BridgeProcess(path)
    with Mosquitto(tmp_path / "mosquitto") as broker, Client(broker.port) as client:
        (path / "bridge.toml").write_text(toml(broker.port, READING))
        hub.start()
        try:
            devices(field, interpreter)

            def readings() -> list[str]:
                found = [one for one in client.heard if one.topic == f"{root}/temp"]
                return [value_of(one) for one in found]

            wait(readings)
            assert readings()[0].startswith("21.")
            assert properties(ask(client, f"{root}/note/set", b"first")) == {"code": "2.04"}
            assert ask(client, f"{root}/note/get").payload == b"first"
            refused = properties(ask(client, f"{root}/secret/get"))
            assert refused["refusal"] == "NotAllowed"
            samples = hub._samples().items()
            check_mesh({name.removeprefix("writ_bridge_"): value for name, value in samples})
            # the modem is pulled out, and plugged in again
            air.call(lambda: air.unplug("gate"))
            hub.wait_for("link", link=0, problem=None)
            wait(lambda: [e for e in hub.events if e["event"] == "link" and e["problem"]])
            count = len(readings())
            air.call(lambda: air.plug("gate"))
            hub.wait_for("link", count=2, link=0, problem=None)
            wait(lambda: len(readings()) > count)
            assert properties(ask(client, f"{root}/note/set", b"again")) == {"code": "2.04"}
            assert ask(client, f"{root}/note/get").payload == b"again"
        finally:
            hub.kill()
            (tmp_path / "events").write_text(hub.output)
