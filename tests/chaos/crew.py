"""Worker processes that are started again whenever they end, and what ended them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from tests.chaos.worker import arm

_POLL_S: Final = 0.02
_STOP_S: Final = 40.0
_JOIN_S: Final = 60.0
"""Starting, joining and claiming, on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class End:
    """A process that ended: when, and its exit code (−9: SIGKILL)."""

    at_s: float
    worker: int
    code: int


@dataclass
class Crew:
    """So many workers, whatever happens to them."""

    size: int
    environment: Mapping[str, str]
    folder: Path
    ends: list[End] = field(default_factory=list)
    _running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    _keepers: list[asyncio.Task[None]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _closing: bool = False

    @property
    def kills(self) -> int:
        return sum(end.code == -signal.SIGKILL for end in self.ends)

    def start(self) -> None:
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in range(self.size)]

    async def _keep(self, worker: int) -> None:
        while not self._closing:
            process = self._running[worker] = await self.spawn(worker)
            code = await process.wait()
            self.ends.append(End(time.monotonic(), worker, code))

    async def spawn(self, worker: int) -> asyncio.subprocess.Process:
        with self.log(worker).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.chaos.worker", str(self._arms(worker)),
                str(os.getpid()),
                env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def log(self, worker: int) -> Path:
        return self.folder / f"worker-{worker}.log"

    def _arms(self, worker: int) -> Path:
        folder = self.folder / f"failpoints-{worker}"
        folder.mkdir(exist_ok=True)
        return folder

    def _armed(self, worker: int, step: str, nth: int, how: str) -> Path:
        file = self._arms(worker) / str(next(self._numbers))
        arm(file, step, nth, how)
        return file

    async def kill(self, worker: int) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self._running[worker]
        if process.returncode is None:
            process.kill()
            await process.wait()

    async def crash(self, worker: int, step: str, nth: int, patience_s: float) -> bool:
        """SIGKILL at a step; whether it was reached in time. If not: SIGKILL now. After that a
        claim will be reached, by the next worker.
        """
        file = self._armed(worker, step, nth, "kill")
        if await _gone(file, patience_s):
            return True
        if not step.startswith("claim"):
            file.unlink(missing_ok=True)
            await self.kill(worker)
            return False
        await self.kill(worker)
        return await _gone(file, _JOIN_S)

    async def freeze(self, worker: int, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        process = self._running[worker]
        _signal(process, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        _signal(process, signal.SIGCONT)

    async def freeze_at(
        self, worker: int, step: str, nth: int, seconds: float, patience_s: float
    ) -> bool:
        """SIGSTOP at a step; whether it was reached in time."""
        file = self._armed(worker, step, nth, "stop")
        if not await _gone(file, patience_s):
            file.unlink(missing_ok=True)
            return False
        process = self._running[worker]
        await asyncio.sleep(seconds)
        _signal(process, signal.SIGCONT)
        return True

    async def close(self) -> list[int]:
        """SIGTERM to all; their exit codes."""
        self._closing = True
        found = list(self._running.values())
        for process in found:
            _signal(process, signal.SIGCONT)
            _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                return [await process.wait() for process in found]
        finally:
            await self.end()

    async def end(self) -> None:
        """Whatever happened: nothing is left running."""
        self._closing = True
        for process in self._running.values():
            _signal(process, signal.SIGKILL)
        await asyncio.gather(*self._keepers)


async def _gone(file: Path, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while file.exists():  # noqa: ASYNC240 - a look at a name
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
