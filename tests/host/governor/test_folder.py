"""The governor's folder: strict settings, and no folder that others may write to."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from writ_host.ceremony.storage import MemoryStore
from writ_host.cli.governor import group as governor_group
from writ_host.errors import FileInTheWay
from writ_host.governor.daemon import Daemon
from writ_host.governor.folder import BadSettings, FolderNotPrivate, GovernorFolder, NoGovernor
from writ_host.keys.identity import Identity


def test_settings_are_read_strictly(tmp_path: Path) -> None:
    folder = GovernorFolder(tmp_path / "a")
    with pytest.raises(NoGovernor):
        folder.read()
    made = folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    assert (made.name, made.peers, made.listen) == ("a", "10.0.0.7:5685", "10.0.0.7:5683")
    assert made.bound(made.peers) == "10.0.0.7:5685"
    assert folder.path.stat().st_mode & 0o077 == 0
    with pytest.raises(FileInTheWay):
        folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    good = folder.toml.read_text()
    folder.toml.write_text(good + 'bind = "0.0.0.0"\nmetrics = "127.0.0.1:9685"\n')
    assert folder.read().bound(made.peers) == "0.0.0.0:5685"
    for wrong in (
        'colour = "red"\n',
        "metrics = 9685\n",
        'metrics = "nowhere:x"\n',
        'bind = "a b"\n',
        'bind = "0.0.0.0:1"\n',
        'name = "A"\n',
        "no toml\n",
    ):
        folder.toml.write_text(good + wrong)
        with pytest.raises(BadSettings):
            folder.read()
    folder.toml.write_text('name = "a"\n')
    with pytest.raises(BadSettings, match="peers"):
        folder.read()
    folder.toml.write_bytes(b"\xff" * 70000)
    with pytest.raises(BadSettings):
        folder.read()


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_rejected(tmp_path: Path, mode: int) -> None:
    folder = GovernorFolder(tmp_path / "a")
    folder.path.mkdir()
    folder.path.chmod(mode)
    with pytest.raises(FolderNotPrivate):
        folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    made = CliRunner().invoke(governor_group, ["init", str(folder.path), "--name", "a"])
    assert isinstance(made.exception, FolderNotPrivate)
    # no key was created in a folder that others can write to
    assert not list(folder.path.iterdir())
    folder.path.chmod(0o755)
    settings = folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    folder.path.chmod(mode)
    with pytest.raises(FolderNotPrivate):
        Daemon(folder, settings, Identity.generate("a"), MemoryStore(), lambda *_: None)
    assert [one.name for one in folder.path.iterdir()] == ["governor.toml"]
