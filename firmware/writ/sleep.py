"""Sleep: a node does what is due, tells its parent in the mesh, and switches itself off.

A part of agent.py that is loaded when a program calls `node.sleep`.
"""

import time

from .compat import MICROPYTHON, const, unload
from .errors import UsageError
from .limits import AWAKE_S_MAX, SLEEP_S_MAX

# A step of a node that waits for the end of its window
_STEP_MS = const(50)


def sleep(node, seconds, is_deep):
    """As `agent.Node.sleep`."""
    longest_s = node.config.get("sleep_s", 0)
    if seconds is None:
        seconds = longest_s
    if not 0 < seconds <= (longest_s or SLEEP_S_MAX):
        raise UsageError('sleep: 0 to "sleep_s" of config.json, or a day')
    node.open()
    # a node without frame links has no parent that waits for it
    if not node.config.get("links"):
        end_ms = node.clock.now_ms() + 1000 * AWAKE_S_MAX
        while not node.is_idle() and node.clock.now_ms() < end_ms:
            node.step(_STEP_MS)
    elif not longest_s:
        raise UsageError('sleep: config.json has "links" and no "sleep_s"')
    else:
        _settle(node, -int(-seconds // 1))
    if is_deep:
        _power_down(node, seconds)
    _pause(seconds)
    for link in node.frames.links if node.config.get("links") else ():
        link.wake(node.clock.now_ms())


def _power_down(node, seconds):
    # ends the program: a chip starts it again, elsewhere its caller does
    from .sleeprecord import write

    write(node, node.clock.now_ms(), int(1000 * seconds), int(time.time()))
    if MICROPYTHON:
        import machine

        if hasattr(machine, "deepsleep"):
            machine.deepsleep(int(1000 * seconds))
    raise SystemExit


def _pause(seconds):
    if not MICROPYTHON:
        time.sleep(seconds)
        return
    import machine

    # until a pin that the program has chosen wakes the chip, too. The unix port has none
    if hasattr(machine, "lightsleep"):
        machine.lightsleep(int(1000 * seconds))
    else:
        time.sleep(seconds)


def _settle(node, sleep_s):
    frames = node.frames
    end_ms = node.clock.now_ms() + 1000 * AWAKE_S_MAX
    # the handshakes of a node that joins need the room
    while frames.mesh.join.is_joining() and node.clock.now_ms() < end_ms:
        node.step(_STEP_MS)
    # a member is not heard in the join class any more: its requests there would keep it awake
    node.exchanges.give_up("join:")
    from .sleeper import Sleeper

    frames.sleeper = Sleeper(frames, sleep_s, end_ms)
    try:
        while not frames.sleeper.is_ready(node.clock.now_ms()):
            node.step(_STEP_MS)
    finally:
        frames.sleeper = None
        unload("sleeper")
        unload("mesh.poll")
    from .link.rest import switch_off

    switch_off(node)
    unload("link.rest")
