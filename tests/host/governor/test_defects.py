"""Defects of a daemon: what a message raises ends that message, never the process."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_rig import Driven, found
from dns_rig import until

from writ.authority import capsule as capsules
from writ.errors import ResourceFailed
from writ_host import codec
from writ_host.defects import PLACES_MAX, REPEAT_MS, Defects
from writ_host.governor import activation
from writ_host.governor.ceremonies.invitation import Invitation
from writ_host.governor.ceremonies.record import Record
from writ_host.governor.core import delegation, judgement
from writ_host.governor.ledger.failstop import LedgerFailed
from writ_host.governor.proposals.messages import PROPOSE, PULL
from writ_host.keys.identity import Identity, PublicIdentity
from writ_host.policy.source import PolicyFile
from writ_host.scope.folder import now_s

PULL_ALL = codec.dump([PULL, 0])


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    driven = Driven(tmp_path / "anna", found())
    driven.write_genesis()
    driven.start()
    yield driven
    driven.daemon.close()


def broken(*_: object) -> Any:
    raise ZeroDivisionError("a defect")


def failing(*_: object) -> Any:
    raise LedgerFailed("disk I/O error")


def test_a_message_that_raises_is_logged_with_its_bytes_and_dropped(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    governor = driven.daemon.governor
    before = governor.core
    assert before is not None
    with monkeypatch.context() as patched:
        patched.setattr(before.catchup, "receive_pull", broken)
        driven.receive(2, PULL_ALL)
    (event,) = driven.named("defect")
    assert event["message"] == PULL_ALL.hex() and "ZeroDivisionError" in str(event["error"])
    assert event["source"] == driven.governors[1].identity.public.node_key.hex()[:16]
    # what it left half changed in memory is not trusted: as after a crash, the disk counts
    assert governor.core is not before and governor.state == "seated"
    driven.receive(2, PULL_ALL)
    driven.turn(3)
    assert governor.core.failure is None and governor.defects.count == 1


def test_a_proposal_that_the_judge_cannot_read_is_refused_at_each_judgement(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the judge would end the daemon again at each tick, and at each start."""
    monkeypatch.setattr(judgement, "judge", broken)
    core = driven.daemon.governor.core
    assert core is not None
    beacon = capsules.build(capsules.BEACON, [1, core.head], iat=now_s())
    driven.receive(2, codec.dump([PROPOSE, [[2, [beacon], "beacon", b"", now_s()]]]))
    driven.turn(2)
    assert driven.daemon.governor.core is core and not [
        one for one in core.pending() if one.kind == "beacon"
    ]
    assert len(driven.named("defect")) == 1


def test_a_datagram_that_raises_ends_nothing(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driven.daemon.endpoint.transport, "receive", broken)
    host, _, port = driven.daemon.settings.peers.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\x50\x02\x00\x00", (host, int(port)))
    driven.turn(3)
    (event,) = driven.named("defect")
    assert event["message"] == "50020000"


def test_a_statement_that_raises_is_answered_and_ends_nothing(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegation, "answer", broken)
    with pytest.raises(ResourceFailed):
        driven.daemon.governor.handle_statement(b"statement", 0)
    (event,) = driven.named("defect")
    assert event["message"] == b"statement".hex()
    driven.turn()
    assert driven.daemon.governor.state == "seated"


