"""Compares docs/governors.md and consensus.md with the code: commands, messages, numbers."""

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import click
import governor_rig
import pytest
from docs_rig import DOCS, FENCE, rows, ticked
from governor_rig import Cluster

from writ_host.cli import main
from writ_host.consensus.committee import tolerance
from writ_host.consensus.fastpath import ALL_TO_ALL_MAX
from writ_host.consensus.state import Timing
from writ_host.consensus.value import BATCH_MAX
from writ_host.governor import folder as governor_folder
from writ_host.governor import metrics
from writ_host.governor.ceremonies import invitation
from writ_host.governor.core import (
    catchup,
    context,
    core,
    cosigning,
    judgement,
    reservations,
)
from writ_host.governor.ledger import ledger
from writ_host.governor.peering import (
    endpoint,
    fairqueue,
)
from writ_host.governor.proposals import judge, origin, proposal
from writ_host.governor.proposals import messages as core_messages
from writ_host.policy import approvals as approvalrules
from writ_host.policy.source import PolicyFile

ROOT = DOCS.parent
GOVERNORS, CONSENSUS = ((DOCS / name).read_text() for name in ("governors.md", "consensus.md"))
LIMITS, README = (DOCS / "limits.md").read_text(), (ROOT / "README.md").read_text()
BLOCKS = FENCE.findall(GOVERNORS)
PROSE = " ".join(FENCE.sub("", GOVERNORS).split())


def commands(text: str) -> list[str]:
    """The `writ` command lines of a page, from its shell blocks and from text in backticks."""
    found = [
        line.strip().removesuffix("&").split("#")[0].split(" > ")[0].split(";")[0]
        for language, _, block in FENCE.findall(text)
        if language == "sh"
        for line in block.splitlines()
    ]
    found += ticked(" ".join(FENCE.sub("", text).split()))
    return [line for line in found if line.startswith("writ ")]


@pytest.mark.parametrize("page", ["docs/governors.md", "docs/limits.md", "README.md"])
def test_commands_and_their_options_exist(page: str) -> None:
    lines = commands((ROOT / page).read_text())
    assert lines
    for line in lines:
        found: Any = main
        with click.Context(found) as context:
            for word in shlex.split(line)[1:]:
                if isinstance(found, click.Group) and not word.startswith("-"):
                    found = found.get_command(context, word)
                    assert found is not None, line
                elif word.startswith("--") and word not in ("--help", "--json"):
                    known = {name for one in found.params for name in one.opts}
                    assert word in known, line


def test_links_have_targets() -> None:
    for path in (*sorted(DOCS.glob("*.md")), *ROOT.glob("*.md"), *ROOT.glob("boards/*/*.md")):
        for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", path.read_text()):
            page = (path.parent / target).resolve() if target else path
            assert page.exists(), (path.name, target)
            if anchor:
                titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
                anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles}
                assert anchor in anchors, anchor


# --- for the operator -----------------------------------------------------------------------------


def test_files_settings_and_ports() -> None:
    folder = governor_folder.GovernorFolder(Path("x"))
    cells = " ".join(name for name, _ in rows(GOVERNORS, "in the folder", "what"))
    for path in (folder.toml, folder.ledger, folder.peers, folder.control, folder.record("anna")):
        assert f"`{path.name}`" in cells
    assert f"`{folder.node.name}/`" in cells
    (settings,) = (
        what for name, what in rows(GOVERNORS, "in the folder", "what") if "rnor.t" in name
    )
    assert sorted(ticked(settings)) == sorted(governor_folder._KEYS)
    ports = {row[0] for row in rows(GOVERNORS, "port", "who must reach it", "for what")}
    assert f"UDP {governor_folder.PEERS_PORT}, `peers`" in ports
    assert f"UDP {governor_folder.LISTEN_PORT}, `listen`" in ports


def test_approval_rules_of_the_example() -> None:
    (text,) = (text for language, name, text in BLOCKS if (language, name) == ("toml", "policy"))
    approvals = PolicyFile.parse(text).approvals
    gateway, sensor = 2, 4
    real = {
        "a sensor's renewal": approvals.operators_for("member", sensor, True),
        "a sensor's admission": approvals.operators_for("member", sensor, False),
        "a gateway's admission or renewal": approvals.operators_for("member", gateway, True),
        "a policy": approvals.operators_for("policy"),
        "a beacon": approvals.operators_for("beacon"),
        "an action": approvals.operators_for("action"),
    }
    assert real["a sensor's admission"] == approvals.operators_for("member", 0, False)
    assert real["a gateway's admission or renewal"] == approvals.operators_for("member", gateway)
    said = {what: int(count) for what, count in rows(GOVERNORS, "capsule", "by these rules")}
    assert said == real
    kinds = PROSE[PROSE.index("`kind` is") :].split(".")[0]
    assert set(ticked(kinds)) - {"kind"} == set(approvalrules.KINDS)


def test_metrics() -> None:
    listed = " ".join(name for name, _ in rows(GOVERNORS, "metric", "what"))
    names = {name.partition("{")[0] for name in ticked(listed)}
    assert names == {*metrics._HELP, "fsync_seconds", "decide_seconds"}


