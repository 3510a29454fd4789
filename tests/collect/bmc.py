"""A controller as an HTTPS server on loopback: a tree of documents, behind a password.

The documents have the shape of DMTF's public mock-ups (public-rackmount1, public-bladed); figures
are ours.
"""

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "meter", "bmc-word-123"
ROOT = "/redfish/v1/Chassis"
Tree = Mapping[str, Any]


def ref(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def chassis(*names: str, **more: Mapping[str, Any]) -> dict[str, Any]:
    """The collection, and each chassis; ``more`` is said of a chassis by its name."""
    tree: dict[str, Any] = {
        ROOT: {"Members@odata.count": len(names), "Members": [ref(f"{ROOT}/{n}") for n in names]}
    }
    for name in names:
        tree[f"{ROOT}/{name}"] = {"Id": name, "ChassisType": "RackMount", **more.get(name, {})}
    return tree


def power(name: str, watts: float | None) -> dict[str, Any]:
    """Up to Redfish 2020.4, and what most controllers still show."""
    controls = [
        {"MemberId": "0", "Name": "System Power Control", "PowerConsumedWatts": watts},
        {"MemberId": "1", "Name": "CPU Sub-system Power", "PowerConsumedWatts": 90.5},
    ]
    return {f"{ROOT}/{name}/Power": {"Id": "Power", "PowerControl": controls}}


def environment(name: str, watts: float | None, **energy: float) -> dict[str, Any]:
    shown = {word: {"Reading": value} for word, value in energy.items()}
    return {
        f"{ROOT}/{name}/EnvironmentMetrics": {
            "Id": "EnvironmentMetrics",
            "PowerWatts": {"DataSourceUri": f"{ROOT}/{name}/Sensors/TotalPower", "Reading": watts},
            **shown,
        }
    }


def supplies(name: str, *watts: float | None) -> dict[str, Any]:
    base = f"{ROOT}/{name}/PowerSubsystem"
    names = [f"PSU{number}" for number in range(len(watts))]
    tree: dict[str, Any] = {
        base: {"Id": "PowerSubsystem", "PowerSupplies": ref(f"{base}/PowerSupplies")},
        f"{base}/PowerSupplies": {"Members": [ref(f"{base}/PowerSupplies/{n}") for n in names]},
    }
    for supply, taken in zip(names, watts, strict=True):
        path = f"{base}/PowerSupplies/{supply}"
        tree[path] = {"Id": supply, "Metrics": ref(f"{path}/Metrics")}
        tree[f"{path}/Metrics"] = {"Id": "Metrics", "InputPowerWatts": {"Reading": taken}}
    return tree


@dataclass
class Controller:
    port: int
    certificate: Path
    fingerprint: str
    tree: dict[str, Any]
    asked: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)


@contextmanager
def running(folder: Path, tree: Tree) -> Iterator[Controller]:
    """``tree`` may be changed while it runs; a document that is bytes is answered as it is."""
    certificate = _certified(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text().split("-----BEGIN PRIVATE")[0])
    here = Controller(0, certificate, sha256(der).hexdigest(), dict(tree))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            here.asked.append(self.path)
            here.passwords.append(self.headers.get("Authorization", ""))
            word = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            found = here.tree.get(self.path)
            status = 401 if here.passwords[-1] != f"Basic {word}" else 200 if found else 404
            body = found if isinstance(found, bytes) else json.dumps(found or {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that do not believe the certificate hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    here.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _certified(folder: Path) -> Path:
    """A certificate that vouches for itself, as controllers are shipped, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "bmc.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return file
