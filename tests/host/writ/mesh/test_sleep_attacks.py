"""What members can do to a node that sleeps, and how it comes by its place at a parent."""

from airfield_rig import RELAY, AirField
from fakeflash import MemoryFlash

from writ.limits import AWAKE_S_MAX
from writ.sleeper import Sleeper

HOUR = 3600
# CoAP GET writ, with a message id and a token of one byte
PLAIN = b"\x41\x01%bt\xb4writ"


def chain(flash: MemoryFlash | None = None) -> AirField:
    """A gateway, a relay on this flash, and a sensor that sleeps for an hour."""
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY, flash=flash)
    field.node("soil", 3, sleep_s=HOUR)
    field.line("gate", "hill", "soil")
    return field


def wake(field: AirField, interval_ms: int | None = None) -> int:
    """How long the sensor is awake, in ms, while it gets a plain request in each interval."""
    frames = field.frames["soil"]
    frames.sleeper = Sleeper(frames, HOUR, field.now_ms + 1000 * AWAKE_S_MAX)
    begin_ms = next_ms = field.now_ms
    number = 0
    while not frames.sleeper.is_ready(field.now_ms):
        if interval_ms and field.now_ms >= next_ms:
            next_ms = field.now_ms + interval_ms
            number += 1
            plain = PLAIN % number.to_bytes(2, "big")
            field.send("gate", [("mesh:0003", plain)])
        field.step()
    frames.sleeper = None
    return field.now_ms - begin_ms


def sleep(field: AirField, seconds: int = 60) -> None:
    """Let the sensor hear nothing for so long."""
    field.asleep.add("soil")
    for _ in range(seconds):
        field.step(1000)
    field.asleep.discard("soil")


def test_plain_requests_do_not_keep_a_sensor_awake() -> None:
    # a member that may send class 0, by the proxy: the sensor refuses them
    field = chain()
    for _ in range(2):
        wake(field)
        sleep(field)
    plain_ms = wake(field)
    sleep(field)
    awake_ms = []
    for _ in range(3):
        awake_ms.append(wake(field, 3000))
        sleep(field)
    assert max(awake_ms) < plain_ms + 30_000, (plain_ms, awake_ms)


def test_a_child_gets_a_place_in_its_first_wake_after_its_parent_has_restarted() -> None:
    flash = MemoryFlash()
    field = chain(flash)
    for _ in range(2):
        wake(field)
        sleep(field)
    # the member capsules of others are not on the flash of the relay
    field.node("hill", 2, RELAY, flash=flash, is_blank=True)
    hill = field.frames["hill"].mesh
    assert hill.outbox.mailbox is None
    sleep(field, HOUR)
    assert wake(field) < 1000 * AWAKE_S_MAX
    assert list(hill.outbox.mailbox.children) == [3]
