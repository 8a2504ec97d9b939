"""A page that is drawn again and again while things go on."""

import contextlib
import textwrap
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
            shown = [part for line in lines for part in wrapped(line, out.console.width)]
            live.update(Text("\n".join(shown)), refresh=True)

        yield draw


def wrapped(line: str, width: int) -> list[str]:
    """The line in parts that fit the terminal, later ones indented: nothing is cut off."""
    line = printable(line)
    indent = " " * min(len(line) - len(line.lstrip()) + 2, width // 2)
    found = textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)
    return found or [""]
