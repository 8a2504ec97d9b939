"""One measured figure, as it stands in build/bench.json."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Row:
    """name: stable, others read it; value: None for what cannot be measured here (peer says why);
    goal: at most this, in the same unit, or None.

    peer, peer_value: what the figure stands beside, measured in the same run; interpreter:
    micropython, or cpython-pure, -pycryptodome or -openssl, where it applies.
    """

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    interpreter: str | None = None

    def to_item(self) -> dict[str, Any]:
        """The row as JSON holds it."""
        return asdict(self)

    def holds(self) -> bool:
        """Whether the goal is met; True where there is none, or nothing to measure."""
        return self.goal is None or self.value is None or self.value <= self.goal
