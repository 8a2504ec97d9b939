"""The README of the tool: its scene can be loaded, its program runs, its commands exist."""

import re
import subprocess
import sys
import tomllib

from device_files import ROOT
from radio.control import HELP
from radio.scene import Scene

PAGE = (ROOT / "tools/radio/README.md").read_text()


def block(language: str) -> str:
    """The first fenced block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def test_the_scene_of_the_page() -> None:
    scene = Scene.parse(tomllib.loads(block("toml")))
    assert list(scene.nodes) == ["gate", "far"]
    # what the page says of the levels: 22 dBm less the loss of 500 m
    radios = scene.channel.radios
    assert round(22 - scene.channel.path_loss_db(radios["gate"], radios["far"])) == -100


def test_the_program_of_the_page() -> None:
    code = f"import sys\nsys.path.insert(0, {str(ROOT / 'tools')!r})\n{block('python')}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "payload=b'hello'" in done.stdout


def test_the_commands_of_the_page() -> None:
    verbs = re.findall(r"tools/radio tell \S+ (\S+)", PAGE)
    assert len(verbs) == 5 and set(verbs) <= set(HELP)
