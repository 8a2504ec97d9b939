"""A stranger with a radio and without link key, against whole nodes in virtual time."""

import signer
from airfield_rig import RELAY, AirField

from writ.limits import AWAKE_S_MAX, DOUBTS_MAX, JOIN_REASSEMBLIES_MAX
from writ.mesh.frame import BROADCAST, CONTROL, FRAGMENT, JOIN_CLASS, Frame
from writ.sleeper import Sleeper

TAG = signer.scope()[0]
HOUR = 3600


class Stranger:
    """Sends frames that one node hears; number: of frames sent, which is their counter, too."""

    def __init__(self, field: AirField, victim: str) -> None:
        self.field, self.victim = field, victim
        self.number = 0

    def send(self, frame: Frame, key: bytes | None = None) -> None:
        """Send one frame."""
        self.number += 1
        self.field.frames[self.victim].links[0].inbox.append((frame.encode(TAG, key), 9))

    def doubt(self, *names: int) -> None:
        """Send frames in these names whose MIC is that of another key."""
        epoch = self.field.epoch & 255
        for name in names:
            frame = Frame(0, CONTROL, name, BROADCAST, self.number, bytes(11), epoch)
            self.send(frame, b"o" * 16)

    def doubt_parent(self, parent: int) -> None:
        """Frames in the name of the parent and of two made-up nodes: three make a node doubt."""
        names = [parent] * (DOUBTS_MAX - 1)
        self.doubt(*names, 20000 + self.number, *names, 21000 + self.number)


def pair() -> AirField:
    """A gateway and a relay that are neighbours, a quarter of an hour later."""
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    assert field.run(lambda: field.frames["hill"].mesh.routing.rank == 1, 300)
    field.run(seconds=900)
    return field


def test_a_stranger_makes_members_send_few_requests_in_the_join_class() -> None:
    field = pair()
    field.sent.clear()
    stranger = Stranger(field, "hill")
    for _ in range(30):
        stranger.doubt_parent(1)
        field.run(seconds=20)
    joins = [data for _, _, data in field.sent if data[0] & 15 == JOIN_CLASS]
    assert 0 < len(joins) < 30, f"{len(joins)} frames in ten minutes"


def test_a_stranger_keeps_no_member_from_its_hourly_report_and_beacon() -> None:
    # rules that are marked `fresh` deny without a new beacon
    field = pair()
    stranger = Stranger(field, "hill")
    frames = field.frames["hill"]
    due_ms = frames._reports[0]
    end_ms = due_ms + 600_000
    while field.now_ms < end_ms and frames._reports[0] == due_ms:
        if field.now_ms > due_ms - 60_000:
            stranger.doubt_parent(1)
        field.run(seconds=10)
    assert field.now_ms < end_ms, f"no report; {stranger.number} frames of the stranger"


def awake_ms(is_attacked: bool) -> int:
    """How long a sensor was awake in four wakes with nothing to do."""
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    field.node("soil", 3, sleep_s=HOUR)
    field.line("gate", "hill", "soil")
    frames = field.frames["soil"]
    stranger = Stranger(field, "soil")
    total_ms = 0
    for wake in range(6):
        frames.sleeper = Sleeper(frames, HOUR, field.now_ms + 1000 * AWAKE_S_MAX)
        begin_ms = next_ms = field.now_ms
        while not frames.sleeper.is_ready(field.now_ms):
            if is_attacked and wake > 1 and field.now_ms >= next_ms:
                # its POLL is heard
                next_ms = field.now_ms + 2000
                stranger.doubt_parent(2)
            field.step()
        frames.sleeper = None
        if wake > 1:
            total_ms += field.now_ms - begin_ms
        field.asleep.add("soil")
        for _ in range(60):
            field.step(1000)
        frames.links[0].inbox.clear()
        field.asleep.discard("soil")
    return total_ms


def test_a_stranger_does_not_keep_a_sensor_awake() -> None:
    plain_ms, attacked_ms = awake_ms(False), awake_ms(True)
    assert attacked_ms < 3 * plain_ms + 4000, f"{plain_ms} ms without, {attacked_ms} ms with"


def test_half_messages_of_a_stranger_keep_no_node_from_joining() -> None:
    # frames of an RYLR998: the messages of a node that joins take fragments
    field = AirField(mtu=180)
    field.node("gate", 1, RELAY, is_gateway=True)
    assert field.run(lambda: field.frames["gate"].keys.key, 60)
    stranger = Stranger(field, "gate")
    field.node("soil", 3)
    for second in range(60):
        if second % 50 == 0:
            for handle in range(20000, 20000 + JOIN_REASSEMBLIES_MAX):
                # the first of 32 tiles
                head = (stranger.number % 64 << 10 | 31).to_bytes(2, "big")
                stranger.send(Frame(JOIN_CLASS, FRAGMENT, handle, 1, 1, head + b"x"))
        field.run(seconds=1)
    assert field.nodes["gate"].counters["TableFull"]
    assert field.frames["soil"].keys.key, f"no link key; {stranger.number} frames of the stranger"
