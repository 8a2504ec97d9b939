"""Reads docs/wire.md, and creates its examples anew, for tests that compare the two."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import signer
from fakeflash import MemoryFlash

from writ import crypto, errors
from writ.authority import capsule, policy
from writ.authority.amendment import amend
from writ.authority.store import Store
from writ.link import serial
from writ.mesh.brief import shorten
from writ.mesh.compress import compress
from writ.mesh.fragment import Reassembly, Sender
from writ.mesh.frame import BROADCAST, CONTROL, DATA, UP, Frame
from writ.mesh.permit import GOVERNANCE
from writ.mesh.routing import PART, POLL, WANT
from writ.node import delegate, handshake, statement
from writ.wire import coap, edhoc, edhoc_codec
from writ.wire.oscore import Context

DOCS = Path(__file__).parents[3] / "docs"
WIRE = (DOCS / "wire.md").read_text()
ERRORS = (DOCS / "errors.md").read_text()
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
CDDL = "".join(text for language, _, text in FENCE.findall(WIRE) if language == "cddl")
HEX = {name: text for language, name, text in FENCE.findall(WIRE) if language == "hex"}
PROSE = FENCE.sub("", WIRE)

HUB, PUMP = "hub", "pump-1"
HUB_ID, PUMP_ID = b"\x27", b"\x0b"  # OSCORE sender ids: C_R and C_I


def rows(text: str, *header: str) -> list[list[str]]:
    """The cells of all tables in `text` with this header."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells == list(header):
            inside = True
        elif not cells:
            inside = False
        elif inside and set(cells[0]) != {"-"}:
            found.append(cells)
    assert found, header
    return found


def ticked(text: str) -> list[str]:
    """The texts in backticks."""
    return re.findall(r"`([^`]+)`", text)


def raw(name: str) -> bytes:
    """The bytes of the example `name`."""
    return bytes.fromhex("".join(line.split("#")[0] for line in HEX[name].splitlines()))


def groups(name: str) -> Iterator[tuple[bytes, str]]:
    """(bytes, comment) of each commented line, with the lines after it that have no comment."""
    data, comment = b"", ""
    for line in HEX[name].splitlines():
        digits, mark, text = line.partition("#")
        if mark and data:
            yield data, comment
            data = b""
        comment = text.strip() if mark else comment
        data += bytes.fromhex(digits)
    yield data, comment


def rule(name: str) -> str:
    """The CDDL rule with this name, without comments, in one line."""
    text = re.sub(r";.*", "", CDDL)
    found = re.findall(rf"^{name} = (.*?)(?=^[a-z0-9-]+ = |\Z)", text, re.M | re.S)
    assert len(found) == 1, name
    return " ".join(found[0].split())


# --- the examples ---------------------------------------------------------------------------------


def member(name: str, address: int, roles: int) -> bytes:
    x, odd = crypto.p256_public(crypto.sha256(name.encode()))
    return signer.certify(signer.member_payload(x, name, address, roles, odd=odd))


@functools.cache
def examples() -> dict[str, bytes]:
    """All examples of the page by name, created by the code."""
    found = {
        "charter": signer.charter(),
        "hub": member(HUB, 256, 2),
        "member": member(PUMP, 257, 4),
    }
    rules = [[2, 4, "temp", 3], [2, 4, "pump/*", 4, 1]]
    payload = signer.policy_payload(1, signer.charter_head(), rules, iat=signer.FOUNDED + 60)
    found["policy"] = signer.certify(payload)
    gone = capsule.node_id(crypto.p256_public(crypto.sha256(b"old-pump"))[0])
    found["revocation"] = signer.certify(signer.amendment_payload(2, capsule.head(payload), gone))
    body = capsule.parse(found["revocation"]).body
    state = amend(policy.Policy(capsule.parse_claims(payload)), body)
    found["beacon"] = signer.certify(
        signer.beacon_payload(2, state.head(), signer.FOUNDED + 24 * 3600)
    )
    found["request"] = statement.member_request(crypto.sha256(b"pump-1"), PUMP)
    claims = {capsule.IAT: signer.FOUNDED + 24 * 3600}
    node_id = capsule.Member(capsule.parse(found["member"])).node_id
    claims[capsule.WRIT] = [delegate.RENEW, node_id, signer.scope(), 2]
    found["renewal"] = statement.signed(crypto.sha256(b"pump-1"), claims)
    found["edhoc-error-1"] = edhoc_codec.to_error(errors.NotMember())
    found["edhoc-error-2"] = edhoc_codec.to_error(errors.WrongSuite())
    found["edhoc-error-3"] = edhoc_codec.to_error(errors.UnknownCredential())
    files: dict[str, bytes] = {}
    Store(MemoryFlash(files)).save("scope", signer.scope())
    found["slot"] = files["scope.a"]
    found["serial"] = serial.pack(b"pump-1\0\x15\0")
    found["head-1"], found["head-2"], found["gone"] = capsule.head(payload), state.head(), gone
    found |= conversation(found)
    return found | frames(found)


