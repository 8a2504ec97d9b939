"""`writ` as a process of the demonstration: it ends with the demonstration, however that ended."""

import os
import signal
import threading
import time

_LOOK_S = 0.3
# To close files and sockets.
_END_S = 5.0


def hold() -> None:
    """From now on, end this process when the one that started it is gone."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_END_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def main() -> None:
    """`writ` with the words of the command line."""
    hold()
    from ..cli import main as writ

    writ()


if __name__ == "__main__":
    main()
