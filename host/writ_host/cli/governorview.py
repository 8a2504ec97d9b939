"""The documents of a governor's control socket as lines for people."""

import time
from collections.abc import Sequence

from .. import humanize
from ..governor.ceremonies.views import state_text
from ..governor.client.summary import awaited
from ..governor.control import Document
from ..governor.core import clockskew
from .layout import field_lines, table_lines

_DECISIONS_SHOWN = 5


def status(found: Document, width: int | None = None, directory: object = "DIR") -> list[str]:
    """The lines of `writ governor status`. width: as in layout.py; directory: as in `awaited`."""
    rows = [
        ("governor", f"{found['name']} ({found['state']})"),
        ("peers", found["peers"]),
        ("listen", found["listen"]),
    ]
    if found.get("problem"):
        rows.append(("problem", found["problem"]))
    if found["state"] == "seated":
        rows += _seated(found)
    elif found["state"] == "learning":
        rows.append(("learning", "its key share is not in force yet; it signs nothing"))
    elif found["state"] == "retired":
        rows.append(("retired", "other governors are in force; its node still serves devices"))
    waiting = found["pending"] + found["ceremonies"]
    rows.append(("pending", f"{waiting}: writ governor pending {directory}" if waiting else "none"))
    lines = field_lines(dict(rows), width)
    if found.get("governors") and found["state"] != "retired":
        lines += ["", *_governors(found["governors"], width)]
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
        clock = [("clock", f"differs from the clocks of {names}: check this machine's time")]
    return [
        ("scope", f"{found['scope']} ({found['scope_id']})"),
        ("key fingerprint", found["key_fingerprint"]),
        ("epoch", f"{found['epoch']} (head {found['head']})"),
        ("consensus", f"height {found['height']}, round {found['round']}"),
        ("quorum", f"{threshold} of {found['count']} certify"),
        ("now", now),
        ("beacon", "none" if age is None else f"{humanize.duration(age)} old"),
        *clock,
    ]


def _governors(listed: Sequence[Document], width: int | None) -> list[str]:
    cells = []
    for one in listed:
        last_seen_s = one["last_seen_s"]
        if one["me"]:
            state = "this governor"
        elif last_seen_s is None:
            state = "not seen yet"
        else:
            state = "silent" if one["silent"] else "online" if one["online"] else "offline"
            state += f", last seen {humanize.duration(last_seen_s)} ago"
        if one.get("clock_off_s"):
            state += f"; its clock is {clockskew.describe(one['clock_off_s'])}"
        if one.get("accused"):
            state += f"; {one['accused']}"
        cells.append((str(one["number"]), one["name"], state))
    return table_lines(("", "governor", "state"), cells, width)


def pending(found: Document, width: int | None = None, directory: object = "DIR") -> list[str]:
    """The lines of `writ governor pending`. width, directory: as in `status`."""
    listed = [*found["ceremonies"], *found["proposals"]]
    lines = [line for line in [_missing(found)] if line]
    if not listed:
        return [*lines, "nothing is pending"]
    for one in listed:
        lines += [*([""] if lines else []), *item(one, directory)]
    return lines


def _missing(found: Document) -> str:
    """That too few governors are online to certify anything, "" if they suffice."""
    quorum = found.get("quorum")
    if not quorum or quorum["online"] >= quorum["threshold"]:
        return ""
    return (
        f"no quorum: {quorum['online']} of {quorum['count']} governors are online, and"
        f" {quorum['threshold']} certify; proposals wait, whatever operators approve"
    )


def item(one: Document, directory: object = "DIR") -> list[str]:
    """A proposal or ceremony: its content, its approvals, and what it waits for.

    directory: as in `awaited`.
    """
    lines = [f"{one['id'][:8]}  {one['title']}"]
    lines += [f"  {line}" for line in one["lines"]]
    if one.get("created_s"):
        lines.append(f"  proposed by {one['proposer']}, {humanize.moment(one['created_s'])}")
    if one.get("fingerprint"):
        lines.append(f"  ceremony fingerprint  {one['fingerprint']}")
        lines.append("  compare it by voice with the other operators before you approve")
    for said in one.get("approvals", ()):
        verb = "approved" if said["yes"] else "denied"
        because = f": {said['reason']}" if said["reason"] else ""
        lines.append(f"  {verb} by {said['governor']}, {humanize.moment(said['time'])}{because}")
    if one.get("reason") and not one["reason"].endswith("operators approved"):
        lines.append(f"  not signed by this governor: {one['reason']}")
    if waiting := awaited(one, directory):
        lines.append(f"  {waiting}")
    elif one["state"] != "open":
        lines.append(f"  {state_text(one['state'])}")
    return lines


def log_line(entry: Document) -> str:
    """One entry of the log as a line."""
    return f"{humanize.moment(entry['time_s'])}  {entry['text']}"


def event_line(event: Document) -> str:
    """One event of the daemon as a line."""
    return f"{event.get('time', humanize.moment(int(time.time())))}  {event.get('text', '')}"
