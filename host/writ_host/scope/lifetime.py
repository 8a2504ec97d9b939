"""How long a membership lasts: at most ten years, so that a mistake or a lie about it ends."""

from writ.authority.capsule import Member

# The life of a potted sensor; a device that lives longer asks for its renewal by itself. Governors
# sign no longer membership, so they believe no report of one either: a Byzantine governor could
# block names until 2106 (core/reservations.py).
MEMBERSHIP_S_MAX = 3653 * 86400


def latest_expiry(clock_s: int, known: Member | None = None) -> int:
    """The latest expiry (Unix s) of a membership that is signed at this time.

    known: the certified membership that it replaces. A longer one, of a wrong clock or from before
    this limit, may be certified anew, which adds a second.
    """
    latest = clock_s + MEMBERSHIP_S_MAX
    return max(latest, int(known.expires) + 1) if known else latest
