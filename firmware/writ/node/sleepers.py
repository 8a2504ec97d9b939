"""Members that sleep, as far as they have said so: a part of sync.py that is loaded on demand."""

from ..limits import SLEEP_S_MAX, SLEEPERS_MAX


def note_sleep(sleepers, request):
    """Note in `sleepers` how long the peer of a request says that it sleeps ("s=900").

    At most SLEEPERS_MAX; others get the time-outs of nodes that are awake.
    """
    for item in request.query:
        if item[:2] == "s=" and 2 < len(item) < 8 and not item[2:].strip("0123456789"):
            if 0 < int(item[2:]) <= SLEEP_S_MAX and len(sleepers) < SLEEPERS_MAX:
                sleepers[request.peer.address] = int(item[2:])
