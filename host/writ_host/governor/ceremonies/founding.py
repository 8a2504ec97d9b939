"""A founding between daemons: the group key, the seats, and the first signatures.

States, in their order: "new", "round1", "compare" (the operator is asked), "round2", "confirm",
"genesis" (the first signatures), and "done", "failed" or "refused".
"""

from collections.abc import Callable

from writ.authority import capsule as capsules

from ...ceremony.founding import STEPS, Founding, witness
from ...ceremony.signing import Signing
from ...ceremony.storage import Store
from ...keys.frost import PublicKeyPackage
from ...keys.group import Random
from ...keys.identity import Identity
from ...keys.roster import Seat
from .genesis import genesis, read_signed, select_file, signing_places, signing_proofs
from .gossip import Files, Gossip, GossipFolder, Place
from .invitation import Invitation
from .run import Run, digest_of_public
from .views import COut

# A governor that was chosen to sign and does not: the others try without it.
PATIENCE_MS = 5000


class FoundingRun(Run):
    """A founding, or the founding of a successor; then the first signatures.

    `seated` is told of the seat before anything is signed with it; `seat` is the one that came of
    it earlier. An old governor without a part in the succession only follows.
    """

    steps = STEPS

    def __init__(
        self,
        invitation: Invitation,
        identity: Identity,
        store: Store,
        files: Files,
        seated: Callable[[Seat], None],
        seat: Seat | None,
        random: Random,
    ) -> None:
        roster = invitation.roster
        places = {
            f"{governor.name}.{step}.cbor": Place(governor, step)
            for governor in roster.governors
            for step in STEPS
        }
        followers = invitation.succeeds.followers if invitation.succeeds else ()
        super().__init__(invitation.id, identity, files, roster.by_name, places, followers)
        self.invitation = invitation
        self._random = random
        self._seated = seated
        self._signing: Signing | None = None
        self._stuck: tuple[object, int] = (None, 0)
        self.seat = seat
        self._machine: Founding | None = None
        if self._was_done:
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
    def asks(self) -> bool:
        return self.state == "compare"

    @property
    def names(self) -> bytes:
        return self.group_key if self.invitation.succeeds else b""

    @property
    def addresses(self) -> dict[bytes, str]:
        return self.invitation.peers

    @property
    def next_ms(self) -> int | None:
        time = super().next_ms
        if self._signing is None or self.state != "genesis":
            return time
        patience = self._stuck[1] + PATIENCE_MS
        return patience if time is None else min(time, patience)

    def advance(self, now_ms: int) -> list[COut]:
        if self._signing is not None and now_ms >= self._stuck[1] + PATIENCE_MS:
            self.is_dirty = True
        return super().advance(now_ms)

    def _compare(self, fingerprint: str) -> bool | None:
        self.fingerprint = fingerprint
        return self._is_approved

    def _step(self, now_ms: int) -> None:
        if self.seat is None:
            if self._machine is None:
                self._follow()
                return
            progress = self._machine.step()
            self.state, self.waiting_for = progress.step, progress.waiting_for
            self.fingerprint = progress.fingerprint or self.fingerprint
            if not progress.done:
                return
            assert self._machine.seat is not None
            self._seated(self._machine.seat)
            self.seat = self._machine.seat
        self.state = "genesis"
        gossip = self._open_genesis(self.seat.public.group_key)
        if self._signing is None:
            # Each attempt leaves files behind: none is begun that cannot succeed.
            others = self.seat.public.threshold - 1
            if not self._is_signed(gossip) and len(gossip.heard) < others:
                self.waiting_for = tuple(
                    one.name for one in self.people.values()
                    if one.node_key in self.peers - gossip.heard
                )  # fmt: skip
                return
            proposal = genesis(self.invitation, self.seat.public.group_key)
            self._signing = Signing(
                gossip.folder, self.identity, self.seat, proposal, lambda _: True, self._random
            )
            self._stuck = (None, now_ms)
        self._sign(self._signing, now_ms)

    def _follow(self) -> None:
        """As an old governor who gets no seat: see the key made, and the charter signed."""
        self.state = "round1"
        public = witness(self.folder, self.invitation.roster, self.id)
        if public is None:
            return
        self.state = "genesis"
        gossip = self._open_genesis(public.group_key)
        if self._is_signed(gossip):
            signatures = read_signed(genesis(self.invitation, public.group_key), gossip.folder)
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
        chosen = select_file(signing.proposal, signing.attempt)
        progress = signing.step()
        if (
            not progress.done
            and progress == self._stuck[0]
            and (
                now_ms >= self._stuck[1] + PATIENCE_MS
                and (progress.step == "select" or folder.read(chosen) is not None)
            )
        ):
            signing.retry()
            progress = signing.step()
        if progress != self._stuck[0] or now_ms >= self._stuck[1] + PATIENCE_MS:
            self._stuck = (progress, now_ms)
        self.waiting_for = progress.waiting_for
        if progress.done:
            assert signing.signatures is not None and self.seat is not None
            self._certified(self.seat.public, signing.signatures)

    def _open_genesis(self, group_key: bytes) -> Gossip:
        proposal = genesis(self.invitation, group_key)
        if proposal.id not in self.gossips:
            places, proofs = signing_places(proposal), signing_proofs(proposal)
            folder = GossipFolder(proposal.id, places, self.identity.public, self.files, proofs)
            self.gossips[proposal.id] = Gossip(folder, self.peers)
        return self.gossips[proposal.id]

    def _complain(self, accused: str, what: str) -> None:
        if self._machine is not None and self._machine.seat is None:
            self._machine.complain(accused, what)

    def _refuse(self) -> None:
        if self._machine is not None and self._machine.seat is None:
            self._machine.refuse()
