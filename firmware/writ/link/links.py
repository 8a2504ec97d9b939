"""Frame links of config.json, by kind. The code of a kind is loaded when it is used."""

from ..compat import MICROPYTHON
from ..errors import UsageError


def open_link(config):
    """The frame link of an entry of "links": {"kind": "serial", ...} or {"kind": "lora", ...}.

    A LoRa link names its "modem": "rylr998", "rak3172", "e22", "sx1262" or "sx1276". The port is
    opened later, and again when it was unplugged. Raises `UsageError` for an entry of no link.
    """
    if not isinstance(config, dict):
        raise UsageError("links: not a list of objects {...}")
    kind = config.get("kind")
    if kind == "serial":
        from .serial import SerialLink

        return SerialLink(config)
    if kind != "lora":
        raise UsageError('links: "kind" is not "serial" or "lora"')
    return _open_lora(config)


def _open_lora(config):
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
