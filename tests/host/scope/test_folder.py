"""The folder of a scope: what it keeps, and what it refuses by name."""

from pathlib import Path

import judge_rig
import pytest
from cli_rig import Rig

from writ.authority import capsule as capsules
from writ.errors import WrongTarget
from writ_host.scope.folder import ScopeFolder


def test_an_action_is_of_no_use_to_a_scopes_folder(tmp_path: Path) -> None:
    # governors hand it over with the other capsules that a folder lacks
    rig = Rig(tmp_path)
    rig.create()
    folder = ScopeFolder.open(rig.scope)
    with pytest.raises(WrongTarget):
        folder.receive(capsules.assemble(judge_rig.action(), bytes(64)))
