"""The start of a node: its key, saves that a power failure has interrupted, and a deep sleep.

A part of agent.py in a file of its own, which is unloaded after the start.
"""

import time

from . import crypto
from .compat import unload
from .errors import Rejection, StoreDamaged, StoreFailed
from .link.udp import UdpLink, split

# what a power failure may have cut; a session may go back by one save (node/session.py)
_RECORDS = ("key", "charter", "policy", "keys", "member", "beacon")


def load_key(store):
    """The node's P-256 private key (32 bytes) from its store; made on the first start.

    Raises `StoreDamaged` if the key is lost: a store with other records had one.
    """
    private = store.load("key")
    if not private:
        for name in ("charter", "policy", "member"):
            if store.load(name):
                raise StoreDamaged("key")
        private = crypto.p256_generate()
        store.save("key", private)
    return private


def lan_parts(node, gateways):
    """The parts of `node` that take datagrams first: for its config.json's "discoverable" and the
    gateway "discover", which is removed from `gateways` (list of addresses)."""
    parts = []
    if node.config.get("discoverable"):
        from .node.multicast import MulticastServer

        parts.append(MulticastServer(node))
    if "discover" in gateways:
        from .node.finder import Finder

        gateways.remove("discover")
        parts.append(Finder(node, gateways))
    return parts


def open_link(config, listen):
    """The link of a node with this config.json that listens at "host:port". Raises `OSError`."""
    # an IPv6 address has brackets
    has_ipv6 = ":" in split(listen)[0]
    if has_ipv6:
        from .link.udp6 import Udp6Link

        link = Udp6Link(listen)
    else:
        link = UdpLink(listen)
    if config.get("discoverable"):
        from .link.group import join

        join(link, has_ipv6)
        unload("link.group")
    return link


def mend(node):
    """Complete the saves of `node` that a power failure has interrupted."""
    for name in _RECORDS:
        try:
            node.store.mend(name)
        except StoreFailed as error:
            # the record is in force, and one slot has it
            node.count(error)


def resume(node):
    """Go on where `node` has gone to a deep sleep. What its mesh has kept, or None.

    The mark of sleeprecord.py is on flash from the first deep sleep on.
    """
    try:
        if not node.store.load("wake"):
            return None
    except Rejection as error:
        node.count(error)
    from .sleeprecord import take

    unload("sleeprecord")
    unload("mesh.kept")
    return take(node, int(time.time()))


def start_frames(node, parts):
    """The link of an agent whose config.json has "links": `BothLinks`. Raises `UsageError`.

    parts: what takes part in each tick of the agent; the `FrameLinks` is added, and is
    `node.frames`.
    """
    # loaded for nodes with such links only
    from .framelinks import FrameLinks
    from .link.both import BothLinks
    from .link.links import open_link as open_frame_link

    links = []
    for entry in node.config["links"]:
        links.append(open_frame_link(entry))
    unload("link.links")
    unload("link.modems")
    on_defect = getattr(node, "on_defect", None)
    sleep_s = node.config.get("sleep_s", 0)
    is_gateway = node.config.get("mesh_gateway", False)
    # used once, also where there is no memory for it
    kept, node.kept = node.kept, None
    node.frames = FrameLinks(node, links, is_gateway, on_defect, sleep_s)
    if kept and kept[0]:
        from .mesh.kept import load

        unload("mesh.kept")
        now_ms = node.clock.now_ms()
        # the clock has begun with the start
        load(node.frames, kept[0], now_ms, kept[1] + now_ms)
    parts.append(node.frames)
    return BothLinks(node.frames, node.link, node.clock)
