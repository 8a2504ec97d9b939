"""A command: what an action makes one node do, in full, for the operators who approve it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from writ.authority.policy import METHODS

from ...humanize import as_text

# In a line of the log; `pending` and the log's facts have all of it.
_LINE_CHARS_MAX = 200


def bytes_text(data: bytes) -> str:
    """Bytes for people, on one line, safe on a terminal: "open" in quotes, or h'00ff'."""
    text = as_text(data)
    # the quotes show where it begins and ends, and a text cannot pass for hexadecimal digits
    return f"h'{data.hex()}'" if text is None else json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class Command:
    """A command whose payload was checked against the action's digest.

    target: the name and id of the node that executes it; requester: the member that asks for it.
    """

    target: str
    method: int
    path: str
    payload: bytes
    requester: str

    @property
    def payload_text(self) -> str:
        """The whole payload on one line, safe on a terminal: "open", h'00ff' or nothing."""
        return bytes_text(self.payload) if self.payload else "nothing"

    @property
    def request_text(self) -> str:
        """Method, path and target: "PUT gate on sluice (5aaef01580cf9955)"."""
        return f"{METHODS.get(1 << self.method - 1, self.method)} {self.path} on {self.target}"

    @property
    def line(self) -> str:
        """The command as a line of the log; a long payload is cut."""
        text = self.payload_text
        if len(text) > _LINE_CHARS_MAX:
            text = f"{text[:_LINE_CHARS_MAX]}... ({len(self.payload)} bytes)"
        return f"{self.request_text}, payload {text}"

    def to_facts(self) -> dict[str, object]:
        """The command for JSON; the payload in hex."""
        return {
            "requester": self.requester,
            "target": self.target,
            "method": METHODS.get(1 << self.method - 1, str(self.method)),
            "path": self.path,
            "payload": self.payload.hex(),
        }


def describe(title: str, id: bytes, commands: Sequence[Command]) -> tuple[str, dict[str, object]]:
    """A proposal as text and facts for the log: actions with their whole command."""
    facts: dict[str, object] = {"id": id.hex()}
    if commands:
        facts["commands"] = [one.to_facts() for one in commands]
    return "; ".join([title, *(one.line for one in commands)]), facts
