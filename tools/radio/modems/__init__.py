"""Emulated LoRa modems, each by its vendor's manual. They know nothing of ports: bytes in and out.

Where a manual is silent, the module's docstring says what is assumed.
"""

from radio.modems.e22 import E22
from radio.modems.modem import Modem
from radio.modems.rak3172 import Rak3172
from radio.modems.rylr998 import Rylr998

KINDS: dict[str, type[Modem]] = {kind.kind: kind for kind in (Rylr998, Rak3172, E22)}

__all__ = ["E22", "KINDS", "Modem", "Rak3172", "Rylr998"]
