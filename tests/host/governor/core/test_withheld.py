"""One Byzantine governor of four holds a certified membership back until its node is unlisted.

Dora, the fourth governor, has a device of a thief renewed, with the signatures of honest governors
from before its revocation, and keeps the capsule. She publishes it once the policy no longer lists
the device.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakeflash import MemoryFlash
from governor_rig import DAY_S, SENSOR, Cluster, evidence_of, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.authority import Authority
from writ.authority.capsule import AMENDMENT, MEMBER, Member
from writ.authority.policy import OP_RESTORE
from writ.authority.store import Store
from writ.errors import Expired, NotMember, Rejection, Revoked
from writ.node.statement import member_request
from writ.wire import coap
from writ_host.governor.core.context import NEW_WAITED
from writ_host.governor.core.pool import NotAccepted
from writ_host.governor.core.reservations import UNSYNCED
from writ_host.governor.proposals.messages import (
    CAPSULES,
    COSIGNING_TYPE_MIN,
    PULL,
    RESERVATIONS,
    type_of,
)
from writ_host.governor.proposals.proposal import CERTIFIED, OPEN
from writ_host.governor.proposals.scopeview import ScopeView
from writ_host.governor.proposals.statement import RENEW
from writ_host.humanize import utc_minute
from writ_host.scope.revocation import replaced

DORA = 4
YEAR = 365


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def renewal(cluster: Cluster, days: int, epoch: int, name: str = "soil") -> bytes:
    """The payload of a renewal of soil that names an epoch."""
    made: bytes = capsules.build(
        MEMBER,
        [100, SENSOR, epoch] if epoch else [100, SENSOR],
        sub=name,
        exp=cluster.clock_s() + days * DAY_S - 60,
        key=crypto.p256_public(cluster.soil.private),
    )
    return made


def lie(cluster: Cluster, liar: int) -> None:
    """Let a governor propose memberships of the next epoch, and publish none of its capsules."""
    context = cluster.cores[liar].context
    true_view = context.view

    def view() -> ScopeView:
        return replace(true_view(), epoch=context.chain.epoch + 1)

    context.view = view  # type: ignore[method-assign]
    cluster.lose = lambda sender, to, data: sender == liar and type_of(data) == CAPSULES


def withhold(
    cluster: Cluster, signers: Iterable[int], days: int, epoch: int, liar: int = DORA
) -> bytes | None:
    """Let a liar have soil renewed by these governors; the capsule that it holds, None for none."""
    lie(cluster, liar)
    before, down = cluster.ledgers[liar].capsules.member(cluster.soil.member.node_id), cluster.down
    cluster.down = set(cluster.cores) - {liar, *signers}
    evidence = evidence_of(cluster.statement(RENEW))
    cluster.propose(liar, [renewal(cluster, days, epoch)], evidence)
    for _ in range(20):
        cluster.step()
    cluster.start(liar)
    cluster.down = down
    found: Any = cluster.ledgers[liar].capsules.member(cluster.soil.member.node_id)
    return None if found == before or found.raw == before.raw else bytes(found.raw)


def certify(cluster: Cluster, payloads: list[bytes], *approving: int, evidence: bytes = b"") -> str:
    """Propose at the first governor, approve at all of them; "" or why it is not certified."""
    first = approving[0]
    try:
        id = cluster.propose(first, payloads, evidence)
    except NotAccepted as error:
        return str(error)
    cluster.step()
    for number in approving:
        known = cluster.cores[number].proposal(id)
        if known is not None and known.state == OPEN:
            cluster.approve(number, id)
    for _ in range(100):
        cluster.step()
    found = cluster.view(first, id)
    return "" if found.state == CERTIFIED else found.reason or "others refuse it"


def revoke(cluster: Cluster) -> None:
    """Two operators have soil revoked."""
    assert certify(cluster, cluster.revocation(cluster.soil.member.node_id), 1, 2) == ""
    assert cluster.cores[1].policy.revoked == [cluster.soil.member.node_id]


def unlisting(cluster: Cluster, void_before: int = 0) -> bytes:
    """The whole policy in force without any revoked id; void_before: with this bound."""
    core = cluster.cores[3]
    bound = {"void_before": void_before} if void_before else {}
    made = replaced(core.policy, core.epoch + 1, core.head, cluster.clock_s(), [], **bound)
    return bytes(made.payload())


def devices_verdict(cluster: Cluster, raw: bytes) -> type[Rejection] | None:
    """What a device with the newest policy says of a member capsule, None if it accepts it."""
    ledger = cluster.ledgers[1].capsules
    charter = ledger.charter() or b""
    scope = capsules.scope_id(capsules.parse(charter).payload)
    device = Authority(Store(MemoryFlash()), b"o" * 32, scope)
    for one in (charter, ledger.policy()):
        device.receive(one, 0)
    try:
        device.receive(raw, 0)
    except Rejection as error:
        return type(error)
    return None


def until(raw: bytes) -> str:
    """The expiry of a member capsule, as operators read it."""
    return utc_minute(Member(capsules.parse(raw)).expires)


def is_news(data: bytes) -> bool:
    """Whether a message can bring a governor to a later epoch."""
    return type_of(data) in (PULL, CAPSULES) or type_of(data) < COSIGNING_TYPE_MIN


# --- a clean-up -----------------------------------------------------------------------------------


def test_no_membership_that_a_clean_up_would_spare_is_signed(cluster: Cluster) -> None:
    """A capsule named the epoch of the revocation to come, and survived the clean-up after it."""
    held = withhold(cluster, (1, 2), YEAR, epoch=2) or withhold(cluster, (1, 2), YEAR, epoch=1)
    assert held is not None
    revoke(cluster)
    assert cluster.cores[1].epoch == 2 and devices_verdict(cluster, held) is Revoked
    # the known membership and the withheld one are valid for long; both are void by this
    assert certify(cluster, [unlisting(cluster, void_before=2)], 3, 1, 2) == ""
    assert cluster.cores[1].policy.revoked == []
    assert devices_verdict(cluster, held) is NotMember
    # nor do the governors renew the device again without an operator
    cluster.lose = lambda sender, to, data: False
    cluster.cores[1].add_capsule(held, cluster.now_ms)
    cluster.ask(1, cluster.statement(RENEW))
    for _ in range(60):
        cluster.step()
    (waiting,) = cluster.cores[1].pending()
    assert waiting.operators == 1 and waiting.state == OPEN


def test_a_policy_with_an_older_bound_frees_no_id(cluster: Cluster) -> None:
    """The known membership was void by the bound; a withheld one names a later epoch."""
    held = withhold(cluster, (1, 2), YEAR, epoch=1)
    assert held is not None and cluster.soil.member.epoch == 0
    revoke(cluster)
    assert "leaves out soil" in certify(cluster, [unlisting(cluster, void_before=1)], 3, 1, 2)
    assert devices_verdict(cluster, held) is Revoked
    assert certify(cluster, [unlisting(cluster, void_before=2)], 3, 1, 2) == ""
    assert devices_verdict(cluster, held) is NotMember


# --- expiry ---------------------------------------------------------------------------------------


def test_an_id_stays_listed_until_all_that_was_signed_for_it_has_expired(cluster: Cluster) -> None:
    """The known membership had expired, and a longer one had been signed before the revocation."""
    held = withhold(cluster, (1, 2), 60, epoch=1)
    assert held is not None
    revoke(cluster)
    # its name and address are another device's by then, and the signers have restarted
    new = crypto.p256_generate()
    replacement = evidence_of(member_request(new, "soil"))
    payload = member_payload(new, "soil", 100, days=200)
    assert certify(cluster, [payload], 1, 2, evidence=replacement) == ""
    cluster.skip_s = 31 * DAY_S
    for number in (1, 2):
        cluster.restart(number)
    # carl knows of nothing, but with dora he is no quorum: the governors that signed it refuse
    assert "operators approved" in certify(cluster, [unlisting(cluster)], 3, 4, 1, 2)
    refusal = certify(cluster, [unlisting(cluster)], 1)
    assert refusal == certify(cluster, [unlisting(cluster)], 2)
    assert f"leaves out soil ({cluster.soil.member.node_id.hex()})" in refusal
    assert f"valid until {until(held)}" in refusal and "writ policy clean" in refusal
    assert devices_verdict(cluster, held) is Revoked
    # once that has expired, too, the id may leave
    cluster.skip_s = 61 * DAY_S
    assert certify(cluster, [unlisting(cluster)], 3, 1, 2) == ""
    assert cluster.cores[1].policy.revoked == [] and devices_verdict(cluster, held) is Expired
    # nor is it renewed: its name is another's
    assert cluster.ask(2, cluster.statement(RENEW))[0] == coap.FORBIDDEN


def test_a_clean_up_needs_no_memory_of_what_was_signed(cluster: Cluster) -> None:
    held = withhold(cluster, (1, 2), 60, epoch=1)
    assert held is not None
    revoke(cluster)
    cluster.skip_s = 31 * DAY_S
    assert certify(cluster, [unlisting(cluster, void_before=2)], 1, 2, 3) == ""
    assert devices_verdict(cluster, held) is NotMember


def test_operators_restore_a_member_by_an_amendment(cluster: Cluster) -> None:
    assert withhold(cluster, (1, 2), 60, epoch=1)
    revoke(cluster)
    core, node = cluster.cores[1], cluster.soil.member.node_id
    assert "writ member restore" in certify(cluster, [unlisting(cluster)], 3, 1, 2)
    body = check_amendment([AMENDMENT, core.epoch + 1, core.head, [OP_RESTORE, node]])
    whole = amend(core.policy, body).payload()
    assert certify(cluster, [capsules.build(AMENDMENT, body[1:]), whole], 1, 2) == ""
    assert cluster.cores[1].policy.revoked == []


# --- names and addresses --------------------------------------------------------------------------


def replace_soil(cluster: Cluster, name: str = "soil", address: int = 100) -> str:
    """Two operators admit another node by this name and address; "" or why it is refused."""
    new, core = crypto.p256_generate(), cluster.cores[1]
    exp = cluster.clock_s() + 200 * DAY_S
    body = [address, SENSOR, core.epoch]
    payload = capsules.build(MEMBER, body, sub=name, exp=exp, key=crypto.p256_public(new))
    return certify(cluster, [payload], 1, 2, evidence=evidence_of(member_request(new, name)))


def test_a_replacement_gets_the_name_of_a_node_that_was_cleaned_up(cluster: Cluster) -> None:
    """It was refused for up to a year: the clean-up had emptied the list of revoked nodes."""
    held = withhold(cluster, (1, 2), YEAR, epoch=1)
    assert held is not None
    revoke(cluster)
    assert certify(cluster, [unlisting(cluster, void_before=2)], 3, 1, 2) == ""
    assert devices_verdict(cluster, held) is NotMember
    assert replace_soil(cluster) == ""
    # no other node gets it now, the thief's least of all
    assert "another member has the name" in replace_soil(cluster, address=200)
    cluster.lose = lambda sender, to, data: False
    for number in (1, 2):
        cluster.restart(number)
        again = renewal(cluster, YEAR, epoch=3)
        refusal = cluster.ledgers[number].reservations.reserve([again])
        assert refusal == "the address 100 is reserved for another node"
    assert cluster.ask(2, cluster.statement(RENEW))[0] == coap.FORBIDDEN


def test_no_name_is_anothers_while_a_withheld_membership_is_valid(cluster: Cluster) -> None:
    """The certified membership is void, and a withheld one names the epoch of the clean-up."""
    held, soil = withhold(cluster, (1, 2), YEAR, epoch=1), cluster.soil.member.node_id
    assert held is not None and cluster.soil.member.epoch == 0
    assert certify(cluster, [unlisting(cluster, void_before=1)], 3, 1, 2) == ""
    assert devices_verdict(cluster, held) is None
    for number in (1, 2):
        cluster.restart(number)
    # carl knows of nothing, but any quorum has anna or ben in it
    assert "the address 100 is reserved" in replace_soil(cluster)
    assert "the name soil is reserved" in replace_soil(cluster, address=200)
    assert "the address 100 is reserved" in replace_soil(cluster, "tank")
    # once that is void as well, the name is free: an open proposal gets it
    assert certify(cluster, [unlisting(cluster, void_before=2)], 3, 1, 2) == ""
    assert devices_verdict(cluster, held) is NotMember
    cluster.run(lambda: {one.node_id for one in cluster.ledgers[1].capsules.named("soil")} > {soil})


def test_a_renewal_before_a_clean_up_keeps_name_and_address(cluster: Cluster) -> None:
    """`writ policy clean` renews the living members first: the same facts, and a later epoch."""
    known = cluster.soil.member
    key = crypto.p256_public(cluster.soil.private)
    body, exp = [known.address, known.roles, 1], known.expires + 1
    payload = capsules.build(MEMBER, body, sub=known.name, exp=exp, key=key)
    assert certify(cluster, [payload], 1) == ""
    assert certify(cluster, [unlisting(cluster, void_before=1)], 3, 1, 2) == ""
    # the signers of the renewal refuse another node by what they noted, whatever they know
    rival = [member_payload(crypto.p256_generate(), "soil", 100)]
    for number in cluster.ledgers:
        cluster.restart(number)
    refusals = [ledger.reservations.reserve(rival) for ledger in cluster.ledgers.values()]
    assert len(refusals) - refusals.count(None) >= cluster.threshold
    assert "another member has the name soil" in replace_soil(cluster)


# --- a new governor -------------------------------------------------------------------------------


def test_a_new_governor_renews_no_void_member_without_the_reservations(cluster: Cluster) -> None:
    """The name is another node's by now, whose certified membership a liar withholds."""
    revoke(cluster)
    new = crypto.p256_generate()
    # ben has signed for the other node, as have the liar and dora
    assert cluster.ledgers[2].reservations.reserve([member_payload(new, "soil", 300)]) is None
    assert certify(cluster, [unlisting(cluster, void_before=2)], 3, 1, 2) == ""
    cluster.lose = lambda sender, to, data: type_of(data) == RESERVATIONS and sender == 2
    cluster.replace_dora()
    assert cluster.ledgers[4].meta(NEW_WAITED) is not None
    payload = renewal(cluster, YEAR, cluster.cores[1].epoch)
    assert cluster.cores[4].cosigning.reservations.objection(payload) == UNSYNCED


