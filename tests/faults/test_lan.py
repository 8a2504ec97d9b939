"""Nodes on a network of namespaces: several addresses, discovery, and addresses that change."""

from pathlib import Path

import pytest
from field_rig import OPERATOR
from lan_rig import RULES, Lan, lan

pytestmark = pytest.mark.slow
INTERPRETERS = ("micropython", "cpython")
PORT = 5683
# The device's link leaves the choice of the interface to the system; hosts use each one.
MULTICAST_ROUTE = "route add 224.0.0.0/4 dev eth0"


def move(field: Lan, machine: str, to: str) -> None:
    """Give a machine another address, as a lease of DHCP does."""
    old = field.net.address(machine)
    # in this order: an address goes with the one whose network it shares
    field.net.ip(machine, f"address del {old}/24 dev eth0", f"address add {to}/24 dev eth0")


def test_a_node_answers_at_each_of_its_addresses(tmp_path: Path) -> None:
    with lan(tmp_path, "gate", "desk") as field:
        gate = field.net.address("gate")
        field.net.ip(
            "gate",
            "address add 10.77.0.50/24 dev eth0",
            "address add 10.99.0.1/32 dev lo",
            "address add 2001:db8:77::1/64 dev eth0 nodad",
            "address add 2001:db8:77::50/64 dev eth0 nodad",
        )
        field.net.ip(
            "desk",
            f"route add 10.99.0.1/32 via {gate}",
            "address add 2001:db8:77::2/64 dev eth0 nodad",
        )
        field.folder("gate")
        desk = field.folder("desk", OPERATOR)
        field.run_node("gate", "--listen", f"[::]:{PORT}")
        hosts = (gate, "10.77.0.50", "10.99.0.1", "[2001:db8:77::1]", "[2001:db8:77::50]")
        for host in hosts:
            # a new session for each, as a stock client makes
            said = field.writ_json("desk", "ping", f"coap://{host}", "--node", desk)
            assert said["address"] == f"{host}:{PORT}"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_device_finds_a_gateway_and_gets_its_policy(tmp_path: Path, interpreter: str) -> None:
    with lan(tmp_path, "gate", "soil") as field:
        field.net.ip("soil", MULTICAST_ROUTE)
        field.folder("soil", gateways=["discover"])
        field.scope.enact(RULES)
        field.folder("gate", OPERATOR)
        field.run_node("gate")
        soil = field.device("soil", interpreter)
        address = f"{field.net.address('gate')}:{PORT}"
        soil.wait_for("state", gateways=[address])
        soil.wait_for("state", epoch=3)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_search_lists_hosts_and_devices_on_every_interface(
    tmp_path: Path, interpreter: str
) -> None:
    with lan(tmp_path, "gate", "soil", "desk") as field:
        field.net.connect("gate", "desk", "10.78.0")
        field.net.ip("gate", "address add 2001:db8:78::1/64 dev eth1 nodad")
        field.net.ip("desk", "address add 2001:db8:78::2/64 dev eth1 nodad")
        field.net.ip("soil", MULTICAST_ROUTE)
        desk = field.folder("desk", OPERATOR)
        field.folder("gate")
        field.folder("soil", discoverable=True)
        field.run_node("gate", "--listen", f"[::]:{PORT}")
        field.device("soil", interpreter)
        found = field.writ_json("desk", "discover", "--node", desk)["nodes"]
        assert not any(one["verified"] or one["name"] for one in found)
        by_address = {one["address"]: one for one in found}
        for name, host in (
            ("gate", field.net.address("gate")),
            ("gate", "10.78.0.1"),
            ("gate", "[2001:db8:78::1]"),
            ("soil", field.net.address("soil")),
        ):
            one = by_address[f"{host}:{PORT}"]
            assert (
                one["node_id"] == field.node_ids[name].hex()
                and one["scope"] == field.scope.id.hex()
            )
        assert any(address.startswith("[fe80::") for address in by_address)
        said = field.writ("desk", "discover", "--node", desk)
        assert "unverified" in said and "nothing here is verified" in said
        # a handshake verifies
        found = field.writ_json("desk", "discover", "--verify", "--node", desk)["nodes"]
        assert {one["name"] for one in found} == {"gate", "soil"}
        assert all(one["verified"] for one in found), found


def test_nodes_at_fixed_addresses_and_other_ports_are_found(tmp_path: Path) -> None:
    with lan(tmp_path, "gate", "soil", "desk") as field:
        field.net.ip("soil", "address add 2001:db8:77::3/64 dev eth0 nodad")
        field.net.ip("desk", "address add 2001:db8:77::2/64 dev eth0 nodad")
        desk = field.folder("desk", OPERATOR)
        field.folder("gate")
        field.folder("soil")
        field.run_node("gate", "--listen", f"{field.net.address('gate')}:{PORT}")
        field.run_node("soil", "--listen", "[2001:db8:77::3]:7000")
        found = field.writ_json("desk", "discover", "--node", desk)["nodes"]
        addresses = {one["address"] for one in found}
        assert addresses == {f"{field.net.address('gate')}:{PORT}", "[2001:db8:77::3]:7000"}


def test_commands_find_a_gateway_where_the_node_is_told_to_look(tmp_path: Path) -> None:
    with lan(tmp_path, "gate", "soil", "desk") as field:
        address = f"{field.net.address('gate')}:{PORT}"
        desk = field.folder("desk", OPERATOR, gateways=["discover"])
        field.folder("soil", gateways=[address])
        field.folder("gate", OPERATOR)
        field.run_node("gate")
        field.device("soil", "cpython")
        assert field.writ("desk", "get", "soil/temp", "--node", desk).startswith("21.")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_an_observer_that_moves_goes_on_observing(tmp_path: Path, interpreter: str) -> None:
    with lan(tmp_path, "gate", "soil") as field:
        address = f"{field.net.address('gate')}:{PORT}"
        field.folder("gate", OPERATOR)
        field.folder("soil", watch=address, gateways=[address])
        field.device("gate", "cpython")
        soil = field.device("soil", interpreter)
        soil.wait_for("value", ok=True)
        move(field, "soil", "10.77.0.92")
        # what was on its way is not meant
        since = soil.mark() + 3
        soil.wait_until(lambda what: what["event"] == "value", "a value", since, 120)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_an_observed_node_that_moves_goes_on_notifying(tmp_path: Path, interpreter: str) -> None:
    with lan(tmp_path, "gate", "soil") as field:
        field.folder("soil")
        field.folder("gate", OPERATOR, watch=f"{field.net.address('soil')}:{PORT}")
        field.device("soil", interpreter)
        gate = field.device("gate", "cpython")
        gate.wait_for("value", ok=True)
        move(field, "soil", "10.77.0.92")
        since = gate.mark() + 3
        gate.wait_until(lambda what: what["event"] == "value", "a value", since, 120)


def test_a_fixed_address_that_vanishes_is_named_and_serves_again(tmp_path: Path) -> None:
    with lan(tmp_path, "gate", "desk") as field:
        host = field.net.address("gate")
        field.folder("gate")
        desk = field.folder("desk", OPERATOR)
        gate = field.run_node("gate", "--listen", f"{host}:{PORT}")
        field.writ("desk", "ping", f"coap://{host}", "--node", desk)
        field.net.ip("gate", f"address del {host}/24 dev eth0")
        problem = gate.wait_for("address")["problem"]
        assert f"no longer has the address {host}" in problem
        since = gate.mark()
        field.net.ip("gate", f"address add {host}/24 dev eth0")
        gate.wait_for("address", since, problem=None)
        field.writ("desk", "ping", f"coap://{host}", "--node", desk)
