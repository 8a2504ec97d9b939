"""A policy of 400 bytes on its way over a link of SF12 that loses frames by chance."""

import random

import fragment_rig

# 51 bytes a frame, 16 of them header and MIC
ROOM = 51 - 16
POLICY = random.Random(400).randbytes(400)
TILES = -(-len(POLICY) // (ROOM - 2))


def link(seed: int, loss: float) -> fragment_rig.Link:
    """A link that loses this part of all frames in both directions."""
    chance = random.Random(seed)
    return fragment_rig.Link(POLICY, ROOM, lost=lambda n: chance.random() < loss, number=seed % 64)
