"""A gateway that restarts goes on with the ways of before, whenever its power has failed."""

import errno
import itertools
from pathlib import Path
from typing import Any

import node_rig
import pytest
from airfield_rig import RELAY, SENSOR, AirField
from fakeflash import MemoryFlash, PowerCut
from replace_rig import cut_at

from writ_host import files
from writ_host.errors import Malformed
from writ_host.node import meshroutes, routekeeper, waysfile
from writ_host.node.meshroutes import MeshRoutes
from writ_host.node.routekeeper import RouteKeeper
from writ_host.node.waysfile import Kept, KeptReport

GATE, HILL, SOIL = 1, 2, 3
HOUR = 3600


class Line(AirField):
    """A gateway, a relay, and a sensor behind it that sleeps; the gateway keeps its ways."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.flash = MemoryFlash()
        self.line("gate", "hill", "soil")
        self.keeper: Any = None
        self.start(is_blank=False)
        self.node("hill", HILL, RELAY)
        self.node("soil", SOIL, SENSOR)

    def start(self, is_blank: bool = True) -> None:
        """Start the gateway, on what its flash and its folder have."""
        gate = self.node("gate", GATE, RELAY, True, is_blank=is_blank, flash=self.flash)
        gate.now_ms = self.now_ms
        self.ways = MeshRoutes(self.frames["gate"].mesh)
        gate.on_neighbours = self.ways.report
        self.keeper = RouteKeeper(gate, self.ways, self.folder)
        self.keeper.restore(self.now_ms)

    def step(self, ms: int = 20) -> None:
        super().step(ms)
        if self.keeper:
            self.ways.tick(self.now_ms)
            self.keeper.tick(self.now_ms)

    def settle(self) -> None:
        """Wait until the file has the reports of both nodes."""
        assert self.run(lambda: self.ways._reports.keys() >= {HILL, SOIL}, 1500)
        self.run(seconds=routekeeper.PAUSE_MS // 1000 + 20)

    def read(self) -> Any:
        """The answer of the sensor to a request of the gateway."""
        return self.ask("gate", "soil", "temp", 60)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The file of a settled gateway, and the capsule of the sensor."""
    folder = tmp_path_factory.mktemp("gate")
    field = Line(folder)
    field.settle()
    capsule = field.nodes["gate"].authority.peer_by(address=SOIL).raw
    return (folder / waysfile.NAME).read_bytes(), bytes(capsule)


