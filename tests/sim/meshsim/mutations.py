"""Defects of the mesh that the simulator must find: each is a text of the device code, changed."""

import shutil
import tempfile
from pathlib import Path

from field.firmware import PACKAGE, Firmware

# name: (file, text, its replacement, the seed from which on the simulator finds it soon, what a
# violation says)
MUTATIONS = {
    "no_mic": (
        "mesh/frame.py",
        "return mic(key, high, self.raw) == self.mic",
        "return True",
        17,
        "no member has sent",
    ),
    "no_replay_window": (
        "mesh/neighbour.py",
        "if back >= 0 and (back >= _WINDOW_BITS or self._window >> back & 1):",
        "if False:",
        1,
        "twice",
    ),
    "counters_from_memory": (
        "mesh/linkkey.py",
        'self._limit = int.from_bytes(saved, "big") + FRAME_RESERVE if saved else 0',
        "self._limit = 0",
        1,
        "used the frame counter",
    ),
    "any_link_key": (
        "mesh/linkkey.py",
        "        check_proof(epoch, key, stamp, proof)\n",
        "",
        8,
        "a link key that the gateway has not made",
    ),
    "charges_twice": (
        "mesh/outbox.py",
        "self.budgets[link].charge(now_ms, self._airtime_us[link], route_class, source)",
        "self.budgets[link].charge(now_ms, 2 * self._airtime_us[link], route_class, source)",
        1,
        "the books of",
    ),
    "charges_no_mic": (
        "mesh/outbox.py",
        "self._airtime_us[link] = airtime_us = self._links[link].airtime_us(len(data))",
        "self._airtime_us[link] = airtime_us = self._links[link].airtime_us(len(data) - 4)",
        1,
        "the books of",
    ),
    "no_duty_cycle": (
        "mesh/budget.py",
        "if self.wait_ms(now_ms, airtime_us) != 0:",
        "if False:",
        38,
        "left the duty cycle",
    ),
}


def broken(name):
    """The device code with a defect. Its files are removed at once: modules that are imported
    later would be missing, so all are imported here.
    """
    place, original, mutated, _, _ = MUTATIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "writ"
        shutil.copytree(PACKAGE, package)
        path = package / place
        text = path.read_text()
        assert text.count(original) == 1, original
        path.write_text(text.replace(original, mutated))
        code = Firmware(f"field_writ_{name}", "device", package)
        for found in sorted(package.rglob("*.py")):
            parts = found.relative_to(package).with_suffix("").parts
            if parts[0] in ("link", "crypto", "main") or parts[-1] in ("__init__", "uart", "agent"):
                continue
            code.module(".".join(parts))
    return code
