"""The status of ceremonies in a shared folder, from their files alone: no keys are needed."""

import re
from dataclasses import dataclass

from .. import codec
from ..errors import HostError
from ..keys.identity import open_envelope
from ..keys.roster import Roster
from .request import TITLE_BYTES_MAX
from .storage import Folder

_SUFFIX = ".proposal.cbor"
_ROUNDS = ("round1", "round2", "confirm", "complaint")


@dataclass(frozen=True)
class GovernorState:
    """The progress of a governor. done: the rounds of founding that it has published."""

    name: str
    done: tuple[str, ...]


@dataclass(frozen=True)
class RequestState:
    """The state of a signing request, and the names of the governors that did each step.

    state: "open", "signed", "refused" or "damaged"; problem: what is damaged; awaited: the
    governors whose file is needed next.
    """

    tag: str
    title: str
    requester: str
    labels: tuple[str, ...]
    state: str
    attempt: int
    committed: tuple[str, ...]
    shared: tuple[str, ...]
    refused: tuple[str, ...]
    awaited: tuple[str, ...]
    problem: str = ""


def founding_state(folder: Folder, roster: Roster) -> list[GovernorState]:
    """The progress of each governor with the founding."""
    names = set(folder.names())
    return [
        GovernorState(one, tuple(step for step in _ROUNDS if f"{one}.{step}.cbor" in names))
        for one in roster.names
    ]


def request_states(folder: Folder, roster: Roster) -> list[RequestState]:
    """The state of each signing request in the folder."""
    names = folder.names()
    tags = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
    return [_state(folder, roster, tag, names) for tag in tags]


def _read(folder: Folder, roster: Roster, tag: str) -> tuple[str, str, tuple[str, ...]]:
    """(requester, title, labels) of a request, which a governor of the roster must have signed."""
    data = folder.read(tag + _SUFFIX) or b""
    requester, body = open_envelope(data, roster.by_name, roster.id, None, "proposal")
    _, title, _, listed = codec.a_list(codec.load(body), 4)
    pairs = [codec.a_list(pair, 2) for pair in codec.a_list(listed)]
    labels = tuple(codec.a_text(label, TITLE_BYTES_MAX) for label, _ in pairs)
    return requester, codec.a_text(title, TITLE_BYTES_MAX), labels


def _state(folder: Folder, roster: Roster, tag: str, names: list[str]) -> RequestState:
    try:
        requester, title, labels = _read(folder, roster, tag)
    except HostError as error:
        return RequestState(tag, "", "", (), "damaged", 0, (), (), (), (), str(error))
    attempt = max((int(found[1]) for found in _files(names, tag, r".*\.commit(\d+)")), default=0)

    def who(step: str) -> tuple[str, ...]:
        return tuple(one for one in roster.names if f"{tag}.{one}.{step}.cbor" in names)

    committed, shared = who(f"commit{attempt}"), who(f"share{attempt}")
    refused = who("refuse")
    able = [one for one in roster.names if one not in refused]
    state = "open"
    if f"{tag}.signed.cbor" in names:
        state = "signed"
    elif len(able) < roster.threshold:
        state = "refused"
    if len(committed) >= roster.threshold:
        awaited = [one for one in committed[: roster.threshold] if one not in shared]
    else:
        awaited = [one for one in able if one not in committed]
    return RequestState(
        tag,
        title,
        requester,
        labels,
        state,
        attempt,
        committed,
        shared,
        refused,
        tuple(awaited) if state == "open" else (),
    )


def _files(names: list[str], tag: str, pattern: str) -> list[re.Match[str]]:
    wanted = re.compile(rf"{tag}{pattern}\.cbor")
    return [found for name in names if (found := wanted.fullmatch(name))]
