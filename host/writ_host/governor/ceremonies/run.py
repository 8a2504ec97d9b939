"""One ceremony in one daemon: its state machine, its gossip, and its operator's decision.

This is the common part of a founding (founding.py) and a re-sharing (resharing.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from writ.limits import GOVERNORS_MAX

from ... import codec
from ...errors import HostError, Refused, UnknownGovernor
from ...keys.frost import KeyPackage, PublicKeyPackage
from ...keys.identity import Identity, PublicIdentity
from ...keys.roster import COMMITTEE_DIGEST_BYTES, Roster, Seat, committee_digest
from ..ledger.database import LEDGER_ERRORS
from .gossip import CeremonySend, ExpectedFile, Files, Gossip, GossipFolder
from .invitation import CeremonyStatus
from .views import CeremonyEvent, CeremonyOutput, CeremonyView, Decision, state_text

DONE, FAILED, REFUSED = "done", "failed", "refused"
# Files of a ceremony that are this daemon's own and never sent.
DECISION, RESULT, LAST_LOGGED = "!decision", "!result", "!told"


def digest_of_public(roster: Roster, public: PublicKeyPackage) -> bytes:
    """The committee's digest (8 B) from public data, for a governor without a share of it."""
    no_share = KeyPackage(1, 0, public.group_key, public.threshold)
    return committee_digest(Seat(roster, no_share, public))


