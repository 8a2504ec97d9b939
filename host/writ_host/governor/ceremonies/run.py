"""One ceremony as one daemon takes part in it: its machine, its gossip, and its operator's word.

What a founding (founding.py) and a resharing (handover.py) have in common.
"""

from collections.abc import Iterable

from writ.limits import GOVERNORS_MAX

from ... import codec
from ...errors import HostError, Refused, UnknownGovernor
from ...keys.frost import KeyPackage, PublicKeyPackage
from ...keys.identity import Governor, Identity
from ...keys.roster import COMMITTEE_DIGEST_BYTES, Roster, Seat, committee_digest
from .gossip import CSend, Files, Gossip, GossipFolder, Place
from .invitation import Status
from .views import CeremonyView, CEvent, COut, Decision, in_words

DONE, FAILED, REFUSED = "done", "failed", "refused"
# Names in a ceremony's files that are this daemon's own and never told.
DECISION, RESULT, TOLD = "!decision", "!result", "!told"


def digest_of_public(roster: Roster, public: PublicKeyPackage) -> bytes:
    """The committee's digest (8 B), for one who may have no share: nothing secret is in it."""
    nobody = KeyPackage(1, 0, public.group_key, public.threshold)
    return committee_digest(Seat(roster, nobody, public))


class Run:
    """What both sorts have in common. `advance` does all that can be done now.

    digest: the committee that came of it (8 B); group_key: of its seats; capsules: certified by it.
    """

    steps: tuple[str, ...] = ()

    def __init__(
        self,
        id: bytes,
        identity: Identity,
        files: Files,
        people: dict[str, Governor],
        places: dict[str, Place],
        followers: Iterable[Governor] = (),
    ) -> None:
        self.id, self.identity, self.files = id, identity, files
        self.people = people
        mine = identity.public
        everybody = {one.node_key for one in (*people.values(), *followers)}
        if mine.node_key not in everybody:
            raise UnknownGovernor(f"{mine.name} has no part in it")
        self.peers = frozenset(everybody - {mine.node_key})
        self.folder = GossipFolder(id, places, mine, files)
        self.gossips = {id: Gossip(self.folder, self.peers)}
        self.state = "new"
        self.problem = ""
        self.fingerprint = ""
        self.waiting_for: tuple[str, ...] = ()
        self.digest = b""
        self.group_key = b""
        self.capsules: list[bytes] = []
        self.is_dirty = True
        self.outs: list[COut] = []
        self._accused: set[str] = set()
        found = files.get(id, DECISION)
        self.decision = None if found is None else Decision.from_bytes(found)
        self._was_done = (result := files.get(id, RESULT)) is not None
        if result is not None:
            self._restore_result(result)

    # --- for the sorts to say ---------------------------------------------------------------------

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        raise NotImplementedError

    def lines(self, now_s: int) -> list[str]:
        """What it means, for operators."""
        raise NotImplementedError

    @property
    def asks(self) -> bool:
        """Whether the operator is to decide now."""
        raise NotImplementedError

    @property
    def names(self) -> bytes:
        """As in `CeremonyView`."""
        raise NotImplementedError

    @property
    def addresses(self) -> dict[bytes, str]:
        """By node key (33 B): "host:port", as the ceremony knows it, our own too."""
        raise NotImplementedError

    def _step(self, now_ms: int) -> None:
        raise NotImplementedError

    def _complain(self, accused: str, what: str) -> None:
        raise NotImplementedError

    def _refuse(self) -> None:
        raise NotImplementedError

    # --- what happens -----------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it may still go on."""
        return self.state not in (DONE, FAILED, REFUSED)

    @property
    def is_bound(self) -> bool:
        """Whether we have confirmed, so that others may be done whatever we think of it."""
        return f"{self.identity.name}.confirm.cbor" in self.folder.names()

    def receive(self, sender: bytes, items: list[object], now_ms: int) -> list[CSend]:
        """A message of gossip for one of our folders. Raises `HostError`."""
        gossip = self.gossips[bytes(items[1])]  # type: ignore[call-overload]
        before = len(gossip.folder.names()), len(gossip.folder.evidence), len(gossip.heard)
        sends: list[CSend] = gossip.receive(sender, items, now_ms)
        after = len(gossip.folder.names()), len(gossip.folder.evidence), len(gossip.heard)
        self.is_dirty = self.is_dirty or before != after
        return sends

    def advance(self, now_ms: int) -> list[COut]:
        """Step the machine if anything is new; what came of it."""
        if self.is_dirty:
            self.is_dirty = False
            before = self.state, self.fingerprint, self.problem
            try:
                # who lied is told even when it shows after the end
                self._heed_liars()
                if self.is_open or (self.is_bound and self.state != DONE):
                    self._heed_operator()
                    self._step(now_ms)
            except HostError as error:
                self._fail(error)
            if (self.state, self.fingerprint, self.problem) != before:
                self._tell_state()
        outs: list[COut] = list(self.outs)
        self.outs.clear()
        for gossip in self.gossips.values():
            gossip.is_over = not self.is_open
            outs += gossip.tick(now_ms)
        return outs

    @property
    def next_ms(self) -> int | None:
        """When to call `advance` next."""
        if self.is_dirty and self.is_open:
            return 0
        times = [gossip.next_ms for gossip in self.gossips.values()]
        return min((time for time in times if time is not None), default=None)

    def decide(self, decision: Decision) -> None:
        """Keep what the operator said, durably."""
        self.files.put(self.id, DECISION, decision.to_bytes())
        self.decision = decision
        self.is_dirty = True

    @property
    def _is_approved(self) -> bool | None:
        if self.decision is None or self.decision.fingerprint != self.fingerprint:
            return None
        return self.decision.yes

    def _heed_operator(self) -> None:
        if self.decision is not None and not self.decision.yes:
            self._refuse()
            raise Refused(f"refused here: {self.decision.reason}".rstrip(": "))

    def _heed_liars(self) -> None:
        for gossip in self.gossips.values():
            for name, file in gossip.folder.liars.items():
                if name not in self._accused:
                    self._accused.add(name)
                    what = f"signed two different files {file}"
                    self._tell("accused", f"{name} {what}", governor=name)
                    if gossip.folder is self.folder:
                        self._complain(name, what)

    def _fail(self, error: HostError) -> None:
        self.state = REFUSED if isinstance(error, Refused) else FAILED
        self.problem = str(error)
        self.waiting_for = ()

    def _finish(self, digest: bytes, group_key: bytes, made: list[bytes]) -> None:
        self.digest, self.group_key, self.capsules = digest, group_key, made
        self.files.put(self.id, RESULT, codec.dump([digest, group_key, made]))
        self.state, self.waiting_for = DONE, ()

    def _restore_result(self, data: bytes) -> None:
        digest, group_key, made = codec.a_list(codec.load(data), 3)
        self.digest = codec.some_bytes(digest, COMMITTEE_DIGEST_BYTES)
        self.group_key = codec.some_bytes(group_key, 32)
        self.capsules = [codec.some_bytes(raw) for raw in codec.a_list(made)]
        self.state = DONE

    def _tell_state(self) -> None:
        problem = f" ({self.problem})" if self.problem else ""
        text = f"{self.title}: {in_words(self.state)}{problem}"
        # a restart goes through the same states again, which is no news
        if self.files.get(self.id, TOLD) != text.encode():
            self.files.put(self.id, TOLD, text.encode())
            self._tell("ceremony", text)

    def _tell(self, name: str, text: str, **facts: object) -> None:
        self.outs.append(CEvent(name, text, {"ceremony": self.id.hex()[:16], **facts}))

    def view(self, now_s: int) -> CeremonyView:
        """It, for people."""
        return CeremonyView(
            self.id,
            self.title,
            self.lines(now_s),
            self.fingerprint,
            self.state,
            self.waiting_for,
            self.asks,
            self.problem,
            self.progress(),
            self.names,
        )

    def progress(self) -> tuple[tuple[str, str], ...]:
        """How far each participant is: the last of its files that is here."""
        names = set(self.folder.names())
        found = []
        for name in self.people:
            sent = [step for step in self.steps if f"{name}.{step}.cbor" in names]
            found.append((name, sent[-1] if sent else "awaited"))
        return tuple(found)

    def status(self) -> Status:
        """It, for whoever began it."""
        listed = self.progress()[:GOVERNORS_MAX]
        problem = self.problem.encode()[:300].decode(errors="ignore")
        return Status(self.id, self.state, self.fingerprint, problem, listed, len(self.capsules))
