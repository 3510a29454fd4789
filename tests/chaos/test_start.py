"""A worker whose broker goes away between its look at the topics and its first fetch."""

import asyncio
from pathlib import Path

from sinks.database import connect, migrate
from tests.chaos.crew import Crew
from tests.chaos.play import SETTINGS
from tests.chaos.servers import started
from tests.fix_worker import Scene, wait_for

_REGISTERED_S = 60.0


def test_it_ends_with_a_sentence_that_it_may_be_started_again(tmp_path: Path) -> None:
    code, said = asyncio.run(_started_without_broker(tmp_path))
    assert code == 4, said
    [sentence] = [line for line in said.splitlines() if line.startswith("rackmeter: ")]
    assert "Kafka at 127.0.0.1" in sentence
    assert "does not answer" in sentence


async def _started_without_broker(folder: Path) -> tuple[int, str]:
    async with started(folder, on_kafka=False) as there:
        url = there.stack.database_url
        await asyncio.to_thread(migrate, url)
        scene = Scene(there.far_bootstrap, there.far_url(url), "start.", folder)
        crew = Crew(1, {**scene.environment, **SETTINGS}, folder)
        process = await crew.spawn(0)
        try:
            await asyncio.to_thread(_wait_registered, url)
            await there.to_broker.close()
            return await asyncio.wait_for(process.wait(), 60), crew.log(0).read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _wait_registered(url: str) -> None:
    """Until the worker has found its topics."""
    with connect(url, autocommit=True) as conn:
        wait_for(
            lambda: conn.execute("SELECT 1 FROM ingest_topic").fetchone(),
            "topic in the ledger", seconds=_REGISTERED_S,
        )  # fmt: skip