def frames(made: dict[str, bytes]) -> dict[str, bytes]:
    """The fragments and compressed datagrams of the examples, by name."""
    sender = Sender(5, made["revocation"], 51 - 16, 1000, 100000)
    first, second, third = (sender.next_frame(0) for _ in range(3))
    reassembly = Reassembly(100000)
    reassembly.receive("gateway", first, 0)
    found = {"fragment": second, "fragment-ack": reassembly.receive("gateway", third, 0)[1]}
    for name in ("later", "response"):
        found[f"{name}-compressed"] = compress(made[name])
    frame = Frame(1, DATA, 3, 2, 70000, compress(made["later"]), 2, UP, 4, 3)
    found["frame"] = frame.encode(signer.scope()[0], bytes(range(16)))
    content = bytes((POLL, 0, 1)) + (40).to_bytes(2, "big") + (3600).to_bytes(3, "big")
    poll = Frame(GOVERNANCE, CONTROL, 3, 2, 70000, content, 2)
    form = shorten(made["revocation"], 1)
    part = bytes((PART, 0, 1)) + b"\4\0" + form
    part = Frame(GOVERNANCE, CONTROL, 3, BROADCAST, 70000, part, 2)
    want = Frame(GOVERNANCE, CONTROL, 2, BROADCAST, 70000, bytes((WANT, 0, 1, 0, 3)), 1)
    for name, one in (("poll", poll), ("part", part), ("want", want)):
        found[name] = one.encode(signer.scope()[0], bytes(range(16)))
    return found


def sides() -> tuple[edhoc.Initiator, edhoc.Responder]:
    """The handshake states of hub and pump-1 before message_1."""
    keys = [crypto.sha256(b"ephemeral key of " + name) for name in (b"hub", b"pump-1")]
    labels = (handshake.EAD_LABEL,)
    return (
        edhoc.Initiator(crypto.sha256(b"hub"), PUMP_ID, labels, ephemeral=keys[0]),
        edhoc.Responder(crypto.sha256(b"pump-1"), HUB_ID, labels, ephemeral=keys[1]),
    )


def exchange(
    made: dict[str, bytes], by_value: bool
) -> tuple[list[bytes], list[bytes], tuple[bytes, bytes]]:
    """A handshake: (the three messages, plaintexts 2 and 3, (secret, salt))."""

    def ead(value: bytes) -> list[tuple[int, bool, bytes]]:
        return [(handshake.EAD_LABEL, False, value)]

    def shown(address: int) -> tuple[str, bytes | None]:
        return ("kcwt", None) if by_value else ("kid", address.to_bytes(2, "big"))

    hub, pump = sides()
    messages = [hub.message_1(ead(signer.scope()[:4] + (b"\x01" if by_value else b"")))]
    pump.read_1(messages[0])
    messages.append(pump.message_2(shown(257), made["member"], ead(b"\x01" + made["head-1"])))
    hub.read_2(messages[1])
    plaintexts = [hub._plaintext]
    hub.verify_2(made["member"], crypto.p256_public(crypto.sha256(b"pump-1"))[0])
    messages.append(hub.message_3(shown(256), made["hub"], ead(b"\x02" + made["head-2"])))
    pump.read_3(messages[2])
    plaintexts.append(pump._plaintext)
    pump.verify_3(made["hub"], crypto.p256_public(crypto.sha256(b"hub"))[0])
    assert hub.oscore() == pump.oscore()
    return messages, plaintexts, hub.oscore()


def conversation(made: dict[str, bytes]) -> dict[str, bytes]:
    """The handshake, requests and responses of the examples, by name."""
    messages, plaintexts, (secret, salt) = exchange(made, True)
    greeting = coap.Message(coap.CON, coap.POST, 0x1233, b"\x50", b"\xf5" + messages[0])
    greeting.add_path(".well-known/edhoc")
    greeting.add(coap.CONTENT_FORMAT, 65)
    context = Context(secret, salt, HUB_ID, PUMP_ID)
    sealed = []
    for mid, token in ((0x1234, b"\x51"), (0x1235, b"\x52")):
        request = coap.Message(coap.CON, coap.GET, mid, token)
        request.add_path("temp")
        request.add(coap.EPOCH, 2)
        sealed.append(context.protect_request(request))
    first, binding = sealed[0]
    first.add(coap.EDHOC)
    first.payload = messages[2] + first.payload
    answer = coap.Message(coap.ACK, coap.CONTENT, 0x1234, b"\x51", b"21.5")
    answer.add(coap.EPOCH, 1)
    answer = Context(secret, salt, PUMP_ID, HUB_ID).protect_response(answer, binding)
    return {
        "message-1": messages[0],
        "message-2": messages[1],
        "message-3": messages[2],
        "plaintext-2": plaintexts[0],
        "plaintext-3": plaintexts[1],
        "datagram-1": greeting.encode(),
        "combined": first.encode(),
        "response": answer.encode(),
        "later": sealed[1][0].encode(),
        "secret": secret,
        "salt": salt,
    }
