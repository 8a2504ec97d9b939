"""`writ completion SHELL`: prints the completion script of a shell."""

import click
from click.shell_completion import ShellComplete, get_completion_class

_HOW = {
    "bash": 'eval "$(writ completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(writ completion zsh)"  in ~/.zshrc',
    "fish": "writ completion fish > ~/.config/fish/completions/writ.fish",
}


@click.command(epilog="\b\n" + "\n".join(_HOW.values()))
@click.argument("shell", type=click.Choice(sorted(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    kind = get_completion_class(shell) or ShellComplete
    click.echo(kind(ctx.find_root().command, {}, "writ", "_WRIT_COMPLETE").source())
