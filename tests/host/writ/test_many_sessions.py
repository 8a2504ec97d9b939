"""A host with more sessions than there are connection identifiers of one byte."""

import os
import subprocess
import sys

import node_rig
import pytest
import signer
from authority_rig import Remembered
from fakeflash import MemoryFlash
from node_rig import GATEWAY, SENSOR, Net

from writ import limits
from writ.node.session import _ONE_BYTE_IDS

pytestmark = pytest.mark.slow

COUNT = 60


def test_sixty_devices_at_one_host() -> None:
    if limits.SESSIONS_MAX < COUNT:
        # the tests run with the limits of a device: once more, with those of a host
        command = [sys.executable, "-m", "pytest", "-q", __file__]
        environment = {**os.environ, "WRIT_LIMITS": "host"}
        subprocess.run(command, env=environment, check=True)
        return
    flash = MemoryFlash()
    hub = node_rig.make("hub", 1, GATEWAY, flash=flash)
    calls = node_rig.serve(hub)
    names = [f"n{number}" for number in range(COUNT)]
    with Remembered():
        nodes = {name: node_rig.make(name, 2 + i, SENSOR) for i, name in enumerate(names)}
        net = Net(hub=hub, **nodes)
        for name in names:
            assert net.ask(name, "hub", "hello").payload == name.encode()
        assert len(calls) == len(hub.sessions) == COUNT
        ids = [session.context.recipient_id for session in hub.sessions]
        assert len(set(ids)) == COUNT
        # the short ones are used up first
        assert {len(one) for one in ids} == {1, 2}
        assert sum(len(one) == 1 for one in ids) == len(_ONE_BYTE_IDS)
        # and both ways, from the hub too, also after its restart
        net.nodes["hub"] = hub = node_rig.start("hub", flash)
        node_rig.serve(hub)
        assert len(hub.sessions) == COUNT
        for name in names:
            assert net.ask(name, "hub", "hello").payload == name.encode()
            assert net.ask("hub", name, "no/such").code == 0x83
        assert hub.authority.scope == signer.scope()
