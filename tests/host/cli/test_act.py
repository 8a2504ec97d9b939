"""`writ act`: a command that needs operators, from the request to the answer of its target."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from council_rig import ROOT, Council, finish, free_ports, wait_for

from writ_host.governor.ceremonies.record import Record

pytestmark = pytest.mark.slow

RULE = """
[[rule]]
from = "gateway"
to = "sensor"
resource = "gate"
methods = ["PUT", "POST"]
quorum = true

[approvals]"""
SLUICE = """
import sys
import writ

node = writ.Node.load(sys.argv[1])

@node.resource("gate", methods=("PUT",))
def gate(request):
    print("the gate goes to", request.payload.decode(), flush=True)
    return b"moving"

node.run()
"""


def listen(council: Council, name: str) -> str:
    """The address at which a governor's node serves devices."""
    return Record.load(council.path(name) / f"{name}.toml").listen


class Sluice:
    """The device, in a process of its own."""

    def __init__(self, council: Council, address: str) -> None:
        self.address = address
        self._out = (council.root / "sluice.out").open("w+")
        (council.root / "sluice.py").write_text(SLUICE)
        self._process = subprocess.Popen(
            [sys.executable, "sluice.py", "sluice"],
            cwd=council.root,
            env={**council.environment, "PYTHONPATH": str(ROOT / "firmware")},
            stdout=self._out,
        )

    @property
    def moves(self) -> list[str]:
        text = Path(self._out.name).read_text()
        return [line for line in text.splitlines() if line.startswith("the gate")]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()


@pytest.fixture(scope="module")
def sluice(council: Council) -> Iterator[Sluice]:
    """A device with a rule that needs an action, and a laptop that asks for one."""
    text = council.scope / "policy.toml"
    text.write_text(text.read_text().replace("\n[approvals]", RULE, 1))
    council.with_approval("b", "policy", "certify", "--yes")
    (address,) = free_ports(1)
    governors = ",".join(listen(council, name) for name in "abcd")
    council.writ("member", "request", "sluice", "--name", "sluice", "--listen", address)
    council.writ("member", "request", "laptop", "--name", "laptop", "--governors", governors)
    for name, role in (("sluice", "sensor"), ("laptop", "gateway")):
        words = ("member", "admit", name, "--role", role, "--yes", "--no-deliver", "--out", name)
        council.with_approval("b", *words)
    found = Sluice(council, address)
    council.environment["WRIT_NODE"] = str(council.root / "laptop")
    try:
        wait_for(lambda: council.run("ping", f"coap://{address}", "--count", "1").returncode == 0)
        yield found
    finally:
        found.end()


def test_the_folder_names_its_governors(council: Council, sluice: Sluice) -> None:
    config = json.loads((council.root / "laptop/config.json").read_text())
    assert config["governors"] == [listen(council, name) for name in "abcd"]
    # an existing folder gets other ones
    words = ("member", "request", "laptop", "--governors", listen(council, "b"))
    council.writ(*words)
    config = json.loads((council.root / "laptop/config.json").read_text())
    assert config["governors"] == [listen(council, "b")]
    assert council.run(*words[:3], "--governors", "nonsense:x").returncode == 2


def test_a_command_is_carried_out_once_after_approval(council: Council, sluice: Sluice) -> None:
    refused = council.writ("put", f"coap://{sluice.address}/gate", "open", code=1)["error"]
    assert refused["name"] == "NeedsAction" and "writ act" in refused["advice"]
    command = council.begin("act", f"coap://{sluice.address}/gate", "open")
    wait_for(lambda: council.waiting("a"))
    shown = council.run("governor", "pending", "a").stdout
    assert "laptop asks for an action: PUT gate on sluice" in shown
    assert 'payload: "open" (4 bytes)' in shown and not sluice.moves
    council.approve("c", reason="the field is dry")
    out, err = command.communicate(timeout=60)
    assert command.returncode == 0, out + err
    assert "waiting for approval" in out and "sluice: done: moving" in out
    assert sluice.moves == ["the gate goes to open"]
    log = council.run("governor", "log", "c").stdout
    assert "PUT gate on sluice (" in log and 'payload "open"' in log
    # by name now, whose address is known; each run is another action
    again = council.begin("act", "sluice/gate", "shut", "--json")
    council.approve("d")
    found = finish(again)
    assert (found["code"], found["text"], found["node"]) == ("2.04", "moving", "sluice")
    assert len(bytes.fromhex(found["action"])) > 100 and found["expires"].endswith("Z")
    assert sluice.moves == ["the gate goes to open", "the gate goes to shut"]


def test_what_nobody_approves_is_not_carried_out(council: Council, sluice: Sluice) -> None:
    error = council.writ("act", "sluice/gate", "wide", "--wait", "4", code=4)["error"]
    assert error["name"] == "NeedsPerson" and "not approved within 4 s" in error["message"]
    for name in "ab":
        council.writ("governor", "deny", name, council.waiting(name)[:12], "--yes")
    command = council.begin("act", "sluice/gate", "wide", "--json")
    for name in "ab":
        wait_for(lambda name=name: council.waiting(name))
        council.writ("governor", "deny", name, council.waiting(name)[:12], "--yes")
    error = finish(command, 1)["error"]
    assert "the governors refused" in error["message"] and "denied" in error["message"]
    assert "wide" not in "".join(sluice.moves)


def test_what_no_action_can_cover_is_refused_at_once(council: Council, sluice: Sluice) -> None:
    for words, text in (
        (("sluice/gate?angle=90", "open"), "covers no query"),
        (("sluice/gate", "x" * 513), "at most 512 bytes"),
        (("sluice", "open"), "no resource"),
    ):
        error = council.writ("act", *words, code=2)["error"]
        assert text in error["message"]
    error = council.writ("act", "sluice/other", "open", "--wait", "20", code=1)["error"]
    assert "no rule allows laptop this action" in error["message"]
