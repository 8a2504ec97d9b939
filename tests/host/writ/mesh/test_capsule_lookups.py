"""Look-ups of member capsules at a relay, while a member with the link key makes up neighbours."""

import signer
from airfield_rig import RELAY, AirField

from writ.mesh.compress import compress
from writ.mesh.frame import CONTROL, DATA, Frame
from writ.mesh.neighbour import PROOF
from writ.node.call import Answer

TAG = signer.scope()[0]
PLAIN = b"\x40\x01\x00\x01\xb4writ"


class Insider:
    """A member, or one that was revoked less than ten minutes ago: one node hears it."""

    def __init__(self, field: AirField, victim: str) -> None:
        self.field, self.frames = field, field.frames[victim]
        self.key = self.frames.keys.sending(field.now_ms)
        self.number = 0

    def send(self, route_class: int, kind: int, name: int, payload: bytes) -> None:
        """Send a frame in some name to the node with the short address 2."""
        self.number += 1
        frame = Frame(route_class, kind, name, 2, self.number, payload, self.field.epoch & 255)
        self.frames.links[0].inbox.append((frame.encode(TAG, self.key), 9))

    def speak(self) -> None:
        """Be a new neighbour, and send a message whose sender's capsule is not here."""
        name = 20000 + self.number
        # the ANSWER that the insider would hear has this nonce
        nonce = self.frames.mesh.neighbours.nonce(0, name, self.field.now_ms)
        self.send(0, CONTROL, name, bytes((PROOF, 0, 0)) + nonce)
        self.send(1, DATA, name, compress(PLAIN))


def reading_s(is_attacked: bool) -> int:
    """Seconds until the first reading of a new node has passed two relays; one is attacked."""
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    field.node("knob", 5, RELAY)
    field.line("gate", "hill", "knob")
    assert field.run(lambda: field.frames["knob"].mesh.routing.rank == 2, 300)
    field.run(seconds=60)
    insider = Insider(field, "hill")
    answers: list[Answer] = []
    start_ms = field.now_ms + 10_000
    for second in range(600):
        if is_attacked and second % 15 == 0:
            insider.speak()
        if second == 10:
            field.node("lawn", 4)
            field.line("gate", "hill", "knob", "lawn")
        if second > 10 and second % 60 == 20:
            lawn = field.nodes["lawn"]
            lawn.now_ms = field.now_ms
            out = lawn.request(1, "temp", b"", "mesh:0001", on_answer=answers.append)
            field.send("lawn", out)
        field.run(seconds=1)
        if any(one.code for one in answers):
            break
    return (field.now_ms - start_ms) // 1000


def test_made_up_neighbours_do_not_hold_up_the_capsules_of_others() -> None:
    plain_s, attacked_s = reading_s(False), reading_s(True)
    assert attacked_s < plain_s + 120, f"{plain_s} s without, {attacked_s} s with"


def test_a_neighbour_that_is_made_up_is_given_up_soon() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    hill = field.frames["hill"]
    assert field.run(lambda: hill.mesh.routing.rank == 1, 300)
    field.run(seconds=60)
    assert not hill.mesh.missing
    Insider(field, "hill").speak()
    assert field.run(lambda: hill.mesh.missing, 5)
    # after three transmissions; the last of the four of CoAP would end after twice as long
    longest_s = 32 * hill.mesh.patience_ms() // 1000
    assert field.run(lambda: not hill.mesh.missing, 2 + longest_s)
