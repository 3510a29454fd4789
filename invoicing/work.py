"""Batches of a close, one after the other or several at a time in processes of their own.

Each process has its own connection and does whole batches. One that is killed leaves what it had
not committed undone, like a close that is: the others end with their batch, and the next close
does the rest.
"""

import gc
import multiprocessing
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from invoicing.batch import Closed, closed
from invoicing.plan import Group
from invoicing.run import Run
from schemas.errors import DependencyError
from sinks.actor import AMBIENT
from sinks.arrays import write_lists
from sinks.database import Connection, connect

STATEMENT_TIMEOUT_MS: Final = 1_800_000
"""Half an hour: the conservation of a customer with thousands of servers is one statement."""
GC_OBJECTS: Final = 50_000
"""New objects before Python looks for cycles: what invoices are made of has none."""
Done = tuple[Sequence[Group], list[Closed]]


def session(url: str) -> Connection:
    """A connection of a close."""
    conn = connect(
        url,
        autocommit=True,
        application_name="rackmeter close",
        statement_timeout_ms=STATEMENT_TIMEOUT_MS,
    )
    write_lists(conn)
    return conn


@dataclass(frozen=True, slots=True)
class Work:
    """What every process of a close knows; ``corrected`` are accounts to be corrected for."""

    url: str
    run: Run
    corrected: Collection[str]

    def done(
        self, conn: Connection, wanted: Sequence[Sequence[Group]], processes: int
    ) -> Iterator[Done]:
        """Each batch with what became of it, as soon as it is known; a period after those that
        began before it.
        """
        many = min(processes, len(wanted))
        if many < 2:
            for groups in wanted:
                yield groups, closed(conn, groups, self.run, self.corrected)
            return
        alone = replace(self, run=replace(self.run, step=_silent))
        try:
            with ProcessPoolExecutor(
                many, multiprocessing.get_context("spawn"), _begin,
                (alone, AMBIENT.actor, AMBIENT.reason),
            ) as pool:  # fmt: skip
                for _, same in groupby(wanted, key=lambda groups: groups[0].period.start):
                    futures = {pool.submit(_close, groups): groups for groups in same}
                    yield from _results(futures)
        except BrokenProcessPool as error:
            raise DependencyError(
                "A process of the close was killed. Nothing is half done; close again."
            ) from error


def _results(futures: dict[Future[list[Closed]], Sequence[Group]]) -> Iterator[Done]:
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _silent(name: str, account: str) -> None:
    """Steps are told by who waits for the batch: when it is done."""


_mine: list[tuple[Connection, Work]] = []
"""Of a process that does batches."""


def _begin(work: Work, actor: str, reason: str) -> None:
    AMBIENT.actor, AMBIENT.reason = actor, reason
    gc.set_threshold(GC_OBJECTS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _mine.append((session(work.url), work))


def _end_with_parent() -> None:
    """Whoever started it is gone, killed perhaps: nobody waits for its batches."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # it was spawned
    parent.join()
    os._exit(1)


def _close(groups: Sequence[Group]) -> list[Closed]:
    ((conn, work),) = _mine
    return closed(conn, groups, work.run, work.corrected)
