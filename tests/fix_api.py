"""A real API process on a free port, and what it answers. Not a plugin."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests import vault

DEADLINE_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Api:
    """One API process; what it says goes to a file."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    trust: ssl.SSLContext | bool = True

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.url + path, verify=self.trust, timeout=DEADLINE_S)

    def post(self, path: str, **arguments: Any) -> httpx2.Response:
        return httpx2.post(self.url + path, verify=self.trust, timeout=DEADLINE_S, **arguments)

    def enroll(self, token: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        return self.post("/v1/agents/enroll", json={"token": token}, headers=headers)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


def environment(url: str, bootstrap: str, folder: Path, /, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RACKMETER_")}
    return {
        **kept,
        **vault.ENVIRONMENT,
        "RACKMETER_DATABASE_URL": url,
        "RACKMETER_KAFKA_BOOTSTRAP": bootstrap,
        "RACKMETER_DATA_DIR": str(folder),
        **more,
    }


@contextlib.contextmanager
def api(
    database: str,
    bootstrap: str,
    folder: Path,
    trust: ssl.SSLContext | None = None,
    /,
    **more: str,
) -> Iterator[Api]:
    """An API that answers, killed at the end if it still runs."""
    folder.mkdir(parents=True, exist_ok=True)
    log, port = folder / f"api-{time.monotonic_ns()}.log", free_port()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "rackmeter", "run", "api"],
            env=environment(database, bootstrap, folder, RACKMETER_API_PORT=str(port), **more),
            stdout=stream, stderr=stream,
        )  # fmt: skip
    scheme = "https" if trust else "http"
    made = Api(process, f"{scheme}://127.0.0.1:{port}", log, trust or True)
    try:
        _until_it_answers(made)
        yield made
    finally:
        process.kill()
        process.wait()


def _until_it_answers(made: Api) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        assert made.process.poll() is None, made.said()
        with contextlib.suppress(httpx2.TransportError):
            assert made.get("/healthz").status_code == 200
            return
        assert time.monotonic() < deadline, made.said()
        time.sleep(0.05)
