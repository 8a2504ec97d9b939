"""tools/field on small fields: the same seed gives the same run, and the figures fit together."""

import json
import random
import subprocess
import sys
from collections import Counter

import pytest
from device_files import ROOT
from field import firmware, ground
from field.__main__ import main, parser
from field.field import Field, Plan, what
from field.flood import flood
from field.measure import Course, Run, measure
from field.scope import Scope
from radio.channel import Channel
from radio.pathloss import MODELS
from radio.phy import Settings
from radio.timeline import Timeline

import writ.limits
from writ import compat, crypto

# A few nodes, and less time in each part than the tool's own course has
SMALL = Plan(nodes=6, seed=3, boot_s=60)
SHORT = Course(form_s=900, readings_s=600, period_s=300, asks=5, rest_s=300, spread_s=7200)
WORDS = "6 --seed 3 --boot 1 --form 15 --readings 10 --period 5 --rest 5"


@pytest.fixture(scope="module")
def run() -> Run:
    return measure(SMALL, SHORT)


def test_one_seed_gives_one_run(run):
    again = measure(SMALL, SHORT)
    assert again.figures == run.figures and again.field.sent == run.field.sent
    assert again.curve == run.curve
    other = measure(Plan(nodes=6, seed=4, boot_s=60), SHORT)
    assert other.figures["spread"] != run.figures["spread"]


def test_a_small_field_forms_reports_and_takes_the_amendment(run):
    figures = run.figures
    assert figures["form"]["with_parent"] == 1 and figures["form"]["hops_max"] >= 1
    assert figures["readings"]["made"] == 12
    assert figures["readings"]["delivery_share"] == 1
    assert figures["readings"]["answered_share"] == 1
    assert figures["spread"]["reached"] == 1 and figures["flood"]["reached"] == 1
    assert {member.epoch for member in run.field.members} == {2}
    heads = {member.node.authority.head for member in run.field.members}
    assert heads == {run.field.scope.head}


def test_the_figures_fit_together(run):
    spread, flooded = run.figures["spread"], run.figures["flood"]
    seconds, airtime = spread["seconds"], spread["airtime_s"]
    assert seconds["50"] <= seconds["95"] <= seconds["100"]
    assert 0 < airtime["50"] <= airtime["95"] <= airtime["100"]
    # what the field sends at rest is no cost of the amendment
    rest = run.figures["rest"]["airtime_by_kind_s"]
    rest_share = sum(rest.values()) / SHORT.rest_s
    net_s = airtime["95"] - rest_share * seconds["95"]
    assert run.figures["share_amendment_airtime"] == pytest.approx(
        net_s / flooded["airtime_s"]["95"], abs=0.01 * max(1, seconds["95"])
    )
    lasted_s = seconds["100"] + SHORT.after_s
    assert spread["airtime_net_all_s"] < sum(spread["airtime_by_kind_s"].values())
    assert run.figures["share_amendment_airtime_all"] == pytest.approx(
        (sum(spread["airtime_by_kind_s"].values()) - rest_share * lasted_s)
        / flooded["airtime_all_s"],
        abs=0.1 + 0.01 * lasted_s,
    )
    assert run.curve[-1][1] == 1 and run.curve[-1][0] == seconds["100"]
    # each member floods each frame once at most, and each frame is as long as one of the mesh
    assert flooded["frames"] <= len(run.field.members)
    assert flooded["bytes"] == flooded["frames"] * (spread["capsule_bytes"] + 14)
    first, last = run.snapshots[0], run.snapshots[-1]
    assert set(first.epochs[1:]) == {1} and set(last.epochs) == {2}
    total_us = sum(one.airtime_us for one in run.field.sent)
    radios_us = sum(
        sum(radio.usage().sending_us.values()) for radio in run.field.channel.radios.values()
    )
    assert total_us == radios_us


def test_no_node_leaves_the_duty_cycle():
    # with 1 % instead of 10 % a field of this size spends much of it while it forms
    plan = Plan(nodes=12, seed=1, boot_s=60, frequency_khz=868_100)
    found = measure(plan, Course(1800, 0, 900, 0, 60, 60)).figures["whole"]
    assert found["duty_cycle_permille"] == 10
    assert 2 < found["hour_airtime_permille_max"] <= 10


def test_nodes_have_a_devices_limits_and_gateways_those_of_a_host(run):
    device, host = run.field.device.limits, run.field.host.limits
    assert device.NEIGHBOURS_MAX == 16 and host.NEIGHBOURS_MAX == 256
    gateway, node = run.field.members[0], run.field.members[1]
    assert gateway.firmware is run.field.host and node.firmware is run.field.device
    assert type(gateway.node) is not type(node.node)


def test_the_package_itself_keeps_its_random_bytes_and_limits(run):
    import os

    assert compat.os is os and len({crypto.random_bytes(16) for _ in range(4)}) == 4
    assert writ.limits not in (run.field.device.limits, run.field.host.limits)


def test_a_capsule_without_the_group_keys_signature_changes_no_node():
    field = Field(SMALL)
    other = Scope(field.host, "another seed")
    node = field.members[-1].node
    raw = field.scope.amend("rule", b"")
    forged = raw[:-1] + bytes((raw[-1] ^ 1,))
    for capsule in (forged, other.policy, other.charter):
        with pytest.raises(field.device.module("errors").Rejection):
            node.authority.receive(capsule, 0)
    assert node.authority.epoch == 1
    node.authority.receive(raw, 0)
    assert node.authority.epoch == 2


