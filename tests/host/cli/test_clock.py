"""A wrong clock certifies nothing by mistake, and there is a way back."""

import time
from pathlib import Path

import pytest
from cli_rig import Rig
from fakeflash import MemoryFlash

from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.errors import Expired, RolledBack
from writ_host.refusals import parse_rejection, rejection_text
from writ_host.scope.clock import CLOCK_JUMP_S_MAX, certified_time
from writ_host.scope.folder import ScopeFolder

YEAR = 365 * 86400


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.create()
    rig.admit("gw", "gateway")
    return rig


def shift(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


@pytest.mark.parametrize("years", [20, -20])
def test_no_command_certifies_by_a_wrong_clock(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    before = ScopeFolder.open(rig.scope)
    path = rig.scope / "policy.toml"
    path.write_text(path.read_text().replace('["GET"]', '["GET", "DELETE"]', 1))
    rig.ok("member", "request", rig.path / "new", "--name", "new")
    shift(monkeypatch, years * YEAR)
    for words in (
        ("scope", "beacon"),
        ("policy", "certify", "--yes"),
        ("policy", "clean", "--yes"),
        ("member", "admit", "new", "--role", "sensor", "--yes"),
        ("member", "revoke", "gw", "--yes"),
    ):
        ran = rig.run(*words, "--json")
        assert ran.code == 1 and ran.error["name"] == "ClockJump", words
        assert (
            "newest certified time" in ran.error["message"] and "--time-jump" in ran.error["advice"]
        )
    after = ScopeFolder.open(rig.scope)
    assert certified_time(after) == certified_time(before) and after.epoch == 1
    assert after.members.find("new") is None


def test_the_bound_is_a_month(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    shift(monkeypatch, CLOCK_JUMP_S_MAX - 60)
    assert rig.ok("scope", "beacon")["time"] > time.time() - 60
    shift(monkeypatch, CLOCK_JUMP_S_MAX + 60)
    assert rig.run("scope", "beacon").code == 1
    assert rig.ok("scope", "beacon", "--time-jump")["epoch"] == 1
    assert rig.ok("scope", "beacon")["epoch"] == 1


def test_the_way_back_from_the_year_2046(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ScopeFolder.open(rig.scope)
    gateway = folder.members.find("gw")
    assert gateway is not None
    flash = MemoryFlash()

    def boot() -> Authority:
        return Authority(Store(flash), b"o" * 32, folder.charter.scope)

    device = boot()
    for raw in folder.capsules():
        device.receive(raw, 0)
    device.check_member(gateway, 0)
    with monkeypatch.context() as wrong:
        shift(wrong, 20 * YEAR)
        # insisting on the wrong clock
        rig.ok("scope", "beacon", "--time-jump")
    future = ScopeFolder.open(rig.scope).beacon
    assert future is not None and future.time > time.time() + 19 * YEAR
    device.receive(future.raw, 0)
    with pytest.raises(Expired) as caught:
        device.check_member(gateway, 0)
    assert str(caught.value) == f"{future.time} beacon"
    text = rejection_text(caught.value)
    assert "it takes the time for 20" in text and "from the newest beacon" in text
    refused = parse_rejection(b"27 Expired %d beacon" % future.time)
    assert refused is not None and rejection_text(refused) == text
    # with the clock right again the scope says what is wrong, and a flag replaces the beacon
    assert (
        "before the newest certified time" in rig.run("scope", "beacon", "--json").error["message"]
    )
    made = rig.ok("scope", "beacon", "--time-jump")
    assert abs(made["time"] - time.time()) < 60
    assert rig.ok("member", "admit", "gw", "--expires", "2y", "--yes")["admitted"]
    # a device that has the wrong beacon keeps it, until its record is removed while it is off
    with pytest.raises(RolledBack):
        device.receive(bytes.fromhex(made["capsule"]), 0)
    # as docs/limits.md says; the record "names" lists the records that must be there
    for name in ("beacon.a", "beacon.b", "names.a", "names.b"):
        del flash.files[name]
    device = boot()
    device.receive(bytes.fromhex(made["capsule"]), 0)
    device.check_member(gateway, 0)
