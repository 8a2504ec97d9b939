"""Delegation: statements of devices become proposals, and the answers that devices receive."""

from pathlib import Path

import pytest
from governor_rig import SENSOR, Cluster, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT, Member
from writ.authority.policy import OP_RESTORE
from writ.node.statement import member_request
from writ.wire import coap
from writ_host.governor.proposals.proposal import CERTIFIED
from writ_host.governor.proposals.statement import ACT, ADMIT, RENEW, REVOKE, Statement
from writ_host.keys.identity import P256_ORDER
from writ_host.scope.folder import now_s


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_device_renews_itself_without_an_operator(cluster: Cluster) -> None:
    statement = cluster.statement(RENEW)
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
    statement = cluster.statement(RENEW)
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
    statement = cluster.statement(ADMIT, *asked)
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
    other = cluster.statement(ADMIT, *asked)
    assert cluster.ask(1, other)[0] != coap.CHANGED


def test_a_device_revokes_itself_and_no_stranger_can(cluster: Cluster) -> None:
    stranger = cluster.statement(REVOKE, "opened", private=crypto.p256_generate())
    assert cluster.ask(1, stranger)[0] == coap.FORBIDDEN
    statement = cluster.statement(REVOKE, "opened")
    cluster.ask(3, statement)
    cluster.run(lambda: cluster.all_at(2))
    assert cluster.soil.member.node_id in cluster.cores[1].policy.revoked
    assert cluster.ask(3, statement)[0] == coap.CHANGED


def test_an_action_needs_two_operators(cluster: Cluster) -> None:
    target = cluster.soil.member.node_id
    asked = (target, coap.PUT, "sluice", b"open", bytes(8))
    statement = cluster.statement(ACT, *asked)
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


def test_two_signatures_of_a_statement_make_one_proposal(cluster: Cluster) -> None:
    """The evidence was compared, with its signature; an admission was then proposed twice."""
    asked = member_request(crypto.p256_generate(), "probe"), b"code 17"
    statement = Statement.parse(cluster.statement(ADMIT, *asked))
    assert cluster.ask(1, statement.raw) == (coap.VALID, b"")
    # another nonce, as a signer may choose: a valid signature of the same payload
    again = capsules.assemble(
        statement.payload, other_signature(cluster, statement), capsules.ES256
    )
    assert again != statement.raw
    cluster.step()
    for number in (1, 2):
        assert cluster.ask(number, again) == (coap.VALID, b"")
        assert len(cluster.cores[number].pending()) == 1


def other_signature(cluster: Cluster, statement: Statement) -> bytes:
    """A signature of soil with a random nonce."""
    from Crypto.Hash import SHA256
    from Crypto.PublicKey import ECC
    from Crypto.Signature import DSS

    key = ECC.construct(curve="P-256", d=int.from_bytes(cluster.soil.private, "big"))
    signed = SHA256.new(capsules.signing_input(statement.payload, capsules.ES256))
    found = bytes(DSS.new(key, "fips-186-3").sign(signed))
    s = int.from_bytes(found[32:], "big")
    return found[:32] + min(s, P256_ORDER - s).to_bytes(32, "big")


def test_a_statement_for_another_scope_or_of_yesterday_gets_no_answer(cluster: Cluster) -> None:
    """A statement of 25 hours was answered where its capsule existed."""
    new = cluster.statement(RENEW)
    cluster.ask(1, new)
    cluster.run(lambda: cluster.ask(1, new)[0] == coap.CHANGED)
    answer = cluster.ask(1, cluster.statement(RENEW, scope=b"scope  2"))
    assert answer == (coap.FORBIDDEN, b"22 WrongScope")
    code, text = cluster.ask(1, cluster.statement(RENEW, issued=now_s() - 25 * 3600))
    assert code == coap.FORBIDDEN and b"too far from our clock" in text


