"""The proxy does to connections what it says, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxy import Proxy, Streams


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, Streams, list[bytes]]]:
    """A server that keeps what it hears and echoes it; a client on the other side of a proxy."""
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                heard.append(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = Proxy(lambda: asyncio.open_connection("127.0.0.1", port))
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield proxy, (reader, writer), heard
    finally:
        writer.close()
        await proxy.close()
        server.close()
        await asyncio.sleep(0.05)


async def said(streams: Streams, text: bytes) -> bytes:
    reader, writer = streams
    writer.write(text)
    return await reader.read(1000)


def test_it_passes_both_ways() -> None:
    async def scene() -> None:
        async with proxied() as (_, streams, heard):
            assert await said(streams, b"one") == b"one"
            assert heard == [b"one"]

    asyncio.run(scene())


def test_a_stall_holds_everything_and_loses_nothing() -> None:
    async def scene() -> None:
        async with proxied() as (proxy, streams, heard):
            stall = asyncio.create_task(proxy.stall(0.4))
            longer = asyncio.create_task(proxy.stall(0.6))
            await asyncio.sleep(0.05)
            streams[1].write(b"held")
            await asyncio.sleep(0.45)
            assert heard == []
            assert await streams[0].read(1000) == b"held"
            await asyncio.gather(stall, longer)

    asyncio.run(scene())


def test_a_delay_holds_each_piece() -> None:
    async def scene() -> None:
        async with proxied() as (proxy, streams, _):
            slow = asyncio.create_task(proxy.delay(0.5, 0.1))
            await asyncio.sleep(0)
            began = time.monotonic()
            assert await said(streams, b"slow") == b"slow"
            assert time.monotonic() - began >= 0.2
            await slow
            assert proxy.delay_s == 0

    asyncio.run(scene())


def test_who_is_deaf_is_heard_gets_no_answer_and_is_reset() -> None:
    async def scene() -> None:
        async with proxied() as (proxy, streams, heard):
            deaf = asyncio.create_task(proxy.deafen(0.3))
            await asyncio.sleep(0)
            with pytest.raises(ConnectionResetError):
                await said(streams, b"commit")
            assert heard == [b"commit"]
            await deaf

    asyncio.run(scene())


def test_after_a_reset_others_can_connect() -> None:
    async def scene() -> None:
        async with proxied() as (proxy, streams, _):
            assert await said(streams, b"one") == b"one"
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                await streams[0].read(1000)
            again = await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await said(again, b"two") == b"two"
            again[1].close()

    asyncio.run(scene())
