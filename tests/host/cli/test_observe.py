"""`writ observe`: notifications of a MicroPython process on the loopback interface."""

import json
import signal

from field_rig import OPERATOR, RULES, Field, writ, write_book

from writ_host.node.client import NodeClient
from writ_host.node.folder import NodeFolder
from writ_host.target import parse


def test_observe_counts_and_deregisters(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    # more resources than a device has places for observers: each command must deregister
    for number in range(5):
        path = f"pump/level/{number}"
        lines = writ("observe", path, "--count", "1", "--json", "--node", node).stdout
        assert json.loads(lines)["observe"] is not None, path
    lines = writ("observe", "pump/temp", "--count", "3", "--node", node).stdout.splitlines()
    assert len({line.split()[1] for line in lines}) == 3


def test_observe_ends_when_the_policy_forbids_it(field: Field) -> None:
    pump = field.device("pump")
    node, other = field.folder("laptop", OPERATOR), field.folder("other", OPERATOR)
    for folder in (node, other):
        write_book(folder, pump=pump.address)
    watch = field.spawn("observe", "pump/temp", "--node", node)
    assert watch.stdout and watch.stdout.readline()
    field.scope.hand(other, field.scope.enact(RULES[1:]))
    writ("ping", "pump", "--node", other)
    _, said = watch.communicate(timeout=10)
    assert watch.returncode == 1
    assert "NotAllowed (40)" in said


def test_an_interrupt_ends_observe_with_success(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    watch = field.spawn("observe", "pump/temp", "--json", "--node", node)
    assert watch.stdout and json.loads(watch.stdout.readline())["node"] == "pump"
    watch.send_signal(signal.SIGINT)
    _, said = watch.communicate(timeout=10)
    assert (watch.returncode, said) == (0, "")


def test_observe_survives_a_restart_of_the_device(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    with NodeClient(NodeFolder(node)) as client:
        values = client.observe(parse(f"coap://{pump.address}/temp"), renew_s=1)
        for _ in range(5):
            next(values)
        pump.kill()
        pump.start()
        assert next(values).payload == b"21.1"
        values.close()


def test_a_resource_that_is_not_observable_is_read_in_a_period(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    assert (
        "pump/writ/status is not observable"
        in writ("observe", "pump/writ/status", "--node", node).stderr
    )
    said = writ("observe", "pump/writ/status", "--every", "1", "--count", "3", "--node", node)
    assert len(said.stdout.splitlines()) == 3 and "not observable" not in said.stderr
