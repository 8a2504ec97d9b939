"""Options that several commands share, with their defaults from the environment."""

from pathlib import Path

import click

from . import defaults

scope_option = click.option(
    "--scope",
    "scope",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_SCOPE",
    default=lambda: defaults.folder("scope"),
    show_default="that of writ use, or the current folder",
    help="The scope's folder [WRIT_SCOPE].",
)
node_option = click.option(
    "--node",
    "node",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_NODE",
    default=lambda: defaults.folder("node"),
    show_default="that of writ use, or the current folder",
    help="The node's folder, with its key and config.json [WRIT_NODE].",
)
node_argument = click.argument(
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WRIT_NODE",
    default=lambda: defaults.folder("node"),
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Confirm without a question.")
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 600),
    default=15.0,
    show_default="15, and 40 for a node behind a mesh",
    metavar="SECONDS",
    help="How long to wait for a node's answer.",
)
