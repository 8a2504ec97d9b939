"""What several files of tests begin with: an empty ledger, a founded council, device code."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from consensus_rig import make_signers
from council_rig import Council, founded
from field_rig import build_tree
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


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device core, for both interpreters."""
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def council(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Council]:
    with founded(tmp_path_factory.mktemp("council")) as council:
        yield council


@pytest.fixture(scope="module")
def signers() -> list[FrostSigner]:
    """Four governors' keys, three of which certify."""
    return make_signers()
