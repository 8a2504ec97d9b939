"""A time far after the newest certified one: the operator of each governor that signs decides."""

from pathlib import Path

import judge_rig
import pytest
from governor_rig import Cluster
from judge_rig import NOW, Heirs, Scope, raw, whole

from writ.authority import capsule as capsules
from writ.authority.capsule import BEACON, Beacon
from writ_host.governor.proposals.proposal import CERTIFIED
from writ_host.scope.folder import now_s
from writ_host.scope.validation import CLOCK_JUMP_S_MAX, TIME_JUMP_AGE_S_MAX

JUMP_S = CLOCK_JUMP_S_MAX + 86400


def beacon(scope: Scope, time_s: int) -> bytes:
    return bytes(capsules.build(BEACON, [1, scope.view.head], iat=time_s))


@pytest.mark.parametrize("is_beacon", [True, False])
def test_the_bound_counts_from_the_newest_certified_time(tmp_path: Path, is_beacon: bool) -> None:
    scope = Scope(tmp_path / "ledger.db")
    # of the policy, or of a later beacon
    newest = NOW - 86400
    if is_beacon:
        newest = NOW + 86400
        scope.ledger.capsules.add([raw(beacon(scope, newest))])
    last = newest + CLOCK_JUMP_S_MAX
    assert scope.allows(beacon(scope, last), clock_s=last) == 0
    assert scope.allows(beacon(scope, last + 1), clock_s=last) == 3
    verdict = scope.judge(beacon(scope, last + 1), clock_s=last, threshold=4)
    assert verdict.needs_own_operator and verdict.operators == 4
    assert "30 d after the newest certified time" in "\n".join(verdict.lines)
    # operators have a day to approve it; a clock that is behind signs nothing
    late = last + 1 + TIME_JUMP_AGE_S_MAX
    assert scope.allows(beacon(scope, last + 1), clock_s=late) == 3
    scope.refuses(beacon(scope, last + 1), clock_s=late + 1)
    scope.refuses(beacon(scope, last + 1), clock_s=last - judge_rig.SKEW)


def test_policies_and_successions_have_a_time_too(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "ledger.db")
    time_s = NOW + JUMP_S
    verdict = scope.judge(whole(scope, issued=time_s), clock_s=time_s)
    assert verdict.reason is None and verdict.needs_own_operator and verdict.operators == 3
    assert not scope.judge(whole(scope)).needs_own_operator
    heirs = Heirs(scope)
    change = {"clock_s": time_s, "committees": frozenset({heirs.key})}
    verdict = scope.judge(heirs.succession(iat=time_s), evidence=[heirs.charter], **change)
    assert verdict.reason is None and verdict.needs_own_operator


def test_governors_wait_for_the_operators_of_a_quorum(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    for core in cluster.cores.values():
        core.context.clock_s = lambda: now_s() + JUMP_S
    for _ in range(20 * 40):
        cluster.step()
    assert not any(ledger.capsules.beacon() for ledger in cluster.ledgers.values())
    told = [number for number, event in cluster.events if event.name == "time-jump"]
    assert sorted(told) == [1, 2, 3, 4]
    payload, needs_operators = cluster.cores[1].cosigning.next_beacon()
    assert needs_operators
    id = cluster.propose(1, [payload])
    for number in (1, 2):
        cluster.step()
        cluster.approve(number, id)
    for _ in range(20 * 20):
        cluster.step()
    view = cluster.view(4, id)
    assert view.state == "open" and view.operators == 3
    # three operators said yes, and governor 4 signs nothing for its own
    cluster.approve(3, id)
    cluster.down.add(1)
    for _ in range(20 * 20):
        cluster.step()
    assert "operator has not approved it" in cluster.view(4, id).reason
    cluster.down.discard(1)
    cluster.run(lambda: cluster.view(1, id).state == CERTIFIED, 120)
    made = Beacon(capsules.parse(cluster.view(1, id).capsules[0]))
    assert made.time - now_s() > CLOCK_JUMP_S_MAX
    # from here on the schedule goes on without operators
    assert not cluster.cores[1].cosigning.next_beacon()[1]
