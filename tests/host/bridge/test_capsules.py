"""Two sites whose only common link is a broker that neither trusts."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack_rig import RULES, AttackedField, post, wait
from bridge_rig import READ, BridgeProcess, Site, prefix, running, toml
from field_rig import OPERATOR, write_book
from interop_rig import HOST, free_port
from mosquitto_rig import Client, Mosquitto, ask, needs_mosquitto, properties, wait_for

from writ import crypto
from writ.authority import capsule
from writ.authority.store import FileFlash, Store
from writ.limits import CAPSULE_BYTES_MAX

pytestmark = [pytest.mark.slow, needs_mosquitto]


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[AttackedField]:
    field = AttackedField(tmp_path, tree)
    yield field
    field.stop()


@pytest.fixture
def sites(field: AttackedField, broker: Mosquitto) -> Iterator[list[Site]]:
    """Two sites, running and connected."""
    with running(Site(field, broker, "north"), Site(field, broker, "south")) as made:
        yield made


def test_two_sites_converge_on_the_newest_policy(
    field: AttackedField, broker: Mosquitto, sites: list[Site]
) -> None:
    north, south = sites
    for site in sites:
        wait_for(lambda site=site: site.bridge.metric("readings_total") > 0)  # type: ignore[misc]
    # a policy arrives at one site, as from a governor there: it reaches the device of the other
    closed = [rule for rule in RULES if rule[2] != "temp"]
    assert post(north.address, field.scope.enact(closed)) == ["taken"]
    wait_for(lambda: south.epoch() == 2)
    south.bridge.wait_for("unread", reading="south-soil/temp")
    assert field.status(south.device)["epoch"] == 2
    # and the other way round, by an amendment
    assert post(south.address, field.scope.amend(bytes(8))) == ["taken"]
    wait_for(lambda: north.epoch() == 3)
    # each knows the other's bridge by its own capsule
    with Client(broker.port, f"{prefix(field)}/#") as client:
        for site in sites:
            raw = bytes(Store(FileFlash(str(site.bridge.path))).load("member"))
            client.wait(f"{prefix(field)}/member/{node_id(raw)}", raw)
        assert all(one.retain for one in client.heard)


def node_id(raw: bytes) -> str:
    """The node id of a member capsule."""
    return capsule.Member(capsule.parse(raw)).node_id.hex()


def test_a_site_that_was_away_gets_what_it_missed(
    field: AttackedField, broker: Mosquitto, sites: list[Site]
) -> None:
    north, south = sites
    south.bridge.kill()
    for n in range(3):
        assert post(north.address, field.scope.amend(bytes([n]) * 8)) == ["taken"]
    beacon = field.scope.beacon()
    assert post(north.address, beacon) == ["taken"]
    with Client(broker.port, f"{prefix(field)}/#") as client:
        client.wait(f"{prefix(field)}/beacon", beacon)
        client.wait(f"{prefix(field)}/amendment/4")
    # the broker alone is left
    north.bridge.kill()
    broker.kill()
    broker.start()
    south.bridge.start()
    wait_for(lambda: south.epoch() == 4, 60)
    south.bridge.wait_for("beacon")


def test_a_flood_of_capsules_starves_neither_readings_nor_requests(
    field: AttackedField, broker: Mosquitto, sites: list[Site]
) -> None:
    north, south = sites
    root, chance = prefix(field), random.Random(7)
    is_over = threading.Event()

    def flood() -> None:
        with Client(broker.port, "none") as client:
            while not is_over.is_set():
                slot = f"amendment/{chance.randrange(1, 1 << 31)}"
                raw = chance.randbytes(chance.randrange(CAPSULE_BYTES_MAX + 100))
                client._client.publish(f"{root}/{slot}", raw, 0)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        # refused, or dropped unread
        wait_for(lambda: north.bridge.total("capsules_refused_total") > 2000, 60)
        before = north.bridge.metric("readings_total")
        wait_for(lambda: north.bridge.metric("readings_total") >= before + 3)
        # a revocation gets through, from one site to the other
        assert post(north.address, field.scope.enact(RULES)) == ["taken"]
        is_over.set()
        wait_for(lambda: south.epoch() == 2, 150)
    finally:
        is_over.set()
        thread.join()


def test_a_blank_bridge_is_admitted_over_the_broker(
    field: AttackedField, broker: Mosquitto, sites: list[Site]
) -> None:
    north, _ = sites
    path = field.root / "blank"
    path.mkdir()
    field.scope.configure(path, "blank", listen=f"{HOST}:{free_port()}")
    (path / "bridge.toml").write_text(toml(broker.port, "[requests]\n"))
    write_book(path, **{"north-soil": north.device.address})
    blank = BridgeProcess(path).start()
    try:
        wait_for(lambda: blank.metric("epoch") == 1)
        # before that it can do nothing, and says so
        with Client(broker.port) as client:
            topic = f"writ/{field.scope.id.hex()}/north-soil/temp/get"
            assert properties(ask(client, topic))["refusal"] == "NoScope"
        assert blank.metric("defects_total") == 0
        # its membership is certified elsewhere, and comes by the other site
        private = bytes(Store(FileFlash(str(path))).load("key"))
        raw = field.scope.member(private, "blank", 4000, OPERATOR)
        assert post(north.address, raw) == ["taken"]
        event = blank.wait_for("expires")
        assert "admitted as a member" in event["text"]
    finally:
        blank.kill()


def test_a_member_that_was_admitted_in_an_outage_survives_a_restart(
    field: AttackedField, broker: Mosquitto, sites: list[Site]
) -> None:
    north, _ = sites
    broker.kill()
    north.bridge.wait_for("disconnected")
    raw = field.scope.member(crypto.sha256(b"late"), "late", 4001, OPERATOR)
    assert post(north.address, raw) == ["taken"]
    spool = north.bridge.path / "spool.db"
    wait_for(lambda: kept(spool, node_id(raw)))
    north.bridge.kill()
    broker.start()
    with Client(broker.port, f"{prefix(field)}/#") as client:
        north.bridge.start()
        client.wait(f"{prefix(field)}/member/{node_id(raw)}", raw)


def kept(spool: Path, node: str) -> bool:
    """Whether the member's capsule is in the write-ahead log of a spool, which is locked."""
    log = spool.with_name("spool.db-wal")
    return f"member/{node}".encode() in log.read_bytes()


def test_capsules_stay_at_home_if_they_are_to(field: AttackedField, broker: Mosquitto) -> None:
    site = Site(field, broker, "north")
    more = READ.format("north-soil") + "[capsules]\ncarry = false\n"
    (site.bridge.path / "bridge.toml").write_text(toml(broker.port, more))
    site.bridge.start()
    try:
        with Client(broker.port) as client:
            wait(lambda: site.bridge.metric("published_total") > 3)
            assert not [one for one in client.heard if "/capsule/" in one.topic]
    finally:
        site.bridge.kill()
