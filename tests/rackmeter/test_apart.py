"""A process apart: what it does, how it fails, and that it never outlives whoever wanted it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from rackmeter.apart import ConnectedProcess, portable
from schemas.errors import DependencyError, RefusedError
from sinks.accruals import due_scopes
from sinks.database import Connection
from sinks.scopes import load_scope
from tests.fix_worker import wait_for

OWNER = """
import asyncio, datetime, sys
from rackmeter.apart import ConnectedProcess
from sinks.accruals import due_scopes
async def main():
    apart = ConnectedProcess(sys.argv[1], "test")
    await apart.run(due_scopes, datetime.datetime.now(datetime.UTC), 1)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def apart(billing_url: str) -> Iterator[ConnectedProcess]:
    made = ConnectedProcess(billing_url, "test")
    yield made
    made.close()


def look(apart: ConnectedProcess) -> list[str]:
    return asyncio.run(apart.run(due_scopes, datetime.now(UTC), 10))


def pid_of(apart: ConnectedProcess) -> int:
    assert apart._pool is not None
    (pid,) = apart._pool._processes
    return pid


def connections(conn: Connection) -> int:
    row = conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'rackmeter test' AND datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_it_computes_elsewhere_and_keeps_its_connection(
    apart: ConnectedProcess, customer: Connection
) -> None:
    assert look(apart) == look(apart) == []
    assert pid_of(apart) != os.getpid()
    assert connections(customer) == 1


def test_an_error_comes_back_as_itself_and_says_where_it_was(
    apart: ConnectedProcess, customer: Connection
) -> None:
    with pytest.raises(RefusedError, match="no rating scope nobody") as raised:
        asyncio.run(apart.run(load_scope, "nobody"))
    assert "in load_scope" in raised.value.__notes__[0]
    with pytest.raises(psycopg.Error):
        asyncio.run(apart.run(due_scopes, "no time", 10))
    assert look(apart) == [], "the connection is fit for the next call"


def test_an_error_that_cannot_travel_says_the_same() -> None:
    class HereError(Exception):
        pass

    found = portable(HereError("a local one"))
    assert (type(found), str(found)) == (RuntimeError, "HereError: a local one")


def test_after_a_kill_there_is_another(apart: ConnectedProcess, customer: Connection) -> None:
    look(apart)
    first = pid_of(apart)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(DependencyError, match="process of the test died"):
        look(apart)
    assert look(apart) == []
    assert pid_of(apart) != first
    wait_for(lambda: connections(customer) == 1, "end of the first one's connection")


def test_signals_to_the_group_are_for_the_owner(apart: ConnectedProcess) -> None:
    look(apart)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid_of(apart), number)
    assert look(apart) == []


def test_it_ends_with_an_owner_that_is_killed(billing_url: str, customer: Connection) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, billing_url], stdout=subprocess.PIPE, text=True
    ) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
            assert connections(customer) == 1
        finally:
            owner.kill()
    wait_for(lambda: connections(customer) == 0, "end of the process apart", seconds=10)