def test_numbers_of_the_guide() -> None:
    assert f"in {proposal.LIFETIME_S // 86400} days is stale" in PROSE
    assert f"At most {approvalrules.APPROVAL_RULES_MAX} rules" in PROSE
    assert f"newest {ledger.LOG_KEPT:,} lines" in PROSE
    assert f"bound ({invitation.CLOCK_SKEW_MAX_S // 60} minutes)" in PROSE
    assert origin.STATEMENT_AGE_MAX_S == 86400 and "not older than a day" in PROSE
    assert judge.RENEWAL_S_MAX == 365 * 86400 and "for a year at most" in PROSE
    assert judge.GOVERNORS_OPERATORS == 2 and "need at least two operators" in PROSE
    limits = " ".join(LIMITS.split())
    many, few = proposal.OPEN_EACH_MAX, proposal.FOR_OPERATORS_EACH_MAX
    assert f"{many:,} that need no approval and {few} that need it" in limits
    assert f"more than {ledger.CHAIN_KEPT:,} decisions" in limits
    assert f"accepts {reservations.REPORTED_EACH_MAX:,} reservations from each" in limits
    assert reservations.SYNC_TIMEOUT_S == 7 * 86400 and "for a week at most" in limits
    assert f"certified anew within a minute or two, {BATCH_MAX} at a time" in limits


def test_numbers_of_the_daemon() -> None:
    text = " ".join(CONSENSUS.split())
    assert f"and every {judgement.JUDGED_MS // 1000} s:" in text
    take_over_s = cosigning.TAKE_OVER_MS // 1000
    assert f"after {take_over_s} s, the one after that after {2 * take_over_s} s" in text
    assert f"they wait {cosigning.TAKE_OVER_MS_MAX // 1000} s instead of {take_over_s}" in text
    assert cosigning.BEACONS_A_LIFETIME == 4 and "in a quarter of the time" in text
    assert cosigning.SETTLE_MS == 1000 and "one a second after each epoch" in text
    assert f"the next one tries {cosigning.BEACON_TURN_MS // 1000} s later" in text
    assert f"Every {core.SUMMARY_MS // 1000} s governors tell each other" in text
    assert f"{ledger.CHAIN_KEPT:,} of them are kept" in text
    assert f"receives no decision for {catchup.SKIP_MS // 1000} s" in text
    assert f"Each {Timing().resend_ms} ms a governor that is awake" in text
    assert f"Up to {BATCH_MAX} payloads share a session" in text
    assert f"While {fairqueue.WAITING_BYTES_MAX >> 20} MB of a peer wait" in text
    assert f"A turn is {1000 * endpoint.TURN_S:g} ms" in text
    table = rows(CONSENSUS, "governors", "threshold", "offline", "Byzantine", "both")
    for row in table:
        count, threshold, offline, byzantine, both = map(int, row)
        assert (offline, byzantine) == tolerance(count, threshold)
        assert both == min(offline, byzantine)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "threshold"), [(4, 3), (7, 5), (13, 9)])
def test_messages_of_a_decision(
    count: int, threshold: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"g{number}" for number in range(1, 14))
    monkeypatch.setattr(governor_rig, "NAMES", names)
    cluster = Cluster(tmp_path, count, threshold, "[approvals]\noperators = 0\n" + RULES)
    cluster.run(lambda: all(one.replica.is_active for one in cluster.cores.values()))
    cluster.run(lambda: all(one.status()["beacon"] for one in cluster.cores.values()))
    sent: Counter[int] = Counter()
    before = cluster.handle

    def handle(number: int, outs: list[Any]) -> None:
        for out in outs:
            if isinstance(out, context.Outgoing):
                kind = core_messages.type_of(out.data)
                sent[kind] += count - 1 if out.to is None else 1
        before(number, outs)

    monkeypatch.setattr(cluster, "handle", handle)
    cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    while not cluster.all_at(2):
        queue, cluster.queue = cluster.queue, []
        if not queue:
            # the governor that opened a session signs in it one step later
            for number, one in cluster.cores.items():
                cluster.handle(number, one.tick(cluster.now_ms))
        for sender, to, data in queue:
            cluster.handle(to, cluster.cores[to].receive(sender, data, cluster.now_ms))
    deciding = sum(sent[kind] for kind in sent if kind < 16) + sent[core_messages.PROPOSE]
    others = threshold - 1
    few = threshold * others + 2 * others
    assert deciding == 2 * (count - 1) + (few if threshold <= ALL_TO_ALL_MAX else 3 * others)
    number_names = {4: "four", 7: "seven", 13: "thirteen"}
    text = " ".join(CONSENSUS.split())
    assert "`2(n - 1) + 3(t - 1)` messages" in text
    assert re.search(rf"{deciding} with {number_names[count]}\b", text)


RULES = """
[roles]
gateway = "reads"
sensor = "measures"

[[rule]]
from = "gateway"
to = "sensor"
resource = "*"
methods = ["GET"]
"""
