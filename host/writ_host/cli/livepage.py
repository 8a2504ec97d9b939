"""A page of text that is redrawn while it changes."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
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
    page = _Page(out.console)
    try:
        yield page.draw
    finally:
        page.stop()


class _Page:
    """A page on a terminal, which begins at the top again when the terminal's width changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = console.width
        self._live = self._begin()

    def _begin(self) -> Live:
        live = Live(console=self._console, auto_refresh=False)
        live.start()
        return live

    def draw(self, _: Mapping[str, object], lines: list[str]) -> None:
        """Replace the page."""
        width = self._console.width
        if width != self._width:
            # the terminal has wrapped the lines anew: how many rows they have is unknown
            self._width = width
            self._live.stop()
            self._console.clear()
            self._live = self._begin()
        shown = [part for line in lines for part in wrapped(printable(line), width)]
        self._live.update(Text("\n".join(shown)), refresh=True)

    def stop(self) -> None:
        """Leave the last page where it is."""
        self._live.stop()
