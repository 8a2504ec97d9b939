"""Traces: effects and messages as lines of text."""

from writ_host.consensus import messages
from writ_host.consensus.effects import Accuse, Cosigned, CosigningFailed, Decide, Send, Write
from writ_host.consensus.hardstate import HardState
from writ_host.errors import HostError


def short(digest):
    """A digest's first six hex digits, or nil."""
    return digest[:3].hex() if digest else "nil"


def describe_message(data):
    """One line for a message."""
    try:
        m = messages.decode(data)
    except HostError:
        names = {16: "ask", 17: "offer", 18: "refuse", 19: "pick", 20: "answer"}
        return f"cosign {names.get(data[1], 'unknown')}"
    name = type(m).__name__.lower()
    if isinstance(m, messages.Submit):
        return f"submit {short(m.value.digest)} for {m.value.epoch}"
    if isinstance(m, messages.RoundProposal):
        return f"proposal {m.height}/{m.round} {short(m.value.digest)} valid {m.valid_round}"
    if isinstance(m, messages.Prevote):
        return f"prevote {m.height}/{m.round} {short(m.digest)} (by {m.sender})"
    if isinstance(m, messages.SigningSession):
        who = [offer.sender for offer in m.offers]
        return f"session {m.height}/{m.round} {short(m.digest)} {short(m.id)} of {who}"
    if isinstance(m, messages.Share):
        return f"share {m.height}/{m.round} {short(m.digest)} in session {short(m.session)}"
    if isinstance(m, messages.Status):
        return f"status {m.height}/{m.round}{'' if m.is_awake else ' asleep'} valid {m.valid_round}"
    if isinstance(m, messages.PrevoteQuorum):
        return f"lock {m.height}/{m.round} {short(m.value.digest)}"
    if isinstance(m, messages.Decided):
        return f"decided {m.value.epoch} {short(m.value.digest)}"
    return name


def describe(effect):
    """One line for an effect."""
    if isinstance(effect, Send):
        return f"-> {effect.to or 'all'}: {describe_message(effect.data)}"
    if isinstance(effect, Write):
        p = HardState.from_bytes(effect.record)
        votes = {round_: short(digest) for round_, digest in p.prevotes.items()}
        lock = f"locked {short(p.locked)} in {p.locked_round}" if p.locked else "no lock"
        return f"writes #{p.counter}: height {p.height}, votes {votes}, {lock}"
    if isinstance(effect, Decide):
        return f"DECIDES {effect.height}: {short(effect.value.digest)}"
    if isinstance(effect, Accuse):
        return f"accuses {effect.identifier}: {effect.what}"
    if isinstance(effect, Cosigned):
        return "gets a signature without agreement"
    if isinstance(effect, CosigningFailed):
        return f"gives up cosigning: { {number: one.text for number, one in effect.objections} }"
    return str(effect)
