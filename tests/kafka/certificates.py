"""A certificate authority of a minute: itself, the broker's certificate and a client's, as PEM."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = timedelta(days=1)
Signer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True)
class Certificates:
    """Paths. ``server`` holds key and certificate in one file, as Kafka wants it."""

    ca: Path
    stranger: Path
    """Another authority, which signed nothing here."""
    server: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    folder.mkdir(parents=True, exist_ok=True)
    paths = Certificates(
        *(folder / f"{name}.pem" for name in ("ca", "stranger", "server", "client", "client-key"))
    )
    ca = _authority(paths.ca, "test authority")
    _authority(paths.stranger, "another authority")
    key, certificate = _issued(ca, "broker")
    paths.server.write_bytes(key + certificate)
    key, certificate = _issued(ca, "meter")
    paths.client_key.write_bytes(key)
    paths.client.write_bytes(certificate)
    return paths


def _authority(path: Path, name: str) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _builder(subject, (subject, key), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return subject, key


def _issued(authority: Signer, name: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    local = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    )
    made = _builder(_name(name), authority, key).add_extension(local, critical=False)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    signed = made.sign(authority[1], hashes.SHA256())
    return pem, signed.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, authority: Signer, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    issuer, issuer_key = authority
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])
