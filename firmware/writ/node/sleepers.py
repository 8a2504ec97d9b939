"""Members that sleep, as far as they have said so: a part of sync.py that is loaded on demand."""

from ..limits import SLEEP_S_MAX, SLEEPERS_MAX


def note_sleep(sleepers, request):
    """Note in `sleepers` how long the peer of a request says that it sleeps ("s=900").

    sleepers: an `OrderedDict` without the peer.
    """
    for item in request.query:
        if item[:2] == "s=" and 2 < len(item) < 8 and not item[2:].strip("0123456789"):
            if 0 < int(item[2:]) <= SLEEP_S_MAX:
                keep_sleep(sleepers, request.peer.address, int(item[2:]))
            return


def keep_sleep(sleepers, address, sleep_s):
    """Keep in `sleepers` that the node `address` sleeps for at most `sleep_s`.

    At most SLEEPERS_MAX: the one that has said so longest ago goes first, and gets the time-outs of
    a node that is awake.
    """
    sleepers.pop(address, None)
    if len(sleepers) >= SLEEPERS_MAX:
        del sleepers[next(iter(sleepers))]
    sleepers[address] = sleep_s
