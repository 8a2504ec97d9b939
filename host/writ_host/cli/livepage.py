"""A page that is drawn again and again while things go on."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.live import Live
from rich.text import Text

from .output import Output, printable

Draw = Callable[[Mapping[str, object], list[str]], None]


@contextlib.contextmanager
def live_page(out: Output) -> Iterator[Draw]:
    """Draws (document, lines): in place on a terminal; elsewhere whenever the lines differ.

    With --json a line for each document that says something else.
    """
    if not out.is_live:
        before: list[list[str]] = [[]]

        def tell(document: Mapping[str, object], lines: list[str]) -> None:
            if lines != before[0]:
                before[0] = lines
                out.event(document, "\n".join(lines) + "\n")

        yield tell
        return
    with Live(console=out.console, auto_refresh=False) as live:

        def draw(_: Mapping[str, object], lines: list[str]) -> None:
            live.update(Text(printable("\n".join(lines))), refresh=True)

        yield draw