def test_a_far_node_answers_a_gateway_that_has_just_restarted(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.settle()
    # the power fails: nothing is written at the end
    field.start()
    gate = field.nodes["gate"]
    assert field.frames["gate"].mesh.routes == {SOIL: [HILL]}
    before_ms = field.now_ms
    assert field.read().payload == b"21.5"
    assert field.now_ms - before_ms < 10_000
    assert gate.sleepers == {}
    # the relay was greeted by this message, and counts as any
    assert field.ways._former == set() and field.ways.is_near(HILL)


def test_without_the_file_it_is_not_reached(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.settle()
    (tmp_path / waysfile.NAME).unlink()
    field.start()
    assert field.frames["gate"].mesh.routes == {}
    with pytest.raises(AssertionError):
        field.read()


def test_how_long_a_member_sleeps_is_kept(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.frames["soil"].sleep_s = 900
    field.settle()
    field.start()
    assert field.nodes["gate"].sleepers == {SOIL: 900}


def test_kept_reports_of_sleepers_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = Line(tmp_path)
    field.settle()
    members = [field.nodes[name].authority.me.raw for name in ("hill", "soil")]
    reports = [KeptReport(bytes(raw), bytes(4), 5, 900) for raw in members]
    monkeypatch.setattr("writ.node.sleepers.SLEEPERS_MAX", 1)
    # the least recent report comes first, as in the file
    waysfile.write(tmp_path, Kept([], reports))
    field.start()
    assert field.nodes["gate"].sleepers == {SOIL: 900}
    # two reports of one member take one place
    monkeypatch.setattr("writ.node.sleepers.SLEEPERS_MAX", 2)
    waysfile.write(tmp_path, Kept([], [*reports, reports[1]]))
    field.start()
    assert field.nodes["gate"].sleepers == {HILL: 900, SOIL: 900}


def test_the_file_is_written_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = Line(tmp_path)
    writes: list[int] = []
    write = waysfile.write
    monkeypatch.setattr(waysfile, "write", lambda *a: (writes.append(field.now_ms), write(*a)))
    field.settle()
    assert 1 <= len(writes) <= 3
    soil = field.nodes["soil"].authority.me
    for _ in range(200):
        field.ways.report(soil, bytes(4), field.now_ms)
        field.run(seconds=5)
    pauses = [later - earlier for earlier, later in itertools.pairwise(writes)]
    assert min(pauses) >= routekeeper.PAUSE_MS
    # nothing new, nothing written; also at a clean end
    field.keeper.save()
    count = len(writes)
    field.keeper.save()
    field.run(seconds=HOUR // 2)
    field.keeper.save()
    # hourly reports of two nodes may have come
    assert len(writes) <= count + 4


def test_a_former_report_makes_links_dearer_until_a_new_one_comes(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.settle()
    links = field.ways._links(GATE, -1, field.now_ms)
    cost = links[HILL][SOIL]
    field.start()
    links = field.ways._links(GATE, -1, field.now_ms)
    assert links[HILL][SOIL] == meshroutes.RESTORED * cost
    for name, number in (("hill", HILL), ("soil", SOIL)):
        payload = field.ways._reports[number].payload
        field.ways.report(field.nodes[name].authority.me, payload, field.now_ms)
    assert field.ways._links(GATE, -1, field.now_ms)[HILL][SOIL] == cost


def test_a_former_neighbour_with_a_former_report_is_dearer_once(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.settle()
    costs = {}
    for is_greeted in (False, True):
        for has_report in (False, True):
            field.start()
            field.frames["gate"].mesh.neighbours.find(0, HILL).is_mutual = is_greeted
            if has_report:
                payload = field.ways._reports[HILL].payload
                hill = field.nodes["hill"].authority.me
                field.ways.report(hill, payload, field.now_ms)
            links = field.ways._links(GATE, -1, field.now_ms)
            costs[is_greeted, has_report] = links[GATE][HILL]
    true = costs.pop((True, True))
    assert set(costs.values()) == {meshroutes.RESTORED * true}, (true, costs)


def test_the_age_of_a_report_goes_on(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.settle()
    ages = {one: field.now_ms - found.time_ms for one, found in field.ways._reports.items()}
    for _ in range(3):
        field.keeper._routes.changes += 1
        field.keeper.save()
        field.start()
        for number, report in field.ways._reports.items():
            assert abs(field.now_ms - report.time_ms - ages[number]) <= 3000
    field.ways._forget_old(field.now_ms + meshroutes.REPORT_AGE_MS)
    assert field.ways._reports == {}


def test_a_report_of_long_ago_is_written_as_one_that_can_be_read(tmp_path: Path) -> None:
    # a gateway whose membership has ended forgets none
    field = Line(tmp_path)
    field.settle()
    for report in field.ways._reports.values():
        report.time_ms -= 10 * 86_400_000
    field.ways.changes += 1
    field.keeper.save()
    assert waysfile.read(tmp_path) is not None
    field.start()
    assert field.keeper.problem == "" and field.ways._reports == {}


def test_a_former_neighbour_that_is_gone_is_no_first_hop_any_more(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.settle()
    field.start()
    field.asleep.add("hill")
    gate = field.nodes["gate"]
    gate.now_ms = field.now_ms
    field.send("gate", gate.request(1, "temp", b"", "mesh:0003"))
    request = node_rig.datagram(0, 1, b"")
    field.ways.sending("mesh:0003", request, field.now_ms)
    assert field.frames["gate"].mesh.routes == {SOIL: [HILL]}
    # it is repeated: the greeting was not answered
    field.ways.sending("mesh:0003", request, field.now_ms)
    assert field.frames["gate"].mesh.routes == {}
    assert not field.ways.is_near(HILL)


def test_a_revoked_relay_is_none_after_a_restart(tmp_path: Path) -> None:
    field = Line(tmp_path)
    field.settle()
    field.start()
    field.policy = field.next_policy(revoked=(node_rig.node_id("hill"),))
    field.nodes["gate"].authority.receive(field.policy, field.now_ms)
    field.start()
    assert field.frames["gate"].mesh.routes == {}


# --- power cuts and errors ------------------------------------------------------------------------


def test_power_may_fail_at_each_step_of_a_write(tmp_path: Path, kept: tuple[bytes, bytes]) -> None:
    path = tmp_path / waysfile.NAME
    before, after = Kept([(0, HILL)], []), Kept([(0, SOIL)], [KeptReport(kept[1], bytes(4), 7, 9)])
    seen = []
    for number in range(1, 20):
        waysfile.write(tmp_path, before)
        with pytest.MonkeyPatch.context() as patched:
            cut_at(patched, number)
            try:
                waysfile.write(tmp_path, after)
                break
            except PowerCut:
                pass
        found = waysfile.read(tmp_path)
        assert found in (before, after)
        seen.append(found == after)
    assert set(seen) == {False, True} and seen == sorted(seen)
    assert len([*tmp_path.iterdir()]) > 1
    files.remove_leftovers(path)
    assert [*tmp_path.iterdir()] == [path]


def test_power_may_fail_at_each_byte(tmp_path: Path, kept: tuple[bytes, bytes]) -> None:
    field = Line(tmp_path)
    path = tmp_path / waysfile.NAME
    path.write_bytes(kept[0])
    for size in range(0, len(kept[0]), 7):
        # what mkstemp makes beside the file, cut short
        (tmp_path / f".{waysfile.NAME}.x{size:07d}").write_bytes(kept[0][:size])
    field.ways._reports.clear()
    field.keeper.restore(field.now_ms)
    assert field.ways._reports.keys() == {HILL, SOIL} and field.keeper.problem == ""
    assert [*tmp_path.iterdir()] == [path]


def test_a_damaged_file_is_named_and_replaced(tmp_path: Path, kept: tuple[bytes, bytes]) -> None:
    path = tmp_path / waysfile.NAME
    field = Line(tmp_path)
    for size in range(len(kept[0])):
        path.write_bytes(kept[0][:size])
        with pytest.raises(Malformed):
            waysfile.read(tmp_path)
    field.start()
    assert waysfile.NAME in field.keeper.problem
    # the gateway runs, and writes the file anew
    field.settle()
    assert field.keeper.problem == ""
    assert waysfile.read(tmp_path) is not None


def test_a_changed_byte_takes_no_false_capsule(tmp_path: Path, kept: tuple[bytes, bytes]) -> None:
    data, capsule = kept
    field = Line(tmp_path)
    gate = field.nodes["gate"].authority
    at = data.index(capsule)
    for place in range(at, at + len(capsule), 5):
        changed = bytearray(data)
        changed[place] ^= 1
        (tmp_path / waysfile.NAME).write_bytes(changed)
        field.ways._reports.clear()
        gate.peers.clear()
        gate._recent.clear()
        field.keeper.restore(field.now_ms)
        assert SOIL not in field.ways._reports, place


def test_an_error_of_the_disk_is_no_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / waysfile.NAME).symlink_to(waysfile.NAME)
    field = Line(tmp_path)
    assert waysfile.NAME in field.keeper.problem
    (tmp_path / waysfile.NAME).unlink()
    field.start()
    assert field.keeper.problem == ""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        field.settle()
        assert "No space left" in field.keeper.problem
    # it is tried again
    field.run(seconds=routekeeper.PAUSE_MS // 1000 + 1)
    assert field.keeper.problem == "" and waysfile.read(tmp_path) is not None


def test_as_many_reports_as_a_gateway_takes_are_kept(
    tmp_path: Path, kept: tuple[bytes, bytes]
) -> None:
    one = KeptReport(kept[1], bytes(4 + 7 * 16)[:4], 5, 0)
    full = Kept([(0, HILL)], [one] * meshroutes.REPORTS_MAX)
    waysfile.write(tmp_path, full)
    assert waysfile.read(tmp_path) == full


def test_what_is_out_of_range_is_refused(tmp_path: Path) -> None:
    from writ_host import codec

    good = [1, [[0, 5]], [[[b"c", b"p", 1, 1]]]]
    (tmp_path / waysfile.NAME).write_bytes(codec.dump(good))
    assert waysfile.read(tmp_path) == Kept([(0, 5)], [KeptReport(b"c", b"p", 1, 1)])
    for bad in (
        [2, [], []],
        [1, []],
        [1, [[0, 0]], []],
        [1, [[0, 0xFFFF]], []],
        [1, [[256, 5]], []],
        [1, [[-1, 5]], []],
        [1, [], [[[b"c", b"p", -1, 0]]]],
        [1, [], [[[b"c", b"p", 0, 86_401]]]],
        [1, [], [[[b"c", bytes(200), 0, 0]]]],
        [1, [], [[[b"c", b"p", 0]]]],
        [1, [], [b"c"]],
    ):
        (tmp_path / waysfile.NAME).write_bytes(codec.dump(bad))
        with pytest.raises(Malformed):
            waysfile.read(tmp_path)
