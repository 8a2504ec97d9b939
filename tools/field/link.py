"""The frame link of a simulated node: a radio of tools/radio behind the interface of the drivers.

It listens before it sends (CAD) and waits for a free channel as link/modem.py does: for two to
eight slots, each an eighth of the longest frame, at most MODEM_TRIES_MAX times.
"""

import random
from collections.abc import Callable

from radio.outcome import Reception
from radio.phy import airtime_us
from radio.timeline import Timeline
from radio.transceiver import Radio

from field.books import Books

# The largest frame in bytes by spreading factor: the sizes of LoRaWAN in Europe (RP002-1.0.4,
# table 9: M of data rates 5 to 0, without repeater)
FRAME_BYTES = {7: 222, 8: 222, 9: 115, 10: 51, 11: 51, 12: 51}
_LORA = 2


class RadioLink:
    """A frame link. tries_max: how often it looks for a free channel; sent: called with each frame
    that goes on air; arrived: called with each frame and its SNR, and puts it into `inbox`; free:
    called when the next frame can be sent.
    """

    kind = _LORA
    handle = None

    def __init__(
        self,
        radio: Radio,
        duty_cycle_permille: int,
        tries_max: int,
        source: random.Random,
        sent: Callable[[bytes], object],
        arrived: Callable[[bytes, int], object],
        free: Callable[[], object],
    ) -> None:
        self.mtu = FRAME_BYTES[radio.settings.spreading_factor]
        self.duty_cycle_permille = duty_cycle_permille
        self.books = Books()  # of dropped frames the channel was never free
        self._radio = radio
        self._timeline: Timeline = radio.channel.timeline
        self._tries_max = tries_max
        self._source = source
        self._sent = sent
        self._arrived = arrived
        self._free = free
        self._slot_us = airtime_us(radio.settings, self.mtu) // 8
        self._airtimes_us = [airtime_us(radio.settings, length) for length in range(256)]
        self.inbox: list[tuple[bytes, int]] = []
        self._frame: bytes | None = None  # under way
        self._is_on_air = False
        self._tries = 0
        radio.received = self._take
        radio.listen()

    def airtime_us(self, length: int) -> int:
        """Microseconds on air of a frame of `length` bytes."""
        return self._airtimes_us[length]

    def receive(self, now_ms: int) -> tuple[bytes, int] | None:
        """(frame, SNR in dB), or None."""
        return self.inbox.pop(0) if self.inbox else None

    def send(self, frame: bytes, now_ms: int) -> bool:
        """Take a frame, unless another one is under way."""
        if self._frame is not None:
            return False
        self._frame = frame
        self._tries = 0
        self.books.take(self._timeline.now_us, self.airtime_us(len(frame)))
        self._is_on_air = False
        self._try()
        return True

    @property
    def waiting_us(self) -> int:
        """The airtime of a frame that waits for the channel."""
        if self._frame is None or self._is_on_air:
            return 0
        return self.airtime_us(len(self._frame))

    def is_sending(self, now_ms: int) -> bool:
        """Whether a frame is under way: it waits for the channel, or is on air."""
        return self._frame is not None

    def next_ms(self, now_ms: int) -> int | None:
        """None: `arrived` and `free` say when there is something to do."""
        return 0 if self.inbox else None

    def _try(self) -> None:
        assert self._frame is not None
        if not self._radio.is_channel_active():
            self._is_on_air = True
            self.books.send(self._timeline.now_us, self.airtime_us(len(self._frame)))
            self._sent(self._frame)
            self._radio.send(self._frame, self._end)
            return
        self._tries += 1
        if self._tries >= self._tries_max:
            self.books.drop(self.airtime_us(len(self._frame)))
            self._end()
        else:
            slots = 2 + self._source.randrange(7)
            self._timeline.after(slots * self._slot_us, self._try)

    def _end(self) -> None:
        self._frame = None
        self._free()

    def _take(self, reception: Reception) -> None:
        self._arrived(reception.payload, round(reception.snr_db))
