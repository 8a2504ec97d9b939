"""The witness finds each kind of contradiction, so that a run without any proves something."""

from pathlib import Path

from governor_rig import SENSOR, Cluster, member_payload
from witness import Witness, chain_of

from writ import crypto
from writ_host.scope.issuance import Draft, LocalSigner, sign


def cluster_and_witness(path: Path) -> tuple[Cluster, Witness]:
    cluster = Cluster(path)
    return cluster, Witness(cluster.group_key)


def test_two_heads_of_one_epoch_are_a_problem() -> None:
    witness = Witness(bytes(32))
    witness.state("anna", 3, "aa" * 6)
    witness.state("soil", 3, "aa" * 6)
    assert witness.problems == []
    witness.state("tank", 3, "bb" * 6)
    assert len(witness.problems) == 1


def test_an_epoch_that_goes_back_is_a_problem() -> None:
    witness = Witness(bytes(32))
    witness.state("soil", 3, "aa" * 6)
    witness.state("soil", 2, "bb" * 6)
    assert len(witness.problems) == 1


def test_an_action_that_is_executed_twice_is_a_problem() -> None:
    witness = Witness(bytes(32))
    for _ in range(2):
        assert witness.problems == []
        witness.record({"event": "moved", "name": "sluice", "order": "open 1"})
    assert len(witness.problems) == 1


def test_a_capsule_with_a_bad_signature_is_a_problem(tmp_path: Path) -> None:
    cluster, witness = cluster_and_witness(tmp_path)
    raw = cluster.ledgers[1].capsules.policy()
    assert raw is not None
    witness.certified("anna", raw)
    assert witness.problems == []
    (tmp_path / "other").mkdir()
    other = Cluster(tmp_path / "other")
    forged = other.ledgers[1].capsules.policy()
    assert forged is not None
    witness.certified("anna", forged)
    # a bad signature, and another head for epoch 1
    assert len(witness.problems) == 2


def test_a_capsule_that_a_governor_has_lost_is_missing(tmp_path: Path) -> None:
    cluster, witness = cluster_and_witness(tmp_path)
    payload = member_payload(crypto.p256_generate(), "tank", 101, SENSOR)
    (raw,) = sign([Draft("tank", payload)], LocalSigner(cluster.local))
    witness.certified("tank", raw)
    assert len(witness.missing(cluster.ledgers[1])) == 1
    cluster.ledgers[1].capsules.add([raw])
    assert witness.missing(cluster.ledgers[1]) == []


def test_an_epoch_that_a_governor_has_lost_is_missing(tmp_path: Path) -> None:
    cluster, witness = cluster_and_witness(tmp_path)
    cluster.down.add(4)
    id = cluster.propose(1, cluster.revocation(bytes(8)))
    cluster.step()
    for number in (1, 2):
        cluster.approve(number, id)
    cluster.run(lambda: cluster.all_at(2))
    for raw in cluster.ledgers[1].capsules.since(0, 100, 100_000)[1]:
        witness.certified("anna", raw)
    assert witness.missing(cluster.ledgers[1]) == []
    # the policy and its amendment
    assert len(witness.missing(cluster.ledgers[4])) == 2
    assert len(chain_of(cluster.ledgers[1], cluster.group_key)) == 2
    assert len(chain_of(cluster.ledgers[4], cluster.group_key)) == 1
