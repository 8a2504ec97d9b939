"""Reference sizes: the same credentials in other formats, encoded in this run."""

import base64
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

NAME = "soil-north"
START = datetime.datetime(2026, 9, 21, tzinfo=datetime.UTC)
END = START + datetime.timedelta(days=365)


def jwt_bytes() -> int:
    """A JWT (RFC 7519, EdDSA) with a member's claims: sub, exp, cnf key, address and roles."""

    def part(raw: bytes) -> bytes:
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": part(numbers.x.to_bytes(32, "big")).decode(),
        "y": part(numbers.y.to_bytes(32, "big")).decode(),
    }
    claims = {"sub": NAME, "exp": int(END.timestamp()), "cnf": {"jwk": jwk}, "addr": 17, "roles": 4}
    texts = [
        json.dumps(item, separators=(",", ":")).encode() for item in ({"alg": "EdDSA"}, claims)
    ]
    signed = b".".join(part(text) for text in texts)
    signature = ed25519.Ed25519PrivateKey.generate().sign(signed)
    return len(signed + b"." + part(signature))


def x509_bytes() -> int:
    """The smallest sensible X.509 certificate (DER): P-256 key, Ed25519 issuer, no extensions."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hill-farm")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(17).not_valid_before(START).not_valid_after(END)
    certificate = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    return len(certificate.public_bytes(serialization.Encoding.DER))


def biscuit_bytes() -> int | None:
    """A Biscuit token with the node, its role and an expiry; None where the package is missing."""
    try:
        import biscuit_auth
    except ImportError:
        return None
    facts = f'node("{NAME}"); role("sensor"); check if time($t), $t < {END:%Y-%m-%dT%H:%M:%SZ};'
    token = biscuit_auth.BiscuitBuilder(facts).build(biscuit_auth.KeyPair().private_key)
    return len(token.to_bytes())


def _field(number: int, value: int | bytes) -> bytes:
    # one field of protobuf's wire format: a varint or a length-delimited value
    def varint(item: int) -> bytes:
        out = bytearray()
        while item > 127:
            out.append(item & 127 | 128)
            item >>= 7
        out.append(item)
        return bytes(out)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def nebula_bytes() -> int:
    """A Nebula certificate, version 1, encoded by its published cert.proto (protobuf, 64-byte
    signature): name, one address with its mask, one group, validity, key and issuer's digest."""
    address = b"\x91\xd6\xd0\x90\x0c" + b"\x80\xfe\xff\xff\x0f"
    details = _field(1, NAME.encode()) + _field(2, address) + _field(4, b"sensor")
    details += _field(5, int(START.timestamp())) + _field(6, int(END.timestamp()))
    details += _field(7, bytes(32)) + _field(9, bytes(32))
    return len(_field(1, details) + _field(2, bytes(64)))


_RETICULUM = """
import json, os, sys, time
import RNS
from RNS.vendor import umsgpack
RNS.Reticulum(configdir=sys.argv[1], loglevel=0)
identity = RNS.Identity()
inward = RNS.Destination(identity, RNS.Destination.IN, RNS.Destination.SINGLE, "writ", "bench")
announce = inward.announce(send=False)
announce.pack()
sent = []
def send(packet):
    packet.pack()
    packet.sent = True
    sent.append(packet)
RNS.Packet.send = send
class Interface:
    HW_MTU = bitrate = None
    mode = 1
def arrive(destination):
    packet = RNS.Packet(None, sent[-1].raw)
    packet.unpack()
    packet.destination = destination
    packet.receiving_interface = Interface()
    return packet
outward = RNS.Destination(identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "writ", "bench")
link = RNS.Link(outward)
request = arrive(inward)
RNS.Link.validate_request(inward, request.data, request)
link.validate_proof(arrive(link))
def protected(context, fields):
    packet = RNS.Packet(link, umsgpack.packb(fields), context=context)
    packet.destination = link
    packet.pack()
    return packet
number = RNS.Identity.truncated_hash(b"request")
question = protected(RNS.Packet.REQUEST, [time.time(), RNS.Identity.truncated_hash(b"temp"), None])
answer = protected(RNS.Packet.RESPONSE, [number, b"21.5"])
print(json.dumps([len(packet.raw) for packet in [announce, *sent, question, answer]]), flush=True)
os._exit(0)
"""


def reticulum_packets() -> list[int] | None:
    """Bytes of Reticulum's packets, without any interface: an announce, the three of a link, and
    a request over it with its response.
    """
    with tempfile.TemporaryDirectory() as folder:
        text = "[reticulum]\n enable_transport = No\n share_instance = No\n[interfaces]\n"
        Path(folder, "config").write_text(text)
        command = [sys.executable, "-c", _RETICULUM, folder]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=os.environ, check=False
        )
    if done.returncode:
        return None
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def reticulum_bytes() -> tuple[int, int] | None:
    """(announce, link establishment of three packets) of Reticulum."""
    packets = reticulum_packets()
    return (packets[0], sum(packets[1:4])) if packets else None
