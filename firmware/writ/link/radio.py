"""Radios on SPI, SX1262 and SX1276, as a frame link: by micropython-lib's package `lora`.

Install it on the board: `mpremote mip install lora-sync lora-sx126x` (or lora-sx127x). Source:
micropython-lib, micropython/lora/README.md, sections "Low-level API" and "Modem configuration".

config.json: "spi" (number) and "cs", and where the board has them "sck", "mosi", "miso", "reset";
SX1262: "busy", "dio1" and "tcxo_mv" (the voltage of an oscillator that DIO3 feeds); SX1276: "dio0".
"antenna" is a pin that must be high, where a switch of the antenna has one beside DIO2.

Rules:
1. The link listens before it sends: a frame that is arriving, or a signal that the chip's channel
   activity detection (CAD) finds, makes it wait and try again.
2. The package has no method for that: sx1262.py and sx1276.py give the commands to the chip through
   the package. A version of it without their way in sends without listening (counter
   "NotListening").
3. A chip that was reset, by a supply that is too weak, sends and receives with other settings, and
   the package does not notice. So the link reads the chip's settings before each frame, and every
   `_CHECK_MS`.
4. A radio that does not do what it was told is stopped and opened again. The frame that it had
   counts as lost, and is not sent again, since its airtime may be spent.
"""

from ..compat import const
from ..errors import UsageError
from ..limits import MODEM_TRIES_MAX
from .lora import LORA, PREAMBLE, Settings, channel_pause_ms

_FRAME_BYTES = const(255)
_SPI_HZ = const(2000000)
# The radio has room for one frame, and the shortest takes 15 ms at 125 kHz.
_POLL_MS = const(10)
# A detection takes 2 ms at 125 kHz and factor 7: the channel may be taken soon after it.
_LISTEN_POLL_MS = const(2)
# A detection takes 4 symbols, and less on an SX1276.
_LISTEN_SYMBOLS = const(16)
_MARGIN_MS = const(500)
# How often the settings of the chip are read, beside each frame
_CHECK_MS = const(10000)
_RETRY_MS = const(1000)
_RETRY_LONGEST_MS = const(30000)

# States of a radio that is open
_RECEIVING = const(0)
_LISTENING = const(1)  # a detection is under way
_HOLDING = const(2)  # receives, and listens again when that is due
_ON_AIR = const(3)


def radio_settings(config, settings):
    """The channel as the package takes it (`lora_cfg`)."""
    channel = {
        "freq_khz": settings.frequency_khz,
        "sf": settings.spreading_factor,
        "bw": str(settings.bandwidth_khz),
        "coding_rate": settings.coding_rate,
        "preamble_len": PREAMBLE,
        # off after a reset of the SX1276, though the package takes it for on
        "crc_en": True,
        # as AT+SYNCWORD of the RAK3172: of networks other than LoRaWAN
        "syncword": 0x12,
        "output_power": settings.power_dbm,
    }
    if config["modem"] == "sx1276":
        # boards connect the antenna to this output, which has more power
        channel["tx_ant"] = "PA_BOOST"
    return channel


def open_chip(config, radio, settings):
    """The `Chip` of an open radio; None if the package has no way in (rule 2)."""
    try:
        if config["modem"] == "sx1276":
            from .sx1276 import Chip
        else:
            from .sx1262 import Chip

        chip = Chip(radio, settings)
        chip.has_settings()
        return chip
    except (AttributeError, TypeError):
        return None


def open_radio(config, settings):
    """The radio of a link's entry, set up, by the package `lora`.

    Raises `ImportError` without the package, `RuntimeError` or `OSError` if no radio answers.
    """
    import lora
    from machine import SPI, Pin

    def pin(name):
        return Pin(config[name]) if name in config else None

    if "antenna" in config:
        Pin(config["antenna"]).init(Pin.OUT, value=1)
    wires = {name: Pin(config[name]) for name in ("sck", "mosi", "miso") if name in config}
    spi = SPI(config["spi"], baudrate=_SPI_HZ, **wires)
    channel = radio_settings(config, settings)
    if config["modem"] == "sx1276":
        return lora.SX1276(spi, pin("cs"), dio0=pin("dio0"), reset=pin("reset"), lora_cfg=channel)
    return lora.SX1262(
        spi,
        pin("cs"),
        pin("busy"),
        dio1=pin("dio1"),
        dio3_tcxo_millivolts=config.get("tcxo_mv"),
        reset=pin("reset"),
        lora_cfg=channel,
    )


