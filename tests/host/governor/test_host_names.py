"""A name server that does not answer holds up no daemon: names of strangers and of peers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_rig import Driven, found
from dns_rig import Names, fake_names, until

from writ_host.governor import snapshot
from writ_host.governor.ceremonies.invitation import Invitation
from writ_host.governor.ceremonies.record import Record
from writ_host.keys.identity import Identity
from writ_host.policy.source import PolicyFile
from writ_host.scope.folder import now_s


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    yield from fake_names(monkeypatch)


def test_names_in_an_invitation_do_not_stop_a_daemon(driven: Driven, names: Names) -> None:
    names.hanging = {"ben.evil", "carl.evil"}
    names.addresses = {"ben.evil": "10.0.0.2", "carl.evil": "10.0.0.3"}
    mine = Record(driven.identity.public, "10.0.0.1:5685", "10.0.0.1:5683")
    others = [
        Record(Identity.generate(name).public, f"{name}.evil:5685", "10.0.0.9:5683")
        for name in ("ben", "carl")
    ]
    policy = PolicyFile.parse('[roles]\ngateway = ""\n').policy(1, bytes(6), now_s())
    invitation = Invitation.create("farm", 3, [mine, *others], policy, now_s())
    governor = driven.daemon.governor
    governor.ceremonies.accept_invitation(invitation.to_bytes(), "10.0.0.9:1")
    # each of these turns asks for both names, which have no answer
    driven.turn(5)
    assert snapshot.status(governor)["ceremonies"] == 1 and not driven.daemon.endpoint.peers
    assert sorted(names.asked) == ["ben.evil", "carl.evil"] and not names.in_main_thread
    # they have a table of their own, which is limited
    strangers = driven.daemon.endpoint.address_book._resolver_for_strangers
    assert len(strangers) == 2
    names.release()
    until(lambda: not strangers._threads)
    driven.turn()
    assert sorted(driven.daemon.endpoint.peers.values()) == ["10.0.0.2:5685", "10.0.0.3:5685"]


def test_names_of_known_governors_do_not_stop_a_daemon(tmp_path: Path, names: Names) -> None:
    names.hanging = {"ben.farm"}
    names.addresses = {"ben.farm": "10.0.0.2", "carl.farm": "10.0.0.3"}
    driven = Driven(tmp_path / "anna", found())
    driven.write_genesis()
    driven.folder.peers.write_text('ben = "ben.farm:5685"\ncarl = "carl.farm:5685"\n')
    driven.start()
    try:
        carl = driven.governors[2].identity.public.node_key

        def knows_carl() -> bool:
            driven.turn()
            return driven.daemon.endpoint.peers.get(carl) == "10.0.0.3:5685"

        until(knows_carl)
        assert len(driven.daemon.endpoint.peers) == 1 and not names.in_main_thread
    finally:
        driven.daemon.close()
