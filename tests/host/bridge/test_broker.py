"""The connection: TLS, passwords, refusals with their reason, and a broker that sends garbage."""

import datetime
import ipaddress
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bridge_rig import BridgeProcess, bridge_folder, toml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from field_rig import Field, writ, writ_json
from interop_rig import HOST, free_port
from mosquitto_rig import (
    CONNACK,
    Client,
    Impostor,
    Mosquitto,
    Recorder,
    needs_mosquitto,
    wait_for,
)

from writ_host.bridge import broker as brokers
from writ_host.bridge.broker import Broker, Connected, Disconnected, Subscription
from writ_host.bridge.settings import BrokerSettings

pytestmark = [pytest.mark.slow, needs_mosquitto]


def make_certificate(path: Path) -> None:
    """A self-signed certificate for the loopback address: cert.pem and key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test broker")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    (path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))


def secured(path: Path) -> Mosquitto:
    """A broker with TLS and a password for the user "hub"."""
    make_certificate(path)
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("no mosquitto_passwd: apt install mosquitto")
    passwords = path / "passwords"
    subprocess.run([tool, "-b", "-c", str(passwords), "hub", "s3cret"], check=True)
    return Mosquitto(
        path / "mosquitto",
        f"certfile {path}/cert.pem",
        f"keyfile {path}/key.pem",
        "allow_anonymous false",
        f"password_file {passwords}",
    )


def write_password(path: Path, password: str) -> None:
    """The password file of a bridge in `path`."""
    file = path / "password"
    file.touch(0o600)
    file.write_text(f"hub\n{password}\n")


SECURED = 'ca = "../cert.pem"\npassword_file = "password"\n'


def test_tls_and_a_password_from_a_file(field: Field, tmp_path: Path) -> None:
    device = field.device("soil")
    with secured(tmp_path) as broker:
        path = bridge_folder(field, toml(broker.port, broker=SECURED), soil=device.address)
        write_password(path, "s3cret")
        found = writ_json("bridge", "check", path)
        assert found["member"] is True
        assert found["scope"] == field.scope.id.hex()
        bridge = BridgeProcess(path).start()
        try:
            wait_for(lambda: bridge.metric("published_total") > 0)
            assert "s3cret" not in bridge.output
        finally:
            bridge.kill()


@pytest.mark.parametrize(
    ("more", "password", "message"),
    [
        (SECURED, "wrong", "Not authorized"),
        ('password_file = "password"\n', "s3cret", "certificate verify failed"),
        ("tls = false\n", "", "the connection ended"),
    ],
    ids=["password", "certificate", "plain"],
)
def test_a_broker_that_refuses_is_named_with_its_reason(
    field: Field, tmp_path: Path, more: str, password: str, message: str
) -> None:
    with secured(tmp_path) as broker:
        path = bridge_folder(field, toml(broker.port, broker=more))
        write_password(path, password)
        ran = writ("bridge", "check", path, "--timeout", "5", code=3)
        assert message in ran.stderr
        assert password not in ran.output or not password


def test_an_absent_broker_is_named(field: Field) -> None:
    port = free_port()
    path = bridge_folder(field, toml(port))
    ran = writ("bridge", "check", path, "--timeout", "2", code=3)
    assert f"no connection to {HOST}:{port}: Connection refused" in ran.stderr


def test_a_broker_that_takes_nothing_is_named(field: Field, tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.touch(0o700)
    acl.write_text("topic read #\n")
    with Mosquitto(tmp_path / "mosquitto", f"acl_file {acl}") as broker:
        path = bridge_folder(field, toml(broker.port))
        ran = writ("bridge", "check", path, code=1)
        assert "refused to publish at writ/" in ran.stderr
        assert "Not authorized" in ran.stderr


def client_of(port: int, *topics: str) -> Broker:
    """A started client without TLS."""
    settings = BrokerSettings(HOST, port, tls=False)
    found = Broker(settings, "test", None, [Subscription(topic) for topic in topics])
    found.start()
    return found


def test_the_inbox_is_bounded(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "INBOX_MAX", 10)
    found = client_of(broker.port, "in/#")
    try:
        wait_for(lambda: found.is_connected)
        with Client(broker.port, "none") as other:
            wait_for(lambda: other.publish("in/0", b"0") or found.inbox)
            # longer than the client has told the broker to send
            other.publish("in/long", bytes(brokers.PACKET_BYTES_MAX + 1))
            for n in range(20):
                other.publish("in/x", b"%d" % n)
            wait_for(lambda: found.dropped > 9)
        assert len(found.inbox) == 10
        taken = [found.inbox.take() for _ in range(11)]
        assert taken[-1] is None
        assert all(one.topic != "in/long" for one in taken[:-1] if one)
    finally:
        found.stop()


def test_a_message_above_the_brokers_limit_is_not_sent(tmp_path: Path) -> None:
    lines = ("max_packet_size 1000",)
    with Mosquitto(tmp_path / "mosquitto", *lines) as broker:
        found = client_of(broker.port, "x")
        try:
            wait_for(lambda: found.is_connected)
            assert found.publish("t", bytes(2000), False) is None
            assert found.publish("t", bytes(500), False) is not None
            assert found.fits("t", bytes(500))
            assert not found.fits("t", bytes(500), CorrelationData=bytes(500))
        finally:
            found.stop()


def test_a_broker_that_acknowledges_nothing_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(brokers, "QUEUED_MAX", 40)
    server = Recorder(first=1_000_000)
    found = client_of(server.port, "x")
    try:
        wait_for(lambda: found.is_connected)
        sent = [found.publish("t", b"x", False) for _ in range(60)]
        assert None not in sent[:40]
        assert set(sent[40:]) == {None}
    finally:
        found.stop()
        server.close()


def test_a_missing_certificate_file_is_named(field: Field) -> None:
    path = bridge_folder(field, toml(free_port(), broker='ca = "missing.pem"\n'))
    ran = writ("bridge", "check", path, code=1)
    assert "missing.pem" in ran.stderr
    (path / "missing.pem").write_text("no certificate")
    assert "has no certificates" in writ("bridge", "check", path, code=1).stderr


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 50,
        b"\xff" * 50,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        CONNACK + b"\x30\x05\x00\x01\xff\xff\xff",
        CONNACK + b"\x32\x09\x00\x01a\x00\x01\x04\x7f\x01\x02",
        b"\x20\x06\x00\x00\x03\x7f\x01\x02",
    ],
    ids=["zeros", "ones", "http", "properties", "property", "connack"],
)
def test_garbage_costs_the_connection_and_not_the_bridge(field: Field, data: bytes) -> None:
    server = Impostor(data)
    device = field.device("soil")
    path = bridge_folder(field, toml(server.port), soil=device.address)
    bridge = BridgeProcess(path).start()
    try:
        wait_for(lambda: server.accepted >= 2)
        # it goes on reading
        before = bridge.metric("readings_total")
        wait_for(lambda: bridge.metric("readings_total") > before + 1)
        assert bridge.stop() == 0
    finally:
        bridge.kill()
        server.close()


def test_events_name_the_reason(tmp_path: Path) -> None:
    found = client_of(free_port(), "x")
    try:
        wait_for(lambda: found.events)
        event: Any = found.events.popleft()
        assert isinstance(event, Disconnected)
        assert not isinstance(event, Connected)
    finally:
        found.stop()
