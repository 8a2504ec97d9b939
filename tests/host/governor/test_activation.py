"""Each governor with a new share can put it in force, also without the one that began it."""

from pathlib import Path

from governor_rig import NAMES, Cluster

from writ.authority import capsule as capsules
from writ_host.ceremony.local import LocalGovernor, found_local
from writ_host.governor.activation import Activation
from writ_host.governor.ceremonies.views import SeatReady
from writ_host.governor.proposals.proposal import CERTIFIED
from writ_host.keys.roster import committee_digest
from writ_host.scope import issuance
from writ_host.scope.issuance import LocalSigner


def successors() -> tuple[list[LocalGovernor], bytes]:
    """The same governors with a new group key, and its charter."""
    new = found_local("farm", list(NAMES[:4]), 3)
    (charter,) = issuance.sign([issuance.charter_draft(new[0].seat)], LocalSigner(new))
    return new, charter


def test_each_governor_with_a_new_share_proposes_the_same_succession(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    new, charter = successors()
    group_key = new[0].seat.public.group_key
    digest = committee_digest(new[0].seat)
    # governor 1 began the succession, and went offline when the key was made
    cluster.down.add(1)
    ids = set()
    for number in (2, 3, 4):
        core = cluster.cores[number]
        core.set_next_seats([digest, group_key])
        core.context.clock_s = lambda late=number: capsules.parse(charter).claims[6] + late
    for number in (2, 3, 4):
        activation = Activation()
        activation.add(
            SeatReady(digest, new[number - 1].seat, [charter], bytes(32)), "succession: farm"
        )

        def propose(payloads: list[bytes], title: str, evidence: bytes, at: int = number) -> bytes:
            return cluster.propose(at, payloads, evidence)

        core = cluster.cores[number]
        for _ in range(2):
            assert not activation.tick(core, propose)
            ids.update(view.id for view in core.pending())
        cluster.step()
    # identical bytes: one proposal, which operators approve once
    (id,) = ids
    assert [view.id for view in cluster.cores[2].pending()] == [id]
    for number in (2, 3):
        cluster.approve(number, id)
    cluster.run(lambda: [cluster.reseats.get(number) for number in (2, 3, 4)] == [group_key] * 3)
    assert cluster.view(4, id).state == CERTIFIED
