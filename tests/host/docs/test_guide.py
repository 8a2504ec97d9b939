"""Runs the command lines of docs/governors.md in real shells, with addresses of this machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_rig import DOCS, FENCE
from readme_rig import BIN, PASSPHRASE, Shell, shell_environment

from writ_host.demo import loopback

pytestmark = pytest.mark.slow

PAGE = (DOCS / "governors.md").read_text()
NAMES = ("anna", "ben", "carl", "dora")


def lines(title: str) -> list[str]:
    """The command lines below a heading."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = [text for language, _, text in FENCE.findall(section) if language == "sh"]
    return [line for text in blocks for line in text.strip().splitlines()]


def loopback_text(line: str) -> str:
    """The line with free ports of this machine in place of its addresses."""
    return re.sub(r"10\.0\.0\.\d+:\d+", lambda _: loopback.free_address(), line)


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[tuple[Shell, Shell]]:
    """Two shells in an empty home, with `writ` on the path and one key file."""
    key = tmp_path / "passphrase"
    key.write_text(PASSPHRASE)
    key.chmod(0o600)
    environment = {**shell_environment(tmp_path), "WRIT_PASSPHRASE_FILE": str(key)}
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    made = Shell(tmp_path, environment), Shell(tmp_path, environment)
    yield made
    for shell in made:
        shell.stop()


def agreed(one: Shell, two: Shell, line: str, *names: str) -> str:
    """Run a command that waits, and approve what it waits for at these governors; its output."""
    one.start(line)
    id = one.wait_for(r"writ governor approve\s+\S+\s+([0-9a-f]{8})")
    for name in names:
        assert "approved: " in two.run(f"writ governor approve {name} {id}")
    return one.until_ready()


def test_the_guide_of_operators(shells: tuple[Shell, Shell], tmp_path: Path) -> None:
    one, two = shells
    init, run = lines("Create it, run it")
    for name in NAMES:
        assert "own fingerprint" in one.run(loopback_text(init.replace("anna", name)))
        one.run(f"{run.replace('anna', name)} > {name}.log &")
        # the page's operators have machines of their own, and give the record to the founder
        one.run(f"cp {name}/{name}.toml .")
    (create,) = lines("Found a scope")
    assert "founded valley in valley" in agreed(one, two, create, *NAMES)
    export, request, admit, diff, certify, revoke, beacon = lines("Certify")
    one.run(f"{export}\n{loopback_text(request)}\nexport WRIT_GOVERNOR=~/anna")
    assert "installed in soil" in agreed(one, two, admit, "ben")
    for line in (diff, certify):
        assert "the same as the policy of epoch 1: nothing to certify" in one.run(line)
    assert "certified: amendment to epoch 2 (99 bytes)" in agreed(one, two, revoke, "ben")
    assert "certified: epoch 2 at" in one.run(beacon)
    status, pending, _, _, log = lines("Decide about proposals")
    one.start(status)
    one.wait_for("4 of 4 online")
    one.interrupt()
    assert "nothing is pending" in one.run(pending)
    one.start(log)
    one.wait_for("revoke soil-1: lost")
    one.interrupt()
    backup, restore = [line.replace("/media/stick", str(tmp_path)) for line in lines("Backups")]
    assert "backed up anna into" in one.run(backup)
    restored = one.run(restore.replace(" anna ", " copy "))
    assert "restored anna into copy: epoch 2 of valley" in restored
    one.run("kill %1 %2 %3 %4; wait")
