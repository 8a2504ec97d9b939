"""Runs the programs of docs/delegation.md as on a device, with running governors."""

import json
import re
import time
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

import build_mpy
import pytest
from docs_rig import DOCS, FENCE, rows, ticked
from field_rig import Process
from interop_rig import HOST, commands, free_port
from measure.committee import Committee, Device

from writ.authority import capsule as capsules
from writ.authority.authority import Authority
from writ.authority.capsule import Member
from writ.authority.store import FileFlash, Store
from writ.node import delegate
from writ_host.node import provision

pytestmark = pytest.mark.slow

PAGE = (DOCS / "delegation.md").read_text()
PROGRAMS = {name: text for language, name, text in FENCE.findall(PAGE) if language == "python"}
# The policy of the page's devices; the governors are those of measure/committee.py
POLICY_TOML = """
[roles]
governor = "certifies"
sensor = "measures"

[[rule]]
from = "sensor"
to = "sensor"
resource = "gate"
methods = ["PUT"]
quorum = true

[approvals]
operators = 2

[[approvals.rule]]
kind = "member"
roles = ["sensor"]
renew = true
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["sensor"]
operators = 1
"""


def wait(is_done: Callable[[], object], name: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, f"timeout: {name}"
        time.sleep(0.1)


class Farm:
    """Four governors, and devices that run the programs of the page."""

    def __init__(self, root: Path, council: Committee) -> None:
        self.root = root
        self.council = council
        self.tree = root / "tree"
        self.tree.mkdir()
        self.processes: list[Process] = []
        if build_mpy.find_compiler():
            build_mpy.build(self.tree)
        found = commands(self.tree)
        self.command, self.environment = found.get("micropython", found["cpython"])
        for name, text in PROGRAMS.items():
            (self.tree / name).write_text(text)

    @property
    def governors(self) -> list[str]:
        return [one.listen for one in self.council.governors]

    def provisioned(self, device: Device, **config: object) -> Path:
        """The folder of `device`, provisioned as a member; `config` is added to config.json."""
        path = self.root / device.name
        self.council.provision(device, path, f"{HOST}:{free_port()}")
        self.configure(path, governors=self.governors, **config)
        return path

    def configure(self, path: Path, **config: object) -> None:
        file = path / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **config}))

    def run(self, program: str, path: Path, *arguments: str) -> Process:
        """Start a program of the page with `path` as the folder of its node."""
        port = int(json.loads((path / "config.json").read_text())["listen"].split(":")[1])
        text = re.sub(r'load\("(\w+)"\)', f'load("{path}")', (self.tree / program).read_text())
        script = path / program
        script.write_text(text)
        command = [*self.command, str(script), *arguments]
        process = Process(path, port, command, self.environment)
        self.processes.append(process)
        return process.start()

    def approve(self, kind: str, *names: str, yes: bool = True) -> str:
        """Decide the pending proposal of this kind at these governors; the proposal as JSON."""
        first = self.council.governors[0]
        found: list[dict[str, object]] = []

        def is_pending() -> bool:
            found[:] = [one for one in first.ask("pending")["proposals"] if one["kind"] == kind]
            return bool(found)

        wait(is_pending, f"a proposal of kind {kind}")
        for one in self.council.governors:
            if one.local.seat.name in names:
                one.ask("decide", id=found[0]["id"], yes=yes, reason="seen")
        return json.dumps(found[0])


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    names = ("sluice", "panel", "porter")
    with Committee(4, names, POLICY_TOML) as council:
        farm = Farm(tmp_path, council)
        try:
            yield farm
        finally:
            for process in farm.processes:
                process.kill()


def test_two_approvals_open_the_gate_exactly_once(farm: Farm) -> None:
    sluice, panel, _ = farm.council.devices
    path = farm.provisioned(sluice)
    gate = farm.run("sluice.py", path)
    asks = farm.run("panel.py", farm.provisioned(panel, gateways=[gate.address]))
    proposal = farm.approve("action", "anna")
    assert "PUT gate on sluice" in proposal and "panel" in proposal
    time.sleep(2)
    assert "agreed" not in asks.output and "gate" not in gate.output
    farm.approve("action", "ben")
    asks.wait_for("moved 68 None", 60)
    # a device prints its membership among them
    said = [line for line in asks.output.splitlines() if line.endswith(" 68 None")]
    assert said == ["agreed 68 None", "moved 68 None"]
    assert "the gate goes to open" in gate.output.splitlines() and gate.output.count("gate") == 1
    # after a power failure the command is not carried out again
    gate.kill()
    gate.start()
    time.sleep(1)
    assert gate.output.count("the gate goes to") == 1
    # a second run asks for a second action; it got the first one again, and ActionSpent
    asks.kill()
    asks.start()
    farm.approve("action", "anna")
    farm.approve("action", "ben")
    wait(lambda: asks.output.count("moved 68 None") == 2, "the second move")
    assert gate.output.count("the gate goes to open") == 2


