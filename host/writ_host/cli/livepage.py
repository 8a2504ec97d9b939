"""A page of text that is redrawn while it changes."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.live import Live
from rich.text import Text

from .layout import wrapped
from .output import Output, printable

Draw = Callable[[Mapping[str, object], list[str]], None]


@contextlib.contextmanager
def live_page(out: Output) -> Iterator[Draw]:
    """Yields draw(document, lines): redraws in place on a terminal, else prints changed pages.

    With --json it prints one line for each document whose page has changed.
    """
    if not out.is_live:
        before: list[list[str]] = [[]]

        def print_changes(document: Mapping[str, object], lines: list[str]) -> None:
            if lines != before[0]:
                # a copy: the caller may change its list for the next page
                before[0] = list(lines)
                out.event(document, "\n".join(lines) + "\n")

        yield print_changes
        return
    with Live(console=out.console, auto_refresh=False) as live:

        def draw(_: Mapping[str, object], lines: list[str]) -> None:
            shown = [part for line in lines for part in wrapped(printable(line), out.console.width)]
            live.update(Text("\n".join(shown)), refresh=True)

        yield draw
