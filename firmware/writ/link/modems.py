"""LoRa links of config.json, by modem. The code of a modem is loaded when it is used."""

from ..compat import MICROPYTHON
from ..errors import UsageError


def open_lora(config):
    """The frame link of {"kind": "lora", "modem": ...}: see `open_link`."""
    modem = config.get("modem")
    if modem == "rylr998":
        from .rylr998 import Rylr998

        return Rylr998(config)
    if modem == "rak3172":
        from .rak3172 import Rak3172

        return Rak3172(config)
    if modem == "e22":
        from .e22 import E22

        return E22(config)
    if modem in ("sx1262", "sx1276"):
        if not MICROPYTHON:
            raise UsageError("links: this modem needs the SPI bus of a chip")
        from .radio import SpiLink

        return SpiLink(config)
    raise UsageError('links: "modem" is not "rylr998", "rak3172", "e22", "sx1262" or "sx1276"')
