"""The agent of a board: `agent.Node` that does the board's work in each step."""

import sys

from ..agent import Node
from ..errors import UsageError
from . import watchdog


class BoardNode(Node):
    """board: the `program.Program`, or None until it is there."""

    board = None

    def step(self, wait_ms=1000):
        """As the agent does, after what the board has to do."""
        if self.board:
            try:
                wait_ms = min(wait_ms, self.board.tick(self.clock.now_ms()))
            except MemoryError as error:
                self.make_room(error)
        Node.step(self, wait_ms)

    def sleep(self, seconds=None, deep=False):
        """As the agent does; a start that comes to a deep sleep has run well.

        Raises `UsageError` also on an RP2 with a watchdog, which does not sleep for long.
        """
        if self.board:
            if sys.platform == "rp2" and watchdog.current:
                raise UsageError('sleep: on an RP2 set "sleep_s" in config.json, and reset')
            if deep:
                self.board.be_well()
            self.board.rest()
        Node.sleep(self, seconds, deep)
