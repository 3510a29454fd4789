"""A TCP proxy that stalls, delays, swallows answers and resets, between workers and a server."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_PIECE: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends RST."""


class Proxy:
    """Listens on the loopback; ``target`` opens a connection to the server behind it."""

    def __init__(self, target: Callable[[], Awaitable[Streams]]) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._stalls = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.delay_s = 0.0
        self.deaf = False
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._stalls = 0
        self._flowing.set()
        self.reset()

    async def stall(self, seconds: float) -> None:
        """Nothing passes, either way; connections stay open and new ones are taken."""
        self._stalls += 1
        self._flowing.clear()
        await asyncio.sleep(seconds)
        self._stalls -= 1
        if self._stalls <= 0:
            self._flowing.set()

    async def delay(self, seconds: float, each_s: float) -> None:
        """Each piece waits."""
        self.delay_s = each_s
        await asyncio.sleep(seconds)
        self.delay_s = 0.0

    async def deafen(self, seconds: float) -> None:
        """Questions pass, answers are swallowed; then every connection is reset."""
        self.deaf = True
        await asyncio.sleep(seconds)
        self.reset()
        self.deaf = False

    def reset(self) -> None:
        """RST on both sides of every connection."""
        for writer in list(self._open):
            found = writer.get_extra_info("socket")
            if found is not None and found.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            async with _closing(self._open, writer):
                await self._flowing.wait()
                far_reader, far_writer = await self._target()
                async with _closing(self._open, far_writer):
                    await asyncio.wait(
                        {
                            asyncio.create_task(self._pump(reader, far_writer, answers=False)),
                            asyncio.create_task(self._pump(far_reader, writer, answers=True)),
                        },
                        return_when=asyncio.FIRST_COMPLETED,
                    )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                await self._flowing.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if not (answers and self.deaf):
                    writer.write(data)
                    await writer.drain()


@contextlib.asynccontextmanager
async def _closing(
    known: dict[asyncio.StreamWriter, None], writer: asyncio.StreamWriter
) -> AsyncIterator[None]:
    known[writer] = None
    try:
        yield
    finally:
        del known[writer]
        writer.close()
