"""Step 10: one of four governors is Byzantine, towards the other governors and towards a device."""

from writ.errors import BadSignature, TimedOut

from ..consensus.committee import Committee
from .founding import listing
from .outages import RENEW_S, prove_joining, prove_policy, prove_renewal
from .proofs import Report
from .scenario import DORA, SLUICE, WELL
from .testbed import Testbed


def tolerate_byzantine(bed: Testbed, report: Report) -> None:
    """Three honest governors accuse the Byzantine one and go on; a device rejects its answer."""
    governors = bed.governors
    faulty = _next_proposer(bed)
    report.announce(
        f"{faulty} becomes Byzantine: it signs wrongly, votes twice and proposes two values"
    )
    governors[faulty].kill()
    mark = governors[faulty].mark()
    governors.start(faulty, is_byzantine=True)
    governors[faulty].wait_for("seated", mark)
    honest = [one.name for one in governors.honest]
    # no process has dora's address any more
    bed.configure(WELL, bed.scope.charter.scope, (DORA, faulty, honest[0]))
    prove_joining(bed, report, WELL)
    prove_renewal(bed, report, SLUICE)
    before = _failures(bed)
    mark = bed[WELL].mark()
    bed[WELL].send_line("renew")
    prove_policy(bed, report)
    accused = {name: _accusations(bed, name, faulty) for name in honest}
    every = set().union(*accused.values())
    report.prove(
        f"the honest governors go on, and accuse {faulty} of what it did",
        all(accused.values()) and "voted twice in a round" in every,
        f"{listing(honest)} accuse {faulty}: it {listing(sorted(every))}",
    )
    report.announce(
        f"the well asks dora, which is offline; then {faulty}, which is Byzantine; then {honest[0]}"
    )
    answer = bed[WELL].wait_for("answer", mark, RENEW_S, method="renew")
    counted = {name: now - before[name] for name, now in _failures(bed).items()}
    taken = answer.get("code") == "2.04" and bed.scope.take(bytes.fromhex(answer["raw"]))
    me = bed.scope.members.find(WELL.name)
    report.prove(
        "a device asks an offline, a Byzantine and an honest host peer, and takes only the honest"
        " answer",
        taken and all(counted.values()) and me and me.raw.hex() == answer["raw"],
        f"the well counted {listing([f'{name} {count}' for name, count in counted.items()])}, and"
        f" took {len(answer['raw']) // 2} bytes that the group has signed",
    )


def _failures(bed: Testbed) -> dict[str, int]:
    """How often the well met the failures of an offline and of a Byzantine host peer."""
    names = (kind.__name__ for kind in (TimedOut, BadSignature))
    return {name: bed.rejected(WELL, name) for name in names}


def _next_proposer(bed: Testbed) -> str:
    """The name of the governor that proposes the next epoch in round 0."""
    found = bed.governors.honest[0].ask("status")
    names = [one["name"] for one in found["governors"]]
    committee = Committee(bytes(32), len(names), found["threshold"])
    return str(names[committee.proposer(bed.scope.epoch + 1, 0) - 1])


def _accusations(bed: Testbed, name: str, faulty: str) -> set[str]:
    """The accusations against `faulty` in a governor's log."""
    entries = bed.governors[name].ask("log", last=1000)["entries"]
    texts = [one["text"] for one in entries if one["event"] == "accused"]
    return {text.removeprefix(f"{faulty} ") for text in texts if text.startswith(f"{faulty} ")}