def test_a_panel_that_finds_no_sluice_or_no_approval_says_why(farm: Farm) -> None:
    sluice, panel, _ = farm.council.devices
    # a gateway that knows no sluice
    path = farm.provisioned(panel, gateways=farm.governors[:1])
    farm.run("panel.py", path).wait_for("not found 0 ", 60)
    gate = farm.run("sluice.py", farm.provisioned(sluice))
    farm.configure(path, gateways=[gate.address])
    asks = farm.run("panel.py", path)
    farm.approve("action", "anna", yes=False)
    farm.approve("action", "ben", yes=False)
    asks.wait_for("agreed 131 None", 60)
    wait(lambda: "denied" in asks.output.split("agreed 131 None")[1], "the reason")


def test_a_neighbour_is_met_admitted_and_welcomed(farm: Farm) -> None:
    _, _, porter = farm.council.devices
    path = farm.root / "probe"
    path.mkdir()
    scope = capsules.scope_id(capsules.parse(farm.council.genesis[0]).payload)
    config = {"name": "probe", "scope": scope.hex(), "listen": f"{HOST}:{free_port()}"}
    provision.write_config(path, {**config, "governors": farm.governors})
    farm.configure(path, gateways=farm.governors)
    probe = farm.run("sluice.py", path)
    asks = farm.run("porter.py", farm.provisioned(porter), probe.address, "code 4711")
    proposal = farm.approve("member", "carl")
    assert json.dumps('"code 4711"')[1:-1] in proposal and "probe" in proposal
    asks.wait_for("\nwelcomed ", 60)
    wait(lambda: asks.output.endswith("\n"), "the whole line")
    said = asks.output.splitlines()[1:]  # without the line of `announce`
    assert said[:2] == ["met 69 None", "admitted 68 None"]
    # 2.03: with the charter, the newcomer fetches its capsule from a gateway; that may be faster
    assert said[2] in ("welcomed 68 None", "welcomed 67 None")
    # the newcomer pulls policy and beacon in its own sessions
    wait(lambda: Store(FileFlash(str(path))).load("policy"), "a policy at the newcomer")
    member = Member(capsules.parse(Store(FileFlash(str(path))).load("member")))
    assert (member.name, member.roles) == ("probe", 0)


def test_a_device_renews_and_revokes_itself(farm: Farm) -> None:
    _, panel, _ = farm.council.devices
    path = farm.provisioned(panel, renew_days=400)
    (farm.tree / "opened.py").write_text(
        'import sys\nimport writ\n\nnode = writ.Node.load("panel")\nnode.open()\n'
        "if len(sys.argv) > 1:\n"
        '    node.delegate.revoke_me("opened", lambda answer: print("out", answer.code))\n'
        "node.run()\n"
    )
    runs = farm.run("opened.py", path)
    before = Member(capsules.parse(panel.raw)).expires

    def expires() -> int:
        return int(Member(capsules.parse(Store(FileFlash(str(path))).load("member"))).expires)

    wait(lambda: expires() > before, "a renewal")
    runs.kill()
    farm.run("opened.py", path, "opened").wait_for("out", 60)
    revoked = [one.ask("state")["epoch"] for one in farm.council.governors]
    assert max(revoked) == 2
    wait(lambda: panel.node_id in authority(path, panel).policy.revoked, "its own revocation")


def authority(path: Path, device: Device) -> Authority:
    """The authority state in the folder of a device."""
    store = Store(FileFlash(str(path)))
    x = Member(capsules.parse(device.raw)).x
    scope = json.loads((path / "config.json").read_text())["scope"]
    return Authority(store, x, bytes.fromhex(scope))


def test_the_page_names_the_operations_and_their_arguments() -> None:
    named = [
        re.split(r"[(, )]+", ticked(row[0])[0])
        for row in rows(PAGE, "operation", "result on success")
    ]
    public = {name for name in vars(delegate.Delegate) if name[0] != "_"} - {"tick"}
    assert {name for name, *_ in named} == public
    for name, *arguments in named:
        known = list(signature(getattr(delegate.Delegate, name)).parameters)[1:]
        assert [one for one in arguments if one] == known[: len(arguments) - 1], name
