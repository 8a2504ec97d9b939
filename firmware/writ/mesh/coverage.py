"""Coverage: the neighbours that lack a capsule and need this node to get it.

1. A neighbour of an older epoch needs this node if it named this node as parent in its HELLO, or is
   the own parent. It does not need this node once two nodes near to it have sent the capsule; for
   the own parent one is enough. Ranks say who is near.
2. A gateway on a host may have told this node whether it is a spreader (`Mesh.is_spreader`; the
   answer to a report, nearby.py). A spreader is needed by all neighbours of an older epoch: the
   gateway counts on it. Another node leaves its children to the spreaders.

A part of spread.py.
"""

from ..compat import const
from ..limits import PART_SENDERS_MAX

# The first rank that is not in the bitmaps
_RANK_END = const(30)


class Coverage:
    """What one node has heard of those that send a capsule. mesh: the `Mesh`.

    senders: short addresses of at most limits.PART_SENDERS_MAX that have sent the capsule.
    """

    def __init__(self, mesh):
        self._mesh = mesh
        self.clear()

    def clear(self):
        """Forget the senders: it is another capsule."""
        self.senders = []
        # on each link: how many senders, and bitmaps of the ranks of nodes that are near to one of
        # them, and to two
        self._near = [(0, 0, 0) for _ in self._mesh.links]

    def note(self, neighbour):
        """Note a neighbour that has sent a part of the capsule."""
        if neighbour.address in self.senders or len(self.senders) >= PART_SENDERS_MAX:
            return
        self.senders.append(neighbour.address)
        senders, once, twice = self._near[neighbour.link]
        # ranks of neighbours differ by 1 at most, where links serve both ways
        ranks = 7 << neighbour.rank >> 1 if neighbour.rank < _RANK_END else 0
        self._near[neighbour.link] = senders + 1, once | ranks, twice | once & ranks

    def count(self, link, epoch, asker):
        """How many neighbours on a link need this node. epoch: the own one; asker: the short
        address of a neighbour that has asked, or 0.
        """
        mesh = self._mesh
        own = mesh.authority.me.address
        parent = mesh.routing.parents[0].address if mesh.routing.parents else 0
        senders, once, twice = self._near[link]
        count = 0
        for one in mesh.neighbours:
            if one.link != link or (one.epoch - epoch) & 255 < 128:
                continue
            if mesh.is_spreader:
                is_needy = True
            elif one.address == parent:
                # the capsule goes upwards, too
                is_needy = not once >> one.rank & 1
            elif mesh.is_spreader is not None:
                is_needy = False
            elif one.rank >= _RANK_END:
                # its way is not known
                is_needy = senders < 2
            else:
                is_needy = one.parent == own and not twice >> one.rank & 1
            count += is_needy or one.address == asker
        return count

    def is_needed(self, epoch):
        """Whether a neighbour may learn of an epoch, the own one, from this node alone: a child, or
        a parent that has an older one. All others have a parent that tells them.
        """
        routing = self._mesh.routing
        own = self._mesh.authority.me.address
        for one in self._mesh.neighbours:
            is_older = (one.epoch - epoch) & 255 >= 128
            if is_older and (one.parent == own or one in routing.parents[:1]):
                return True
        return not routing.parents
