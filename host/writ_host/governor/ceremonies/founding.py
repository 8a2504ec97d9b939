"""A founding between daemons: the group key, the seats, and the first signatures.

States, in their order: "new", "round1", "compare" (the operator decides), "round2", "confirm",
"genesis" (the first signatures), and "done", "failed" or "refused".
"""

from collections.abc import Callable

from writ.authority import capsule as capsules

from ...ceremony.founding import STEPS, Founding, confirmed_public_keys
from ...ceremony.signing import Signing
from ...ceremony.storage import CeremonyStore
from ...keys.frost import PublicKeyPackage
from ...keys.group import Random
from ...keys.identity import Identity
from ...keys.roster import Seat
from .genesis import expected_files, genesis_request, proofs, read_signed, select_file
from .gossip import ExpectedFile, Files, Gossip, GossipFolder
from .invitation import Invitation
from .run import CeremonyRun, digest_of_public
from .views import CeremonyOutput

# After this long without the shares of a selected signer, the others retry without it.
SIGNING_TIMEOUT_MS = 5000


class FoundingRun(CeremonyRun):
    """The founding of a scope or of its successor, and then the first signatures.

    `install(seat)` keeps the new seat before anything is signed with it; `seat` is the one that
    this founding gave us before a restart. In a succession an old governor without a new seat only
    observes.
    """

    steps = STEPS

    def __init__(
        self,
        invitation: Invitation,
        identity: Identity,
        store: CeremonyStore,
        files: Files,
        install: Callable[[Seat], None],
        seat: Seat | None,
        random: Random,
    ) -> None:
        roster = invitation.roster
        expected = {
            f"{governor.name}.{step}.cbor": ExpectedFile(governor, step)
            for governor in roster.governors
            for step in STEPS
        }
        followers = invitation.predecessor.followers if invitation.predecessor else ()
        super().__init__(invitation.id, identity, files, roster.by_name, expected, followers)
        self.invitation = invitation
        self._random = random
        self._install = install
        self._signing: Signing | None = None
        # the newest progress of the signing, and since when (ms) it has not changed
        self._last_progress: tuple[object, int] = (None, 0)
        self.seat = seat
        self._machine: Founding | None = None
        if self._is_restored:
            self._open_genesis(self.group_key)
        elif seat is None and identity.public in roster.governors:
            self._machine = Founding(
                self.folder, identity, roster, store, self._compare, random, invitation.id
            )

    @property
    def title(self) -> str:
        return self.invitation.title

    def lines(self, now_s: int) -> list[str]:
        return self.invitation.lines(now_s)

    @property
    def needs_decision(self) -> bool:
        return self.state == "compare"

    @property
    def seat_id(self) -> bytes:
        return self.group_key if self.invitation.predecessor else b""

    @property
    def addresses(self) -> dict[bytes, str]:
        return self.invitation.peers

    @property
    def next_ms(self) -> int | None:
        time = super().next_ms
        if self._signing is None or self.state != "genesis":
            return time
        timeout_ms = self._last_progress[1] + SIGNING_TIMEOUT_MS
        return timeout_ms if time is None else min(time, timeout_ms)

    def advance(self, now_ms: int) -> list[CeremonyOutput]:
        if self._signing is not None and now_ms >= self._last_progress[1] + SIGNING_TIMEOUT_MS:
            self.has_news = True
        return super().advance(now_ms)

    def _compare(self, fingerprint: str) -> bool | None:
        self.fingerprint = fingerprint
        return self._is_approved

    def _step(self, now_ms: int) -> None:
        if self.seat is None:
            if self._machine is None:
                self._observe()
                return
            progress = self._machine.step()
            self.state, self.waiting_for = progress.step, progress.waiting_for
            self.fingerprint = progress.fingerprint or self.fingerprint
            if not progress.is_done:
                return
            assert self._machine.seat is not None
            self._install(self._machine.seat)
            self.seat = self._machine.seat
        self.state = "genesis"
        gossip = self._open_genesis(self.seat.public.group_key)
        if self._signing is None:
            # Each attempt leaves files behind, so none begins before enough governors are online.
            others = self.seat.public.threshold - 1
            if not self._is_signed(gossip) and len(gossip.seen) < others:
                self.waiting_for = tuple(
                    one.name for one in self.participants.values()
                    if one.node_key in self.peers - gossip.seen
                )  # fmt: skip
                return
            request = genesis_request(self.invitation, self.seat.public.group_key)
            self._signing = Signing(
                gossip.folder, self.identity, self.seat, request, lambda _: True, self._random
            )
            self._last_progress = (None, now_ms)
        self._sign(self._signing, now_ms)

    def _observe(self) -> None:
        """As an old governor without a new seat: observe the new key and the signed charter."""
        self.state = "round1"
        public = confirmed_public_keys(self.folder, self.invitation.roster, self.id)
        if public is None:
            return
        self.state = "genesis"
        gossip = self._open_genesis(public.group_key)
        if self._is_signed(gossip):
            signatures = read_signed(
                genesis_request(self.invitation, public.group_key), gossip.folder
            )
            self._certified(public, signatures)

    def _is_signed(self, gossip: Gossip) -> bool:
        return any(name in gossip.folder.proofs for name in gossip.folder.names())

    def _certified(self, public: PublicKeyPackage, signatures: list[bytes]) -> None:
        payloads = self.invitation.payloads(public.group_key)
        made = [
            capsules.assemble(payload, signature)
            for payload, signature in zip(payloads, signatures, strict=True)
        ]
        self._finish(digest_of_public(self.invitation.roster, public), public.group_key, made)

    def _sign(self, signing: Signing, now_ms: int) -> None:
        folder = signing.folder
        chosen = select_file(signing.request, signing.attempt)
        progress = signing.step()
        if (
            not progress.is_done
            and progress == self._last_progress[0]
            and (
                now_ms >= self._last_progress[1] + SIGNING_TIMEOUT_MS
                and (progress.step == "select" or folder.read(chosen) is not None)
            )
        ):
            signing.retry()
            progress = signing.step()
        if (
            progress != self._last_progress[0]
            or now_ms >= self._last_progress[1] + SIGNING_TIMEOUT_MS
        ):
            self._last_progress = (progress, now_ms)
        self.waiting_for = progress.waiting_for
        if progress.is_done:
            assert signing.signatures is not None and self.seat is not None
            self._certified(self.seat.public, signing.signatures)

    def _open_genesis(self, group_key: bytes) -> Gossip:
        request = genesis_request(self.invitation, group_key)
        if request.id not in self.gossips:
            expected, checks = expected_files(request), proofs(request)
            folder = GossipFolder(request.id, expected, self.identity.public, self.files, checks)
            self.gossips[request.id] = Gossip(folder, self.peers)
        return self.gossips[request.id]

    def _complain(self, accused: str, what: str) -> None:
        if self._machine is not None and self._machine.seat is None:
            self._machine.complain(accused, what)

    def _refuse(self) -> None:
        if self._machine is not None and self._machine.seat is None:
            self._machine.refuse()
