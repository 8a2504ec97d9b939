"""Step 10: all four governors are up and one of them lies, to the others and to a device."""

from writ.errors import BadSignature, TimedOut

from ..consensus.committee import Committee
from .farm import DORA, SLUICE, WELL
from .field import Field
from .founding import listing
from .losses import RENEW_S, prove_joining, prove_policy, prove_renewal
from .proofs import Ledger


def lie(field: Field, ledger: Ledger) -> None:
    """The honest three name the liar and go on; the device believes none of its answers."""
    council = field.council
    liar = _next_proposer(field)
    ledger.say(f"{liar} is taken over: it signs wrongly, votes twice and proposes two values")
    council[liar].kill()
    mark = council[liar].mark()
    council.start(liar, lying=True)
    council[liar].wait_for("seated", mark)
    honest = [one.name for one in council.awake]
    # dora's address is that of nobody any more
    field.flash(WELL, field.scope.charter.scope, (DORA, liar, honest[0]))
    prove_joining(field, ledger, WELL)
    prove_renewal(field, ledger, SLUICE)
    before = _troubles(field)
    mark = field[WELL].mark()
    field[WELL].tell("renew")
    prove_policy(field, ledger)
    accused = {name: _accused(field, name, liar) for name in honest}
    every = set().union(*accused.values())
    ledger.prove(
        f"the others go on, and name {liar} and what it did",
        all(accused.values()) and "voted twice in a round" in every,
        f"{listing(honest)} accuse {liar}: it {listing(sorted(every))}",
    )
    ledger.say(f"the well asks dora, which is gone; then {liar}, which lies; then {honest[0]}")
    told = field[WELL].wait_for("answer", mark, RENEW_S, method="renew")
    counted = {name: now - before[name] for name, now in _troubles(field).items()}
    took = told.get("code") == "2.04" and field.scope.take(bytes.fromhex(told["raw"]))
    me = field.scope.members.find(WELL.name)
    ledger.prove(
        "a device asks a dead, a lying and an honest host peer, and takes only the honest answer",
        took and all(counted.values()) and me and me.raw.hex() == told["raw"],
        f"the well counted {listing([f'{name} {count}' for name, count in counted.items()])}, and"
        f" took {len(told['raw']) // 2} bytes that the group has signed",
    )


def _troubles(field: Field) -> dict[str, int]:
    """How often the well met what a dead and a lying host peer give."""
    names = (kind.__name__ for kind in (TimedOut, BadSignature))
    return {name: field.rejected(WELL, name) for name in names}


def _next_proposer(field: Field) -> str:
    """Whose turn it is to propose the next epoch."""
    found = field.council.awake[0].ask("status")
    names = [one["name"] for one in found["governors"]]
    committee = Committee(bytes(32), len(names), found["threshold"])
    return str(names[committee.proposer(field.scope.epoch + 1, 0) - 1])


def _accused(field: Field, name: str, liar: str) -> set[str]:
    """What a governor's log says that the liar did."""
    entries = field.council[name].ask("log", last=1000)["entries"]
    texts = [one["text"] for one in entries if one["event"] == "accused"]
    return {text.removeprefix(f"{liar} ") for text in texts if text.startswith(f"{liar} ")}
