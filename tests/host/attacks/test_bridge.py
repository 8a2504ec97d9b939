"""Attacks on a bridge by the broker and by its clients (docs/security.md), with a real broker."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack_rig import RULES, AttackedField, AttackedScope, flipped, greedy, post, sealed
from bridge_rig import Site, prefix, running
from interop_rig import PlainKey
from mosquitto_rig import Client, Mosquitto, ask, needs_mosquitto, properties, wait_for

from writ.limits import BODY_BYTES_MAX, CAPSULE_BYTES_MAX

pytestmark = needs_mosquitto


def hostile_capsules(scope: AttackedScope) -> list[tuple[str, bytes]]:
    """(slot, content) that no node may take, for a scope in epoch 2; the last policy is forged."""
    first, newest = scope.policies
    other, chance = AttackedScope(), random.Random(5)
    return [
        ("policy", first),
        ("policy", b""),
        ("policy", bytes(CAPSULE_BYTES_MAX + 1)),
        ("policy", bytes(100_000)),
        ("policy", b"\x81" * 1200),
        ("policy", b'{"a":' * 200),
        ("policy", flipped(newest, -1)),
        ("policy", other.policies[0]),
        ("policy", sealed(PlainKey(), greedy(scope.state))),
        ("charter", other.charter),
        ("beacon", scope.action(bytes(8), b"open")),
        ("amendment/3", chance.randbytes(300)),
        ("member/0000000000000000", first),
        ("nothing/of/ours", first),
    ]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


def test_a_hostile_broker_is_not_believed(field: AttackedField, broker: Mosquitto) -> None:
    made = Site(field, broker, "north"), Site(field, broker, "south")
    root, scope = prefix(field), field.scope
    with running(*made) as (north, south), Client(broker.port) as client:
        assert post(north.address, scope.enact(RULES)) == ["taken"]
        for site in made:
            wait_for(lambda site=site: site.epoch() == 2)  # type: ignore[misc]
        for slot, raw in hostile_capsules(scope):
            client.publish(f"{root}/{slot}", raw, retain=True)
        other = AttackedScope()
        client.publish(f"writ/{other.id.hex()}/capsule/charter", other.charter, retain=True)
        for reason in ("RolledBack", "TooLarge", "BadTopic", "WrongSlot", "BadSignature"):
            for site in (north, south):
                wait_for(lambda s=site, r=reason: s.refused(r) > 0, why=reason)  # type: ignore[misc]
        # the slot is repaired, though the client was the last to write there
        wait_for(lambda: client.at(f"{root}/policy")[-1] == scope.policies[-1], 90)
        for site in made:
            assert site.epoch() == 2
            assert site.bridge.metric("defects_total") == 0


def test_a_client_of_the_broker_gets_no_more_than_the_bridge_may(
    field: AttackedField, broker: Mosquitto
) -> None:
    site = Site(field, broker, "north", "[requests]\nper_minute = 600\n")
    root = f"writ/{field.scope.id.hex()}"
    soil = f"{root}/north-soil"
    with running(site), Client(broker.port) as client:
        assert ask(client, f"{soil}/note/get").payload == b""
        for topic, payload in [
            (f"{soil}/note/set", bytes(BODY_BYTES_MAX + 1)),
            (f"{soil}/note/set", bytes(60_000)),
            (f"{root}/so il/note/set", b"x"),
            (f"{soil}//set", b"x"),
            (f"{soil}/$state/set", b"x"),
            (f"{root}/capsule/policy/set", b"x"),
            (f"{soil}/{'a' * 60}/set", b"x"),
            ("writ/ffffffffffffffff/north-soil/note/set", b"x"),
            ("homeassistant/status", b"[" * 5000),
            ("homeassistant/status", bytes(range(256))),
        ]:
            client.publish(topic, payload)
        client.publish(f"{soil}/note/set", b"stored", retain=True)
        for elsewhere in (f"{root}/capsule/policy", f"{soil}/note/set", "homeassistant/x/config"):
            client.publish(f"{soil}/note/get", b"", ResponseTopic=elsewhere)
        # what an action alone allows, and what no rule allows
        assert properties(ask(client, f"{soil}/note/post", b"x"))["refusal"] == "NeedsAction"
        assert properties(ask(client, f"{soil}/temp/set", b"x"))["refusal"] == "NotAllowed"
        # a flood at one topic is limited, and answered a few times only
        for _ in range(300):
            client.publish(f"{soil}/temp/get", b"", ResponseTopic="writ-response/flood")
        assert ask(client, f"{soil}/note/get").payload == b""
        for reason in ("TooLarge", "BadTopic", "BadResponseTopic", "RateLimited", "Retained"):
            name = f'requests_refused_total{{reason="{reason}"}}'
            wait_for(lambda name=name: site.bridge.metric(name) > 0, why=reason)  # type: ignore[misc]
        heard = {one.topic for one in client.heard if one.payload == b"" and not one.retain}
        assert not heard & {f"{root}/capsule/policy", "homeassistant/x/config"}
        assert len(client.at("writ-response/flood")) < 200
        assert site.bridge.metric("defects_total") == 0
