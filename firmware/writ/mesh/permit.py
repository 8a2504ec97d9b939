"""What the signed policy allows a frame: its class, its origin and relays, its link and its hops.

A route of the policy is [class, send, relay, links, hops, airtime, priority]: roles that may be the
origin, roles that may forward, kinds of link, and how far. A class without a route is not carried.
Every node checks each frame before it spends airtime on it, with the policy in force at that time.
"""

import struct

from ..compat import const
from ..errors import (
    Expired,
    NotMember,
    NotRouted,
    NotYetValid,
    Revoked,
    UnknownClass,
    UnknownOrigin,
)
from ..limits import ORIGINS_MAX
from ..wire.coap import has_oscore

# The class of the mesh's own frames, of handshakes and of requests for capsules, and the class of
# protected requests and answers
GOVERNANCE = 0
MESSAGES = 1


def class_of(datagram):
    """The route class of a CoAP message (bytes): MESSAGES if it has an OSCORE option."""
    return MESSAGES if has_oscore(datagram) else GOVERNANCE


# The new capsule of an origin whose capsule here is past is asked for at most so often
_RENEWAL_MS = const(60000)


# What a relay keeps of a member capsule (limits.ORIGINS_MAX): node id, roles, exp, nbf, and the
# epochs of the capsule and of its key
_RECORD = ">8sIIIII"


class Origin:
    """The member that a record (bytes) was made of; `check_member` and `roles_of` take it as
    `Member`.
    """

    def __init__(self, record):
        (
            self.node_id,
            self.roles,
            self.expires,
            self.not_before,
            self.epoch,
            self.key_epoch,
        ) = struct.unpack(_RECORD, record)


def _record_of(member):
    return struct.pack(
        _RECORD,
        member.node_id,
        member.roles,
        member.expires,
        member.not_before,
        member.epoch,
        member.key_epoch,
    )


def unknown(address):
    """An `UnknownOrigin` of the member with this short address."""
    rejection = UnknownOrigin()
    rejection.address = address
    return rejection


class Permit:
    """Judges frames by the policy in force. authority: `authority.Authority`."""

    def __init__(self, authority):
        self._authority = authority
        self._origins = {}  # short address -> record
        self._recent = []  # its addresses, least recently added first
        self._renewal_ms = None  # when a new capsule was asked for last

    def route(self, route_class):
        """The policy's route of this class. Raises `UnknownClass`."""
        policy = self._authority.policy
        for route in policy.routes if policy else ():
            if route[0] == route_class:
                return route
        raise UnknownClass()

    def roles(self, address, now_ms):
        """The roles of the member with this short address, by its capsule and the policy in force.

        Raises `UnknownOrigin` with the `address` if its capsule is not here, or what `check_member`
        raises.
        """
        authority = self._authority
        me = authority.me
        if me and me.address == address:
            origin = me
        else:
            record = self._origins.get(address)
            origin = Origin(record or self._look_up(address))
        try:
            authority.check_member(origin, now_ms)
        except (Expired, NotMember, NotYetValid, Revoked):
            # it may be renewed, or its address be that of another node now
            if origin is not me:
                self.forget(address)
                if self._renewal_ms is None or now_ms - self._renewal_ms >= _RENEWAL_MS:
                    self._renewal_ms = now_ms
                    raise unknown(address) from None
            raise
        return authority.policy.roles_of(origin)

    def _look_up(self, address):
        member = self._authority.peer_by(address=address)
        if member is None:
            raise unknown(address)
        if len(self._recent) >= ORIGINS_MAX:
            del self._origins[self._recent.pop(0)]
        self._recent.append(address)
        self._origins[address] = record = _record_of(member)
        return record

    def forget(self, address):
        """Forget what is kept of the member with this short address: its next frame makes the node
        ask for its capsule.
        """
        if address in self._origins:
            del self._origins[address]
            self._recent.remove(address)

    def check(self, route, frame, origin, kind, now_ms):
        """Raise `NotRouted` unless a received frame of this route is allowed.

        origin: its short address, or None where it is in the message (shape DOWN); kind: of the
        link. Raises what `roles` raises, too.
        """
        _, send, relay, links, hops, _, _ = route
        if not links >> kind & 1 or frame.hops > hops:
            raise NotRouted()
        roles = self.roles(frame.transmitter, now_ms)
        if origin == frame.transmitter:
            allowed = send
        elif origin is None:
            allowed = send | relay
        else:
            allowed = relay
        if not roles & allowed:
            raise NotRouted()
        if origin is not None and allowed is relay and not self.roles(origin, now_ms) & send:
            raise NotRouted()

    def check_own(self, route, is_origin, kind, now_ms):
        """Raise `NotRouted` unless this node may send a frame of this route on such a link."""
        _, send, relay, links, _, _, _ = route
        me = self._authority.me
        if me is None or not links >> kind & 1:
            raise NotRouted()
        if not self.roles(me.address, now_ms) & (send if is_origin else relay):
            raise NotRouted()
