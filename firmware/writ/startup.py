"""The start of a node: its key, and saves that a power failure has interrupted.

A part of agent.py in a file of its own, which is unloaded after the start.
"""

from . import crypto
from .compat import unload
from .errors import StoreDamaged, StoreFailed
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
    node.frames = FrameLinks(node, links, is_gateway, on_defect, sleep_s)
    parts.append(node.frames)
    return BothLinks(node.frames, node.link, node.clock)
