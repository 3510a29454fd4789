"""Child processes of a command: a worker, an agent. They end with it, however it ends.

Ours are started so that the kernel tells them when we die (PR_SET_PDEATHSIG), in a session of their
own, so that Ctrl-C reaches only us and we stop them in order.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from rackmeter.errors import DependencyError
from rackmeter.stack import Stack

STOP_SECONDS: Final = 15.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Process:
    """One `rackmeter …` in a process of its own; what it says goes to a log file."""

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        self._arguments = [sys.executable, "-m", "rackmeter", *arguments]
        self._env = {**os.environ, **env}
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running child."""
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start it, appending to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = self._spawn(log)

    def check(self) -> None:
        """Raise when it has ended by itself."""
        if self._child is not None and (code := self._child.poll()) is not None:
            raise DependencyError(
                f"The {self.name} ended with exit code {code}: {self._last_words()} ({self.log})"
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._child is not None
        self._child.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; returns its exit code."""
        assert self._child is not None
        return self._child.wait(seconds)

    def stop(self) -> None:
        """Ask it to end; insist when it does not. May be repeated."""
        if self._child is None or self._child.poll() is not None:
            return
        self.send(signal.SIGTERM)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        owner = os.getpid()
        return subprocess.Popen(
            self._arguments,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: _die_with(owner),  # noqa: PLW1509 - touches nothing but the kernel
        )

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return lines[-1][-300:] if lines else "it said nothing"
        return "its log cannot be read"


class Worker(Process):
    """`rackmeter run worker` on a stack."""

    def __init__(
        self, stack: Stack, data_dir: Path, *, accept_new_topic: bool = False, **settings: str
    ) -> None:
        env = {
            "RACKMETER_DATABASE_URL": stack.database_url,
            "RACKMETER_KAFKA_BOOTSTRAP": stack.bootstrap,
            "RACKMETER_DATA_DIR": str(data_dir),
            "RACKMETER_ACCEPT_NEW_TOPIC": str(accept_new_topic).lower(),
            **{f"RACKMETER_{name.upper()}": value for name, value in settings.items()},
        }
        super().__init__("worker", ["run", "worker"], data_dir / "log" / "worker.log", env)


def _die_with(owner: int) -> None:
    """In the child, before exec: SIGTERM when the parent is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != owner:
        os._exit(1)
