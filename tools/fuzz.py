"""Send random and mutated frames through the parsers of the mesh, and through a relay.

The frames are those of a real join over a relay, with bytes changed, cut off and added, and random
ones. The relay gets them as they are, with the MIC of a member, and with that of a member and a
fresh counter. Anything but a `Rejection` is an error, as is memory that grows. The exit code is 1
then, and the seed repeats the run.
"""

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "firmware"), str(ROOT / "host")]
# RSS may grow by so much after the first tenth of a run: the allocator keeps pages
GROWTH_KB = 4096
ONE_IN_RANDOM = 8
MIC_BYTES = 4


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The frame with a few bytes changed, cut off or added."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        how = chance.randrange(4)
        if how == 0 and len(found) > 1:
            del found[chance.randrange(len(found)) :]
        elif how == 1:
            found += chance.randbytes(chance.randrange(1, 40))
        elif found:
            at = chance.randrange(len(found))
            found[at] = chance.choice((0, 255, found[at] ^ 1 << chance.randrange(8)))
    return bytes(found)


def made(chance: random.Random, recorded: list[bytes]) -> bytes:
    """A mutated frame, or a random one."""
    if chance.randrange(ONE_IN_RANDOM) == 0:
        return chance.randbytes(chance.randrange(256))
    return mutated(chance, chance.choice(recorded))


def signed(data: bytes, key: bytes, high: int) -> bytes:
    """The frame with the MIC of a member in the place of its own; a join frame has none."""
    from writ.mesh.frame import JOIN_CLASS, mic

    if len(data) < 14 or data[0] & 15 == JOIN_CLASS:
        return data
    return data[:-MIC_BYTES] + mic(key, high, data[:-MIC_BYTES])


def fresh(data: bytes, mesh: Any) -> tuple[bytes, int]:
    """(frame with the next counter of its transmitter, high bits), where `mesh` knows that one."""
    if len(data) < 14:
        return data, 0
    neighbour = mesh.neighbours.find(0, data[4] << 8 | data[5])
    if neighbour is None or neighbour.counter > 0xFFFFFFF0:
        return data, 0
    counter = neighbour.counter + 1
    at = 8 if data[3] >> 6 == 0 else 10
    low = (counter & 65535).to_bytes(2, "big")
    return data[:at] + low + data[at + 2 :], counter >> 16


def record() -> tuple[Any, list[bytes]]:
    """(air, frames): a sensor has joined over a relay, and been read, in both directions."""
    from measure.airnodes import RELAY, SENSOR, Air

    from writ.wire import coap

    air = Air(7)
    scope = air.scope
    members = [air.member("gate", 1, RELAY), air.member("hill", 2, RELAY)]
    members.append(air.member("soil", 17, SENSOR))
    common = [scope.charter, air.policy, air.beacon]
    air.node("gate", [*common, *members], is_gateway=True)
    air.node("hill", [*common, members[1], members[0], members[2]])
    air.node("soil", [])
    air.channel.cut("gate", "soil")
    air.nodes["gate"].resource("log", methods=("GET", "POST"))(lambda request: b"")
    air.nodes["soil"].resource("temp")(lambda request: b"21.5")
    links = air.links["soil"]
    if not air.run(lambda: links.mesh.routing and links.mesh.routing.rank == 2, 3600):
        raise SystemExit("the sensor does not join")
    _call(air, "soil", "mesh:0001", coap.POST, "log")
    _call(air, "gate", "mesh:0011", coap.GET, "temp")
    return air, [frame for _, _, frame, _ in air.sent]


def _call(air: Any, name: str, address: str, method: int, path: str) -> None:
    answers: list[Any] = []
    air.ask(air.nodes[name], method, path, b"", address, answers.append)
    if not air.run(lambda: answers, 600):
        raise SystemExit(f"{path} is not answered")


def parse(chance: random.Random, recorded: list[bytes]) -> Callable[[], bytes]:
    """A function that puts one frame through all parsers of the mesh."""
    from writ.errors import Rejection
    from writ.mesh.compress import expand
    from writ.mesh.fragment import Reassembly
    from writ.mesh.frame import FRAGMENT, decode
    from writ.mesh.way import read_way

    tag = recorded[0][1]
    reassembly = Reassembly(60000)
    now_ms = 0

    def step() -> bytes:
        nonlocal now_ms
        now_ms += 1
        data = made(chance, recorded)
        try:
            frame = decode(data, tag)
            if frame.kind == FRAGMENT:
                message, _ = reassembly.receive((0, frame.transmitter), frame.payload, now_ms)
            else:
                message = frame.payload
            if message is not None:
                if frame.shape:
                    _, message = read_way(message)
                expand(message)
        except Rejection:
            pass
        return data

    return step


def relay(chance: random.Random, air: Any, recorded: list[bytes]) -> Callable[[], bytes]:
    """A function that puts one frame through the relay, its node included."""
    node, links = air.nodes["hill"], air.links["hill"]
    mesh, key = links.mesh, air.links["gate"].keys.key
    now_ms = air.now_ms

    def step() -> bytes:
        nonlocal now_ms
        now_ms += chance.choice((0, 1, 20, 500))
        how = chance.randrange(4)
        data = chance.choice(recorded) if how == 3 else made(chance, recorded)
        if how == 1:
            data = signed(data, key, chance.choice((0, 0, 0, 1, 65535)))
        elif how >= 2:
            data, high = fresh(data, mesh)
            data = signed(data, key, high)
        for address, datagram in mesh.receive(0, data, chance.choice((None, -7, 9)), now_ms):
            for item in node.receive(datagram, address, now_ms):
                links.send(*item)
        mesh.tick(now_ms)
        for _ in range(4):
            if mesh.outgoing(0, now_ms):
                mesh.sent(0, now_ms)
        return data

    return step


def rss_kb() -> int:
    """The resident memory of this process in kB; 0 where /proc is missing."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def run(what: str, count: int, step: Callable[[], bytes], numbers: Iterable[int]) -> bool:
    """Make `count` steps, and print what they took. Whether memory stayed flat."""
    began, warm_kb = time.monotonic(), 0
    for number in numbers:
        if number == count // 10:
            warm_kb = rss_kb()
        try:
            step()
        except Exception:
            print(f"frame {number} of the {what}", file=sys.stderr)
            raise
    grown_kb = rss_kb() - warm_kb
    spent_s = time.monotonic() - began
    print(
        f"{what}: {count:,} frames, {spent_s:.0f} s, {count / max(spent_s, 0.001):,.0f} a second, "
        f"nothing but rejections; memory {warm_kb:,} kB after a tenth, then {grown_kb:+,} kB"
    )
    return grown_kb <= GROWTH_KB


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same frames")
    parser.add_argument("--frames", type=int, default=10_000_000, help="for the parsers")
    parser.add_argument("--relay", type=int, default=1_000_000, help="for the relay")
    options = parser.parse_args(words)
    # keys, handles and pauses of the nodes, too: taken before anything of writ is loaded
    os.urandom = random.Random(options.seed).randbytes
    from rich.progress import track

    air, recorded = record()
    print(f"seed {options.seed}, {len(recorded)} recorded frames")
    is_flat = True
    for what, count, step in (
        ("parsers", options.frames, parse(random.Random(options.seed), recorded)),
        ("relay", options.relay, relay(random.Random(options.seed), air, recorded)),
    ):
        numbers = track(range(count), what, disable=not sys.stderr.isatty())
        is_flat &= not count or run(what, count, step, numbers)
    counters = air.nodes["hill"].counters
    print("refused by the relay:", ", ".join(f"{name} {counters[name]:,}" for name in counters))
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
