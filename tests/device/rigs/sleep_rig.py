"""Nodes of a mesh_rig.Air that sleep: their windows, and what their parents have for them."""

from writ.mesh.poll import poll

SECRET = b"\x41\x02\x00\x07\x2a\x92\x09\x14\x02\xff" + b"s" * 20
WINDOW_MS = 4000
SLEEP_S = 3600


def listen(air, child, window_ms=WINDOW_MS, sleep_s=SLEEP_S):
    """Wake the child, and poll: the number of messages that its parent has."""
    child.is_asleep = False
    child.mesh.outbox.now_ms = air.now_ms
    sent = poll(child.mesh, window_ms, sleep_s)
    assert air.run(lambda: sent.is_done, 30)
    return sent.waiting


def sleep(air, child, seconds=SLEEP_S):
    """Let the child hear nothing for so long."""
    child.is_asleep = True
    step_ms, air.step_ms = air.step_ms, 1000
    air.run(None, seconds)
    air.step_ms = step_ms
