"""docs/delegation.md is tried: its programs, as on a device, with governors as they run."""

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

PAGE = (DOCS / "delegation.md").read_text()
PROGRAMS = {name: text for language, name, text in FENCE.findall(PAGE) if language == "python"}
# What the page's devices are for: governors' nodes are as in measure/committee.py
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


def wait(what: Callable[[], object], words: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"waited in vain: {words}"
        time.sleep(0.1)


class Farm:
    """Four governors, and devices that run programs of the page."""

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
        """The folder of a member."""
        path = self.root / device.name
        self.council.provision(device, path, f"{HOST}:{free_port()}")
        self.configure(path, governors=self.governors, **config)
        return path

    def configure(self, path: Path, **config: object) -> None:
        file = path / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **config}))

    def run(self, program: str, path: Path, *words: str) -> Process:
        """A program of the page; it loads the folder that has the name of its node."""
        port = int(json.loads((path / "config.json").read_text())["listen"].split(":")[1])
        text = re.sub(r'load\("(\w+)"\)', f'load("{path}")', (self.tree / program).read_text())
        script = path / program
        script.write_text(text)
        command = [*self.command, str(script), *words]
        process = Process(path, port, command, self.environment)
        self.processes.append(process)
        return process.start()

    def approve(self, kind: str, *names: str) -> str:
        """The operators of these governors agree to what is pending; its words."""
        first = self.council.governors[0]
        found: list[dict[str, object]] = []

        def is_pending() -> bool:
            found[:] = [one for one in first.ask("pending")["proposals"] if one["kind"] == kind]
            return bool(found)

        wait(is_pending, f"a proposal of kind {kind}")
        for one in self.council.governors:
            if one.local.seat.name in names:
                one.ask("decide", id=found[0]["id"], yes=True, reason="seen")
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


def test_two_people_open_the_gate_and_the_device_moves_it_once(farm: Farm) -> None:
    sluice, panel, _ = farm.council.devices
    path = farm.provisioned(sluice)
    gate = farm.run("sluice.py", path)
    asks = farm.run("panel.py", farm.provisioned(panel, gateways=[gate.address]))
    words = farm.approve("action", "anna")
    assert "PUT gate on sluice" in words and "panel" in words
    time.sleep(2)
    assert "agreed" not in asks.output and "gate" not in gate.output
    farm.approve("action", "ben")
    asks.wait_for("moved 68 None", 60)
    assert asks.output.splitlines()[0] == "agreed 68 None"
    assert gate.output.split("\n")[0] == "the gate goes to open" and gate.output.count("gate") == 1
    # nothing is left to carry out after a power cut
    gate.kill()
    gate.start()
    time.sleep(1)
    assert gate.output.count("the gate goes to") == 1


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
    words = farm.approve("member", "carl")
    assert b"code 4711".hex() in words and "probe" in words
    asks.wait_for("welcomed 68 None", 60)
    said = asks.output.splitlines()
    assert said[:2] == ["met 69 None", "admitted 68 None"]
    # by its own sessions it has the rest: the policy, and the time
    wait(lambda: Store(FileFlash(str(path))).load("policy"), "a policy at the newcomer")
    member = Member(capsules.parse(Store(FileFlash(str(path))).load("member")))
    assert (member.name, member.roles) == ("probe", 0)


def test_a_device_renews_itself_and_takes_itself_out(farm: Farm) -> None:
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
    """What the flash of a device says."""
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
