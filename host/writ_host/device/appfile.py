"""A user's program for a board, checked before it is sent: /app.py there."""

from pathlib import Path

from .. import files
from ..errors import HostError

# An app of this size would fill the heap of any chip: it is another file.
APP_BYTES_MAX = 256 * 1024


def read_app(file: Path) -> bytes:
    """The content of an app.

    Raises `HostError` for one that no interpreter can read, and as `files.read_bounded`.
    """
    content = files.read_bounded(file, APP_BYTES_MAX)
    try:
        compile(content, str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise HostError(f"{file}{line}: {text}", "Correct the program.") from None
    return content
