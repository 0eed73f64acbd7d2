"""A certificate authority for one run: its key is forgotten when the certificate is signed."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """Write the certificate of an authority, and a key with the certificate of 127.0.0.1.

    Returns
    -------
    (Path, Path)
        What clients trust, and what the server shows.
    """
    own_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("cottoncandy benchmarks", own_key, own_key, "cottoncandy benchmarks", is_authority=True)
    certificate = _certificate("127.0.0.1", key, own_key, "cottoncandy benchmarks", is_authority=False)
    trusted, shown = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(_pem(authority))
    shown.write_bytes(_key_pem(key) + _pem(certificate))
    return trusted, shown


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, signing: ec.EllipticCurvePrivateKey, issuer: str, *, is_authority: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.timezone.utc)
    hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 7 * _DAY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_identifier(signing), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if is_authority:
        builder = builder.add_extension(_usage(), critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(signing, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage() -> x509.KeyUsage:
    """To sign certificates, and nothing else."""
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
