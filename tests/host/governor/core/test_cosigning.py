"""Cosigning: which governor collects signatures and when, beacons, and clock skew."""

import shutil
from pathlib import Path

import pytest
from governor_rig import POLICY, Cluster

from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, Beacon
from writ.wire import coap
from writ_host import codec
from writ_host.consensus.cosign import ANSWER, ASK, OFFER, PICK
from writ_host.consensus.effects import (
    OTHER_OBJECTION,
    UNKNOWN_PROPOSAL,
    CosigningFailed,
    Objection,
)
from writ_host.consensus.value import body_of
from writ_host.governor.core.context import Outgoing
from writ_host.governor.core.core import Core
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.proposals import messages
from writ_host.governor.proposals.proposal import UNKNOWN
from writ_host.governor.proposals.statement import RENEW
from writ_host.scope.folder import now_s


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_governors_certify_a_beacon_without_a_request(cluster: Cluster) -> None:
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    beacons = {ledger.capsules.beacon() for ledger in cluster.ledgers.values()}
    beacon = Beacon(capsules.parse(beacons.pop()))
    assert not beacons and beacon.epoch == 1 and abs(beacon.time - now_s()) < 10


def test_another_governor_takes_over_from_one_that_went_offline(cluster: Cluster) -> None:
    statement = cluster.statement(RENEW)
    cluster.lose = lambda sender, to, data: sender == 1 and data[1:3] == b"\x18\x10"
    cluster.ask(1, statement)
    cluster.step()
    cluster.down.add(1)
    cluster.run(lambda: cluster.ask(2, statement)[0] == coap.CHANGED)


def test_a_lost_proposal_is_sent_again(cluster: Cluster) -> None:
    statement = cluster.statement(RENEW)
    # all governors are asked to sign a proposal that none received
    cluster.lose = lambda sender, to, data: messages.type_of(data) == messages.PROPOSE
    cluster.ask(1, statement)
    cluster.step()
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: cluster.ask(1, statement)[0] == coap.CHANGED, seconds=2)


def test_no_governor_takes_over_from_one_that_still_asks(cluster: Cluster) -> None:
    asked: set[int] = set()

    def lose(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK and body_of(codec.load(data)[2][0])[0] == MEMBER:
            asked.add(sender)
        # governor 1 asks for signatures, and its jobs never succeed
        return sender == 1 and messages.type_of(data) == PICK

    cluster.lose = lose
    statement = cluster.statement(RENEW)
    cluster.ask(1, statement)
    cluster.run(lambda: cluster.now_ms > 25000)
    assert asked == {1}
    cluster.down.add(1)
    cluster.run(lambda: cluster.ask(2, statement)[0] == coap.CHANGED, seconds=30)


def test_a_burst_of_epochs_gets_one_beacon(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    jobs: set[bytes] = set()

    def note(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK:
            jobs.add(codec.load(data)[1])
        return False

    cluster.lose = note
    for epoch in range(2, 5):
        cluster.propose(1, cluster.revocation(bytes([epoch]) * 8))
        cluster.run(lambda epoch=epoch: cluster.all_at(epoch), seconds=0.4)
    assert not jobs
    cluster.run(
        lambda: all(
            Beacon(capsules.parse(one.capsules.beacon())).epoch == 4
            for one in cluster.ledgers.values()
        )
    )
    assert len(jobs) == 1


@pytest.mark.slow
def test_in_a_long_burst_a_beacon_is_tried_once_a_second(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    began_ms, jobs = cluster.now_ms, set()

    def overtake(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK:
            jobs.add(codec.load(data)[1])
        return messages.type_of(data) == ANSWER

    cluster.lose = overtake
    epoch = 1
    while cluster.now_ms < began_ms + 5000:
        epoch += 1
        cluster.propose(1, cluster.revocation(bytes([epoch]) * 8))
        cluster.run(lambda epoch=epoch: cluster.all_at(epoch), seconds=0.4)
        cluster.step()
    assert epoch > 20 and 3 <= len(jobs) <= 5
    cluster.lose = lambda sender, to, data: False
    cluster.run(
        lambda: all(
            Beacon(capsules.parse(one.capsules.beacon())).epoch == epoch
            for one in cluster.ledgers.values()
        )
    )


def test_both_sides_of_a_clock_skew_warn_their_operators(cluster: Cluster) -> None:
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    # the clocks stand still during this test
    time_s = now_s()
    for number, core in cluster.cores.items():
        core.context.clock_s = lambda off_s=1200 * (number == 4): time_s + off_s
    wrong = cluster.cores[4]
    for number in (1, 4):
        cluster.cores[number].cosigning.beacon_due_ms = cluster.now_ms
        cluster.step()
    for number in (1, 2, 3):
        (other,) = cluster.cores[number].cosigning.clock_skew.over_limit()
        assert other == 4
    assert cluster.cores[4].cosigning.clock_skew.over_limit().keys() == {1}
    warnings = [(number, event.text) for number, event in cluster.events if event.name == "clock"]
    assert {number for number, _ in warnings} == {1, 2, 3, 4}
    assert "the clock of dora is 20 min ahead of ours" in dict(warnings)[1]
    # a repeated difference causes one warning
    for _ in range(5):
        cluster.cores[4].cosigning.beacon_due_ms = cluster.now_ms
        cluster.step()
    assert len([event for _, event in cluster.events if event.name == "clock"]) == len(warnings)
    # a corrected clock is within the limit again
    wrong.context.clock_s = now_s
    cluster.cores[4].cosigning.beacon_due_ms = cluster.now_ms
    cluster.run(lambda: not cluster.cores[1].cosigning.clock_skew.over_limit())


def test_a_refusal_is_understood_by_its_code_not_by_its_text(cluster: Cluster) -> None:
    """Another version may word it in another way."""
    statement = cluster.statement(RENEW)
    cluster.ask(1, statement)
    core = cluster.cores[1]
    (view,) = core.pending()
    proposal = core.pool.proposals.get(view.id)
    assert proposal is not None

    def sends_again(objection: Objection) -> bool:
        failed = CosigningFailed(proposal.payloads, ((2, objection), (3, objection)))
        core.cosigning.on_refusal(failed)
        sent = [one.data for one in core.context.drain() if isinstance(one, Outgoing)]
        return any(messages.type_of(data) == messages.PROPOSE for data in sent)

    assert sends_again(Objection("in other words", UNKNOWN_PROPOSAL))
    assert not sends_again(Objection(UNKNOWN.text, OTHER_OBJECTION))


def test_two_copies_of_a_folder_make_no_nonce_twice(tmp_path: Path) -> None:
    """A cloned machine runs a governor twice. Nonces are made when they are used, never ahead."""
    cluster = Cluster(tmp_path)
    one = cluster.local[1]
    cluster.ledgers[2].close()
    shutil.copy(tmp_path / "2.db", tmp_path / "copy.db")
    made = []
    for name in ("2.db", "copy.db"):
        ledger = Ledger.open(tmp_path / name)
        core = Core(one.identity, one.seat, ledger, now_s)
        core.start(1000)
        for _ in range(3):
            core.tick(1000)
        beacon = capsules.build(capsules.BEACON, [1, core.head], iat=now_s())
        outs = core.receive(1, codec.dump([ASK, bytes(16), [beacon]]), 1000)
        offers = [codec.load(out.data) for out in outs if isinstance(out, Outgoing)]
        made += [one for items in offers if items[0] == OFFER for one in items[2]]
    assert len(made) == len(set(made)) == 2
