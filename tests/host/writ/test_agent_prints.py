"""A device prints what changes: whether it is a member, and whether its modem works."""

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest
from field_rig import OPERATOR, SENSOR, Field, build_tree
from interop_rig import commands

ROUTES = ([0, 1, OPERATOR, 6, 4, 1000, 7], [15, 1, OPERATOR, 6, 0, 100, 0])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    made = Field(tmp_path, tree, ROUTES, "320k")
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_device_says_that_its_port_is_absent_and_when_it_is_there(
    field: Field, interpreter: str
) -> None:
    if interpreter not in commands(field._tree):
        pytest.skip("no micropython here")
    port = field.root / "line"
    soil = field.device("soil", SENSOR, interpreter, links=[{"kind": "serial", "port": str(port)}])
    # it looks every ten seconds
    soil.wait_for("link 0 does not work: ", 40)
    soil.wait_for("member of ", 40)
    assert ", epoch 1\n" in soil.output
    near, far = pty.openpty()
    port.symlink_to(os.ttyname(far))
    soil.wait_for("link 0 is ready\n", 40)
    os.close(near)
    os.close(far)
    # a line for each change
    for text in ("does not work", "is ready", "member of"):
        assert soil.output.count(text) <= 2
