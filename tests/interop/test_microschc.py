"""Header compression beside SCHC (RFC 8724, RFC 8824), as microschc implements it.

microschc has no fragmentation, so only compression can be compared. Each datagram of OSCORE gets
the rule of its own that sends least: all that is fixed between datagrams of its kind is not sent.
"""

from __future__ import annotations

import node_rig
import pytest
from microschc import (
    Buffer,
    Context,
    ContextManager,
    DirectionIndicator,
    PacketDescriptor,
    RuleDescriptor,
    RuleFieldDescriptor,
    RuleNature,
)
from microschc.parser import PacketParser
from microschc.protocol.coap import CoAPFields, CoAPParser
from microschc.rfc8724 import CDA, MO
from microschc.tools.targetvalue import create_target_value
from node_rig import GATEWAY, SENSOR, Net

from writ.mesh.compress import compress, expand
from writ.wire import coap

PARSER = PacketParser("CoAP", [CoAPParser()])
# they differ in each datagram
SENT = {CoAPFields.TYPE, CoAPFields.MESSAGE_ID, CoAPFields.TOKEN}


def parse(datagram: bytes) -> PacketDescriptor:
    """The fields of the header."""
    return PARSER.parse(Buffer(datagram, len(datagram) * 8))


def schc(datagram: bytes) -> ContextManager:
    """A context of one rule, with a number of 6 bits, as Writ has them."""
    fields, option = [], 0
    for field in parse(datagram).fields:
        if field.id == CoAPFields.OPTION_DELTA:
            option += int(field.value.value())
        target, matched, action = field.value, MO.EQUAL, CDA.NOT_SENT
        if field.id in SENT or (field.id == CoAPFields.OPTION_VALUE and option == coap.OBSERVE):
            target, matched, action = create_target_value(None), MO.IGNORE, CDA.VALUE_SENT
        elif field.id == CoAPFields.OPTION_VALUE and option == coap.OSCORE and field.value.length:
            # the flags are fixed, partial IV and kid are not (RFC 8824, section 6.4)
            target, matched, action = Buffer(field.value.content[:1], 8), MO.MSB, CDA.LSB
        rule = RuleFieldDescriptor(
            field.id,
            field.value.length,
            field.position,
            DirectionIndicator.BIDIRECTIONAL,
            target,
            matched,
            action,
        )
        fields.append(rule)
    rule = RuleDescriptor(Buffer(b"\x01", 6), RuleNature.COMPRESSION, fields)
    return ContextManager(Context("mesh", "", "", "", [rule]), PARSER)


@pytest.fixture(scope="module")
def datagrams() -> list[bytes]:
    """Of OSCORE: requests, answers, notifications, and one with message_3 in front."""
    net = Net()
    for name, number, roles in (("gw", 1, GATEWAY), ("soil", 2, SENSOR)):
        net.nodes[name] = node_rig.make(name, number, roles)
        node_rig.serve(net.nodes[name])
    net.ask("gw", "soil", "temp")
    net.ask("gw", "soil", "temp", coap.PUT, b"on")
    net.call("gw", "soil", "temp", observe=True)
    net.run()
    for _ in range(3):
        net.send("soil", net.nodes["soil"].notify("temp", net.now_ms))
        net.run()
    sealed = [data for _, _, data in net.log if coap.decode(data).option(coap.OSCORE) is not None]
    assert len(sealed) > 8
    return sealed


def test_no_datagram_is_longer_than_in_schc(datagrams: list[bytes]) -> None:
    for datagram in datagrams:
        manager = schc(datagram)
        packet = manager.compress(Buffer(datagram, len(datagram) * 8))
        assert manager.decompress(packet).content == datagram
        ours = compress(datagram)
        assert expand(ours) == datagram
        assert len(ours) <= -(-packet.length // 8), datagram.hex()