def restore(cluster: Cluster) -> None:
    """Two operators restore soil, in the next epoch."""
    core = cluster.cores[1]
    op = [OP_RESTORE, cluster.soil.member.node_id]
    body = check_amendment([AMENDMENT, core.epoch + 1, core.head, op])
    policy = amend(core.policy, body).payload()
    id = cluster.propose(1, [capsules.build(AMENDMENT, body[1:]), policy])
    cluster.run(lambda: cluster.cores[2].proposal(id) is not None)
    cluster.approve(1, id)
    cluster.approve(2, id)
    cluster.run(lambda: cluster.all_at(body[1]))


def test_an_old_statement_revokes_no_restored_device(cluster: Cluster) -> None:
    """People restored the device, and the same statement revoked it again."""
    node_id = cluster.soil.member.node_id
    statement = cluster.statement(REVOKE, "opened")
    stolen = [
        cluster.statement(RENEW),
        cluster.statement(ADMIT, member_request(crypto.p256_generate(), "thief"), b""),
        cluster.statement(ACT, node_id, coap.PUT, "sluice", b"open", bytes(8)),
    ]
    cluster.ask(1, statement)
    cluster.run(lambda: cluster.all_at(2))
    assert node_id in cluster.cores[1].policy.revoked
    restore(cluster)
    cluster.restart(2)
    for number in (1, 2, 3):
        for one in (statement, *stolen):
            code, text = cluster.ask(number, one)
            assert code == coap.FORBIDDEN and b"before a restoration" in text
    for _ in range(100):
        cluster.step()
    assert cluster.all_at(3) and node_id not in cluster.cores[3].policy.revoked
    # what the device says now counts
    cluster.ask(2, cluster.statement(REVOKE, "opened again"))
    cluster.run(lambda: cluster.all_at(4))
    assert node_id in cluster.cores[1].policy.revoked


def test_a_governor_that_skipped_epochs_believes_no_statement_from_before(
    cluster: Cluster,
) -> None:
    """It cannot know who was restored in between."""
    statement = cluster.statement(REVOKE, "opened")
    cluster.down.add(4)
    cluster.ask(1, statement)
    cluster.run(lambda: cluster.all_at(2))
    restore(cluster)
    ledger = cluster.ledgers[4]
    raw = cluster.ledgers[1].capsules.policy()
    assert raw is not None
    core = cluster.cores[4]
    core.add_capsule(raw, cluster.now_ms)
    cluster.now_ms += 60_000
    core.tick(cluster.now_ms)
    assert core.epoch == 3 and ledger.restorations.void_before(b"any node") == 3
    code, text = cluster.ask(4, statement)
    assert code == coap.FORBIDDEN and b"before a restoration" in text


def test_the_log_and_the_list_show_the_whole_command(cluster: Cluster) -> None:
    """An operator approved a digest, and the log named neither target nor path."""
    target = cluster.soil.member.node_id
    cluster.ask(2, cluster.statement(ACT, target, coap.PUT, "sluice", b"open 90", bytes(8)))
    cluster.step()
    (view,) = cluster.cores[4].pending()
    assert view.title == "soil asks for an action: PUT sluice on soil"
    assert any(
        line.startswith(f"action: PUT sluice on soil ({target.hex()})") for line in view.lines
    )
    assert 'payload: "open 90" (7 bytes)' in view.lines and "soil requests it" in view.lines
    wanted = {
        "requester": "soil",
        "target": f"soil ({target.hex()})",
        "method": "PUT",
        "path": "sluice",
        "payload": b"open 90".hex(),
    }
    assert view.commands == [wanted]
    cluster.approve(4, view.id)
    cluster.approve(1, view.id)
    cluster.run(lambda: cluster.view(4, view.id).state == CERTIFIED)
    said = {one["event"]: one for one in cluster.ledgers[4].log_entries(20)}
    told = {event.name: event for number, event in cluster.events if number == 4}
    for text, facts in (
        (told["proposed"].text, told["proposed"].facts),
        (said["approved"]["text"], said["approved"]["facts"]),
        (said["certified"]["text"], said["certified"]["facts"]),
    ):
        assert f'PUT sluice on soil ({target.hex()}), payload "open 90"' in str(text)
        assert facts["commands"] == [wanted]
