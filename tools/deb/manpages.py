"""The manual pages of the command line, from its own help: writ(1), writ-node-run(1) and so on."""

import re
from collections.abc import Iterator

import click

_TITLE = re.compile(r"[.']")


def pages(main: click.Command, name: str, version: str) -> dict[str, str]:
    """{"writ-node-run.1": page}, of the command and of all below it."""
    found = {}
    for ctx in _contexts(click.Context(main, info_name=name)):
        found["-".join(ctx.command_path.split()) + ".1"] = _page(ctx, version)
    return found


def _contexts(ctx: click.Context) -> Iterator[click.Context]:
    yield ctx
    for name, command in _commands(ctx):
        yield from _contexts(click.Context(command, info_name=name, parent=ctx))


def _commands(ctx: click.Context) -> list[tuple[str, click.Command]]:
    group = ctx.command
    if not isinstance(group, click.Group):
        return []
    found = [(name, group.get_command(ctx, name)) for name in group.list_commands(ctx)]
    return [(name, command) for name, command in found if command and not command.hidden]


def _page(ctx: click.Context, version: str) -> str:
    command, path = ctx.command, ctx.command_path
    title = "-".join(path.split())
    lines = [f'.TH "{title.upper()}" "1" "" "writ {version}" "Writ"']
    lines += [".SH NAME", _plain(f"{title} - {command.get_short_help_str(200)}")]
    pieces = " ".join(command.collect_usage_pieces(ctx))
    lines += [".SH SYNOPSIS", f".B {_plain(path)}", _plain(pieces)]
    lines += [".SH DESCRIPTION", *_prose(command.help or "")]
    records = [param.get_help_record(ctx) for param in command.get_params(ctx)]
    if any(records):
        lines.append(".SH OPTIONS")
    for record in filter(None, records):
        lines += [".TP", f".B {_plain(record[0])}", _plain(" ".join(record[1].split())) or "\\&"]
    commands = _commands(ctx)
    if commands:
        lines.append(".SH COMMANDS")
    for name, below in commands:
        text = below.get_short_help_str(200)
        lines += [".TP", f".B {_plain(f'{title}-{name}(1)')}", _plain(text)]
    if command.epilog:
        lines += [".SH NOTES", *_prose(command.epilog)]
    if ctx.parent:
        lines += [".SH SEE ALSO", _plain("-".join(ctx.parent.command_path.split()) + "(1)")]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> list[str]:
    """Paragraphs; one that begins with click's mark \\b keeps its lines."""
    found: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.split("\n")
        found.append(".PP")
        if lines[0].strip() == "\b":
            found += [".nf", *map(_plain, lines[1:]), ".fi"]
        else:
            found.append(_plain(" ".join(line.strip() for line in lines)))
    return found


def _plain(text: str) -> str:
    """The text as roff prints it: no escapes, no requests, hyphens that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if _TITLE.match(text) else text
