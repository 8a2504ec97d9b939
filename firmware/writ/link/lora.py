"""What all LoRa links share: the settings of the channel, and the airtime of a frame.

modem           file        bytes a frame  on air                     listens first    SNR
rylr998         rylr998.py  180            base64, and 8 bytes        no               yes
rak3172         rak3172.py  239            as it is                   AT+CAD           yes
e22             e22.py      235            COBS and CRC, and 3 bytes  LBT, at most 2 s no
sx1262, sx1276  radio.py    255            as it is                   CAD              yes

Modems of different rows do not understand each other, but for rak3172, sx1262 and sx1276.
"""

from ..compat import random_bytes, unload
from ..errors import UsageError
from ..mesh.airtime import time_on_air_us

# The bit of a route's links mask
LORA = 2
# Symbols of the preamble; LoRaWAN's value, and the default of most drivers.
PREAMBLE = 8

_FIELDS = ("frequency_khz", "spreading_factor", "bandwidth_khz", "coding_rate", "power_dbm")


def channel_pause_ms(link):
    """How many ms a link leaves a busy channel alone, at random.

    A quarter to the whole of its longest airtime, which another node's frame may take; the pauses
    between limits.MODEM_TRIES_MAX tries are longer together.
    """
    return (2 + random_bytes(1)[0] % 7) * (link.airtime_us(link.mtu) // 8000)


class Settings:
    """The channel of an entry of "links" in config.json.

    Fields as in the entry: frequency_khz, spreading_factor (7 to 12), bandwidth_khz (125, 250 or
    500), coding_rate (5 to 8), power_dbm, duty_cycle_permille (by default that of the frequency:
    mesh/dutycycle.py). Raises `UsageError` for values that no LoRa channel has.
    """

    def __init__(self, config):
        for field in _FIELDS:
            value = config.get(field)
            if type(value) is not int:
                raise UsageError('links: "' + field + '" is not a number')
        self.frequency_khz = config["frequency_khz"]
        self.spreading_factor = config["spreading_factor"]
        self.bandwidth_khz = config["bandwidth_khz"]
        self.coding_rate = config["coding_rate"]
        self.power_dbm = config["power_dbm"]
        # raises for values out of range
        self.airtime_us(0)
        permille = config.get("duty_cycle_permille")
        if permille is None:
            from ..mesh.dutycycle import duty_cycle_permille

            unload("mesh.dutycycle")
            permille = duty_cycle_permille(self.frequency_khz, self.bandwidth_khz)
        elif type(permille) is not int or not 0 <= permille <= 1000:
            raise UsageError('links: "duty_cycle_permille" is not a number from 0 to 1000')
        self.duty_cycle_permille = permille

    def airtime_us(self, length):
        """Microseconds on air of `length` bytes, as the radio sends them."""
        return time_on_air_us(
            length, self.spreading_factor, self.bandwidth_khz, self.coding_rate, PREAMBLE
        )

    def check(self, is_possible, what):
        """Raise `UsageError` with `what` unless the modem can do it."""
        if not is_possible:
            raise UsageError("links: this modem has " + what)
