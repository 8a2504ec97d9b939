"""Nodes behind a mesh, called from IP: real processes, UDP sockets, and ptys as serial lines."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import pytest
from bridge_rig import BridgeProcess, toml
from field_rig import GUEST, OPERATOR, RULES, SENSOR, Field, Process, build_tree, writ
from field_rig import writ_json as call
from interop_rig import HOST, commands, free_port
from mosquitto_rig import Client, Mosquitto, ask, needs_mosquitto, properties
from pty_rig import Cable

pytestmark = pytest.mark.slow
# room enough: test_serial_mesh.py shows what a device with a mesh needs
HEAP = "320k"
# operators forward; guests may use governance only
ROUTES = (
    [0, 1, OPERATOR, 6, 4, 1000, 7],
    [1, OPERATOR | 4, OPERATOR, 6, 4, 1000, 3],
    [15, 1, OPERATOR, 6, 0, 100, 0],
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    made = Field(tmp_path, tree, ROUTES, HEAP)
    yield made
    made.stop()


@pytest.fixture
def cables(tmp_path: Path) -> Iterator[list[Cable]]:
    made = []
    for name in ("near", "far"):
        folder = tmp_path / name
        folder.mkdir()
        made.append(Cable(folder))
    yield made
    for one in made:
        one.close()


def line(cable: Cable, end: int) -> dict[str, str]:
    """An end of a cable, as in config.json."""
    return {"kind": "serial", "port": str(cable.paths[end])}


def devices(field: Field, cables: list[Cable]) -> Process:
    """A relay between two lines, and the device "soil" on the second one: it is returned."""
    field.device("hill", OPERATOR, links=[line(cables[0], 1), line(cables[1], 0)])
    interpreter = "micropython" if "micropython" in commands(field._tree) else "cpython"
    return field.device("soil", interpreter=interpreter, links=[line(cables[1], 1)])


def wait(until: Callable[[], object], seconds: float = 90) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def knows(folder: Path) -> bool:
    """Whether a call of this node finds the device "soil"."""
    return writ("ping", "soil", "--node", folder, code=None).exit_code == 0


def test_a_command_reads_a_device_two_hops_behind_a_gateway(
    field: Field, cables: list[Cable]
) -> None:
    links = [line(cables[0], 0)]
    gate = field.host_node("gate", OPERATOR, "--serve", "none", links=links, mesh_gateway=True)
    devices(field, cables)
    desk = field.folder("desk", OPERATOR, gateways=[gate.address])
    wait(lambda: knows(desk))
    answer = call("get", "soil/temp", "--node", desk)
    assert (answer["code"], answer["node"]) == ("2.05", "soil")
    assert answer["text"].startswith("21.")
    assert answer["address"].endswith(f" via {gate.address}")
    # the wait is said on stderr, and the value alone is on stdout
    found = writ("get", "soil/temp", "--node", desk)
    assert "soil is behind gate: up to 40 s" in found.stderr
    assert found.stdout.startswith("21.")
    # a body in blocks
    writ("put", "soil/note", "x" * 900, "--node", desk)
    assert call("get", "soil/note", "--node", desk)["text"] == "x" * 900
    # it is remembered, and can be observed by asking again only, in a period that is said
    assert answer["address"] == json.loads((desk / "seen.json").read_text())["soil"][0]
    found = writ("observe", "soil/temp", "--every", "1", "--count", "3", "--node", desk)
    assert "passes no notifications on: the value is read every 1 s" in found.stderr
    values = [row.split()[1] for row in found.stdout.splitlines()]
    assert len(set(values)) == 3 and all(one.startswith("21.") for one in values)
    events = writ("observe", "soil/temp", "--every", "1", "--count", "2", "--json", "--node", desk)
    assert [json.loads(row)["observe"] for row in events.stdout.splitlines()] == [None, None]
    # the device judges the request, not the gateway
    refused = writ("get", "soil/secret", "--node", desk, code=None)
    assert refused.exit_code and "soil refused: NotAllowed" in refused.output
    # a member that the policy lets send no such frames
    guest = field.folder("guest", GUEST, gateways=[gate.address])
    refused = writ("status", "soil", "--node", guest, code=None)
    assert f"the gateway {gate.address} passes nothing to soil: NotRouted" in refused.output
    # a revoked one is refused by the gateway
    guest_id = field.scope.folder(field.root / "gone", "gone", OPERATOR, gateways=[gate.address])
    policy = field.scope.enact(RULES, (guest_id,))
    field.scope.hand(desk, policy)
    wait(lambda: call("get", "soil/temp", "--node", desk)["epoch"] == 2)
    # it knows the address from before
    (field.root / "gone" / "seen.json").write_text((desk / "seen.json").read_text())
    refused = writ("get", "soil/temp", "--node", field.root / "gone", code=None)
    assert refused.exit_code and "Revoked" in refused.output


def test_what_is_silent_is_named(field: Field, cables: list[Cable]) -> None:
    links = [line(cables[0], 0)]
    gate = field.host_node("gate", OPERATOR, "--serve", "none", links=links, mesh_gateway=True)
    desk = field.folder("desk", OPERATOR, gateways=[gate.address])
    said = writ("get", "soil/temp", "--node", desk, code=1).stderr
    assert f"no address is known for soil (asked {gate.address})" in said
    assert "has not joined the mesh yet" in said and "writ status gate shows" in said
    soil = field.device("soil", links=[line(cables[0], 1)])
    wait(lambda: knows(desk))
    soil.kill()
    said = writ("get", "soil/temp", "--node", desk, "--timeout", "3", code=3).stderr
    assert f"no answer from soil behind the gateway {gate.address}" in said
    gate.kill()
    said = writ("get", "soil/temp", "--node", desk, "--timeout", "5", code=3).stderr
    assert f"the gateway {gate.address} of soil does not answer" in said
    # no book and no call before it knows the address
    (desk / "seen.json").unlink()
    said = writ("get", "soil/temp", "--node", desk, "--timeout", "5", code=1).stderr
    assert f"no address is known for soil: {gate.address} does not answer" in said


def test_a_gateway_that_was_killed_reaches_a_far_device_at_once(
    field: Field, cables: list[Cable]
) -> None:
    links = [line(cables[0], 0)]
    gate = field.host_node("gate", OPERATOR, "--serve", "none", links=links, mesh_gateway=True)
    devices(field, cables)
    desk = field.folder("desk", OPERATOR, gateways=[gate.address])
    wait(lambda: knows(desk))
    # the device has reported: ten seconds later that is on the disk
    wait((gate.path / "ways.cbor").exists)
    gate.kill()
    gate.start()
    answer = call("get", "soil/temp", "--node", desk)
    assert answer["text"].startswith("21.")
    # not by what was written alone: without it there is no way
    gate.kill()
    (gate.path / "ways.cbor").unlink()
    gate.start()
    refused = writ("get", "soil/temp", "--node", desk, code=None)
    assert refused.exit_code and "NoRoute" in refused.output


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_device_that_sleeps_behind_a_relay_is_written_to(
    field: Field, cables: list[Cable], interpreter: str
) -> None:
    if interpreter not in commands(field._tree):
        pytest.skip("no micropython here")
    links = [line(cables[0], 0)]
    gate = field.host_node("gate", OPERATOR, "--serve", "none", links=links, mesh_gateway=True)
    field.device("hill", OPERATOR, links=[line(cables[0], 1), line(cables[1], 0)])
    links = [line(cables[1], 1)]
    soil = field.device("soil", interpreter=interpreter, links=links, sleep_s=3)
    desk = field.folder("desk", OPERATOR, gateways=[gate.address])
    wait(lambda: knows(desk))
    soil.wait_for("awake", 60)
    # each waits at the relay for the next window, and the blocks after the first one are in it
    for size in (20, 900, 1800):
        writ("put", "soil/note", "x" * size, "--node", desk)
        assert call("get", "soil/note", "--node", desk)["text"] == "x" * size


def test_a_command_waits_for_a_device_that_sleeps(field: Field, cables: list[Cable]) -> None:
    links = [line(cables[0], 0)]
    roles, listen = OPERATOR | SENSOR, f"{HOST}:{free_port()}"
    gate = field.host_node("gate", roles, "--serve", "none", links=links, mesh_gateway=True)
    path = field.folder("soil", SENSOR, links=[line(cables[0], 1)], sleep_s=50, listen=listen)
    interpreter, environment = commands(field._tree)["cpython"]
    program = [*interpreter, str(field._tree / "device.py"), str(path)]
    with Popen(program, env=environment, stdout=DEVNULL) as soil:
        try:
            desk = field.folder("desk", OPERATOR, gateways=[gate.address])
            sleepers: list[dict[str, Any]] = []

            def is_asleep() -> bool:
                mesh = call("status", f"coap://{gate.address}", "--node", desk)["mesh"]
                sleepers[:] = mesh["sleepers"]
                return bool(sleepers)

            wait(is_asleep)
            (known,) = sleepers
            assert (known["sleep_s"], known["waiting"]) == (50, 0) and known["heard_s"] < 50
            answer = call("get", "soil/temp", "--node", desk, "--timeout", "110")
            assert answer["text"].startswith("21.")
            # in a status of all members it is no failure, even without a wait for its window
            wait(lambda: is_asleep() and sleepers[0]["heard_s"] >= 8)
            told = call("status", "--node", desk, "--timeout", "4")["members"]
            assert [one["name"] for one in told] == ["desk", "gate", "soil"]
            assert (told[1]["state"], told[1]["hops"]) == ("online", 0)
            assert (told[2]["state"], told[2]["sleep_s"]) == ("asleep", 50)
            assert told[2]["heard_by"] == "gate" and told[2]["expected_s"] <= 50
            not_asked = call("status", "--node", desk, "--no-mesh")["members"]
            assert [one["state"] for one in not_asked] == ["this node", "online", "asleep"]
        finally:
            soil.kill()


@contextlib.contextmanager
def bridge(field: Field, broker: Mosquitto, reading: str, **config: Any) -> Iterator[BridgeProcess]:
    """A running bridge "hub" that reads soil/temp and takes requests. reading: how it reads."""
    path = field.folder("hub", OPERATOR, listen=f"{HOST}:{free_port()}", **config)
    head = '[[reading]]\nnode = "soil"\nresource = "temp"\n'
    (path / "bridge.toml").write_text(
        toml(broker.port, f"{head}{reading}\n[requests]\nper_minute = 600\n")
    )
    hub = BridgeProcess(path).start()
    try:
        yield hub
    finally:
        hub.kill()


@needs_mosquitto
def test_a_bridge_with_an_own_line_reads_and_sets(
    field: Field, cables: list[Cable], tmp_path: Path
) -> None:
    links = [line(cables[0], 0)]
    reading = "every_s = 1"
    config = {"links": links, "mesh_gateway": True}
    with (
        Mosquitto(tmp_path / "mosquitto") as broker,
        bridge(field, broker, reading, **config) as hub,
    ):
        devices(field, cables)
        hub.wait_for("connected")
        use(field, broker, hub)


@needs_mosquitto
def test_a_bridge_reads_and_sets_behind_another_gateway(
    field: Field, cables: list[Cable], tmp_path: Path
) -> None:
    links = [line(cables[0], 0)]
    gate = field.host_node("gate", OPERATOR, "--serve", "none", links=links, mesh_gateway=True)
    reading = "observe = true"
    config = {"gateways": [gate.address]}
    with (
        Mosquitto(tmp_path / "mosquitto") as broker,
        bridge(field, broker, reading, **config) as hub,
    ):
        devices(field, cables)
        hub.wait_for("connected")
        use(field, broker, hub)


def use(field: Field, broker: Mosquitto, bridge: BridgeProcess) -> None:
    """Readings of "soil" arrive at the broker, and requests from MQTT at "soil"."""
    root = f"writ/{field.scope.id.hex()}/soil"
    wait(lambda: bridge.metric("readings_total") >= 1)
    with Client(broker.port) as client:
        answer = ask(client, f"{root}/note/set", b"first")
        assert properties(answer) == {"code": "2.04"}
        assert ask(client, f"{root}/note/get").payload == b"first"
        assert properties(ask(client, f"{root}/secret/get"))["refusal"] == "NotAllowed"
