"""What comes out of the channel: receptions, the story of each frame, and time spent."""

from dataclasses import dataclass

from radio.phy import Settings

# Why a frame was not received.
WEAK = "too weak"
ASLEEP = "asleep"
HALF_DUPLEX = "half duplex"
RETUNED = "retuned"
COLLISION = "collision"
ADDED_LOSS = "added loss"


@dataclass(frozen=True, slots=True)
class Reception:
    """A frame at one receiver."""

    sender: str
    payload: bytes
    rssi_dbm: float
    snr_db: float


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a channel's story.

    what: "sent" (at its start), "received" or "lost" (at its end). reason and by: why it was lost,
    and the sender that it collided with.
    """

    time_us: int
    what: str
    sender: str
    number: int
    length: int
    airtime_us: int
    settings: Settings
    receiver: str = ""
    rssi_dbm: float = 0.0
    snr_db: float = 0.0
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a radio has spent its time on, in microseconds."""

    sleeping_us: int
    listening_us: int
    sending_us: dict[float, int]  # by power in dBm