def test_a_datagram_that_raises_in_the_scope_node_ends_nothing(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = driven.daemon.governor.node
    assert node is not None
    monkeypatch.setattr(node.exchanges, "receive", broken)
    assert node.receive(b"\x40\x01\x00\x00", "10.0.0.9:1", 0) == []
    (event,) = driven.named("defect")
    assert event["message"] == "40010000"


def test_a_failed_ledger_is_no_refusal(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """The governor must stop, so the error passes whatever handles messages and statements."""
    governor = driven.daemon.governor
    assert governor.core is not None and governor.node is not None
    monkeypatch.setattr(governor.core.catchup, "receive_pull", failing)
    with pytest.raises(LedgerFailed):
        driven.receive(2, PULL_ALL)
    monkeypatch.setattr(delegation, "answer", failing)
    governor.core.failure = None
    with pytest.raises(LedgerFailed):
        governor.handle_statement(b"statement", 0)
    governor.core.failure = None
    monkeypatch.setattr(governor.node.exchanges, "receive", failing)
    with pytest.raises(LedgerFailed):
        governor.node.receive(b"\x40\x01\x00\x00", "10.0.0.9:1", 0)
    assert not driven.named("defect")


def invitation(anna: PublicIdentity, others: list[Record]) -> bytes:
    mine = Record(anna, "10.0.0.1:5685", "10.0.0.1:5683")
    policy = PolicyFile.parse('[roles]\ngateway = ""\n').policy(1, bytes(6), now_s())
    return Invitation.create("farm", 1 + len(others), [mine, *others], policy, now_s()).to_bytes()


def test_no_name_and_no_key_in_an_invitation_ends_a_daemon(tmp_path: Path) -> None:
    """Strangers send invitations, and daemons look up the addresses in them."""
    driven = Driven(tmp_path / "anna", found(), has_seat=False)
    driven.start()
    ceremonies = driven.daemon.governor.ceremonies
    anna = driven.identity.public
    ben, carl = Identity.generate("ben"), Identity.generate("carl")
    # Python's resolver raises a UnicodeError for an empty label
    ceremonies.accept_invitation(
        invitation(anna, [Record(ben.public, "b..x:5685", "10.0.0.2:5683")]), "10.0.0.9:1"
    )
    driven.turn(2)
    # the negative of a key that is a peer already has the same node id
    sign = bytes((carl.public.node_key[0] ^ 1,))
    negative = PublicIdentity(
        "carl", carl.public.verify_key, carl.public.seal_key, sign + carl.public.node_key[1:]
    )
    for one, source in ((carl.public, "10.0.0.9:1"), (negative, "10.0.0.8:1")):
        ceremonies._last_invitation_s = None
        record = Record(one, "10.0.0.3:5685", "10.0.0.3:5683")
        ceremonies.accept_invitation(invitation(anna, [record]), source)
    driven.turn(3)
    until(lambda: not driven.daemon.endpoint.address_book._resolver_for_strangers._threads)
    driven.turn()
    assert carl.public.node_key in driven.daemon.endpoint.peers
    assert negative.node_key not in driven.daemon.endpoint.peers
    driven.daemon.close()


# --- the log --------------------------------------------------------------------------------------


def test_one_place_is_logged_once_an_hour() -> None:
    logged: list[str] = []
    now = [0]
    defects = Defects(
        lambda event, text, **facts: logged.append(str(facts["source"])), lambda: now[0]
    )

    def raise_at(line: int, source: str) -> None:
        try:
            exec(compile("\n" * line + "1 / 0", "code.py", "exec"))
        except ZeroDivisionError as error:
            defects.report(error, source, b"")

    for source in ("a", "b"):
        raise_at(1, source)
    raise_at(2, "c")
    now[0] = REPEAT_MS
    raise_at(1, "d")
    assert logged == ["a", "c", "d"] and defects.count == 4
    for line in range(10, 10 + PLACES_MAX):
        raise_at(line, "e")
    assert len(defects._reported_ms) == PLACES_MAX


@pytest.mark.parametrize("where", ["change", "gossip", "activation", "renewal"])
def test_a_failed_ledger_passes_ceremonies_activation_and_renewal(
    driven: Driven, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    governor = driven.daemon.governor
    assert governor.core is not None
    if where in ("change", "gossip"):
        method = "_receive_change" if where == "change" else "_receive_gossip"
        monkeypatch.setattr(governor.ceremonies, method, failing)
        message = codec.dump([51 if where == "change" else 48, b"raw"])
        with pytest.raises(LedgerFailed):
            driven.receive(2, message)
    elif where == "activation":
        monkeypatch.setattr(activation, "policy_under_new_key", lambda core: [b"payload"])
        with pytest.raises(LedgerFailed):
            governor._activation.tick(governor.core, failing)
    else:
        monkeypatch.setattr(governor._renewal, "_renew_outdated", failing)
        with pytest.raises(LedgerFailed):
            governor._renewal.tick(governor.core, 10**9)
