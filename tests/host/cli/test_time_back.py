"""The way back from a beacon of a wrong clock that governors with daemons have certified."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from council_rig import Council, finish, founded, wait_for
from field_rig import PROGRAM, Process
from interop_rig import HOST, commands, free_port

from writ.authority.store import FileFlash, Store
from writ_host.governor.ceremonies.record import Record
from writ_host.scope.folder import ScopeFolder

pytestmark = pytest.mark.slow

AHEAD_S = 20 * 365 * 86400


@pytest.fixture
def council(tmp_path: Path) -> Iterator[Council]:
    with founded(tmp_path) as council:
        yield council


@pytest.fixture
def pump(council: Council, tree: Path) -> Iterator[Process]:
    """A running sensor and a gateway, `laptop`, both members."""
    (tree / "device.py").write_text(PROGRAM)
    port = free_port()
    governors = [Record.load(council.path(name) / f"{name}.toml").listen for name in "cd"]
    for name, role, address in (
        ("pump", "sensor", f"{HOST}:{port}"),
        ("laptop", "gateway", f"{HOST}:0"),
    ):
        folder = council.root / name
        words = ("member", "request", folder, "--name", name, "--listen", address)
        council.writ(*words, "--gateway", governors[0], "--gateway", governors[1])
        admit = ("member", "admit", name, "--role", role, "--yes", "--out", folder)
        council.with_approval("b", *admit)
    # in one run it is admitted, renewed and follows a succession: docs/limits.md
    listed = commands(tree, "176k")
    command, environment = listed.get("micropython") or listed["cpython"]
    folder = council.root / "pump"
    program = [*command, str(tree / "device.py"), str(folder)]
    process = Process(folder, port, program, environment)
    try:
        yield process.start()
    finally:
        process.kill()


def approve(council: Council, kind: str, names: str) -> None:
    """Approve the proposal of this kind; by a wrong clock the nodes ask for renewals, too."""

    def open_ids(name: str) -> list[str]:
        return [
            one["id"] for one in council.ask(name, "pending")["proposals"] if one["kind"] == kind
        ]

    for name in names:
        wait_for(lambda name=name: open_ids(name), council.log(name), 60)
        council.writ("governor", "approve", name, open_ids(name)[0][:12], "--yes")


def outdated(council: Council) -> list[str]:
    """The members that only the former group key has certified; refreshes the scope's folder."""
    council.writ("scope", "beacon", "--wait", "20")
    folder = ScopeFolder.open(council.scope)
    return [one.name for one in folder.members.newest() if folder.is_of_former_key(one)]


def is_renewed(council: Council, name: str) -> bool:
    """Whether the node's folder has the capsule that the new group key has certified."""
    member = ScopeFolder.open(council.scope).members.find(name)
    return Store(FileFlash(str(council.root / name))).load("member") == member.raw


def test_a_succession_is_the_way_back_from_a_beacon_of_a_wrong_clock(
    council: Council, pump: Process
) -> None:
    target = f"coap://{pump.address}/temp"
    # the device follows the succession meanwhile, which takes a while on a busy machine
    read = ("get", target, "--node", council.root / "laptop", "--timeout", "60")
    assert council.writ(*read)
    council.set_clocks(AHEAD_S)
    command = council.begin("scope", "beacon", "--time-jump", "--deliver", pump.address, "--json")
    approve(council, "beacon", "abc")
    wrong = finish(command)
    assert "Expired" in council.run(*read).stderr

    council.set_clocks(0)
    error = council.writ("scope", "beacon", "--time-jump", code=1)["error"]
    assert "writ governor succeed" in error["advice"], error
    records = ",".join(f"{name}/{name}.toml" for name in "abcd")
    succeed = ("governor", "succeed", "a", "--governors", records, "--yes", "--json")
    command = council.begin(*succeed)
    council.approve("a", "b", "c", "d")
    approve(council, "succession", "bc")
    assert finish(command)["in_force"]
    made = council.writ("scope", "beacon", "--wait", "30")
    assert made["time"] < wrong["time"] - AHEAD_S // 2
    # all governors, then each device: it follows the new key, and its time. Nothing is deleted
    wait_for(lambda: not outdated(council), lambda: str(outdated(council)), 150)
    council.writ("member", "deliver", "pump", "--deliver", pump.address)
    # the laptop runs no agent: the command itself fetches the new key and its new capsule
    assert council.writ(*read)
    assert is_renewed(council, "laptop")
    install = ("member", "deliver", "laptop", "--out", council.root / "laptop")
    # the command may have ended before it had the newest policy and beacon, too
    assert set(council.writ(*install)["installed"]) <= {"policy", "beacon"}
    assert not council.writ(*install)["installed"]
    assert council.writ(*read)
    pump.kill()
    pump.start()
    assert council.writ(*read)
    assert ScopeFolder.open(council.scope).beacon.time >= made["time"]
