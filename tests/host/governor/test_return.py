"""Governor processes that return after many epochs, still in the committee or removed from it."""

import shutil
from collections.abc import Iterator

import pytest
from attack_rig import post
from council_rig import Council, finish, founded, wait_for
from measure.committee import POLICY

from writ import crypto
from writ.authority import capsule
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT
from writ.authority.policy import Policy
from writ_host.governor.ceremonies.record import Record
from writ_host.governor.ledger.capsules import POLICIES_KEPT
from writ_host.governor.ledger.ledger import Ledger

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def council(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Council]:
    with founded(tmp_path_factory.mktemp("council"), POLICY) as council:
        yield council


def newest(council: Council) -> bytes:
    """The policy in force in the ledger of governor a, which is not running."""
    ledger = Ledger.open(council.path("a") / "ledger.db")
    raw = ledger.capsules.policy()
    ledger.close()
    assert raw is not None
    return raw


def pass_epochs(council: Council, count: int) -> int:
    """Certify policies that need no approval; the last epoch."""
    council.kill("a")
    policy = Policy(capsule.parse(newest(council)).claims)
    council.start("a")
    for _ in range(count):
        body = [AMENDMENT, policy.epoch + 1, policy.head(), crypto.random_bytes(8)]
        checked = check_amendment(body)
        policy = amend(policy, checked)
        payloads = [capsule.build(AMENDMENT, checked[1:]), policy.payload()]
        council.ask("a", "propose", payloads=payloads, title="a change", evidence=b"")
        wait_for(lambda epoch=policy.epoch: council.ask("a", "state")["epoch"] == epoch)
    return int(policy.epoch)


def remove_d(council: Council) -> None:
    """The other governors deal new shares without d, and put them in force."""
    command = council.begin("governor", "change", "a", "--remove", "d", "--yes", "--json")
    council.approve("b", "c")
    council.approve("a", "b")
    assert finish(command)["in_force"]
    for name in "abc":
        wait_for(lambda name=name: council.ask(name, "status")["count"] == 3, council.log(name))


def test_a_governor_returns_after_more_epochs_than_policies_are_kept(council: Council) -> None:
    council.kill("d")
    epoch = pass_epochs(council, POLICIES_KEPT + 2)
    council.start("d")
    wait_for(lambda: council.ask("d", "state")["epoch"] == epoch, council.log("d"))
    assert council.ask("d", "status")["state"] == "seated"


def test_a_removed_governor_without_peers_learns_it_through_its_node(council: Council) -> None:
    council.kill("d")
    shutil.copytree(council.path("d"), council.root / "before")
    remove_d(council)
    pass_epochs(council, 2)
    # the others tell former governors for a limited time only: here they are offline
    for name in "abc":
        council.kill(name)
    council.start("d")
    assert council.ask("d", "status")["state"] == "seated"
    listen = Record.load(council.path("d") / "d.toml").listen
    assert post(listen, newest(council)) == ["taken"]
    wait_for(lambda: council.events("d", "retired"), council.log("d"), 40)
    council.kill("d")


def test_a_removed_governor_learns_it_from_its_former_peers(council: Council) -> None:
    for name in "abc":
        council.start(name)
    pass_epochs(council, POLICIES_KEPT)
    shutil.rmtree(council.path("d"))
    (council.root / "before").rename(council.path("d"))
    council.start("d")
    wait_for(lambda: len(council.events("d", "retired")) == 2, council.log("d"), 40)
    # its key share is deleted, also after a restart
    council.stop("d")
    council.start("d")
    assert council.ask("d", "status")["state"] != "seated"
