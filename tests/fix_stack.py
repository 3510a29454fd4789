"""Fixtures: the real embedded servers, one stack for each test process.

`stack` starts on first use and serves every test of its process (one per xdist worker). A test gets
a database of its own (`fresh_database`, or `make_database` for one copied from a template) and
topic names of its own (`topic_prefix`), so tests share servers but no state.

With RACKMETER_TEST_DATABASE_URL databases are made on that server instead, with TimescaleDB where
it is loaded: any test of the ledger runs on any server.
"""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from rackmeter.stack import Stack
from rackmeter.stack_postgres import DATABASE

# Nothing here outlives the tests, so nothing waits for the disk.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}

GIVEN = os.environ.get("RACKMETER_TEST_DATABASE_URL")

MakeDatabase = Callable[..., str]
_numbers = count()


@pytest.fixture(scope="session", autouse=True)
def _not_for_programs() -> None:
    """What tests start would take the variable for a misspelt one."""
    os.environ.pop("RACKMETER_TEST_DATABASE_URL", None)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL and broker, ready."""
    folder: Path = tmp_path_factory.mktemp("stack")
    with Stack.start(folder, postgres_settings=NOT_DURABLE) as running:
        yield running


@pytest.fixture(scope="session")
def bootstrap(stack: Stack) -> str:
    """The broker's host:port."""
    return stack.bootstrap


@pytest.fixture(scope="session")
def make_database(stack: Stack) -> MakeDatabase:
    """make_database(template="template1") -> URL of a new database; it ends with the stack."""

    def make(template: str = "template1") -> str:
        if GIVEN is not None:
            # Nobody can look into template0; TimescaleDB looks into every other database.
            return make_given_database(GIVEN, template.replace("template1", "template0"))
        name = f"test_{next(_numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return database_url(stack, name)

    return make


def make_given_database(server: str, template: str = "template0", *, plain: bool = False) -> str:
    """The same on another server; ``plain``: without TimescaleDB, even where it is loaded."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    if template != "template0":  # its background workers would keep it from being copied
        with psycopg.connect(make_conninfo(server, dbname=template), autocommit=True) as conn:
            if conn.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
                conn.execute("SELECT _timescaledb_functions.stop_background_workers()")
    with psycopg.connect(server, autocommit=True) as conn:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        conn.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        row = conn.execute("SHOW shared_preload_libraries").fetchone()
    url = urlsplit(server)._replace(path=f"/{name}").geturl()
    if template == "template0" and not plain and row is not None and "timescaledb" in row[0]:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return url


@pytest.fixture
def fresh_database(make_database: MakeDatabase) -> str:
    """The URL of an empty database for this test alone."""
    return make_database()


@pytest.fixture
def topic_prefix() -> str:
    """Put before every topic name of a test: the broker is shared and forgets nothing."""
    return f"t{uuid4().hex[:12]}."


def database_url(stack: Stack, name: str) -> str:
    """The URL of another database of the same server."""
    return stack.database_url.replace(f"/{DATABASE}?", f"/{name}?", 1)
