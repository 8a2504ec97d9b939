"""Delegation: statements of devices become proposals, and the answers that devices receive."""

from pathlib import Path

import pytest
from governor_rig import SENSOR, Cluster, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import Member
from writ.node.statement import member_request
from writ.wire import coap
from writ_host.governor.proposals.proposal import CERTIFIED
from writ_host.governor.proposals.statement import ACT, ADMIT, RENEW, REVOKE, Statement
from writ_host.scope.folder import now_s


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_device_renews_itself_without_an_operator(cluster: Cluster) -> None:
    statement = Statement.make(cluster.soil.private, RENEW, issued=now_s()).raw
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    cluster.run(lambda: cluster.ask(1, statement)[0] == coap.CHANGED)
    raw = cluster.ask(1, statement)[1]
    # every governor gives the same capsule to every request
    cluster.run(
        lambda: all(cluster.ask(n, statement) == (coap.CHANGED, raw) for n in cluster.cores)
    )
    renewed = Member(capsules.parse(raw))
    assert renewed.node_id == cluster.soil.member.node_id
    assert renewed.expires > cluster.soil.member.expires and renewed.roles == SENSOR


def test_after_a_succession_no_member_receives_a_capsule_of_the_old_key(
    cluster: Cluster,
) -> None:
    payload = member_payload(cluster.soil.private, "soil", 100, days=366)
    raw = capsules.assemble(payload, bytes(64))
    statement = Statement.make(cluster.soil.private, RENEW, issued=now_s()).raw
    ledger = cluster.ledgers[1]
    ledger.capsules.add([raw])
    assert cluster.ask(1, statement) == (coap.CHANGED, raw)
    succession = [2, bytes(6), bytes(32), cluster.group_key]
    payload = capsules.build(capsules.SUCCESSION, succession, iat=now_s())
    ledger.capsules.add([capsules.assemble(payload, bytes(64))])
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    anew = capsules.assemble(capsules.parse(raw).payload, bytes(range(64)))
    ledger.capsules.add([anew])
    assert cluster.ask(1, statement) == (coap.CHANGED, anew)


def test_a_member_that_requests_an_admission_receives_the_capsule(cluster: Cluster) -> None:
    """Each request made a new draft, so the device never received an answer."""
    private = crypto.p256_generate()
    asked = member_request(private, "probe"), b"code 17"
    statement = Statement.make(cluster.soil.private, ADMIT, *asked, issued=now_s()).raw
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    (waiting,) = cluster.cores[1].pending()
    cluster.run(lambda: cluster.cores[2].proposal(waiting.id) is not None)
    cluster.approve(2, waiting.id)
    cluster.run(lambda: cluster.view(1, waiting.id).state == CERTIFIED)
    cluster.step()
    for number in cluster.cores:
        code, raw = cluster.ask(number, statement)
        assert code == coap.CHANGED and Member(capsules.parse(raw)).name == "probe"
    assert not cluster.cores[1].pending()
    # a request with another name is a new one
    asked = member_request(private, "other"), b"code 17"
    other = Statement.make(cluster.soil.private, ADMIT, *asked, issued=now_s()).raw
    assert cluster.ask(1, other)[0] != coap.CHANGED


def test_a_device_revokes_itself_and_no_stranger_can(cluster: Cluster) -> None:
    stranger = Statement.make(crypto.p256_generate(), REVOKE, "opened", issued=now_s()).raw
    assert cluster.ask(1, stranger)[0] == coap.FORBIDDEN
    statement = Statement.make(cluster.soil.private, REVOKE, "opened", issued=now_s()).raw
    cluster.ask(3, statement)
    cluster.run(lambda: cluster.all_at(2))
    assert cluster.soil.member.node_id in cluster.cores[1].policy.revoked
    assert cluster.ask(3, statement)[0] == coap.CHANGED


def test_an_action_needs_two_operators(cluster: Cluster) -> None:
    target = cluster.soil.member.node_id
    asked = (target, coap.PUT, "sluice", crypto.sha256(b"open"))
    statement = Statement.make(cluster.soil.private, ACT, *asked, issued=now_s()).raw
    cluster.ask(2, statement)
    cluster.step()
    (view,) = cluster.cores[4].pending()
    assert view.operators == 2
    cluster.approve(4, view.id)
    for _ in range(40):
        cluster.step()
    assert cluster.ask(2, statement) == (coap.VALID, b"")
    cluster.approve(1, view.id)
    cluster.run(lambda: cluster.ask(2, statement)[0] == coap.CHANGED)
    assert capsules.parse(cluster.ask(2, statement)[1]).kind == capsules.ACTION
