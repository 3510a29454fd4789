"""A real SNMP agent, net-snmp's snmpd, on loopback: ports are the NICs of this machine."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NARROW = "rack-32-bit-word"
"""Who says it is shown no 64-bit counters, as by an old switch."""
COMMUNITY, USER, AUTH, PRIVACY = "rack-2c-word", "rackmeter", "auth-word-123", "priv-word-123"
CONF = """\
agentAddress udp:127.0.0.1:{port}
rocommunity {community} 127.0.0.1
view narrow included .1
view narrow excluded .1.3.6.1.2.1.31.1.1.1.6
view narrow excluded .1.3.6.1.2.1.31.1.1.1.10
rocommunity {narrow} 127.0.0.1 -V narrow
createUser {user} SHA-256 {auth} AES {privacy}
rouser {user} priv
"""


def program() -> str:
    """Its path; skips where it is not installed, except on a build server."""
    found = shutil.which("snmpd") or shutil.which("snmpd", path="/usr/sbin")
    if found is None:
        why = "snmpd is missing: apt install snmpd"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@contextmanager
def running(folder: Path, port: int) -> Iterator[None]:
    """Its own configuration and memory, nothing of the machine's."""
    conf = folder / "snmpd.conf"
    conf.write_text(
        CONF.format(
            port=port, community=COMMUNITY, narrow=NARROW, user=USER, auth=AUTH, privacy=PRIVACY
        )
    )
    environment = {**os.environ, "SNMP_PERSISTENT_DIR": str(folder / "memory"), "MIBS": ""}
    with (folder / "snmpd.log").open("wb") as log:
        process = subprocess.Popen(
            [program(), "-f", "-Lo", "-C", "-c", str(conf), "-I", "-smux"],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
