"""A governor's daemon in this process, with real sockets, that a test drives turn by turn."""

from pathlib import Path

from council_rig import free_ports

from writ.authority import capsule as capsules
from writ_host.ceremony.local import LocalGovernor, found_local
from writ_host.ceremony.storage import MemoryStore
from writ_host.governor.daemon import Daemon
from writ_host.governor.folder import GovernorFolder
from writ_host.governor.join import write_genesis
from writ_host.governor.ledger.ledger import Ledger
from writ_host.policy.source import PolicyFile
from writ_host.scope import issuance
from writ_host.scope.folder import now_s
from writ_host.scope.issuance import Draft, LocalSigner

NAMES = ("anna", "ben", "carl", "dora")
POLICY = '[roles]\ngateway = ""\n[approvals]\noperators = 2\n'


def found(names: tuple[str, ...] = NAMES, threshold: int = 3) -> list[LocalGovernor]:
    return found_local("farm", list(names), threshold)


class Driven:
    """The daemon of the first of `governors` in the folder `path`. events: (name, text, facts)."""

    def __init__(self, path: Path, governors: list[LocalGovernor], has_seat: bool = True) -> None:
        self.governors = governors
        self.identity, self.seat = governors[0].identity, governors[0].seat
        self.folder = GovernorFolder(path)
        if not self.folder.toml.exists():
            self.folder.create(self.identity.name, *free_ports(2))
        self.store = MemoryStore(self.seat.to_bytes() if has_seat else None)
        self.clock_s = now_s
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def write_genesis(self) -> list[bytes]:
        """The capsules of the founding, into the ledger."""
        charter = issuance.charter_draft(self.seat)
        head = capsules.head(charter.payload)
        first = PolicyFile.parse(POLICY).policy(1, head, now_s())
        drafts = [Draft("charter", charter.payload), Draft("policy", first.payload())]
        raws = issuance.sign(drafts, LocalSigner(self.governors))
        ledger = Ledger.open(self.folder.ledger)
        write_genesis(ledger, self.seat, raws)
        ledger.close()
        return raws

    def start(self) -> Daemon:
        """Open the daemon and handle its first turn."""
        self.daemon = Daemon(
            self.folder,
            self.folder.read(),
            self.identity,
            self.store,
            self._keep,
            None,
            self.clock_s,
        )
        try:
            self.daemon._start()
            self.turn()
        except BaseException:
            self.daemon.close()
            raise
        return self.daemon

    def _keep(self, facts: dict[str, object], text: str) -> None:
        self.events.append((str(facts["event"]), text, facts))

    def turn(self, count: int = 1) -> None:
        """So many turns of the loop, each with its housekeeping."""
        for _ in range(count):
            self.daemon._housekeeping_ms = 0
            self.daemon._turn()

    def named(self, event: str) -> list[dict[str, object]]:
        """The facts of the events with this name."""
        return [facts for name, _, facts in self.events if name == event]

    def receive(self, number: int, data: bytes) -> None:
        """Hand over a message as from the session of this governor."""
        key = self.governors[number - 1].identity.public.node_key
        self.daemon.governor.receive(key, data, self.daemon.now_ms())
