"""Every node of every invitation, message and file of a ceremony, changed once: nothing raises."""

import random
from dataclasses import dataclass

import pytest
from ceremonies_rig import MemoryFiles, Network, found
from mutation_rig import mutants

from writ.authority import capsule as capsules
from writ.authority.capsule import Charter
from writ.errors import Rejection
from writ_host import codec
from writ_host.ceremony.storage import MemoryStore
from writ_host.errors import HostError
from writ_host.governor.ceremonies.gossip import FILE, HAVE, WANT
from writ_host.governor.ceremonies.manager import CHANGE, Ceremonies
from writ_host.keys.identity import envelope

sizes = pytest.mark.parametrize("is_slow", [False, pytest.param(True, marks=pytest.mark.slow)])
QUICK_INVITATIONS, QUICK_EACH, SLOW_EACH = 100, 2, 40


def sample(found: list[bytes], most: int) -> list[bytes]:
    return random.Random(1).sample(found, min(most, len(found)))


def copy_of(store: MemoryStore) -> MemoryStore:
    made = MemoryStore(store.data)
    made.others = {name: copy_of(one) for name, one in store.others.items()}
    return made


@dataclass
class Moment:
    """What one daemon has on its disk when a message arrives: processes start from it."""

    network: Network
    name: str
    sender: str
    data: bytes
    store: MemoryStore
    files: dict[tuple[bytes, str], bytes]

    def process(self) -> Ceremonies:
        files = MemoryFiles()
        files.data = dict(self.files)
        host = self.network[self.name]
        made = Ceremonies(
            host.identity,
            copy_of(self.store),
            files,
            self.network.clock_s,
            random.Random(1).randbytes,
        )
        made.tick(0)
        return made


def use(process: Ceremonies) -> None:
    """Everything that the daemon and its operator do with ceremonies."""
    for now_ms in (0, 1000, 60_000):
        process.tick(now_ms)
    for view in (*process.views(), *process.pending()):
        process.status(view.id)
    process.peers()
    process.trusted()
    process.next_ms(0)


class Recorder:
    """Keeps, of each type of message and each step of a file, the last moment of its arrival."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.moments: dict[tuple[int, str], Moment] = {}
        network.tamper = self

    def __call__(self, sender: str, receiver: str, data: bytes) -> bytes:
        items = codec.load(data)
        assert isinstance(items, list)
        if isinstance(items[0], int):
            step = items[2].split(".")[1] if items[0] == FILE else ""
            host = self.network[receiver]
            store, files = copy_of(host.store), dict(host.files.data)
            key = items[0], step
            self.moments[key] = Moment(self.network, receiver, sender, data, store, files)
        return data


def signed_again(network: Network, data: bytes, most: int) -> list[bytes]:
    """Mutants of the body of a file or of a change, signed by its author."""
    items = codec.a_list(codec.load(data))
    if items[0] not in (FILE, CHANGE):
        return []
    parts = codec.a_list(codec.load(codec.some_bytes(items[-1])))
    if parts[0] != "writ-envelope":
        return []
    _, ceremony, author, step, body, _ = parts
    identity = network[author].identity
    return [
        codec.dump([*items[:-1], envelope(identity, ceremony, step, changed)])
        for changed in sample(list(mutants(body)), most)
    ]


@sizes
def test_no_invitation_raises(is_slow: bool) -> None:
    network = Network(("anna", "ben", "carl"))
    anna = network["anna"]
    variants = list(mutants(network.invitation().to_bytes()))
    accepted = 0
    for changed in variants if is_slow else sample(variants, QUICK_INVITATIONS):
        process = Moment(network, "anna", "", b"", MemoryStore(), {}).process()
        try:
            process.accept_invitation(changed, "10.0.0.9:40000")
        except (HostError, Rejection):
            continue
        accepted += 1
        use(process)
    assert accepted and anna.process.views() == []


@sizes
@pytest.mark.parametrize("kind", ["founding", "refresh", "succeed"])
def test_no_message_of_a_ceremony_raises(kind: str, is_slow: bool) -> None:
    names = ("anna", "ben", "carl", "dora")
    if kind == "founding":
        network = Network(names)
        recorder = Recorder(network)
        network.invite(network.invitation())
        network.run(network.founded)
    else:
        network = found(names)
        recorder = Recorder(network)
        genesis = network["anna"].seats[0].genesis
        charter = None if kind == "refresh" else Charter(capsules.parse(genesis[0]))
        network.propose("anna", kind, names if charter else (), charter=charter)
        network.run(lambda: all(network[name].nexts for name in names))
    types = {type_ for type_, _ in recorder.moments}
    assert types >= {HAVE, WANT, FILE} | (set() if kind == "founding" else {CHANGE})
    most = SLOW_EACH if is_slow else QUICK_EACH
    for moment in recorder.moments.values():
        network.tamper = lambda sender, receiver, data: data
        listed = sample(list(mutants(moment.data)), most) + signed_again(network, moment.data, most)
        for changed in listed:
            process = moment.process()
            process.receive(network[moment.sender].key, changed, 0)
            use(process)
