"""`writ` as a child process: it ends when its parent process ends, even after kill -9."""

import os
import signal
import threading
import time

_POLL_S = 0.3
# Time to close files and sockets after SIGTERM.
_SHUTDOWN_S = 5.0


def end_with_parent() -> None:
    """Watch the parent process in a thread, and end this process when the parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SHUTDOWN_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run `writ` with the arguments of the command line."""
    end_with_parent()
    from ..cli import main as writ

    writ()


if __name__ == "__main__":
    main()
