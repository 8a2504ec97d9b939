"""What a chip does at boot, beside the agent: docs/boot.md.

boot.py and main.py call these two functions. A program that makes its own `writ.Node` needs nothing
of this folder.
"""


def guard():
    """Start the watchdog; a timer feeds it until `run` begins. boot.py calls this."""
    from . import watchdog

    watchdog.start()


def run():
    """Run the node in /node with the app in app.py; returns when the app stops the node.

    A fault is logged, and resets the chip after a pause.
    """
    from .program import run as run_program

    run_program()
