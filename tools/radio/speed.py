"""How fast the channel is in virtual time."""

import random
import time
from dataclasses import dataclass

from radio.channel import Channel
from radio.pathloss import MODELS
from radio.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Speed:
    """What a run took, in seconds of the processor. arrivals: frames at radios in reach."""

    nodes: int
    transmissions: int
    arrivals: int
    received: int
    neighbours: float
    setup_s: float
    run_s: float
    virtual_s: float

    def text(self) -> str:
        """One line."""
        return (
            f"{self.nodes} nodes with {self.neighbours:.0f} neighbours each,"
            f" {self.transmissions} transmissions in {self.virtual_s:.0f} s of virtual time:"
            f" {self.setup_s:.1f} s for the neighbours, {self.run_s:.1f} s for the frames,"
            f" {self.transmissions / self.run_s:.0f} transmissions/s,"
            f" {self.arrivals / self.run_s:.0f} arrivals/s, {self.received} receptions"
        )


def measure(nodes: int, transmissions: int, seed: int = 1, rate_per_s: float = 20.0) -> Speed:
    """Frames of 24 bytes by random nodes of a square field with five nodes in a square kilometre.

    rate_per_s: frames that begin in a second of virtual time, in the whole field.
    """
    random_ = random.Random(seed)
    timeline = Timeline()
    channel = Channel(timeline, MODELS["oulu"], seed)
    side_m = 1000 * (nodes / 5) ** 0.5
    radios = [
        channel.add(f"n{i}", (random_.random() * side_m, random_.random() * side_m))
        for i in range(nodes)
    ]
    for radio in radios:
        radio.listen()
    payload = bytes(24)
    began_s = time.process_time()
    radios[0].send(payload)
    timeline.run()
    setup_s = time.process_time() - began_s
    at_us = timeline.now_us
    for _ in range(transmissions):
        at_us += int(random_.expovariate(rate_per_s) * 1_000_000)
        radio = random_.choice(radios)
        timeline.at(at_us, lambda radio=radio: radio.state == "sending" or radio.send(payload))
    began_s = time.process_time()
    timeline.run()
    run_s = time.process_time() - began_s
    counted = [radio.counters for radio in radios]
    return Speed(
        nodes=nodes,
        transmissions=sum(count["sent"] for count in counted) - 1,
        arrivals=sum(sum(count.values()) - count["sent"] for count in counted),
        received=sum(count["received"] for count in counted),
        neighbours=sum(len(radio.neighbours) for radio in radios) / nodes,
        setup_s=setup_s,
        run_s=run_s,
        virtual_s=timeline.now_us / 1_000_000,
    )
