"""Runs the command lines of README.md, as a reader types them, in real shells."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docs_rig import FENCE
from readme_rig import ROOT, Shell, in_order, make_checkout, promised, shell_environment

from writ_host.demo import loopback

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text()
NewShell = Callable[[], Shell]


def blocks(title: str) -> list[tuple[str, str]]:
    """(language, text) of the blocks below the heading; the ports in them are free ones."""
    section = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    for port in sorted(set(re.findall(r"127\.0\.0\.1:(5[0-9]{3})", section))):
        section = section.replace(f"127.0.0.1:{port}", f"127.0.0.1:{loopback.free_ports(1)[0]}")
    # 510$g: the ports of four governors
    for prefix in sorted(set(re.findall(r":(5[0-9]{2})\$g", section))):
        section = section.replace(f":{prefix}$g", f":{four_ports()}$g")
    return [(language, text) for language, _, text in FENCE.findall(section)]


def four_ports() -> int:
    """A number n such that the ports n1 to n4 (in decimal) are free."""
    found = set(loopback.free_ports(40))
    return next(one // 10 for one in found if one % 10 == 0 and found > {*range(one, one + 5)})


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[NewShell]:
    """Makes shells in the folder of this repository, with an empty home."""
    home, made = tmp_path / "home", []
    home.mkdir()

    def make() -> Shell:
        made.append(Shell(checkout, shell_environment(home)))
        return made[-1]

    checkout = make_checkout(tmp_path / "checkout")
    yield make
    for shell in made:
        shell.stop()


@pytest.mark.parametrize("interpreter", ["micropython", "python"])
def test_the_first_device(shells: NewShell, tmp_path: Path, interpreter: str) -> None:
    shell, folder, checked = shells(), tmp_path / "home/first", 0
    for language, text in blocks("Your first device in five minutes"):
        if language == "python":
            (folder / "sensor.py").write_text(text)
            continue
        if "writ policy diff" in text:
            policy = folder / "hill-farm/policy.toml"
            changed = policy.read_text().replace('resource = "*"', 'resource = "humidity"', 1)
            policy.write_text(changed.replace('expect = "allow"', 'expect = "deny"', 1))
        if "sensor.py" in text and interpreter == "python":
            first, rest = text.split("\n", 1)
            assert "# or: python sensor.py;" in first
            text = "python sensor.py &\n" + rest
        output = shell.run(text)
        assert "command not found" not in output and "Error" not in output, output
        parts = promised(text)
        assert in_order(parts, output), (parts, output)
        checked += len(parts)
        if "sensor.py" in text:
            assert re.search(r"soil-1, node id [0-9a-f]{16}, listens at", output), output
    assert checked == 5
    assert "Terminated" in output + shell.run("sleep 1")


def test_governors_on_machines_of_their_own(shells: NewShell) -> None:
    path, create, approve, admit, agree, end = [
        text for _, text in blocks("Governors on machines of their own")
    ]
    first, second = shells(), shells()
    first.run(path)
    second.run(path)
    first.start(create)
    id = first.wait_for(r"writ governor approve\s+\S+\s+([0-9a-f]{8})")
    assert second.run(approve.replace("ID", id)).count("approved: founding of valley") == 4
    assert "founded valley in valley" in first.until_ready()
    second.start(admit)
    id = second.wait_for(r"writ governor approve\s+\S+\s+([0-9a-f]{8})")
    assert "approved: member soil-1" in first.run(agree.replace("ID", id))
    assert "installed in soil: charter, policy, member" in second.until_ready()
    first.start(end)
    first.wait_for(r"g4 +offline")
    first.interrupt()
    first.run("kill %1 %2 %3; wait")
