"""A new governor, which has a share and no charter: which peers it accepts a charter from."""

from pathlib import Path

import pytest

from writ_host import codec
from writ_host.ceremony.local import LocalGovernor, found_local
from writ_host.governor.join import CharterExchange
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.proposals.messages import CAPSULES
from writ_host.scope import issuance
from writ_host.scope.issuance import Draft, LocalSigner

NAMES = ["anna", "ben", "carl", "dora"]


def charter_of(governors: list[LocalGovernor]) -> bytes:
    draft = Draft("charter", issuance.charter_draft(governors[0].seat).payload)
    return issuance.sign([draft], LocalSigner(governors))[0]


def keys_of(governors: list[LocalGovernor]) -> list[bytes]:
    return [one.identity.public.node_key for one in governors]


@pytest.fixture(scope="module")
def governors() -> list[LocalGovernor]:
    return found_local("farm", NAMES, 3)


@pytest.fixture
def ledger(tmp_path: Path):
    found = Ledger.open(tmp_path / "ledger.db")
    yield found
    found.close()


def answer(charter: bytes) -> bytes:
    return codec.dump([CAPSULES, 1, [charter]])


def test_only_partners_of_the_ceremony_can_give_the_charter(
    ledger: Ledger, governors: list[LocalGovernor]
) -> None:
    """Until a seat is in force, anyone may send an invitation and so become a peer."""
    strangers = found_local("farm", NAMES, 3)
    genuine, forged = charter_of(governors), charter_of(strangers)
    exchange = CharterExchange(ledger)
    partners = keys_of(governors)[1:]
    exchange.wait(governors[0].seat, frozenset(partners))
    known = frozenset((*partners, *keys_of(strangers)))
    assert {peer for peer, _ in exchange.tick(known)} == set(partners)
    for key in keys_of(strangers):
        exchange.receive(key, answer(forged), known)
    assert ledger.capsules.charter() is None
    # one partner may be Byzantine
    exchange.receive(partners[0], answer(forged), known)
    exchange.receive(partners[1], answer(genuine), known)
    assert ledger.capsules.charter() is None
    exchange.receive(partners[2], answer(genuine), known)
    assert ledger.capsules.charter() == genuine


def test_a_charter_without_a_valid_signature_is_ignored(
    ledger: Ledger, governors: list[LocalGovernor]
) -> None:
    exchange = CharterExchange(ledger)
    partners = keys_of(governors)[1:]
    exchange.wait(governors[0].seat, frozenset(partners))
    charter = charter_of(governors)
    for key in partners:
        exchange.receive(key, answer(charter[:-1] + bytes((charter[-1] ^ 1,))), partners)
    assert ledger.capsules.charter() is None
