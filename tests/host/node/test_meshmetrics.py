"""The metrics of a mesh: bounded labels, and the page that lists them."""

import re
from pathlib import Path
from types import SimpleNamespace

from airfield_rig import RELAY, AirField

from writ_host.node import meshmetrics
from writ_host.scrape import Exporter, Samples

PAGE = Path(__file__).parents[3] / "docs/bridge.md"


def test_the_page_lists_the_metrics_and_their_labels() -> None:
    table = PAGE.read_text().split("`writ_node_mesh_`")[1].split("\n\n")[0]
    listed = dict(re.findall(r"`([a-z_]+?)(?:_total)?(?:\{([a-z,]+)\})?`", table))
    assert {f"mesh_{name}" for name in listed} == set(meshmetrics.HELP)
    samples = samples_of(gateway())
    for (name, labels), _ in samples.labelled.items():
        assert listed[name.removeprefix("mesh_")] == ",".join(labels)
    for name, label in samples.by_label:
        assert listed[name.removeprefix("mesh_")] == label


def gateway() -> SimpleNamespace:
    """A gateway as `meshmetrics.add` reads it."""
    field = AirField()
    node = field.node("gate", 1, RELAY, is_gateway=True)
    frames = field.frames["gate"]
    counts = meshmetrics.FrameCounts(frames.mesh)
    field.node("soil", 2)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1)
    frames.mesh.outbox.budgets[0].charge(field.now_ms, 50_000, 1, 2)
    assert counts.sent["0"] > 0 < counts.received["0"]
    spent = [(2, 5_000_000, 7)]
    proxy = SimpleNamespace(passed=7, requesters=SimpleNamespace(spent=lambda now_ms: spent))
    return SimpleNamespace(
        frames=frames, now_ms=field.now_ms, authority=node.authority, proxy=proxy,
        frame_counts=counts,
    )  # fmt: skip


def samples_of(node: SimpleNamespace) -> Samples:
    samples = Samples()
    meshmetrics.add(samples, node)
    exporter = Exporter("writ_node_", meshmetrics.HELP)
    exporter.publish(samples)
    # what a scrape would return
    assert list(exporter.collect())
    return samples


def test_the_samples_are_those_of_the_budget() -> None:
    node = gateway()
    samples = samples_of(node)
    budget = node.frames.mesh.outbox.budgets[0]
    used = samples.labelled["mesh_airtime_seconds", ("link",)]
    assert used == {("0",): budget.used_us(node.now_ms) / 1e6} and used[("0",)] > 0
    for_whom = samples.labelled["mesh_neighbour_airtime_seconds", ("link", "neighbour")]
    assert set(for_whom) <= {("0", "soil"), ("0", "strangers")} and ("0", "soil") in for_whom
    requesters = samples.labelled["mesh_requester_airtime_seconds", ("requester",)]
    assert requesters == {("soil",): 5.0}


def test_hundreds_of_neighbours_make_few_labels() -> None:
    node = gateway()
    budget = node.frames.mesh.outbox.budgets[0]
    budget.neighbours.clear()
    for address in range(1, 201):
        budget.neighbours[1000 + address] = SimpleNamespace(
            used_us=1000 * address, advance=lambda now_ms: None
        )
    found = samples_of(node).labelled["mesh_neighbour_airtime_seconds", ("link", "neighbour")]
    assert len(found) == meshmetrics.NAMED_MAX + 1
    assert ("0", meshmetrics.OTHERS) in found and ("0", f"{1200:04x}") in found
    assert abs(sum(found.values()) - sum(range(201)) / 1000) < 1e-6


def test_a_node_without_a_mesh_has_no_such_metrics() -> None:
    samples = Samples()
    meshmetrics.add(samples, SimpleNamespace(frames=None))
    assert samples == Samples()
