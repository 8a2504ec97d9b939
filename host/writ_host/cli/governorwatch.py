"""What a governor's daemon shows, once or until Ctrl-C, also across restarts of the daemon."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..governor.client.connection import connect
from ..governor.client.following import Following
from ..governor.control import LOG_MAX, Document
from . import governorview as view
from .livepage import live_page
from .output import Output

WATCH_S = 1.0


def show(
    out: Output,
    directory: Path,
    do: str,
    lines: Callable[[Document, int | None], list[str]],
    watch: bool,
) -> None:
    """Print the daemon's answer to `do`, as `lines(document, width)`; each second if `watch`."""
    if not watch:
        with connect(directory) as client:
            document = client.ask(do)
        for line in lines(document, out.width):
            out.line(line)
        out.json(document)
        return
    shown: list[str] = []
    with live_page(out) as draw:

        def announce(text: str) -> None:
            # the last known state stays below
            draw({"event": "connection", "text": text}, [text, "", *shown])

        with Following(directory, announce) as following:
            while True:
                document = following.ask(do)
                shown[:] = lines(document, out.width)
                draw(document, shown)
                time.sleep(WATCH_S)


def follow_log(out: Output, directory: Path, entries: list[Document]) -> None:
    """Print the log's entries, then its events until Ctrl-C, also those of a later daemon."""
    printed: deque[str] = deque(maxlen=LOG_MAX)

    def print_once(document: Document, line: str) -> None:
        if line not in printed:
            printed.append(line)
            out.event(document, line)

    def announce(text: str) -> None:
        out.event({"event": "connection", "text": text}, text)

    with Following(directory, announce) as client:
        for entry in entries:
            print_once(entry, view.log_line(entry))
        for event in client.watch():
            if event["event"] == "started":
                # what happened before this command was connected again
                for entry in _log_entries(directory):
                    print_once(entry, view.log_line(entry))
            print_once(event, view.event_line(event))


def _log_entries(directory: Path) -> list[Document]:
    with connect(directory) as client:
        found: list[Document] = client.ask("log", last=LOG_MAX)["entries"]
        return found
