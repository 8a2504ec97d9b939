"""The list of resources at .well-known/core (RFC 6690), loaded when it is asked for."""

from ..authority.capsule import node_id
from ..authority.policy import decide
from ..compat import unload
from ..wire.linkformat import link_format
from .context import EDHOC_PATH, PREFIX


def links(server, peer, query):
    """The list (bytes) for a `Member`, or for a stranger, whose `peer` is None."""
    unload("wire.linkformat")
    if peer is None:
        scope = server.context.authority.scope
        governed = [("rt", "writ")]
        if scope:
            # so that a node asks its own scope's nodes only, and meets each one once (finder.py)
            governed.append(("scope", scope.hex()))
            governed.append(("ep", node_id(server.context.authority.own_x).hex()))
        found = [(EDHOC_PATH, [("rt", "core.edhoc")]), (PREFIX, governed)]
    else:
        found = _usable(server, peer)
    return link_format(found, query).encode()


def _usable(server, peer):
    # the resources that some rule lets this member use, now or with a beacon or an action
    authority = server.context.authority
    policy = authority.policy
    found = []
    if policy:
        roles = policy.roles_of(peer), policy.roles_of(authority.me)
        for path in sorted(server.resources):
            methods = server.resources[path].methods
            if not all([decide(policy, *roles, m, path, True, True)[0] for m in methods]):
                found.append((path, []))
    return found
