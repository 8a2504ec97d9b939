"""`writ`, or another program, as a child process that ends with its parent, even after kill -9.

`python -m writ_host.demo.child ARGUMENTS` is `writ ARGUMENTS`; with `--run PATH ARGUMENTS` it runs
the Python program at PATH.
"""

import os
import runpy
import signal
import sys
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
    """Run `writ`, or the program after --run, with the arguments of the command line."""
    end_with_parent()
    if sys.argv[1:2] == ["--run"]:
        del sys.argv[:2]
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    from ..cli import main as writ

    writ()


if __name__ == "__main__":
    main()
