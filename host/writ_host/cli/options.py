"""Options that several commands share, with their defaults from the environment."""

from pathlib import Path

import click

scope_option = click.option(
    "--scope",
    "scope",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_SCOPE",
    default=Path("."),
    show_default="current folder",
    help="The scope's folder [WRIT_SCOPE].",
)
node_option = click.option(
    "--node",
    "node",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_NODE",
    default=Path("."),
    show_default="current folder",
    help="The node's folder, with its key and config.json [WRIT_NODE].",
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Confirm without a question.")
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 600),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a node's answer.",
)
