"""Keys of config.json with a typo: a key that is unknown, and nearly one that the file lacks.

Other unknown keys are ignored: another version of Writ, or a program of the node, may use them.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from writ.errors import UsageError

# Of difflib: "power" is near "power_dbm" (0.71)
_CUTOFF = 0.7


def check(values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises `UsageError` for the first such key. known: the keys that have a meaning."""
    missing = {key for key in known if key not in values}
    for key in values:
        if key in known:
            continue
        close = get_close_matches(key.lower(), missing, 1, _CUTOFF)
        if close:
            raise UsageError(f'"{key}" is no key; did you mean "{close[0]}"?')
