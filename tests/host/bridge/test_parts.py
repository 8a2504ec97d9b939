"""Parts of a bridge by themselves: when resources are read, where members are, a new client."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bridge_rig import NAME, bridge_folder, toml
from field_rig import OPERATOR, SENSOR, Field, write_book
from interop_rig import HOST
from mosquitto_rig import Client, Mosquitto, needs_mosquitto, wait_for

from writ.authority.capsule import Member
from writ.errors import TimedOut
from writ.wire import coap
from writ_host.bridge import bridge as bridges
from writ_host.bridge import settings
from writ_host.bridge.bridge import Bridge, open_folder
from writ_host.bridge.mapping import Mapping
from writ_host.bridge.members import Members, Outcome, _failed
from writ_host.bridge.reader import AT_ONCE, NOTIFY_MS, OBSERVED_MAX, RETRY_MS, Reader
from writ_host.bridge.settings import Reading
from writ_host.node.behind import NotPassedOn
from writ_host.node.folder import NodeFolder

# --- when resources are read ----------------------------------------------------------------------


class Calls:
    """Stands in place of `Members`: keeps the calls, so that a test answers them when it wants."""

    def __init__(self) -> None:
        self.open: list[tuple[str, str, Callable[[Outcome], None], bool | None]] = []

    def call(
        self,
        name: str,
        method: int,
        path: str,
        payload: bytes,
        on_outcome: Callable[[Outcome], None],
        observe: bool | None = None,
    ) -> None:
        assert (method, payload) == (coap.GET, b"")
        self.open.append((name, path, on_outcome, observe))

    def answer(self, outcome: Outcome) -> None:
        """Answer the oldest call."""
        self.open.pop(0)[2](outcome)


class Log:
    """A reader with its calls, and what it has reported."""

    def __init__(self, *readings: Reading) -> None:
        self.calls = Calls()
        self.values: list[tuple[str, bytes]] = []
        self.problems: list[str] = []
        members: Any = self.calls
        self.reader = Reader(
            members,
            readings,
            lambda reading, _, payload, __: self.values.append((reading.name, payload)),
            lambda reading, outcome: self.problems.append(f"{reading.name} {outcome.problem}"),
            lambda: 0,
        )


MEMBER: Any = Member.__new__(Member)


def value(payload: bytes, observed: bool = False) -> Outcome:
    """A member's answer."""
    return Outcome(coap.CONTENT, payload, MEMBER, observed=observed)


def reading(node: str, resource: str = "t", observe: bool = False) -> Reading:
    """A resource that is read each 60 s."""
    return Reading(node, resource, 60, observe, Mapping())


def test_a_resource_is_read_once_a_period() -> None:
    log = Log(reading("a"))
    log.reader.tick(0)
    log.reader.tick(120_000)
    assert len(log.calls.open) == 1
    log.calls.answer(value(b"1"))
    assert log.values == [("a/t", b"1")]
    assert log.reader.has_read
    log.reader.tick(179_999)
    assert not log.calls.open
    log.reader.tick(180_000)
    assert len(log.calls.open) == 1


def test_a_silent_node_holds_up_no_other() -> None:
    nodes = [f"n{n}" for n in range(AT_ONCE + 1)]
    log = Log(*[reading(node, path) for node in nodes for path in ("t", "u")])
    log.reader.tick(0)
    # one call of each node, and no more than so many at one time
    assert [call[0] for call in log.calls.open] == nodes[:AT_ONCE]
    log.calls.answer(Outcome(problem="TimedOut"))
    assert log.problems == ["n0/t TimedOut"]
    log.reader.tick(1)
    assert [call[:2] for call in log.calls.open[-1:]] == [("n0", "u")]
    log.reader.tick(RETRY_MS)
    assert len(log.calls.open) == AT_ONCE
    assert not log.reader.has_read
    assert "n1/t" in log.reader.unread


def begins(log: Log, now_ms: int, outcome: Outcome) -> int:
    """When the read begins again that ends now with this outcome, in ms from now."""
    assert len(log.calls.open) == 1
    log.reader.tick(now_ms)
    log.calls.answer(outcome)
    for wait_ms in range(0, 4_000_000, 1000):
        log.reader.tick(now_ms + wait_ms)
        if log.calls.open:
            return wait_ms
    raise AssertionError


