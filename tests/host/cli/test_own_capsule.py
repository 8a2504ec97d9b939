"""A node that only commands use, after a clean-up that it has missed, with real sockets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import Rig
from device_rig import Device
from field_rig import write_book

from writ.authority.store import FileFlash, Store
from writ_host.node import provision
from writ_host.scope.delivery import post_capsules
from writ_host.scope.folder import ScopeFolder

ASK = ("ping", "pump", "--count", 1)


class Field(Rig):
    """A gateway `gw` and a sensor `pump`, which run, and the folder `tab`.

    behind: "tab" or "pump", which has missed a clean-up.
    """

    def __init__(self, path: Path, behind: str = "tab") -> None:
        super().__init__(path)
        scope = self.create()["scope"]
        for name, role in (("gw", "gateway"), ("tab", "gateway"), ("pump", "sensor")):
            self.admit(name, role, "--out", path / name)
        self.admit("thief", "sensor")
        self.ok("member", "revoke", "thief", "--yes")
        self.ok("policy", "clean", "--yes")
        for name in {"gw", "tab", "pump"} - {behind}:
            self.ok("member", "deliver", name, "--out", path / name)
        self.gw, self.pump = (Device(path / name, name, scope) for name in ("gw", "pump"))
        self.ok("member", "request", path / "tab", "--gateway", self.gw.address)
        write_book(path / "tab", pump=self.pump.address)

    def stop(self) -> None:
        self.gw.stop()
        self.pump.stop()

    def call(self, *words: object, code: int = 0) -> str:
        ran = self.run(*words, "--node", self.path / "tab")
        assert ran.code == code, ran.out + ran.err
        return ran.out + ran.err

    def bring(self) -> bytes:
        """Hand the new capsule of tab to its gateway; governors have those of all members."""
        member = ScopeFolder.open(self.scope).members.find("tab")
        assert member is not None
        assert post_capsules(self.gw.address, [("member", member.raw)])[0].is_good
        return bytes(member.raw)

    def own(self) -> bytes:
        return bytes(Store(FileFlash(str(self.path / "tab"))).load("member"))


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    field = Field(tmp_path)
    yield field
    field.stop()


@pytest.mark.parametrize("by", ["name", "address"])
@pytest.mark.parametrize("knows", [False, True])
def test_it_fetches_its_renewed_capsule(field: Field, by: str, knows: bool) -> None:
    raw = field.bring()
    if knows:
        # the policy has reached it, from a peer that has no capsule for it
        folder = ScopeFolder.open(field.scope)
        chain = [one for _, one in folder.chain()]
        assert provision.install(field.path / "tab", chain, folder.charter.scope)
    assert field.own() != raw
    target = "pump" if by == "name" else f"coap://{field.pump.address}"
    assert "answered in" in field.call("ping", target, "--count", 1)
    assert field.own() == raw


def test_a_resource_is_read_at_once(field: Field) -> None:
    field.pump.node.resource("temp")(lambda request: b"21.5")
    field.bring()
    assert "21.5" in field.call("get", "pump/temp")


def test_an_open_session_is_no_obstacle(field: Field) -> None:
    field.pump.node.resource("temp")(lambda request: b"21.5")
    field.bring()
    assert "21.5" in field.call("get", "pump/temp")
    # the next clean-up reaches all but tab, while its session with pump is open
    field.admit("another", "sensor")
    field.ok("member", "revoke", "another", "--yes")
    field.ok("policy", "clean", "--yes")
    for name, device in (("gw", field.gw), ("pump", field.pump)):
        field.ok("member", "deliver", name, "--deliver", device.address)
    raw = field.bring()
    assert field.own() != raw
    assert "21.5" in field.call("get", "pump/temp")
    assert field.own() == raw


def test_a_post_is_not_repeated(field: Field) -> None:
    done: list[bytes] = []
    field.pump.node.resource("note", ("POST",))(lambda request: done.append(request.payload))
    raw = field.bring()
    note = f"coap://{field.pump.address}/note"
    said = field.call("post", note, "on", code=1)
    assert "tab had an old capsule" in said and "Run the command again" in said
    assert field.own() == raw and not done
    # the next refusal is that of a rule, in a session
    assert "NotAllowed" in field.call("post", note, "on", code=1)


def test_the_error_says_whose_capsule_was_refused_by_which_node(field: Field) -> None:
    said = field.call("ping", f"coap://{field.pump.address}", "--count", 1, code=1)
    assert f"{field.pump.address} refused the capsule of tab: NotMember (43)" in said
    assert "writ member deliver tab --out DIR" in said
    # the other way round
    field.ok("member", "deliver", "tab", "--out", field.path / "tab")
    assert "answered in" in field.call(*ASK)


def test_a_peer_that_missed_the_clean_up_is_named(tmp_path: Path) -> None:
    field = Field(tmp_path, behind="pump")
    try:
        said = field.call("ping", f"coap://{field.pump.address}", "--count", 1, code=1)
        assert f"tab refused the capsule of {field.pump.address}: NotMember (43)" in said
        assert "writ member deliver NAME" in said and "deliver tab" not in said
    finally:
        field.stop()
