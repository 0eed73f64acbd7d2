"""The lean way over TLS: verified as the client says, and as whole as without."""

from __future__ import annotations

import ipaddress
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as boto
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lean_faults import ScriptedServer, hold, plain_client, raw, reply

from cottoncandy.backends.s3.lean import LeanClient
from cottoncandy.retry import RetryPolicy

pytestmark = pytest.mark.lean_wire("it is about our own connections, or sets them beside botocore's")

BODY = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, which signs itself, with its key in the same file."""
    return self_signed(tmp_path_factory.mktemp("tls") / "ours.pem", "127.0.0.1")


def self_signed(path: Path, address: str, days: tuple[int, int] = (-1, 1)) -> Path:
    """A certificate that holds between two days, counted from today, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days[0])).not_valid_after(now + timedelta(days[1]))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(pem) + private)
    return path


@pytest.fixture
def serve(certificate: Path) -> Iterator[Callable[..., tuple[ScriptedServer, Callable[..., LeanClient]]]]:
    """``serve(*steps)``: a server over TLS, and what makes clients of it."""
    opened: list[Any] = []

    def start(*steps: Any, asks_for_certificate: bool = False) -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if asks_for_certificate:
            context.load_verify_locations(certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        server = ScriptedServer(*steps, tls=context)

        def make(verify: Any = str(certificate), **config: Any) -> LeanClient:
            client = plain_client(server.url, arguments={"verify": verify}, **config)
            lean = LeanClient(client, policy=RetryPolicy(attempts=2, sleep=lambda _: None))
            opened.append(lean.close)
            return lean

        opened.append(lambda: server.__exit__(None, None, None))
        return server, make

    yield start
    for close in reversed(opened):
        close()


def test_bodies_are_whole_both_ways(serve: Any) -> None:
    server, make = serve(reply(), *[reply(body=BODY)] * 3)
    lean = make()
    lean.put_object(Bucket="bucket", Key="x", Body=memoryview(BODY))
    assert server.requests[0].body == BODY
    buffer = bytearray(len(BODY))
    body = lean.get_object(Bucket="bucket", Key="x")["Body"]
    assert body.readinto(buffer) == len(BODY)
    assert buffer == BODY
    for _ in range(2):
        assert lean.get_object(Bucket="bucket", Key="x")["Body"].read() == BODY
    assert server.connections == 1
    assert not any(asked.by_botocore for asked in server.requests)


def test_a_stranger_is_not_trusted(serve: Any, tmp_path: Path) -> None:
    server, make = serve(*[reply()] * 9)
    for verify in (True, str(self_signed(tmp_path / "other.pem", "127.0.0.1"))):
        with pytest.raises(boto.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            make(verify).get_object(Bucket="bucket", Key="x")
    assert server.requests == []
    assert server.connections == 2  # what is wrong with a certificate does not pass


def test_the_name_must_be_right(serve: Any, certificate: Path) -> None:
    server, _ = serve(reply())
    client = plain_client(server.url.replace("127.0.0.1", "localhost"), arguments={"verify": str(certificate)})
    lean = LeanClient(client)
    with pytest.raises(boto.SSLError):
        lean.get_object(Bucket="bucket", Key="x")
    lean.close()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_trust_can_be_switched_off(serve: Any) -> None:
    server, make = serve(reply(body=b"1"))
    assert make(verify=False).get_object(Bucket="bucket", Key="x")["Body"].read() == b"1"
    assert not server.requests[0].by_botocore


def test_a_certificate_of_the_client_is_shown(serve: Any, certificate: Path) -> None:
    _, make = serve(reply(body=b"1"), asks_for_certificate=True)
    lean = make(client_cert=str(certificate))
    assert lean.get_object(Bucket="bucket", Key="x")["Body"].read() == b"1"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command: apt-get install openssl")
def test_a_folder_of_authorities(serve: Any, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "ours.pem").write_bytes(certificate.read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    _, make = serve(reply(body=b"1"))
    assert make(verify=str(tmp_path)).get_object(Bucket="bucket", Key="x")["Body"].read() == b"1"


def test_a_body_that_ends_early(serve: Any) -> None:
    _, make = serve(
        raw(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 3000000\r\n\r\n" + BODY[:1_000_000], close=True)
    )
    body = make().get_object(Bucket="bucket", Key="x")["Body"]
    buffer = bytearray(len(BODY))
    assert body.readinto(buffer) == 1_000_000
    assert buffer[:1_000_000] == BODY[:1_000_000]
    with pytest.raises(boto.IncompleteReadError):
        body.readinto(buffer)


def test_an_idle_connection_that_was_closed_is_replaced(serve: Any) -> None:
    server, make = serve(raw(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 1\r\n\r\n1", close=True), reply(body=b"2"))
    lean = make()
    assert [lean.get_object(Bucket="bucket", Key="x")["Body"].read() for _ in range(2)] == [b"1", b"2"]
    assert server.connections == 2


def test_an_answer_that_does_not_come(serve: Any) -> None:
    done = threading.Event()
    _, make = serve(hold(done), hold(done))
    with pytest.raises(boto.ReadTimeoutError):
        make(read_timeout=0.3).get_object(Bucket="bucket", Key="x")
    done.set()