def test_a_read_without_an_answer_is_repeated_sooner_than_its_period() -> None:
    log = Log(Reading("a", "t", 300, False, Mapping()))
    now_ms, pauses = 0, []
    log.reader.tick(0)
    for _ in range(7):
        pauses.append(begins(log, now_ms, Outcome(problem="NoRoute")))
        now_ms += pauses[-1]
    assert pauses == [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]
    # an answer ends that
    assert begins(log, now_ms, value(b"1")) == 300_000
    now_ms += 300_000
    assert begins(log, now_ms, Outcome(problem="TimedOut")) == 10_000
    # a short period is no reason to ask a silent node more often
    log = Log(Reading("a", "t", 1, False, Mapping()))
    log.reader.tick(0)
    assert begins(log, 0, Outcome(problem="TimedOut")) == 10_000
    assert begins(log, 10_000, Outcome(problem="TimedOut")) == 10_000


def test_a_read_that_took_long_is_repeated_after_as_long_a_time() -> None:
    log = Log(Reading("a", "t", 300, False, Mapping()))
    log.reader.tick(0)
    # of a node in a mesh: the airtime of half of the time at most
    assert begins(log, 38_000, Outcome(problem="TimedOut")) == 38_000
    assert begins(log, 2 * 38_000 + 247_000, Outcome(problem="TimedOut")) == 247_000
    # and never later than in its period
    assert begins(log, 3_000_000, Outcome(problem="TimedOut")) == 300_000


@pytest.mark.parametrize(
    "name", ["ClassAirtime", "DutyCycle", "NeighbourAirtime", "NotRouted", "RateLimited"]
)
def test_where_the_airtime_is_used_up_a_read_waits_for_its_period(name: str) -> None:
    log = Log(Reading("a", "t", 300, False, Mapping()))
    log.reader.tick(0)
    for number in range(3):
        assert begins(log, 300_000 * number, Outcome(problem=name)) == 300_000
    # nor does a node that refuses change its mind
    refusal = Outcome(coap.FORBIDDEN, b"40 NotAllowed", MEMBER, "NotAllowed", 40)
    assert begins(log, 900_000, refusal) == 300_000


def test_a_node_that_sleeps_is_not_asked_again_before_its_period() -> None:
    log = Log(Reading("a", "t", 300, False, Mapping()))
    log.reader.tick(0)
    for number, text in enumerate((b" 900", b" 900 120")):
        rejection = NotPassedOn()
        rejection.text = b"84 TimedOut" + text
        outcome = _failed(rejection)
        assert (outcome.problem, outcome.is_asleep) == ("TimedOut", True)
        assert begins(log, 300_000 * number, outcome) == 300_000
    rejection.text = b"84 TimedOut"
    assert begins(log, 600_000, _failed(rejection)) == 10_000
    assert not _failed(TimedOut()).is_asleep


def test_a_refusal_is_no_value() -> None:
    log = Log(reading("a"))
    log.reader.tick(0)
    log.calls.answer(Outcome(coap.FORBIDDEN, b"40 NotAllowed", MEMBER, "NotAllowed", 40))
    assert (log.values, log.problems) == ([], ["a/t NotAllowed"])
    log.reader.tick(59_999)
    assert not log.calls.open
    log.reader.tick(60_000)
    assert log.calls.open


def test_notifications_of_a_second_are_one_reading_the_newest() -> None:
    log = Log(reading("a", observe=True))
    log.reader.tick(0)
    _, _, notify, observe = log.calls.open[0]
    assert observe is True
    for n in range(5):
        notify(value(b"%d" % n, observed=True))
    assert log.values == [("a/t", b"0")]
    log.reader.tick(NOTIFY_MS - 1)
    assert len(log.values) == 1
    log.reader.tick(NOTIFY_MS)
    assert log.values == [("a/t", b"0"), ("a/t", b"4")]
    # while the observation lasts there are no reads; its end is a problem, and it begins again
    log.reader.tick(10_000_000)
    assert len(log.calls.open) == 1
    notify(Outcome(problem="TimedOut"))
    log.reader.tick(10_060_000)
    assert len(log.calls.open) == 2


def test_a_node_without_observe_is_read_by_period() -> None:
    log = Log(reading("a", observe=True))
    log.reader.tick(0)
    log.calls.answer(value(b"1", observed=False))
    log.reader.tick(60_000)
    assert len(log.calls.open) == 1


