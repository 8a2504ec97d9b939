"""One measured figure, as in build/bench.json."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Row:
    """name: stable, for programs; value: None if it cannot be measured here (peer says why).

    goal: the largest value allowed, in the same unit, or None; the smallest for a share, in %, for
    what is done in a second, in /s, and for how long a battery lasts, in d.
    peer, peer_value: a reference figure of the same run. interpreter: micropython, or cpython-pure,
    -pycryptodome or -openssl, where it matters.
    """

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    interpreter: str | None = None

    def to_item(self) -> dict[str, Any]:
        """The row as an object for JSON."""
        return asdict(self)

    def holds(self) -> bool:
        """Whether the goal is met; True without a goal or a value."""
        if self.goal is None or self.value is None:
            return True
        has_least = self.unit in ("%", "/s", "d")
        return self.value >= self.goal if has_least else self.value <= self.goal
