"""What several files of tests begin with: an empty ledger, a council that has been founded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from consensus_rig import make_signers
from council_rig import Council
from ledger_rig import Clock

from writ_host.consensus.signer import FrostSigner
from writ_host.governor.ledger.ledger import Ledger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock):
    found = Ledger.open(tmp_path / "ledger.db", clock)
    yield found
    found.close()


@pytest.fixture(scope="module")
def council(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Council]:
    council = Council(tmp_path_factory.mktemp("council"))
    try:
        council.found()
        yield council
    finally:
        council.stop_all()


@pytest.fixture(scope="module")
def signers() -> list[FrostSigner]:
    """Four governors' keys, three of which certify."""
    return make_signers()