def test_observations_leave_room_for_reads() -> None:
    log = Log(*[reading(f"n{n}", observe=True) for n in range(OBSERVED_MAX + 1)])
    asked = []
    for n in range(OBSERVED_MAX + 1):
        log.reader.tick(n)
        asked.append(log.calls.open[0][3])
        log.calls.answer(value(b"1", observed=log.calls.open[0][3] is True))
    assert asked == [True] * OBSERVED_MAX + [None]


# --- where members are ----------------------------------------------------------------------------


def ask(folder: NodeFolder, name: str, path: str = "temp") -> Outcome:
    """The outcome of a GET."""
    found: list[Outcome] = []
    Members(folder).call(name, coap.GET, path, b"", found.append)

    def is_done() -> bool:
        folder.node.step(50)
        return bool(found)

    wait_for(is_done)
    assert len(found) == 1
    return found[0]


def hub(field: Field, **config: Any) -> Path:
    """The folder of a member that may read sensors."""
    return field.folder(NAME, OPERATOR, **config)


@pytest.mark.slow
def test_a_member_is_found_by_book_then_where_it_was_seen(field: Field) -> None:
    device = field.device("soil")
    path = hub(field)
    with NodeFolder(path) as folder:
        assert ask(folder, "soil").problem == "UnknownNode"
        write_book(path, soil=device.address)
        found = ask(folder, "soil")
        assert found.member is not None
        assert (found.member.name, found.payload) == ("soil", b"21.1")
        assert ask(folder, "soil", "secret").problem == "NotAllowed"
        assert ask(folder, "soil", "secret").number == 40
    (path / "book.toml").unlink()
    with NodeFolder(path) as folder:
        assert ask(folder, "soil").payload == b"21.2"


@pytest.mark.slow
def test_a_member_is_found_by_a_gateway(field: Field) -> None:
    gateway = field.host_node("gate", OPERATOR | SENSOR, "--serve", "load")
    device = field.device("soil", gateways=[gateway.address])
    wait_for(lambda: "soil" in gateway.output or device.output)
    with NodeFolder(hub(field, gateways=[gateway.address])) as folder:
        wait_for(lambda: ask(folder, "soil").payload.startswith(b"21."))
        assert ask(folder, "stranger").problem == "UnknownNode"


@pytest.mark.slow
def test_a_wrong_address_of_the_book_reaches_no_other_node(field: Field) -> None:
    other = field.device("other")
    path = hub(field)
    write_book(path, soil=other.address)
    with NodeFolder(path) as folder:
        found = ask(folder, "soil", "note")
        assert (found.problem, found.payload) == ("OtherNode", b"")
    assert not (path / "seen.json").exists()


# --- a client of paho that has ended --------------------------------------------------------------


@needs_mosquitto
@pytest.mark.slow
def test_a_client_that_has_ended_is_started_again(field: Field, broker: Mosquitto) -> None:
    device = field.device("soil")
    path = bridge_folder(field, toml(broker.port), soil=device.address)
    events: list[dict[str, object]] = []
    found = settings.read(path / "bridge.toml")
    with (
        open_folder(path, found, f"{HOST}:0", lambda facts, _: events.append(facts)) as folder,
        Bridge(folder, found) as bridge,
    ):

        def meddle() -> None:
            with Client(broker.port) as client:
                topic = f"writ/{field.scope.id.hex()}/soil/temp"
                client.wait(topic)
                assert bridge.broker._client is not None
                bridge.broker._client.disconnect()
                wait_for(lambda: not bridge.broker.is_running)
                wait_for(lambda: bridge.connections == 2)
                count = len(client.at(topic))
                wait_for(lambda: len(client.at(topic)) > count)
                bridge.stop()

        thread = threading.Thread(target=meddle)
        thread.start()
        bridge.run()
        thread.join()
    assert [one["event"] for one in events].count("connected") == 2
    assert any(one.get("reason") == "ClientFailed" for one in events)


def test_a_bridge_reads_other_nodes_only(field: Field) -> None:
    path = bridge_folder(field, toml(1, f'[[reading]]\nnode = "{NAME}"\nresource = "load"\n'))
    with pytest.raises(settings.BadSettings, match="is the bridge itself"):
        open_folder(path, settings.read(path / "bridge.toml"), None, lambda *_: None)
    # and the folder is free again
    NodeFolder(path).close()


def test_a_bridge_needs_a_scope(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"name": "hub"}')
    (tmp_path / "bridge.toml").write_text(toml(1))
    with pytest.raises(bridges.HostError, match="belongs to no scope yet"):
        open_folder(tmp_path, settings.read(tmp_path / "bridge.toml"), None, lambda *_: None)
