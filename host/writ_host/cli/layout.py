"""How tables, labels and prose fit a terminal: lines of text for a width.

width: columns of the terminal; None elsewhere (a pipe, a file), where nothing is wrapped.

1. A table that does not fit is a block a row, so that no id and no name is ever cut.
2. At `PLAIN_COLUMNS` and fewer each value has a line of its own.
3. Prose is wrapped between words. A word that is longer than a line stays whole: the terminal
   continues it on the next line, where it can be copied.
"""

import textwrap
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

PLAIN_COLUMNS = 20


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """The lines of a table, the heading first; of blocks where the table does not fit."""
    lines = [list(columns), *[list(row) for row in rows]]
    widths = [max(cell_len(row[i]) for row in lines) for i in range(len(columns))]
    if width is not None and rows and sum(widths) + 2 * (len(widths) - 1) > width:
        return _blocks(columns, rows, width)
    return ["  ".join(map(_padded, row, widths)).rstrip() for row in lines]


def is_in_blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> bool:
    """Whether `table_lines` has no heading, as the table does not fit."""
    return table_lines(columns, rows, width) != table_lines(columns, rows, None)


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    found: list[str] = []
    column = max(map(cell_len, columns))
    for row in rows:
        values = {label: value for label, value in zip(columns, row, strict=True) if value}
        found += [*([""] if found else []), *field_lines(values, width, column)]
    return found


def field_lines(
    values: Mapping[str, str], width: int | None, column: int | None = None
) -> list[str]:
    """The lines of labels with their values: aligned, and wrapped below their own column.

    column: the width of the labels, by default that of the longest one.
    """
    if column is None:
        column = max((cell_len(label) for label in values), default=0)
    found = []
    for label, value in values.items():
        if width is not None and width <= PLAIN_COLUMNS:
            found += [label, f"  {value}"] if label else [value]
            continue
        line = f"{_padded(label, column)}  {value}" if column else value
        found += wrapped(line, width, column + 2 if column else 0)
    return found


def wrapped(line: str, width: int | None, indent: int | None = None) -> list[str]:
    """The line in parts that fit the width, with all but the first indented.

    indent: by default two columns more than the line's own.
    """
    if width is None or width <= PLAIN_COLUMNS or cell_len(line) <= width:
        return [line]
    if indent is None:
        indent = len(line) - len(line.lstrip()) + 2
    longest = max((cell_len(word) for word in line.split()), default=0)
    if indent + longest > width:
        # a long word, such as an id, still fits a line of its own
        indent = min(indent, 2)
    found = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )
    return found or [""]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