def test_a_new_governor_learns_what_the_others_have_signed(cluster: Cluster) -> None:
    """Anna lies; ben and dora have signed. Emil replaces dora, and carl knows of nothing."""
    held = withhold(cluster, (2, 4), 60, epoch=1, liar=1)
    assert held is not None
    cluster.lose = lambda sender, to, data: sender == 1 and type_of(data) == CAPSULES
    revoke(cluster)
    cluster.lose = lambda sender, to, data: (
        (type_of(data) == RESERVATIONS and sender == 2)
        or (type_of(data) == CAPSULES and sender == 1)
    )
    cluster.replace_dora()
    cluster.skip_s = 31 * DAY_S
    # before emil has heard ben he signs nothing of the kind, and then he knows
    assert cluster.ledgers[4].meta(NEW_WAITED) is not None
    refusal = certify(cluster, [unlisting(cluster)], 4, 1, 3)
    assert "does not know yet what the others have signed" in refusal
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: cluster.ledgers[4].meta(NEW_WAITED) is None)
    cluster.down = {2}
    assert "operators approved" in certify(cluster, [unlisting(cluster)], 3, 1, 4)
    assert f"valid until {until(held)}" in certify(cluster, [unlisting(cluster)], 4, 1)
    assert devices_verdict(cluster, held) is Revoked
    # a clean-up depends on no memory
    assert certify(cluster, [unlisting(cluster, cluster.cores[3].epoch)], 3, 1, 4) == ""


# --- governors that are behind --------------------------------------------------------------------


def test_a_governor_that_is_behind_signs_a_renewal_once_it_has_synced(cluster: Cluster) -> None:
    """The renewal names the present epoch, which one governor does not know; another is offline."""
    cluster.down.add(4)
    body = check_amendment([AMENDMENT, 2, cluster.cores[1].head, b"stranger"])
    policy = amend(cluster.cores[1].policy, body).payload()
    assert certify(cluster, [capsules.build(AMENDMENT, body[1:]), policy], 1, 2) == ""
    assert cluster.all_at(2)
    cluster.down = {3}
    # the renewal arrives before the decision that it names
    cluster.lose = lambda sender, to, data: 4 in (sender, to) and is_news(data)
    statement = cluster.statement(RENEW)
    cluster.ask(1, statement)
    for _ in range(40):
        cluster.step()
    assert cluster.cores[4].epoch == 1 and cluster.cores[4].context.counters["NotAccepted"]
    assert cluster.ask(1, statement)[0] == coap.VALID
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: cluster.ask(1, statement)[0] == coap.CHANGED, 30)
    found = Member(capsules.parse(cluster.ask(1, statement)[1]))
    assert found.epoch == 2 and cluster.cores[4].epoch == 2
