"""What a governor's daemon says, in lines for people. Documents are those of the control socket."""

import time
from collections.abc import Sequence

from .. import humanize
from ..governor.ceremonies.views import state_text
from ..governor.control import Document
from ..governor.core import clockskew

_DECISIONS_SHOWN = 5
_SIGNATURES = "waiting for the other governors' signatures"


def status(found: Document) -> list[str]:
    """What `writ governor status` shows."""
    rows = [
        ("governor", f"{found['name']} ({found['state']})"),
        ("peers", found["peers"]),
        ("listen", found["listen"]),
    ]
    if found["state"] == "seated":
        rows += _seated(found)
    elif found["state"] == "retired":
        rows.append(("retired", "others govern now; its node goes on serving devices"))
    waiting = found["pending"] + found["ceremonies"]
    rows.append(("pending", f"{waiting}: writ governor pending" if waiting else "nothing"))
    lines = _aligned(rows)
    if found.get("governors") and found["state"] != "retired":
        lines += ["", *_governors(found["governors"])]
    if found.get("decisions"):
        lines += ["", "last decisions"]
        lines += [f"  {log_line(one)}" for one in found["decisions"][-_DECISIONS_SHOWN:]]
    return lines


def _seated(found: Document) -> list[tuple[str, str]]:
    online, threshold = found["online_count"], found["threshold"]
    spare = online - threshold
    now = f"{online} of {found['count']} online; "
    if spare < 0:
        now += f"certifies nothing until {-spare} more are online"
    elif spare == 0:
        now += "tolerates no further failure"
    else:
        now += f"tolerates {spare} more offline"
        if byzantine := max(0, min(spare, found["tolerates_byzantine"])):
            now += f" or {byzantine} Byzantine"
    age = found["beacon_age_s"]
    off = [one for one in found["governors"] if one.get("clock_off_s")]
    clock = []
    if 2 * len(off) >= found["count"] - 1 and off:
        names = ", ".join(one["name"] for one in off)
        clock = [("clock", f"differs from that of {names}: is this machine's time right?")]
    return [
        ("scope", f"{found['scope']} ({found['scope_id']})"),
        ("key fingerprint", found["key_fingerprint"]),
        ("epoch", f"{found['epoch']} (head {found['head']})"),
        ("deciding", f"height {found['height']}, round {found['round']}"),
        ("quorum", f"{threshold} of {found['count']} certify"),
        ("now", now),
        ("beacon", "none" if age is None else f"{humanize.duration(age)} old"),
        *clock,
    ]


def _governors(listed: Sequence[Document]) -> list[str]:
    cells = []
    for one in listed:
        last_seen_s = one["last_seen_s"]
        if one["me"]:
            state = "this governor"
        elif last_seen_s is None:
            state = "not seen yet"
        else:
            state = "online" if one["online"] else "offline"
            state += f", last seen {humanize.duration(last_seen_s)} ago"
        if one.get("clock_off_s"):
            state += f"; its clock is {clockskew.describe(one['clock_off_s'])}"
        if one.get("accused"):
            state += f"; {one['accused']}"
        cells.append((str(one["number"]), one["name"], state))
    return table(("", "governor", "state"), cells)


def pending(found: Document) -> list[str]:
    """What `writ governor pending` shows."""
    listed = [*found["ceremonies"], *found["proposals"]]
    if not listed:
        return ["nothing is pending"]
    lines: list[str] = []
    for one in listed:
        lines += [*([""] if lines else []), *item(one)]
    return lines


def item(one: Document) -> list[str]:
    """A proposal, or a ceremony: what it says, and who has agreed."""
    lines = [f"{one['id'][:8]}  {one['title']}"]
    lines += [f"  {line}" for line in one["lines"]]
    if one.get("fingerprint"):
        lines.append(f"  ceremony fingerprint  {one['fingerprint']}")
        lines.append("  compare it by voice with the other governors before you approve")
    for said in one.get("approvals", ()):
        verb = "approved" if said["yes"] else "denied"
        because = f": {said['reason']}" if said["reason"] else ""
        lines.append(f"  {verb} by {said['governor']}, {humanize.moment(said['time'])}{because}")
    if one.get("reason") and not one["reason"].endswith("operators approved"):
        lines.append(f"  not to be signed here: {one['reason']}")
    if waiting := awaited(one):
        lines.append(f"  {waiting}")
    elif one["state"] != "open":
        lines.append(f"  {state_text(one['state'])}")
    return lines


def awaited(one: Document) -> str:
    """Who is awaited, "" for nobody."""
    if one["what"] == "ceremony":
        names = ", ".join(one["waiting_for"])
        if one.get("needs_decision"):
            return f"waiting for you: writ governor approve DIR {one['id'][:8]}"
        return f"waiting for {names}" if names else ""
    if one["state"] != "open":
        return ""
    yes = sum(1 for said in one["approvals"] if said["yes"])
    denied = ", ".join(said["governor"] for said in one["approvals"] if not said["yes"])
    but = f" (denied by {denied})" if denied else ""
    if yes >= one["operators"]:
        return _SIGNATURES + but
    noun = "operator" if one["operators"] == 1 else "operators"
    return f"{yes} of {one['operators']} {noun}{but}: writ governor approve DIR {one['id'][:8]}"


def ceremony_line(one: Document) -> str:
    """The state of a ceremony in a line."""
    waiting = awaited(one)
    return f"{one['title']}: {state_text(one['state'])}" + (f", {waiting}" if waiting else "")


def log_line(entry: Document) -> str:
    """One entry of the log."""
    return f"{humanize.moment(entry['time_s'])}  {entry['text']}"


def event_line(event: Document) -> str:
    """One event as it happens."""
    return f"{event.get('time', humanize.moment(int(time.time())))}  {event.get('text', '')}"


def _aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(label) for label, _ in rows)
    return [f"{label.ljust(width)}  {value}" for label, value in rows]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two spaces apart."""
    lines = [list(columns), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in lines) for i in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    ]
