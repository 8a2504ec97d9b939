"""The radios of a node that is about to sleep are switched off.

A part of sleep.py. A link has `sleep`, and `wake` for afterwards.
"""

from ..compat import const

# For the frame under way, or the answer of a modem
_OFF_MS = const(5000)
_STEP_MS = const(20)


def switch_off(node):
    """Put the frame links of an agent to sleep, for those that can. What they have is handled."""
    frames = node.frames
    now_ms = node.clock.now_ms()
    end_ms = now_ms + _OFF_MS
    while [link for link in frames.links if not link.sleep(now_ms)] and now_ms < end_ms:
        node.step(_STEP_MS)
        now_ms = node.clock.now_ms()
