"""Compares docs/wire.md with the mesh: fragments."""

from __future__ import annotations

import statistics

from docs_rig import PROSE, raw
from lossy_rig import link

from writ.mesh.fragment import Reassembly

TEXT = " ".join(PROSE.split())


def test_the_fragments_of_the_example() -> None:
    capsule = raw("revocation")
    assert f"`revocation` of above has {len(capsule)} bytes" in TEXT
    second, ack = raw("fragment"), raw("fragment-ack")
    assert len(second) + 16 == 51 and (len(ack), len(capsule)) == (2, 3 * 33)
    reassembly = Reassembly(1000)
    for index in (0, 2):
        head = (5 << 10 | index << 5 | 2).to_bytes(2, "big")
        answer = reassembly.receive(1, head + capsule[33 * index :][:33], 0)
    assert answer == (None, ack)
    assert reassembly.receive(1, second, 0) == (capsule, b"\x05")


def test_the_averages_of_a_bad_link() -> None:
    runs = [link(seed, 0.2) for seed in range(1000)]
    for run in runs:
        run.run()
    frames = statistics.mean(run.frames for run in runs)
    acks = statistics.mean(run.count - run.frames for run in runs)
    assert f"take {frames:.1f} fragments and {acks:.1f} acknowledgements on average" in TEXT
