"""Frame links of config.json, by kind. The code of a kind is loaded when it is used."""

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
    from .modems import open_lora

    return open_lora(config)
