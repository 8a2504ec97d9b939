"""A newcomer, who has a share and knows no chain yet: whom it believes the charter."""

from pathlib import Path

import pytest

from writ_host import codec
from writ_host.ceremony.local import Local, found_local
from writ_host.governor.join import CharterExchange
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.proposals.messages import CAPSULES
from writ_host.scope import issuance
from writ_host.scope.issuance import Draft, LocalSigner

NAMES = ["anna", "ben", "carl", "dora"]


def charter_of(governors: list[Local]) -> bytes:
    draft = Draft("charter", issuance.charter_draft(governors[0].seat).payload)
    return issuance.sign([draft], LocalSigner(governors))[0]


def keys_of(governors: list[Local]) -> list[bytes]:
    return [one.identity.public.node_key for one in governors]


@pytest.fixture(scope="module")
def governors() -> list[Local]:
    return found_local("farm", NAMES, 3)


@pytest.fixture
def ledger(tmp_path: Path):
    found = Ledger.open(tmp_path / "ledger.db")
    yield found
    found.close()


def tells(charter: bytes) -> bytes:
    return codec.dump([CAPSULES, 1, [charter]])


def test_strangers_who_invited_it_give_it_no_charter(
    ledger: Ledger, governors: list[Local]
) -> None:
    """Anybody may send one more invitation, and so be a peer, until a seat is in force."""
    strangers = found_local("farm", NAMES, 3)
    true, false = charter_of(governors), charter_of(strangers)
    newcomer = CharterExchange(ledger)
    partners = keys_of(governors)[1:]
    newcomer.wait(governors[0].seat, frozenset(partners))
    known = frozenset((*partners, *keys_of(strangers)))
    assert {peer for peer, _ in newcomer.tick(known)} == set(partners)
    for key in keys_of(strangers):
        newcomer.receive(key, tells(false), known)
    assert ledger.capsules.charter() is None
    # one of the others may lie
    newcomer.receive(partners[0], tells(false), known)
    newcomer.receive(partners[1], tells(true), known)
    assert ledger.capsules.charter() is None
    newcomer.receive(partners[2], tells(true), known)
    assert ledger.capsules.charter() == true


def test_a_charter_that_its_own_key_did_not_sign_is_none(
    ledger: Ledger, governors: list[Local]
) -> None:
    newcomer = CharterExchange(ledger)
    partners = keys_of(governors)[1:]
    newcomer.wait(governors[0].seat, frozenset(partners))
    charter = charter_of(governors)
    for key in partners:
        newcomer.receive(key, tells(charter[:-1] + bytes((charter[-1] ^ 1,))), partners)
    assert ledger.capsules.charter() is None
