"""Time passes while the machine sleeps, wherever it decides about validity."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import node_rig
import pytest
from daemon_rig import Driven, found
from dns_rig import until

from writ import agent
from writ.authority.capsule import Member, parse
from writ.compat import Clock
from writ.errors import Expired
from writ_host.governor.peering.addresses import AddressBook

pytestmark = pytest.mark.skipif(
    not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no CLOCK_BOOTTIME"
)
HOUR_MS = 3600000


@pytest.fixture
def sleep_ms(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the machine sleep: only CLOCK_BOOTTIME and the wall clock notice it."""
    real, asleep = time.clock_gettime_ns, 0

    def clock_gettime_ns(clock: int) -> int:
        return real(clock) + (asleep * 1000000 if clock == time.CLOCK_BOOTTIME else 0)

    def sleep(ms: int) -> None:
        nonlocal asleep
        asleep += ms

    monkeypatch.setattr(time, "clock_gettime_ns", clock_gettime_ns)
    return sleep


def test_the_clock_counts_the_time_of_sleep(sleep_ms: Callable[[int], None]) -> None:
    clock = Clock()
    before = clock.now_ms()
    assert before < HOUR_MS
    sleep_ms(8 * HOUR_MS)
    assert 8 * HOUR_MS <= clock.now_ms() - before < 9 * HOUR_MS


def test_a_membership_expires_while_the_machine_sleeps(
    tmp_path: Path, sleep_ms: Callable[[int], None]
) -> None:
    scope = node_rig.signer.scope().hex()
    (tmp_path / "config.json").write_text(json.dumps({"name": "gate", "scope": scope}))
    node = agent.Node.load(str(tmp_path))
    authority = node.authority
    authority.receive(node_rig.signer.charter(), node.clock.now_ms())
    believed_s = authority.now_s(node.clock.now_ms())
    peer = Member(parse(node_rig.member("pump", 7, node_rig.SENSOR, exp=believed_s + 3600)))
    authority.check_member(peer, node.clock.now_ms())
    sleep_ms(2 * HOUR_MS)
    with pytest.raises(Expired):
        authority.check_member(peer, node.clock.now_ms())


def test_a_governor_resolves_names_again_after_a_sleep(
    tmp_path: Path, sleep_ms: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 2, 17, "", (f"10.0.0.{len(asked)}", 0))]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    book = AddressBook(tmp_path / "peers.toml")
    until(lambda: book.resolve("gate.local:5685") == "10.0.0.1:5685")
    assert book.resolve("gate.local:5685") == "10.0.0.1:5685" and len(asked) == 1
    sleep_ms(HOUR_MS)
    until(lambda: book.resolve("gate.local:5685") == "10.0.0.2:5685")


def test_a_governor_counts_the_time_of_sleep(
    tmp_path: Path, sleep_ms: Callable[[int], None]
) -> None:
    driven = Driven(tmp_path / "anna", found(("anna",), 1))
    driven.write_genesis()
    daemon = driven.start()
    try:
        before = daemon.now_ms()
        sleep_ms(HOUR_MS)
        assert daemon.now_ms() - before >= HOUR_MS
    finally:
        daemon.close()