class SpiLink:
    """A frame link. config: its entry of "links" in config.json; opener: in the place of
    `open_radio`.

    counters: "BadFrame" (CRC), "NoAnswer" (a frame or a detection without an end), "Reset" (of the
    radio), "ChannelBusy" (a frame dropped after limits.MODEM_TRIES_MAX tries), "FrameLost" (by a
    radio that failed), "NotListening" (a frame sent without), "Reopened".
    """

    kind = LORA
    mtu = _FRAME_BYTES
    handle = None  # a radio on SPI is polled

    def __init__(self, config, opener=open_radio):
        self.settings = Settings(config)
        self.duty_cycle_permille = self.settings.duty_cycle_permille
        is_sx1262 = config["modem"] == "sx1262"
        for field in ("spi", "cs", "busy") if is_sx1262 else ("spi", "cs"):
            if type(config.get(field)) is not int:
                raise UsageError('links: "' + field + '" is not a number')
        highest = 22 if is_sx1262 else 20
        self.settings.check(2 <= self.settings.power_dbm <= highest, "2 to %d dBm" % highest)
        self._config = config
        self._opener = opener
        self.counters = {}
        self.error = None  # why there is no radio, as text
        self._radio = None
        self._chip = None  # None while the radio is closed, and where there is none (rule 2)
        self._was_open = False
        self._state = _RECEIVING
        # when a closed radio is opened again, or the state ends; None after `close`
        self._due_ms = 0
        self._retry_ms = _RETRY_MS
        self._check_ms = 0
        self._is_asleep = False
        self._frame = None  # the frame that waits for the channel, or is on air
        self._tries = 0
        self._held = None  # a frame that arrived before another was sent
        self._crc_errors = 0

    def receive(self, now_ms):
        """(frame, SNR in dB) or None. Never waits for a frame."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if self._is_asleep or (self._radio is None and not self._open(now_ms)):
            return None
        try:
            return self._poll(now_ms)
        except (OSError, RuntimeError) as error:
            self._lose(error, now_ms)
        return None

    def send(self, frame, now_ms):
        """Send a frame (bytes). False if there is no radio, or it sends another one.

        A frame may be lost later: the channel may stay busy. Raises `UsageError` unless the frame
        has 1 to `mtu` bytes.
        """
        if not 0 < len(frame) <= self.mtu:
            raise UsageError("a frame of %d bytes" % len(frame))
        if self._is_asleep or self._radio is None:
            return False
        try:
            if self._held is None:
                # sending empties the radio
                self._held = self._poll(now_ms)
            if self._frame is not None:
                return False
            self._tries = 0
            self._listen(frame, now_ms)
        except (OSError, RuntimeError) as error:
            self._lose(error, now_ms)
            return False
        self._frame = frame
        return True

    def is_sending(self, now_ms):
        """Whether a frame is under way: it waits for the channel, or is on air."""
        return self._frame is not None

    def sleep(self, now_ms):
        """Switch the radio off. False while it sends: `receive`, and call this again."""
        if self._frame is not None:
            return False
        if self._radio is not None and not self._is_asleep:
            try:
                self._radio.sleep()
            except (OSError, RuntimeError) as error:
                self._lose(error, now_ms)
        self._is_asleep = True
        return True

    def wake(self, now_ms):
        """Receive again, with the settings that the radio has kept."""
        if self._is_asleep and self._radio is not None:
            try:
                self._radio.start_recv(continuous=True)
                self._check(now_ms)
            except (OSError, RuntimeError) as error:
                self._lose(error, now_ms)
        self._is_asleep = False

    def airtime_us(self, length):
        """Microseconds on air of a frame of `length` bytes."""
        return self.settings.airtime_us(length)

    def next_ms(self, now_ms):
        """In how many ms `receive` should be called; None after `close`."""
        if self._held is not None:
            return 0
        if self._is_asleep:
            return None
        if self._radio is None:
            return None if self._due_ms is None else max(0, self._due_ms - now_ms)
        return _LISTEN_POLL_MS if self._state == _LISTENING else _POLL_MS

    def close(self):
        """Put the radio to sleep."""
        if self._radio is not None:
            try:
                self._radio.sleep()
            except (OSError, RuntimeError) as error:
                self.error = str(error)
        self._radio = self._due_ms = None

    def _open(self, now_ms):
        if self._due_ms is None or now_ms < self._due_ms:
            return False
        try:
            self._radio = self._opener(self._config, self.settings)
            self._chip = open_chip(self._config, self._radio, self.settings)
            self._radio.start_recv(continuous=True)
        except (OSError, RuntimeError, ValueError) as error:
            self._lose(error, now_ms)
            return False
        if self._was_open:
            self._count("Reopened")
        self._was_open = True
        self._state = _RECEIVING
        self._retry_ms = _RETRY_MS
        self._check_ms = now_ms + _CHECK_MS
        self._crc_errors = 0
        self.error = None
        return True

    def _lose(self, error, now_ms):
        if self._frame is not None:
            self._count("FrameLost")
        self._radio = self._chip = self._frame = None
        self.error = str(error)
        self._due_ms = now_ms + self._retry_ms
        self._retry_ms = min(2 * self._retry_ms, _RETRY_LONGEST_MS)

    def _fail(self, name, what):
        # the radio cannot go on: `_lose` follows
        self._count(name)
        raise RuntimeError(what)

    def _check(self, now_ms):
        self._check_ms = now_ms + _CHECK_MS
        if self._chip and not self._chip.has_settings():
            self._fail("Reset", "the radio has lost its settings")

    # A frame: it waits for the channel, and is on air

    def _listen(self, frame, now_ms):
        self._check(now_ms)
        self._tries += 1
        if self._chip is None:
            self._count("NotListening")
            self._transmit(frame, now_ms)
        elif self._chip.is_receiving():
            self._leave_alone(now_ms)
        else:
            self._radio.standby()
            self._chip.detect()
            symbol_ms = (1 << self.settings.spreading_factor) // self.settings.bandwidth_khz
            self._due_ms = now_ms + _LISTEN_SYMBOLS * symbol_ms + _MARGIN_MS
            self._state = _LISTENING

    def _transmit(self, frame, now_ms):
        self._radio.prepare_send(frame)
        self._radio.start_send()
        self._due_ms = now_ms + self.airtime_us(len(frame)) // 1000 + _MARGIN_MS
        self._state = _ON_AIR

    def _leave_alone(self, now_ms):
        # a busy channel. What keeps it busy may be for this node, so it receives meanwhile
        if self._tries < MODEM_TRIES_MAX:
            self._due_ms = now_ms + channel_pause_ms(self)
            self._state = _HOLDING
        else:
            self._count("ChannelBusy")
            self._frame = None
            self._state = _RECEIVING

    def _poll(self, now_ms):
        if self._state == _LISTENING:
            is_busy = self._chip.activity()
            if is_busy:
                self._radio.start_recv(continuous=True)
                self._leave_alone(now_ms)
            elif is_busy is False:
                self._transmit(self._frame, now_ms)
            elif now_ms >= self._due_ms:
                self._fail("NoAnswer", "the radio does not end a detection")
            return None
        if self._state == _ON_AIR:
            if self._radio.poll_send() is True:
                if now_ms >= self._due_ms:
                    self._radio.standby()
                    self._fail("NoAnswer", "the radio does not end a frame")
                return None
            self._frame = None
            self._state = _RECEIVING
        found = self._take()
        if found is None:
            if self._state == _HOLDING and now_ms >= self._due_ms:
                self._listen(self._frame, now_ms)
            elif now_ms >= self._check_ms:
                self._check(now_ms)
        return found

    def _take(self):
        # what has arrived
        radio = self._radio
        found = radio.poll_recv()
        if radio.crc_errors != self._crc_errors:
            self._crc_errors = radio.crc_errors
            self._count("BadFrame")
        if found is False:
            radio.start_recv(continuous=True)
        if found is True or not found:
            return None
        # the package gives quarters of a dB
        return bytes(found), (found.snr + 2) // 4

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1
