"""esptool's log for a program: it prints nothing, and reports progress and warnings.

esptool has one logger for the whole process. `Quiet` replaces it inside a `with` block.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from esptool.logger import EsptoolLogger, TemplateLogger

# Warnings of one run; more would hide the first one
WARNINGS_MAX = 16


class Quiet(TemplateLogger):  # type: ignore[misc]
    """A logger for the time of a `with` block. warnings: esptool's, as text.

    on_progress: gets the done part of the current piece of work, 0.0 to 1.0.
    """

    def __init__(self, on_progress: Callable[[float], None] = lambda done: None) -> None:
        self.warnings: list[str] = []
        self._on_progress = on_progress

    def __enter__(self) -> "Quiet":
        EsptoolLogger().set_logger(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        EsptoolLogger().set_logger(EsptoolLogger())

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Ignore a plain message."""

    def note(self, message: str) -> None:
        """Ignore a note."""

    def warning(self, message: str) -> None:
        """Keep a warning."""
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(message)

    def error(self, message: str) -> None:
        """Keep an error that esptool raises no exception for."""
        self.warning(message)

    def stage(self, finish: bool = False) -> None:
        """Ignore the begin or end of a stage."""

    def progress_bar(
        self,
        cur_iter: int,
        total_iters: int,
        prefix: str = "",
        suffix: str = "",
        bar_length: int = 30,
    ) -> None:
        """Report the progress of the current piece."""
        self._on_progress(min(cur_iter / total_iters, 1.0) if total_iters else 1.0)

    def set_verbosity(self, verbosity: str) -> None:
        """Ignore a verbosity."""
