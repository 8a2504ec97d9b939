"""What a node prints while it runs: each line once, with why it is no member or a link is down."""

import signer
from authority_rig import OWN_X, Rig, members_raw

from writ.authority.capsule import node_id
from writ.news import show


class Link:
    """A frame link as the lines show it."""

    error = None


class Console:
    """A node as the lines show it: its authority and its frame links."""

    now_ms = 0

    def __init__(self, rig, *links):
        self.authority = rig.authority
        self.frames = self
        self.links = links


def test_each_state_of_a_membership_has_a_line():
    rig = Rig()
    node = Console(rig)
    assert show(node, ()) == ["no member yet"]
    rig.receive(members_raw(OWN_X))
    name = rig.authority.charter.name
    assert show(node, ()) == ["member of %s, epoch 0" % name]
    rig.with_policy()
    assert show(node, ()) == ["member of %s, epoch 1" % name]
    rig.with_policy(2, revoked=[node_id(OWN_X)])
    assert show(node, ()) == ["no member: Revoked"]


def test_a_membership_that_has_expired():
    rig = Rig()
    rig.receive(members_raw(OWN_X, exp=signer.FOUNDED + 100))
    node = Console(rig)
    node.now_ms = 101000
    assert show(node, ()) == ["no member: Expired"]


def test_a_line_of_each_link():
    rig = Rig()
    links = [Link(), Link()]
    links[1].error = "the modem refuses AT"
    node = Console(rig, *links)
    shown = show(node, ())
    assert shown[1:] == ["link 0 is ready", "link 1 does not work: the modem refuses AT"]
    links[1].error = None
    assert show(node, shown)[1:] == ["link 0 is ready", "link 1 is ready"]
    # a node without frame links
    del node.frames
    assert show(node, shown) == ["no member yet"]