class CeremonyRun(ABC):
    """A ceremony that this daemon takes part in. `advance` does everything that is possible now.

    participants: by name; peers: node keys (33 B) of all others; state: see founding.py and
    resharing.py; problem: why it failed; digest: of the committee that it made (8 B); group_key: of
    the new seats; capsules: certified in it; decision: the operator's, None before; has_news:
    whether `advance` has something to do.
    """

    steps: tuple[str, ...] = ()

    def __init__(
        self,
        id: bytes,
        identity: Identity,
        files: Files,
        participants: dict[str, PublicIdentity],
        expected: dict[str, ExpectedFile],
        followers: Iterable[PublicIdentity] = (),
    ) -> None:
        self.id, self.identity, self.files = id, identity, files
        self.participants = participants
        mine = identity.public
        node_keys = {one.node_key for one in (*participants.values(), *followers)}
        if mine.node_key not in node_keys:
            raise UnknownGovernor(f"{mine.name} has no part in this ceremony")
        self.peers = frozenset(node_keys - {mine.node_key})
        self.folder = GossipFolder(id, expected, mine, files)
        self.gossips = {id: Gossip(self.folder, self.peers)}
        self.state = "new"
        self.problem = ""
        self.fingerprint = ""
        self.waiting_for: tuple[str, ...] = ()
        self.digest = b""
        self.group_key = b""
        self.capsules: list[bytes] = []
        self.has_news = True
        self._outputs: list[CeremonyOutput] = []
        self._accused: set[str] = set()
        found = files.get(id, DECISION)
        self.decision = None if found is None else Decision.from_bytes(found)
        result = files.get(id, RESULT)
        self._is_restored = result is not None  # done before a restart
        if result is not None:
            self._restore_result(result)

    # --- for each kind of ceremony to define ------------------------------------------------------

    @property
    @abstractmethod
    def title(self) -> str:
        """A short title for operators."""

    @abstractmethod
    def lines(self, now_s: int) -> list[str]:
        """The ceremony in detail, for operators."""

    @property
    @abstractmethod
    def needs_decision(self) -> bool:
        """Whether the operator has to decide now."""

    @property
    @abstractmethod
    def seat_id(self) -> bytes:
        """As in `CeremonyView`."""

    @property
    @abstractmethod
    def addresses(self) -> dict[bytes, str]:
        """By node key (33 B): the addresses ("host:port") in the ceremony, our own included."""

    @abstractmethod
    def _step(self, now_ms: int) -> None:
        """Step the state machine."""

    @abstractmethod
    def _complain(self, accused: str, what: str) -> None:
        """End the ceremony with a complaint, unless it is done."""

    @abstractmethod
    def _refuse(self) -> None:
        """End the ceremony with a refusal, unless it is done."""

    # --- progress ---------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it may still make progress."""
        return self.state not in (DONE, FAILED, REFUSED)

    @property
    def has_confirmed(self) -> bool:
        """Whether we have confirmed, so that others may complete it without us."""
        return f"{self.identity.name}.confirm.cbor" in self.folder.names()

    def receive(self, sender: bytes, items: list[object], now_ms: int) -> list[CeremonySend]:
        """Handle a gossip message for one of our folders. Raises `HostError`."""
        gossip = self.gossips[bytes(items[1])]  # type: ignore[call-overload]
        before = len(gossip.folder.names()), len(gossip.folder.evidence), len(gossip.seen)
        sends: list[CeremonySend] = gossip.receive(sender, items, now_ms)
        after = len(gossip.folder.names()), len(gossip.folder.evidence), len(gossip.seen)
        self.has_news = self.has_news or before != after
        return sends

    def advance(self, now_ms: int) -> list[CeremonyOutput]:
        """Step the state machine if there is news; returns the outputs."""
        if self.has_news:
            self.has_news = False
            before = self.state, self.fingerprint, self.problem
            try:
                # equivocation is reported even after the end
                self._check_equivocation()
                if self.is_open or (self.has_confirmed and self.state != DONE):
                    self._check_decision()
                    self._step(now_ms)
            except LEDGER_ERRORS:
                raise
            except HostError as error:
                self._fail(error)
            if (self.state, self.fingerprint, self.problem) != before:
                self._log_state()
        outputs: list[CeremonyOutput] = list(self._outputs)
        self._outputs.clear()
        for gossip in self.gossips.values():
            gossip.is_ended = not self.is_open
            outputs += gossip.tick(now_ms)
        return outputs

    @property
    def next_ms(self) -> int | None:
        """When to call `advance` next."""
        if self.has_news and self.is_open:
            return 0
        times = [gossip.next_ms for gossip in self.gossips.values()]
        return min((time for time in times if time is not None), default=None)

    def decide(self, decision: Decision) -> None:
        """Keep the operator's decision, durably."""
        self.files.put(self.id, DECISION, decision.to_bytes())
        self.decision = decision
        self.has_news = True

    @property
    def _is_approved(self) -> bool | None:
        if self.decision is None or self.decision.fingerprint != self.fingerprint:
            return None
        return self.decision.yes

    def _check_decision(self) -> None:
        if self.decision is not None and not self.decision.yes:
            self._refuse()
            raise Refused(f"refused here: {self.decision.reason}".rstrip(": "))

    def _check_equivocation(self) -> None:
        for gossip in self.gossips.values():
            for name, file in gossip.folder.equivocators.items():
                if name not in self._accused:
                    self._accused.add(name)
                    what = f"signed two different files {file}"
                    self._log("accused", f"{name} {what}", governor=name)
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

    def _log_state(self) -> None:
        problem = f" ({self.problem})" if self.problem else ""
        text = f"{self.title}: {state_text(self.state)}{problem}"
        # a restart passes through the same states again, which are not logged twice
        if self.files.get(self.id, LAST_LOGGED) != text.encode():
            self.files.put(self.id, LAST_LOGGED, text.encode())
            self._log("ceremony", text)

    def _log(self, name: str, text: str, **facts: object) -> None:
        self._outputs.append(CeremonyEvent(name, text, {"ceremony": self.id.hex()[:16], **facts}))

    def view(self, now_s: int) -> CeremonyView:
        """The ceremony as operators see it."""
        return CeremonyView(
            self.id,
            self.title,
            self.lines(now_s),
            self.fingerprint,
            self.state,
            self.waiting_for,
            self.needs_decision,
            self.problem,
            self.progress(),
            self.seat_id,
        )

    def progress(self) -> tuple[tuple[str, str], ...]:
        """(name, step) of each participant: the last of its files that we have."""
        names = set(self.folder.names())
        found = []
        for name in self.participants:
            sent = [step for step in self.steps if f"{name}.{step}.cbor" in names]
            found.append((name, sent[-1] if sent else "awaited"))
        return tuple(found)

    def status(self) -> CeremonyStatus:
        """The status for the command that began the ceremony."""
        listed = self.progress()[:GOVERNORS_MAX]
        problem = self.problem.encode()[:300].decode(errors="ignore")
        return CeremonyStatus(
            self.id, self.state, self.fingerprint, problem, listed, len(self.capsules)
        )
