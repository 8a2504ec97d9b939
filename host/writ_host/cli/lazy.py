"""A Click group that imports its commands when they are used, and the boundary for all errors."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from .boundary import discard_stdout, run_guarded

Sections = Mapping[str, Mapping[str, tuple[str, str]]]


class LazyGroup(click.Group):
    """sections: {title: {command: ("module:attribute", help)}}; module: relative to `package`."""

    def __init__(self, *, package: str, sections: Sections, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._package = package
        self._sections = sections
        self._lazy = {name: spec for part in sections.values() for name, spec in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, attribute = self._lazy[cmd_name][0].split(":")
        name = module if module.startswith(".") else f".{module}"
        command: click.Command = getattr(import_module(name, self._package), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, part in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in part.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Click's own completion would import each command for its help
        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in self._lazy.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib import metadata  # slow to import, and needed here only

        click.echo(f"writ {metadata.version('writ')}")
        ctx.exit()


class Main(LazyGroup):
    """The outermost group, which reports errors of commands and sets the exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            params=[
                click.Option(
                    ["--version"],
                    is_flag=True,
                    expose_value=False,
                    is_eager=True,
                    callback=_show_version,
                    help="Show the version and exit.",
                )
            ],
            **attributes,
        )

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        for name in ("stdout", "stderr"):
            # the caller has closed it (>&-). The first free descriptor is that one
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the whole process

        def run() -> Any:
            _check_text(arguments)
            return click.Group.main(self, arguments, prog_name, complete_var, False, **extra)

        if not standalone_mode:
            return run()
        end = arguments.index("--") if "--" in arguments else len(arguments)
        as_json = "--json" in arguments[:end]
        return _exit(run_guarded(run, as_json))


def _check_text(arguments: Sequence[str]) -> None:
    """Raises `UsageError` for an argument that is not UTF-8, or that no file name can contain."""
    for number, word in enumerate(arguments, 1):
        if "\0" in word or any("\ud800" <= letter <= "\udfff" for letter in word):
            raise click.UsageError(f"argument {number} is not UTF-8 text")


def _exit(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError:
        # the interpreter must not flush again at its exit
        discard_stdout()
    sys.exit(code)
