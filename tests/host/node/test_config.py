"""config.json of a node's folder."""

import json
from pathlib import Path

import pytest

from writ_host.errors import NoNode
from writ_host.node import config as nodeconfig


@pytest.mark.parametrize(
    "config",
    [
        [], {"name": 1}, {"name": "A"}, {"scope": "00"}, {"scope": "x" * 16}, {"scope": 5},
        {"listen": 1}, {"listen": "a:b"}, {"gateways": "10.0.0.1"}, {"gateways": [1]},
    ],
)  # fmt: skip
def test_a_wrong_value_names_config_json(tmp_path: Path, config: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(nodeconfig.BadConfig, match=r"config\.json"):
        nodeconfig.read(tmp_path)


def test_a_valid_config_is_read_unchanged(tmp_path: Path) -> None:
    with pytest.raises(NoNode):
        nodeconfig.read(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(nodeconfig.BadConfig):
        nodeconfig.read(tmp_path)
    good = {"name": "a", "scope": "00" * 8, "listen": "0.0.0.0:0", "gateways": ["h"], "x": 1}
    (tmp_path / "config.json").write_text(json.dumps(good))
    assert nodeconfig.read(tmp_path) == good