@pytest.mark.parametrize("change", ["rule", "revoke"])
def test_each_change_reaches_the_nodes_that_it_does_not_revoke(change):
    course = Course(900, 0, 900, 0, 60, 14400, change)
    found = measure(SMALL, course)
    assert found.figures["spread"]["reached"] == 1
    if change == "revoke":
        gateway = found.field.members[0].node
        revoked = found.field.scope.node_id(found.field.names[-1])
        assert gateway.authority.policy.revoked == [revoked]


def test_a_flood_in_parts_reaches_all_nodes():
    field = Field(Plan(nodes=5, seed=2, spreading_factor=12))
    found = flood(field, bytes(150), (0.95,))
    # 35 bytes of room beside header, MIC and number: five parts, each once from each node at most
    assert found.reached == 1 and 5 < found.frames <= 5 * 6


def test_the_mesh_core_alone_spreads_an_amendment_by_its_seed():
    plan = Plan(nodes=12, seed=5, boot_s=60, is_core=True)
    course = Course(1200, 0, 900, 0, 60, 3600)
    first, again = measure(plan, course), measure(plan, course)
    assert first.figures == again.figures
    assert first.figures["form"]["with_parent"] == 1
    assert first.figures["spread"]["reached"] == 1
    kinds = {one.what for one in first.field.sent}
    assert kinds <= {"hello", "greeting", "receipt", "part", "want"} and "part" in kinds
    # the production gateway has chosen spreaders
    told = [member.frames.mesh.is_spreader for member in first.field.members]
    assert told[0] and True in told[1:] and False in told[1:]


def test_frames_are_named_by_what_they_carry():
    head = bytes((0x10, 0, 0)), bytes(6)
    assert what(head[0] + b"\x30" + head[1] + b"\x03" + bytes(10)) == "hello"
    assert what(head[0] + b"\x30" + head[1] + b"\x01" + bytes(10)) == "greeting"
    assert what(head[0] + b"\x30" + head[1] + b"\x09" + bytes(10)) == "control 9"
    assert what(head[0] + b"\x30" + head[1] + b"\x04" + bytes(10)) == "poll"
    assert what(head[0] + b"\x30" + head[1] + b"\x05" + bytes(10)) == "want"
    assert what(head[0] + b"\x30" + head[1] + b"\x06" + bytes(10)) == "part"
    assert what(head[0] + b"\x20" + head[1] + bytes(8)) == "receipt"
    assert what(b"\x11\x00\x00\x40" + bytes(16)) == "messages"
    assert what(b"\x1f\x00\x00\x20" + bytes(16)) == "joining"


def test_the_ground_is_connected_or_refused():
    channel = Channel(Timeline(), MODELS["oulu"].without_shadowing(), 1)
    for name, place in (("gate", (0, 0)), ("near", (500, 0)), ("far", (90_000, 0))):
        channel.add(name, place, Settings())
    assert ground.hops_from(channel, ["gate"]) == {"gate": 0, "near": 1}
    assert ground.connect(channel, ["gate"], 3000, random.Random(1)) >= 1
    assert len(ground.hops_from(channel, ["gate"])) == 3
    with pytest.raises(ground.NoGround):
        Field(Plan(nodes=3, area_km=5000))


def test_nodes_have_as_many_neighbours_as_the_default_area_is_for():
    field = Field(Plan(nodes=400, gateways=4, seed=1))
    found = [len(field.channel.audience(radio)) for radio in field.channel.radios.values()]
    # fewer at the edges
    assert 0.75 * ground.NEIGHBOURS < sum(found) / len(found) < ground.NEIGHBOURS + 1


def test_gateways_stand_on_a_grid():
    assert ground.gateway_places(1, 100) == [(50, 50)]
    places = ground.gateway_places(5, 300)
    assert Counter(y for _, y in places) == {75: 3, 225: 2}


def test_the_command_prints_one_json_document_and_writes_pictures(tmp_path, capsys):
    pytest.importorskip("PIL")
    assert main([*WORDS.split(), "--json", "--out", str(tmp_path / "pictures")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["plan"]["nodes"] == 6 and figures["spread"]["reached"] == 1
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) >= 3 and pictures[0].name == "convergence.png"
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in pictures)


def test_the_command_runs_by_its_path_and_says_which_parts_are_real():
    command = [sys.executable, str(ROOT / "tools" / "field"), *WORDS.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for word in ("real:", "simulated:", "12 of 12", "spread", "flood", "share", "mA on average"):
        assert word in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("0", "1 to 2000"),
        ("2001", "1 to 2000"),
        ("5 --gateways 6", "at least one gateway"),
        ("5 --sf 6", "7 to 12"),
        ("5 --loss 1", "below 1"),
        ("5 --area -1", "kilometres"),
        ("5 --area 5000", "reduce --area"),
        ("5 --change vote", "invalid choice"),
        ("5 --frequency 866.1", "invalid int"),
        ("five", "invalid int"),
    ],
)
def test_wrong_options_end_with_advice(words, advice, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert caught.value.code == 2 and advice in capsys.readouterr().err


def test_the_page_names_each_option():
    page = (ROOT / "tools" / "field" / "README.md").read_text()
    for action in parser()._actions:
        for option in action.option_strings:
            assert option == "-h" or f"`{option}" in page or option == "--help", option


def test_copies_of_the_firmware_are_made_once():
    assert firmware.device() is firmware.device() and firmware.device() is not firmware.host()
