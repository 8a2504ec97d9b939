"""The lines that the demonstration's processes print, as plain text for people."""

import json
from typing import Any


def plain_line(line: str) -> str:
    """A line as text: the message and the advice of an error document, an event, or the line."""
    try:
        what = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(what, dict):
        return line.strip()
    error = what.get("error")
    if isinstance(error, dict):
        return f"{error.get('name')}: {error.get('message')}. {error.get('advice') or ''}".strip()
    return event_text(what)


def plain_output(text: str) -> str:
    """What a command printed, which may be one JSON document of several lines, as text."""
    try:
        return plain_line(json.dumps(json.loads(text)))
    except ValueError:
        return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def event_text(what: dict[str, Any]) -> str:
    """An event as text: "answer (code 4.03, target soil/load)"."""
    facts = {
        key: value for key, value in what.items() if key != "event" and value not in (None, "")
    }
    listed = ", ".join(f"{key} {_value(value)}" for key, value in facts.items())
    kind = str(what.get("event", ""))
    return f"{kind} ({listed})" if kind and listed else kind or listed


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_value(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " ".join(map(_value, value))
    return str(value)
