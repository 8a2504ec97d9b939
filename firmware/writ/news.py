"""What a node on a console prints while it runs: whether it is a member, and each frame link.

A part of agent.py that is loaded for each look, and unloaded again.
"""

from .errors import Rejection


def show(node, shown):
    """Print what is not in `shown`: lines on membership and links, all of which are returned."""
    authority = node.authority
    found = ["no member yet"]
    try:
        if authority.me:
            found = ["member of %s, epoch %d" % (authority.charter.name, authority.epoch)]
            authority.check_member(authority.me, node.now_ms)
    except Rejection as rejection:
        found = ["no member: " + type(rejection).__name__]
    frames = getattr(node, "frames", None)
    for link in frames.links if frames else ():
        error = link.error
        state = "does not work: " + error if error else "is ready"
        found.append("link %d %s" % (frames.links.index(link), state))
    for text in found:
        if text not in shown:
            print(text)
    return found
