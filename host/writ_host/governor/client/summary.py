"""The state of a proposal or ceremony as a text. Documents are those of the control socket."""

from ..ceremonies.views import state_text
from ..control import Document

# The states of a ceremony that has failed, and those in which operators must approve.
FAILED_STATES = ("failed", "refused")
_APPROVAL_STATES = ("approve", "compare")
_SIGNATURES = "waiting for the other governors' signatures"


def needs_operators(one: Document) -> bool:
    """Whether a proposal is open and has fewer approvals than it needs."""
    return one["state"] == "open" and _approvals(one) < one["operators"]


def awaited(one: Document, directory: object = "DIR") -> str:
    """What a proposal or ceremony waits for, "" for nothing.

    directory: the governor's folder, for the command that approves; None for no command.
    """
    command = f": writ governor approve {directory} {one['id'][:8]}"
    approve = "" if directory is None else command
    if one["what"] == "ceremony":
        names = ", ".join(one["waiting_for"])
        if one.get("needs_decision"):
            return f"waiting for your approval{approve}"
        what = "approval by" if one["state"] in _APPROVAL_STATES else "messages from"
        return f"waiting for {what} {names}" if names else ""
    if one["state"] != "open":
        return ""
    denied = ", ".join(said["governor"] for said in one["approvals"] if not said["yes"])
    but = f" (denied by {denied})" if denied else ""
    if not needs_operators(one):
        return _SIGNATURES + but
    noun = "operator" if one["operators"] == 1 else "operators"
    return f"approved by {_approvals(one)} of {one['operators']} {noun}{but}{approve}"


def ceremony_line(one: Document, directory: object = "DIR") -> str:
    """The state of a ceremony in one line."""
    waiting = awaited(one, directory)
    return f"{one['title']}: {state_text(one['state'])}" + (f", {waiting}" if waiting else "")


def _approvals(one: Document) -> int:
    return sum(1 for said in one["approvals"] if said["yes"])
